"""Tables: columns of numbers and texts by name, and conversions of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


class TableError(ValueError):
    """Error for a file that is not a usable table; the message has the file and the reason."""


@dataclass(frozen=True, eq=False)
class Table:
    """Table: columns of one length by name, in order.

    A column is (rows,): numbers with NaN for missing values, or objects that are str with None for
    missing values. A column of a CSV file holds texts until `as_numbers` converts them. `named` is
    False if names are only indices: "0", "1", ...
    """

    name: str
    columns: Mapping[str, np.ndarray]
    named: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def as_numbers(column: np.ndarray) -> np.ndarray | None:
    """Return a column as numbers with NaN for missing values; None if a text is not a number."""
    if column.dtype != object:
        return column
    try:
        return np.array([np.nan if each is None else float(each) for each in column], np.float64)
    except ValueError:
        return None


def numbers_of(values: np.ndarray, what: str) -> np.ndarray:
    """Return a column as numbers; raise TableError, whose message begins with `what`, for texts."""
    numbers = as_numbers(values)
    if numbers is not None:
        return numbers
    for row, each in enumerate(values, start=1):
        if each is not None and as_numbers(np.array([each], object)) is None:
            raise TableError(f"{what} holds {each!r} in row {row:,}; expected numbers")
    raise AssertionError("a column that is no numbers has a text")


def as_texts(column: np.ndarray) -> np.ndarray:
    """Return a column as texts with None for missing values; whole numbers get no point."""
    if column.dtype == object:
        return column
    return np.array([number_text(each) for each in column.tolist()], object)


def number_text(value: float) -> str | None:
    """Return a number as text: None for NaN, "3" for 3.0."""
    if value != value:
        return None
    return str(int(value)) if not isinstance(value, bool) and value % 1 == 0 else str(value)


def missing_values(column: np.ndarray) -> np.ndarray:
    """Return a mask (rows,) of the missing values of a column."""
    if column.dtype == object:
        return np.equal(column, None).astype(bool)  # type: ignore[call-overload]
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
