"""Own data: a table in a file, made into training and test rows."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fastnn.data.datasets import Dataset, SubsetError
from fastnn.data.tables.columns import TASKS, Column, Schema, Target, check_finite
from fastnn.data.tables.reading import (
    Table,
    TableError,
    as_numbers,
    as_texts,
    number_text,
    read_table,
)
from fastnn.data.tables.splits import Split
from fastnn.data.tables.summary import ColumnSummary, blocks, few, missing_text, summarise

IN_MEMORY = 128 << 20
"""Bytes of rows that are kept in memory; more are kept in a file that is mapped."""

_MOST_CLASSES_OF_NUMBERS = 20
_MOST_CATEGORIES = 1000
_MANY_COLUMNS = 64


class TargetError(TableError):
    """There is no such column to predict."""


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
    """Load a table as `fastnn.datasets.load` does, whose arguments and errors these are."""
    if task is not None and task not in TASKS:
        raise ValueError(f"task is {task!r}; expected {' or '.join(TASKS)}")
    table = read_table(path)
    label, label_column = find_target(table, target)
    y, classes = _read_target(table.name, label, label_column, task)
    features = _features(table, label_column, drop, categorical)
    names, columns = list(features), list(features.values())
    summaries = summarise(names, columns)
    _check(table, summaries, impute)

    split = Split.of(y, test, seed)
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
        _learned_target(table.name, label, y[train], classes),
        split=split,
        named=table.named,
    )
    used = np.concatenate([train, held_out])
    x = encoded_rows(schema, columns, used, dtype)
    mean, std = _moments(schema, x[: len(train)])
    notes = [
        *_notes(summaries, schema, mean, std, x.dtype),
        *schema.unseen([v[held_out] if v.dtype == object else v for v in columns]),
    ]
    return Dataset(
        Path(path).name, x[: len(train)], y[train], x[len(train) :], y[held_out], classes,
        mean, std, None, schema, (*summaries, _target_summary(label, y, classes)), tuple(notes),
    )  # fmt: skip


# ---------------------------------------------------------------------------- the target


def find_target(table: Table, target: str | None) -> tuple[str, np.ndarray]:
    """Name and values of the column to predict: a name, a place, or a .npy file.

    Raises TargetError where there is none, TableError for a file that does not hold one number or
    text for each row, and OSError for one that cannot be read.
    """
    names = list(table.columns)
    if target is None:
        raise TargetError(
            f"{table.name}: no target is named; expected one of its columns: {few(names, 10)}"
        )
    if target in table.columns:
        return target, table.columns[target]
    if not table.named and target.lstrip("-").isdigit() and -len(names) <= int(target) < 0:
        label = names[int(target)]
        return label, table.columns[label]
    if Path(target).suffix.lower() == ".npy":
        return Path(target).stem, _target_file(Path(target), len(table))
    raise TargetError(_no_column(table, "target", target))


def _no_column(table: Table, what: str, name: str) -> str:
    names = list(table.columns)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{table.name}: there is no {what} {name!r} among the columns {few(names, 10)}{hint}"


def _target_file(path: Path, rows: int) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise TableError(f"{path}: found a file that NumPy cannot read: {error}") from error
    if values.shape not in ((rows,), (rows, 1)) or values.dtype.kind not in "biufU":
        raise TableError(
            f"{path}: found an array {values.shape} of {values.dtype}; expected a target for each "
            f"of {rows:,} rows"
        )
    values = values.reshape(rows)
    return values.astype(object) if values.dtype.kind == "U" else values


def _read_target(
    table: str, label: str, values: np.ndarray, task: str | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class indices and names of classes, or numbers and no names."""
    numbers = as_numbers(values)
    if (task or _told_task(numbers)) == "regression":
        return Target(label, "regression").encode(values, (), table), ()
    classes = _classes(values if numbers is None else numbers)
    if not 2 <= len(classes) <= _MOST_CATEGORIES:
        raise TableError(
            f"{table}: target {label!r} has {len(classes):,} different values; "
            f"expected 2 to {_MOST_CATEGORIES:,} classes, or numbers to regress on"
        )
    return Target(label, "classification").encode(values, classes, table), classes


def _told_task(numbers: np.ndarray | None) -> str:
    """Classification for texts, truth values, and whole numbers of which there are few."""
    if numbers is None or numbers.dtype.kind == "b":
        return "classification"
    known = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
    with np.errstate(invalid="ignore"):
        if known.dtype.kind == "f" and (known % 1 != 0).any():
            return "regression"
    different = len(np.unique(known))
    few_of_many = different <= min(_MOST_CLASSES_OF_NUMBERS, max(2, len(known) // 4))
    return "classification" if few_of_many else "regression"


def _classes(values: np.ndarray) -> tuple[str, ...]:
    """Names of the classes: numbers by size, texts by the alphabet."""
    if values.dtype == object:
        return tuple(sorted({each for each in values if each is not None}))
    names = [number_text(each) for each in np.unique(values).tolist()]
    return tuple(each for each in names if each is not None)


def _learned_target(table: str, label: str, y: np.ndarray, classes: tuple[str, ...]) -> Target:
    """The target, with mean and standard deviation of a regression's training rows."""
    if classes:
        return Target(label, "classification")
    mean, std = float(y.mean()), float(y.std())
    if not std > 0:
        raise TableError(f"{table}: target {label!r} is {mean:g} in all training rows")
    return Target(label, "regression", mean, std)


def _target_summary(label: str, y: np.ndarray, classes: tuple[str, ...]) -> ColumnSummary:
    if not classes:
        return summarise([label], [y])[0]
    counts = np.bincount(y, minlength=len(classes)).tolist()
    return ColumnSummary(
        label, count=len(y), counts=Counter(dict(zip(classes, counts, strict=True)))
    )


# -------------------------------------------------------------------------- the features


def _features(
    table: Table, target: np.ndarray, drop: Sequence[str], categorical: Sequence[str]
) -> dict[str, np.ndarray]:
    """Columns to learn from: numbers, and texts where they are no numbers or told to be texts."""
    for what, names in (("column to drop", drop), ("categorical column", categorical)):
        for name in names:
            if name not in table.columns:
                raise TableError(_no_column(table, what, name))
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
    """Raise TableError for columns that cannot be learned from."""
    rows = len(table)
    if empty := [each.name for each in summaries if each.count == 0]:
        raise TableError(_no_values(table.name, empty))
    if not impute and (lacking := missing_text(summaries)):
        raise TableError(
            f"{table.name}: values are missing in {lacking} of {rows:,} rows; --impute fills them "
            "with the median or the most frequent category, --drop leaves a column out"
        )
    check_finite(summaries, table.name)
    most = min(_MOST_CATEGORIES, max(50, rows // 2))
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
    """What stands for a missing value: the median, or the most frequent text, of some rows."""
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
    """A column with the categories of some rows."""
    if values.dtype != object:
        return Column(name, None, fill)
    return Column(name, tuple(sorted({each for each in values[rows] if each is not None})), fill)


# ------------------------------------------------------------------------------ the rows


def _wanted(what: str, number: int | None, available: int) -> int:
    if number is None:
        return available
    if not 1 <= number <= available:
        raise SubsetError(f"{what} must be from 1 to {available}, the rows there are, got {number}")
    return number


def encoded_rows(
    schema: Schema, columns: Sequence[np.ndarray], used: np.ndarray, dtype=np.float32
) -> np.ndarray:
    """Rows `used` of columns that `schema.read` gave, in that order, as a network takes them.

    (rows, width) of `dtype`, or bytes where all columns are; many of them are mapped, not loaded.
    """
    if all(values.dtype == np.uint8 for values in columns):
        dtype = np.dtype(np.uint8)
    x = _memory((len(used), schema.width), np.dtype(dtype))
    place = np.full(len(columns[0]), -1)
    place[used] = np.arange(len(used))
    for rows in blocks(columns):  # in the order of the file, which is read once
        places = place[rows]
        wanted = np.flatnonzero(places >= 0)
        block = np.empty((len(wanted), schema.width), dtype)
        schema.write(columns, wanted + rows.start, block)
        x[places[wanted]] = block
    return x


def _memory(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Memory for rows; where that is much, a mapped file that is gone with the array.

    Raises OSError where the disk has no room for it.
    """
    if shape[0] * shape[1] * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("fastnn"))  # not /tmp, which may be memory
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, a crash in a mapped page
            os.posix_fallocate(file.fileno(), 0, shape[0] * shape[1] * dtype.itemsize)
        return np.memmap(file, dtype, "w+", shape=shape)


def _moments(schema: Schema, x: np.ndarray) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Mean and standard deviation of the inputs that are numbers; 0 and 1 of categories.

    Blocks of rows are joined by the formula of Chan, Golub and LeVeque (1979). The standard
    deviation of a column that does not vary is 1. Many columns of one scale, as pixels are, keep
    it: then the mean is 0 and the deviation the greatest value, for all of them. Otherwise a pixel
    that is ink in one row of thousands would become hundreds there.
    """
    count, mean, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    for block in _float_blocks(x):
        more = len(block)
        block_mean = block.mean(axis=0)
        apart = block_mean - mean
        squares += ((block - block_mean) ** 2).sum(axis=0)
        squares += apart**2 * (count * more / (count + more))
        mean += apart * (more / (count + more))
        count += more
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    std = np.sqrt(squares / count)
    is_number = np.repeat(
        [column.categories is None for column in schema.columns],
        [column.width for column in schema.columns],
    )
    if is_number.all() and _one_scale(low, high):
        return 0.0, float(high.max())
    # What rounding leaves of a constant is no spread.
    varies = is_number & (std > np.finfo(np.float64).eps * np.abs(mean) * 8)
    return np.where(is_number, mean, 0.0), np.where(varies, std, 1.0)


def _one_scale(low: np.ndarray, high: np.ndarray) -> bool:
    """Whether columns are many, begin at 0, and a tenth of them end at the same greatest value."""
    top = high.max()
    return bool(
        len(high) >= _MANY_COLUMNS and top > 0 and low.min() == 0 and (high == top).mean() >= 0.1
    )


def _float_blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, (1 << 19) // x.shape[1])
    return (x[i : i + step].astype(np.float64) for i in range(0, len(x), step))


def _notes(
    summaries: Sequence[ColumnSummary],
    schema: Schema,
    mean: float | np.ndarray,
    std: float | np.ndarray,
    dtype: np.dtype,
) -> list[str]:
    """What is odd about columns of numbers: constant ones, and those that rounding blurs."""
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
