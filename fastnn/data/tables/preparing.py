"""Preparation of a table in a file: training and test rows for a network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastnn.data.dataset import Dataset, SubsetError, whole
from fastnn.data.tables.columns import TASKS, Column
from fastnn.data.tables.reading import read_table
from fastnn.data.tables.rows import encoded_rows, moments
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.splits import Split
from fastnn.data.tables.summary import ColumnSummary, check_finite, few, missing_text, summarise
from fastnn.data.tables.table import Table, TableError, as_numbers, as_texts
from fastnn.data.tables.targets import (
    MOST_CATEGORIES,
    find_target,
    learned_target,
    no_column,
    read_target,
    target_summary,
)


def load_table(
    path: str | os.PathLike[str],
    target: str | None,
    *,
    task: str | None = None,
    impute: bool = False,
    drop: Sequence[str] = (),
    categorical: Sequence[str] = (),
    test: float = 0.2,
    seed: int = 0,
    subset: int | None = None,
    test_subset: int | None = None,
    dtype=np.float32,
) -> Dataset:
    """Return the table in a file as a data set; arguments and errors are those of `load`."""
    if task is not None and task not in TASKS:
        raise ValueError(f"task is {task!r}; expected {' or '.join(TASKS)}")
    seed = whole("seed", seed)
    table = read_table(path)
    label, label_column = find_target(table, target)
    y, classes = read_target(table.name, label, label_column, task)
    features = _features(table, label_column, drop, categorical)
    names, columns = list(features), list(features.values())
    summaries = summarise(names, columns)
    _check(table, summaries, impute)

    split = Split.of(y, test.item() if isinstance(test, np.generic) else test, seed)
    train, held_out = split.parts(y)
    train = train[: _wanted("subset", subset, len(train))]
    held_out = held_out[: _wanted("test_subset", test_subset, len(held_out))]
    if len(train) == 0 or len(held_out) == 0:
        raise TableError(
            f"{table.name}: {len(y):,} rows with a share of {test:g} held out leave "
            f"{len(train):,} to train on and {len(held_out):,} to test on; expected some of both"
        )
    fills = _fills(columns, train) if impute else [None] * len(columns)
    if impute and None in fills:
        raise TableError(
            _no_values(
                table.name, [name for name, fill in zip(names, fills, strict=True) if fill is None]
            )
        )
    schema = Schema(
        tuple(map(_column, names, columns, [train] * len(names), fills)),
        learned_target(table.name, label, y[train], classes),
        split=split,
        named=table.named,
    )
    used = np.concatenate([train, held_out])
    x = encoded_rows(schema, columns, used, dtype)
    mean, std = moments(schema, x[: len(train)])
    notes = [
        *_notes(summaries, schema, mean, std, x.dtype),
        *schema.unseen([v[held_out] if v.dtype == object else v for v in columns]),
    ]
    arrays = x[: len(train)], y[train], x[len(train) :], y[held_out]
    summary = *summaries, target_summary(label, y, classes)
    name = Path(path).name
    return Dataset(name, *arrays, classes, mean, std, None, schema, summary, tuple(notes))


def _features(
    table: Table, target: np.ndarray, drop: Sequence[str], categorical: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the feature columns by name: texts for categories, numbers otherwise."""
    for what, names in (("column to drop", drop), ("categorical column", categorical)):
        for name in names:
            if name not in table.columns:
                raise TableError(no_column(table, what, name))
    features = {
        name: as_texts(column)
        if name in categorical or (numbers := as_numbers(column)) is None
        else numbers
        for name, column in table.columns.items()
        if column is not target and name not in drop
    }
    if not features:
        raise TableError(f"{table.name}: no column is left to learn from, besides the target")
    return features


def _check(table: Table, summaries: Sequence[ColumnSummary], impute: bool) -> None:
    """Raise TableError for columns that are empty, incomplete, infinite or too diverse."""
    rows = len(table)
    if empty := [each.name for each in summaries if each.count == 0]:
        raise TableError(_no_values(table.name, empty))
    if not impute and (lacking := missing_text(summaries)):
        raise TableError(
            f"{table.name}: values are missing in {lacking} of {rows:,} rows; --impute fills them "
            "with the median or the most frequent category, --drop leaves a column out"
        )
    check_finite(summaries, table.name)
    most = min(MOST_CATEGORIES, max(50, rows // 2))
    for each in summaries:
        if len(each.counts) > most:
            example = next(iter(each.counts))
            raise TableError(
                f"{table.name}: column {each.name!r} holds {len(each.counts):,} different texts, "
                f"such as {example!r}; expected numbers or at most {most:,} categories. "
                "--drop leaves it out"
            )


def _no_values(table: str, names: Sequence[str]) -> str:
    return f"{table}: column {few(names)} holds no values to learn from; leave it out (--drop)"


def _fills(columns: Sequence[np.ndarray], rows: np.ndarray) -> list[float | str | None]:
    """Return the replacements of missing values: median, or most frequent text, of `rows`."""
    fills: list[float | str | None] = []
    for values in columns:
        known = values[rows]
        if values.dtype == object:
            counts = Counter(each for each in known if each is not None)
            fills.append(min(counts, key=lambda each: (-counts[each], each), default=None))
        else:
            known = known[~np.isnan(known)] if known.dtype.kind == "f" else known
            fills.append(float(np.median(known)) if len(known) else None)
    return fills


def _column(name: str, values: np.ndarray, rows: np.ndarray, fill: float | str | None) -> Column:
    """Return the description of a column; its categories are the texts of `rows`."""
    if values.dtype != object:
        return Column(name, None, fill)
    return Column(name, tuple(sorted({each for each in values[rows] if each is not None})), fill)


def _wanted(what: str, number: int | None, available: int) -> int:
    if number is None:
        return available
    number = whole(what, number)
    if not 1 <= number <= available:
        raise SubsetError(f"{what} must be from 1 to {available}, the rows there are, got {number}")
    return number


def _notes(
    summaries: Sequence[ColumnSummary],
    schema: Schema,
    mean: float | np.ndarray,
    std: float | np.ndarray,
    dtype: np.dtype,
) -> list[str]:
    """Return remarks on columns that are constant, or that lose precision in `dtype`."""
    constant = [each.name for each in summaries if not each.counts and each.low == each.high]
    notes = [f"the same in all rows: {few(constant)}"] if constant else []
    if dtype.kind == "f":
        blurred = np.finfo(dtype).eps * np.abs(mean) > 0.01 * np.broadcast_to(std, schema.width)
        names = [name for name, each in zip(schema.features, blurred, strict=True) if each]
        if names := [name for name in names if name not in constant]:
            notes.append(
                f"column {few(names)}: {dtype} rounds its values by more than a hundredth of "
                "their spread; subtract their mean, or compute in float64"
            )
    return notes
