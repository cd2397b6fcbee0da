"""The target of a table: its column, and whether it holds classes or numbers."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path

import numpy as np

from fastnn.data.tables.columns import Target
from fastnn.data.tables.summary import ColumnSummary, few, summarise
from fastnn.data.tables.table import Table, TableError, as_numbers, number_text

MOST_CATEGORIES = 1000
"""Largest number of classes of a target and of categories of a column."""

_MOST_CLASSES_OF_NUMBERS = 20


class TargetError(TableError):
    """Error for a target that is not a column of the table."""


def find_target(table: Table, target: str | None) -> tuple[str, np.ndarray]:
    """Return name and values of the target, which is given by name, by index or as a .npy file.

    Raises TargetError if the column does not exist, TableError if a file does not hold one number
    or text for each row, and OSError if the file cannot be read.
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
    raise TargetError(no_column(table, "target", target))


def _target_file(path: Path, rows: int) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
        shape = values.shape
    except OSError:
        raise
    except Exception as error:  # errors of tokenize and NumPy have no common base
        raise TableError(f"{path}: found a file that NumPy cannot read: {error}") from error
    if shape not in ((rows,), (rows, 1)) or values.dtype.kind not in "biufU":
        raise TableError(
            f"{path}: found an array {shape} of {values.dtype}; expected a target for each "
            f"of {rows:,} rows"
        )
    values = values.reshape(rows)
    return values.astype(object) if values.dtype.kind == "U" else values


def read_target(
    table: str, label: str, values: np.ndarray, task: str | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return class indices and the names of the classes, or numbers and an empty tuple."""
    numbers = as_numbers(values)
    if (task or _guessed_task(numbers)) == "regression":
        return Target(label, "regression").encode(values, (), table), ()
    classes = _classes(values if numbers is None else numbers)
    if not 2 <= len(classes) <= MOST_CATEGORIES:
        raise TableError(
            f"{table}: target {label!r} has {len(classes):,} different values; "
            f"expected 2 to {MOST_CATEGORIES:,} classes, or numbers to regress on"
        )
    return Target(label, "classification").encode(values, classes, table), classes


def _guessed_task(numbers: np.ndarray | None) -> str:
    """Return "classification" for texts (None), booleans and few distinct whole numbers."""
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
    """Return the names of the classes: numbers in order of size, texts in alphabetical order."""
    if values.dtype == object:
        return tuple(sorted({each for each in values if each is not None}))
    names = [number_text(each) for each in np.unique(values).tolist()]
    return tuple(each for each in names if each is not None)


def learned_target(table: str, label: str, y: np.ndarray, classes: tuple[str, ...]) -> Target:
    """Return the target; for a regression with mean and standard deviation of `y`."""
    if classes:
        return Target(label, "classification")
    mean, std = float(y.mean()), float(y.std())
    if not std > 0:
        raise TableError(f"{table}: target {label!r} is {mean:g} in all training rows")
    return Target(label, "regression", mean, std)


def target_summary(label: str, y: np.ndarray, classes: tuple[str, ...]) -> ColumnSummary:
    """Return the summary of the target over all rows."""
    if not classes:
        return summarise([label], [y])[0]
    counts = np.bincount(y, minlength=len(classes)).tolist()
    return ColumnSummary(
        label, count=len(y), counts=Counter(dict(zip(classes, counts, strict=True)))
    )


def no_column(table: Table, what: str, name: str) -> str:
    """Return the error message for a column that the table does not have."""
    names = list(table.columns)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{table.name}: there is no {what} {name!r} among the columns {few(names, 10)}{hint}"
