"""Cross-validation of a table: each row is held out once, or is predicted from earlier ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn.data.dataset import Dataset
from fastnn.data.tables.rows import moments
from fastnn.data.tables.splits import ends_of_times, forward_chain, groups_apart, mixed_order
from fastnn.metrics import predicted, scores
from fastnn.nn.sequential import Sequential
from fastnn.runs.settings import SettingError
from fastnn.training.prediction import predict


class Folds:
    """Cross-validation on all rows of a table, training and test rows alike.

    Each fold holds every class nearly in proportion. If the table was split by groups, no group is
    in two folds. If it was split by time, each fold is trained on the rows before those that it
    holds out, and the first rows are never held out.

    Parameters
    ----------
    data : Dataset
        The table.
    count : int
        Number of folds, from 2 to the number of rows, of groups, or of times that have two rows
        before them.
    seed : int, default 0
        Seed of the folds.

    Raises
    ------
    SettingError
        For another number of folds.
    """

    def __init__(self, data: Dataset, count: int, seed: int = 0):
        self._data, self.count = data, count
        self.parts = _parts(data, count, seed)
        """The rows that each fold trains on, and holds out: places among the training rows, then
        the test rows."""
        self.scores: list[dict[str, float]] = []
        """Scores of each fold so far, on the rows that it held out."""

    def train(self, trained: Callable[[Dataset], Sequential]) -> Iterator[dict[str, float]]:
        """Yield the scores of the model that `trained` returns for each fold; raise as it does."""
        for kept, held_out in self.parts:
            data = fold(self._data, kept, held_out)
            model = trained(data)
            self.scores.append(scores(data.y_test, predicted(model, predict(model, data.x_test))))
            yield self.scores[-1]

    def summary(self) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation over the folds of each score, NaN if one is NaN."""
        columns = {name: [each[name] for each in self.scores] for name in self.scores[0]}
        return {
            name: (float(np.mean(values)), float(np.std(values, ddof=1)))
            for name, values in columns.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `history.json`: a list for each score, its mean and deviation."""
        return {
            name: {"folds": [each[name] for each in self.scores], "mean": mean, "std": std}
            for name, (mean, std) in self.summary().items()
        }


def _parts(data: Dataset, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows that each fold trains on, and those that it holds out."""
    y, keys = np.concatenate([data.y_train, data.y_test]), data.keys
    split = None if data.schema is None else data.schema.split
    if keys is None or split is None or split.column is None:
        _check(count, len(y), "the rows there are")
        held_out = np.array_split(mixed_order(y, seed), count)
    elif split.group is not None:
        _check(count, len(np.unique(keys)), f"the groups of {split.group!r} there are")
        held_out = groups_apart(y, keys, count, seed)
    else:
        few = f"since {split.time!r} has {len(np.unique(keys)):,} different times"
        _check(count, len(ends_of_times(keys)), few)
        return forward_chain(keys, count)
    return [(_others(y, keys, each), each) for each in held_out]


def _check(count: int, most: int, why: str) -> None:
    if not 2 <= count <= most:
        allowed = f"2 to {most:,}, {why}" if most > 1 else f"none, {why}"
        raise SettingError("folds", f"{count}; expected {allowed}")


def _others(y: np.ndarray, groups: np.ndarray | None, held_out: np.ndarray) -> np.ndarray:
    """Return all rows but some, in random order, group by group: the last ones are validated on."""
    kept = np.setdiff1d(np.arange(len(y)), held_out)
    if groups is not None:
        return kept[groups_apart(y[kept], groups[kept], 1, 0)[0]]
    return kept[mixed_order(y[kept], 0)]


def fold(data: Dataset, kept: np.ndarray, held_out: np.ndarray) -> Dataset:
    """Return a table whose training rows are `kept`, and whose test rows are `held_out`.

    Both are places among the training rows, then the test rows. Means and deviations, also those of
    the target, are learned anew from the rows that are kept. Categories and what stands for missing
    values stay those of the table.
    """
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    schema = data.schema
    assert schema is not None
    assert schema.target is not None
    if not data.classes:
        deviation = float(y[kept].std()) or 1.0
        target = dataclasses.replace(schema.target, mean=float(y[kept].mean()), std=deviation)
        schema = dataclasses.replace(schema, target=target)
    mean, std = moments(schema.columns, x[kept])
    return dataclasses.replace(
        data,
        x_train=x[kept],
        y_train=y[kept],
        x_test=x[held_out],
        y_test=y[held_out],
        mean=mean,
        std=std,
        schema=schema,
        keys=None if data.keys is None else data.keys[np.concatenate([kept, held_out])],
    )
