"""A table: columns of numbers and texts by name, and how one becomes the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


class TableError(ValueError):
    """A file is no table, or one that cannot be used; the message names it and what was found."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length, by name, in order.

    A column is (rows,): numbers, NaN where one is missing, or objects that are str, None where
    one is missing; a column of a CSV file is texts until `as_numbers` reads it. `named` says
    whether the names came with the data, or are only the places: "0", "1", ...
    """

    name: str
    columns: Mapping[str, np.ndarray]
    named: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def as_numbers(column: np.ndarray) -> np.ndarray | None:
    """Return a column as numbers, NaN where one is missing; None where a text is no number."""
    if column.dtype != object:
        return column
    try:
        return np.array([np.nan if each is None else float(each) for each in column], np.float64)
    except ValueError:
        return None


def numbers_of(values: np.ndarray, what: str) -> np.ndarray:
    """Return a column as numbers; raise TableError, which says what it is of, for a text."""
    numbers = as_numbers(values)
    if numbers is not None:
        return numbers
    for row, each in enumerate(values, start=1):
        if each is not None and as_numbers(np.array([each], object)) is None:
            raise TableError(f"{what} holds {each!r} in row {row:,}; expected numbers")
    raise AssertionError("a column that is no numbers has a text")


def as_texts(column: np.ndarray) -> np.ndarray:
    """Return a column as texts, None where one is missing; whole numbers without a point."""
    if column.dtype == object:
        return column
    return np.array([number_text(each) for each in column.tolist()], object)


def number_text(value: float) -> str | None:
    """Return a number as text: None for NaN, "3" for 3.0."""
    if value != value:
        return None
    return str(int(value)) if not isinstance(value, bool) and value % 1 == 0 else str(value)


def missing_values(column: np.ndarray) -> np.ndarray:
    """Return where values are missing in a column of numbers or texts, as booleans (rows,)."""
    if column.dtype == object:
        return np.equal(column, None).astype(bool)  # type: ignore[call-overload]
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
