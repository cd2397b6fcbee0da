"""Preparation of a table: training and test rows for a network."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.data.dataset import Dataset, SubsetError, whole
from fastnn.data.tables.columns import Column, Number
from fastnn.data.tables.reading import Reading
from fastnn.data.tables.rows import encoded_rows, let_go, moments
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.sources import find_target, no_column, open_source
from fastnn.data.tables.splits import Split
from fastnn.data.tables.table import Source, Table, TableError, few
from fastnn.data.tables.target import TASKS, missing_targets
from fastnn.data.tables.targets import Learned, learned_target, understand_target
from fastnn.data.tables.understanding import Understanding, Understood, Wishes

_ENOUGH_FOR_MEDIAN, _PIECE = 20_000, 1 << 14  # rows


@dataclass(frozen=True)
class Preparation:
    """Wishes for the preparation of a table; see `fastnn.data.datasets.load`."""

    target: str | None = None
    task: str | None = None
    impute: bool = True
    drop: Sequence[str] = ()
    wishes: Wishes = field(default_factory=Wishes)
    reading: Reading = field(default_factory=Reading)
    test: float = 0.2
    seed: int = 0
    subset: int | None = None
    test_subset: int | None = None
    dtype: Any = np.float32
    group: str | None = None
    time: str | None = None
    test_file: str | os.PathLike[str] | None = None

    @property
    def split_by(self) -> list[str]:
        """Return the columns that rows are split by, which may be left out of the inputs."""
        return [name for name in (self.group, self.time) if name is not None]

    def split(self, y: np.ndarray) -> Split:
        """Return the split of rows with targets `y`."""
        share = self.test.item() if isinstance(self.test, np.generic) else self.test
        share = share if self.test_file is None else 0.0
        return Split.of(y, share, whole("seed", self.seed), self.group, self.time)

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; expected {' or '.join(TASKS)}")


def load_table(source: Any, how: Preparation, name: str | None = None) -> Dataset:
    """Return a table as a data set; arguments and errors are those of `load`."""
    opened = open_source(source, None, how.reading)
    label, target_source = find_target(opened, how.target)
    features = _features(opened, how, label if target_source is opened else None)
    table, learned = _read(opened, target_source, label, features, how)
    _check_lengths(table, learned)
    kept = np.flatnonzero(~missing_targets(learned.y))
    y = learned.y[kept]
    understanding = _understanding(table, opened, how)
    split = how.split(y)
    by = None if split.column is None else values_to_split_by(understanding, split)[kept]
    train, held_out = _rows(table, split, y, by, how)
    understood = understanding.columns(
        [name for name in features if name != split.group], kept[train]
    )
    columns = _columns(table, understood, how)
    target = learned_target(table.name, learned.target, y[train])
    schema = Schema(columns, target, split=split, named=table.named)
    names = [each.name for each in columns]
    places = np.concatenate([train, held_out])
    used, keys = kept[places], None if by is None else by[places]
    y_train, y_test = y[train], y[held_out]
    untold, training = len(learned.y) - len(kept), len(train)
    del kept, y, train, held_out, places  # which are as large as columns
    x = encoded_rows(columns, table, names, used, how.dtype)
    if how.impute:
        schema = _filled(schema, x, training)
    x_train, x_test = x[:training], x[training:]
    mean, std = moments(columns, x_train)
    notes = [
        *opened.notes,
        *learned.understood.notes,
        *_missing_targets(label, untold, len(table)),
        *(note for each in understood for note in each.notes),
        *_blurred(schema, mean, std, x.dtype),
    ]
    if split.group is not None:
        notes.append(f"rows with the same {split.group!r} stay together; it is no input")
    if how.test_file is not None:
        x_test, y_test, more = _test_rows(schema, label, learned.classes, x.dtype, how)
        notes += more
    title = name or (Path(source).name if isinstance(source, (str, os.PathLike)) else "table")
    summary = *understood, learned.understood
    return Dataset(
        title, x_train, y_train, x_test, y_test, learned.classes, mean, std, None, schema, summary,
        tuple(notes), keys,
    )  # fmt: skip


def _rows(
    table: Table, split: Split, y: np.ndarray, by: np.ndarray | None, how: Preparation
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices, among those kept, of the training and of the held-out rows."""
    train, held_out = split.parts(y, by)
    train = train[: _wanted("subset", how.subset, len(train))]
    held_out = held_out[: _wanted("test_subset", how.test_subset, len(held_out))]
    if len(train) == 0 or (len(held_out) == 0 and how.test_file is None):
        raise TableError(
            f"{table.name}: {len(y):,} rows with a share of {split.share:g} held out "
            f"leave {len(train):,} to train on and {len(held_out):,} to test on; expected some of "
            "both"
        )
    return train, held_out


def _columns(
    table: Table, understood: Sequence[Understood], how: Preparation
) -> tuple[Column, ...]:
    """Return the descriptions of the columns that are inputs; raise TableError without any."""
    columns = tuple(each.column for each in understood if each.column is not None)
    if not columns:
        reasons = "; ".join(note for each in understood for note in each.notes[:1])
        raise TableError(f"{table.name}: no column is left to learn from: {reasons}"[:400])
    if how.impute:
        return columns
    _check_complete(table, understood)
    return tuple(replace(each, fill=None) for each in columns)


def _test_rows(
    schema: Schema, label: str, classes: tuple[str, ...], dtype, how: Preparation
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return rows and targets of the file of test rows, and remarks on them."""
    assert schema.target is not None
    opened = open_source(how.test_file, None, how.reading)
    find_target(opened, label)
    table = schema.table(opened, opened.spelled([label]), [label])
    names = schema.names_in(opened)
    notes = [f"{opened.name}: {message}" for message in schema.check(table, names)]
    y = schema.target.read(table, label, classes)
    kept = np.flatnonzero(~missing_targets(y))
    kept = kept[: _wanted("test_subset", how.test_subset, len(kept))]
    if len(kept) == 0:
        raise TableError(f"{opened.name}: found no rows with a target {label!r} to test on")
    return encoded_rows(schema.columns, table, names, kept, dtype), y[kept], notes


def _features(source: Source, how: Preparation, label: str | None) -> list[str]:
    """Return the names of the columns that are looked at, besides the target."""
    wishes = how.wishes
    for what, names in (
        ("column to drop", how.drop),
        ("column to keep", wishes.keep),
        ("categorical column", wishes.categorical),
        ("numeric column", wishes.numeric),
        ("column of dates", wishes.dates),
        ("column of groups", () if how.group is None else [how.group]),
        ("column of times", () if how.time is None else [how.time]),
    ):
        for name in names:
            if name not in source.names:
                raise TableError(no_column(source, what, name))
    features = [name for name in source.names if name != label and name not in how.drop]
    if not features:
        raise TableError(f"{source.name}: no column is left to learn from, besides the target")
    return features


def _read(
    source: Source, target_source: Source, label: str, features: Sequence[str], how: Preparation
) -> tuple[Table, Learned]:
    """Return the table of features, and the target, which may be in the same table."""
    wishes = how.wishes
    texts = {*wishes.categorical, *wishes.dates} - {label}
    if target_source is not source:
        features_alone = _table_of(source, {*features, *how.split_by}, texts)
        labels = target_source.table()
        return features_alone, understand_target(Understanding(labels, Wishes()), label, how.task)
    wanted = {*features, *how.split_by, label}
    of_texts = {*how.split_by, *wishes.categorical, *wishes.dates}
    is_label = how.task == "classification" or label in of_texts
    table = None if is_label else source.measured(wanted, texts, label)
    if table is None:  # a label is the text in the file: "01" is another one than "1"
        table = _table_of(source, wanted, texts | source.spelled([label]))
    return table, understand_target(_understanding(table, source, how), label, how.task)


def _table_of(source: Source, columns: Collection[str], texts: Collection[str]) -> Table:
    """Return a source's table; raise TableError if it has no rows."""
    table = source.table(columns, texts)
    if len(table) == 0:
        raise TableError(f"{table.name}: found no rows; expected at least one")
    return table


def _understanding(table: Table, source: Source, how: Preparation) -> Understanding:
    reading = how.reading
    return Understanding(
        table, how.wishes, reading.decimal, reading.thousands, source.decimal_comma
    )


def values_to_split_by(understanding: Understanding, split: Split) -> np.ndarray:
    """Return the values (rows,) of the column by which a split goes.

    Raises TableError for a column of times that holds neither numbers nor dates, or not in all
    rows.
    """
    table = understanding.table
    assert split.column is not None
    if split.time is None:
        return np.unique(table.keys(split.column), return_inverse=True)[1]
    column = understanding.ordered(split.time)
    values = table.values(column, split.time).astype(np.float64)
    if np.isnan(values).any():
        raise TableError(
            f"{table.name}: column {split.time!r} is no time in "
            f"{int(np.isnan(values).sum()):,} rows; expected numbers or dates in all"
        )
    return values


def _check_lengths(table: Table, learned: Learned) -> None:
    if len(learned.y) != len(table):
        raise TableError(
            f"{table.name}: found {len(learned.y):,} targets; expected a target for each of "
            f"{len(table):,} rows"
        )


def _missing_targets(label: str, count: int, rows: int) -> list[str]:
    if not count:
        return []
    some = "1 row" if count == 1 else f"{count:,} rows"
    return [f"{some} of {rows:,} without a target {label!r}: left out"]


def _check_complete(table: Table, understood: Sequence[Understood]) -> None:
    """Raise TableError for columns with missing values."""
    lacking = [
        f"{each.name} ({each.missing:,})" for each in understood if each.column and each.missing
    ]
    if lacking:
        raise TableError(
            f"{table.name}: values are missing in {few(lacking, 10)} of {len(table):,} rows; "
            "--impute fills them with the median or the most frequent category, --drop leaves a "
            "column out"
        )


def _filled(schema: Schema, x: np.ndarray, training: int) -> Schema:
    """Fill missing numbers of x with the medians of the training rows, which come first.

    Returns the schema with these medians. They are those of some 20,000 rows if there are more.
    """
    some = x[: training : max(1, training // _ENOUGH_FOR_MEDIAN)].copy()
    whole = True
    for begin in range(0, len(x), _PIECE):
        whole &= bool(np.isfinite(x[begin : begin + _PIECE].sum()))  # it shows what is not finite
        let_go(x)
    place, columns = 0, []
    for column in schema.columns:
        if isinstance(column, Number):
            known = some[:, place][np.isfinite(some[:, place])]
            usual = float(np.median(known)) if len(known) else 0.0
            if not whole:
                np.copyto(x[:, place], usual, where=~np.isfinite(x[:, place]))
            column = replace(column, fill=usual)
        columns.append(column)
        place += column.width
    return replace(schema, columns=tuple(columns))


def _wanted(what: str, number: int | None, available: int) -> int:
    if number is None:
        return available
    number = whole(what, number)
    if not 1 <= number <= available:
        raise SubsetError(f"{what} must be from 1 to {available}, the rows there are, got {number}")
    return number


def _blurred(
    schema: Schema, mean: float | np.ndarray, std: float | np.ndarray, dtype: np.dtype
) -> list[str]:
    """Return remarks on columns that lose precision in `dtype`."""
    if dtype.kind != "f":
        return []
    blurred = np.finfo(dtype).eps * np.abs(mean) > 0.01 * np.broadcast_to(std, schema.width)
    names = [name for name, each in zip(schema.features, blurred, strict=True) if each]
    if not names:
        return []
    return [
        f"column {few(names)}: {dtype} rounds its values by more than a hundredth of "
        "their spread; subtract their mean, or compute in float64"
    ]
