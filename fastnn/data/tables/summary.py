"""Summaries of a table's columns: ranges, categories and missing values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from fastnn.data.tables.table import TableError, missing_values

_BLOCK_BYTES = 1 << 22


@dataclass
class ColumnSummary:
    """Summary of a column: minimum, mean and maximum of numbers, or counts of texts."""

    name: str
    missing: int = 0
    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    count: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def mean(self) -> float:
        """Return the mean of the numbers."""
        return self.total / max(self.count, 1)

    def add(self, values: np.ndarray) -> None:
        """Add the values of some rows."""
        missing = missing_values(values) if values.dtype.kind in "fO" else None
        missed = 0 if missing is None else int(missing.sum())
        self.missing += missed
        self.count += len(values) - missed
        if values.dtype == object:
            self.counts.update(each for each in values if each is not None)
        elif missed < len(values):
            self.low = min(self.low, float(np.fmin.reduce(values)))
            self.high = max(self.high, float(np.fmax.reduce(values)))
            known = values[~missing] if missing is not None and missed else values
            self.total += float(known.sum(dtype=np.float64))


def summarise(names: Sequence[str], columns: Sequence[np.ndarray]) -> list[ColumnSummary]:
    """Return summaries of columns of one length, computed block by block."""
    summaries = [ColumnSummary(name) for name in names]
    for rows in blocks(columns):
        for summary, values in zip(summaries, columns, strict=True):
            summary.add(values[rows])
    return summaries


def blocks(columns: Sequence[np.ndarray]) -> Iterator[slice]:
    """Return slices of rows, each of some megabytes."""
    rows = len(columns[0]) if columns else 0
    step = max(1, _BLOCK_BYTES // (8 * max(len(columns), 1)))
    return (slice(begin, min(begin + step, rows)) for begin in range(0, rows, step))


def few(names: Sequence[str], most: int = 5) -> str:
    """Return the first names as text, followed by the number of the others."""
    more = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def missing_text(summaries: Sequence[ColumnSummary]) -> str:
    """Return the columns with missing values, and their number in each, as text."""
    lacking = [f"{each.name} ({each.missing:,})" for each in summaries if each.missing]
    return few(lacking, 10)


def check_finite(summaries: Sequence[ColumnSummary], table: str) -> None:
    """Raise TableError for a column that holds an infinite number."""
    for each in summaries:
        if each.count and not each.counts and (math.isinf(each.low) or math.isinf(each.high)):
            raise TableError(
                f"{table}: column {each.name!r} holds an infinite number; expected finite ones"
            )
