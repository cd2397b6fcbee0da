"""Columns that alone tell the target: an index of sorted rows, or one that holds the answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastnn.data.dataset import Dataset
from fastnn.data.tables.schema import Schema
from fastnn.metrics import regression_scores

MOST_COLUMNS = 400
_MOST_ROWS = 1000
_FEWEST_ROWS = 10
_ROWS_OF_A_LEAF = 20
_AGREEMENT = 0.999


def telltales(data: Dataset) -> list[str]:
    """Return a remark on each column that alone tells the target in the held-out rows.

    Classes are told if 99.9% are right by the most frequent class of each value in the training
    rows, or by a decision tree on the column, of at most a leaf for 20 rows. Numbers are told if
    interpolation between the training rows reaches an R2 of 0.999, of the numbers or of their
    ranks, in which the largest do not count for more than the others. Up to 1,000 rows of each part
    and 400 columns are looked at, so that it takes less than a second. Nothing is said of tables
    of one column or fewer than 10 held-out rows, or where the target hardly varies.
    """
    schema, parts = data.schema, (data.y_train, data.y_test)
    y, held_out = (each[:_MOST_ROWS] for each in parts)
    if schema is None or schema.target is None or len(schema.columns) < 2:
        return []
    if len(held_out) < _FEWEST_ROWS or _is_settled(held_out, data.classes):
        return []
    tells = _tells_class if data.classes else _tells_number
    rows = sum(map(len, parts))
    return [
        _remark(name, schema.target.name, np.concatenate([x, other]), rows)
        for name, x, other in _single_columns(schema, data)
        if tells(x, y, other, held_out)
    ]


def _is_settled(y: np.ndarray, classes: tuple[str, ...]) -> bool:
    """Return whether there is nothing to tell: one class, or one number, is nearly all rows."""
    counts = np.bincount(y) if classes else np.unique(y, return_counts=True)[1]
    return bool(counts.max() >= _AGREEMENT * len(y))


def _single_columns(schema: Schema, data: Dataset) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the name of each column, and its training and held-out cells as one number each.

    The number of a column of several inputs tells equal rows of them apart.
    """
    place = 0
    for column in schema.columns[:MOST_COLUMNS]:
        inputs = slice(place, place := place + column.width)
        parts = [x[:_MOST_ROWS, inputs] for x in (data.x_train, data.x_test)]
        cells = np.concatenate(parts)
        if column.width == 1:
            codes = cells[:, 0].astype(np.float64)
        else:
            codes = np.unique(cells, axis=0, return_inverse=True)[1].ravel().astype(np.float64)
        rows = len(parts[0])
        yield column.name, codes[:rows], codes[rows:]


def _tells_class(x: np.ndarray, y: np.ndarray, other: np.ndarray, held_out: np.ndarray) -> bool:
    return _by_value(x, y, other, held_out) or _by_thresholds(x, y, other, held_out)


def _by_value(x: np.ndarray, y: np.ndarray, other: np.ndarray, held_out: np.ndarray) -> bool:
    """Return whether the most frequent class of each value in the training rows is right.

    It has to be right in both parts, since few held-out rows may be right by luck.
    """
    known, which = np.unique(x, return_inverse=True)
    if 2 * len(known) > len(y):  # most values are of one row, and tell nothing of others
        return False
    counts = np.zeros((len(known), y.max() + 1), np.int64)
    np.add.at(counts, (which, y), 1)
    if counts.max(axis=1).sum() < _AGREEMENT * len(y):
        return False
    place = np.searchsorted(known, other).clip(max=len(known) - 1)
    right = (known[place] == other) & (counts.argmax(axis=1)[place] == held_out)
    return bool(right.mean() >= _AGREEMENT)


def _by_thresholds(x: np.ndarray, y: np.ndarray, other: np.ndarray, held_out: np.ndarray) -> bool:
    """Return whether few thresholds separate the classes of all rows.

    With so few leaves this is no luck; trained without the held-out rows, the tree would be
    wrong about some of those that lie beside a threshold.
    """
    from sklearn.tree import DecisionTreeClassifier

    cells, labels = np.concatenate([x, other])[:, np.newaxis], np.concatenate([y, held_out])
    leaves = max(2, len(labels) // _ROWS_OF_A_LEAF)
    order = np.argsort(cells[:, 0])
    edges = (np.diff(cells[order, 0]) > 0) & (np.diff(labels[order]) != 0)
    if edges.sum() > 2 * leaves:  # more than can be separated, which is quick to see
        return False
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0).fit(cells, labels)
    return bool(tree.score(cells, labels) >= _AGREEMENT)


def _tells_number(x: np.ndarray, y: np.ndarray, other: np.ndarray, held_out: np.ndarray) -> bool:
    known, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    numbers = np.concatenate([y, held_out])
    for targets in (numbers, _ranks(numbers)):
        means = np.bincount(which, targets[: len(y)]) / counts
        told = np.interp(other, known, means)
        if regression_scores(targets[len(y) :], told)["r2"] >= _AGREEMENT:
            return True
    return False


def _ranks(numbers: np.ndarray) -> np.ndarray:
    """Return the place of each number in their order; equal ones have the mean of theirs."""
    _, which, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[which]


def _remark(name: str, target: str, cells: np.ndarray, rows: int) -> str:
    question = "is it an index" if _is_index(cells, rows) else "does it hold the answer"
    return f"`{name}` alone predicts `{target}`: {question}?"


def _is_index(cells: np.ndarray, rows: int) -> bool:
    """Return whether cells are different whole numbers within about as many as there are rows."""
    whole, different = (cells == np.rint(cells)).all(), len(np.unique(cells)) == len(cells)
    return bool(whole and different and np.ptp(cells) < 1.5 * rows)
