"""Tables of numbers in NumPy arrays, which may be mapped files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fastnn.data.tables.columns import MISSING, Column
from fastnn.data.tables.table import NumberFacts, Table, TextFacts, number_text

_BLOCK_BYTES = 1 << 22


class Arrays(Table):
    """A table of arrays (rows,) of numbers, with NaN for missing ones."""

    def __init__(self, name: str, columns: Mapping[str, np.ndarray], named: bool = True):
        rows = len(next(iter(columns.values()))) if columns else 0
        super().__init__(name, list(columns), named, rows)
        self._columns = columns

    def is_text(self, name: str) -> bool:
        """Return False."""
        return False

    def is_bytes(self, name: str) -> bool:
        """Return whether a column is of uint8."""
        return self._columns[name].dtype == np.uint8

    def number_facts(self, names: Sequence[str]) -> list[NumberFacts]:
        """Return the facts about columns, read block by block."""
        facts = [_Facts() for _ in names]
        for rows in self._slices(len(names)):
            for each, name in zip(facts, names, strict=True):
                each.add(self._columns[name][rows], rows)
        return [each.facts for each in facts]

    def text_facts(self, name: str, most: int, rows: np.ndarray | None = None) -> TextFacts:
        """Return the facts about a column whose numbers are taken as texts."""
        values = self._columns[name] if rows is None else self._columns[name][rows]
        found, counts = np.unique(values, return_counts=True)
        pairs = [
            (text, count)
            for each, count in zip(found.tolist(), counts.tolist(), strict=True)
            if (text := number_text(each)) is not None
        ]
        missing = len(values) - sum(count for _, count in pairs)
        pairs.sort(key=lambda pair: -pair[1])
        return TextFacts(missing, len(pairs), dict(pairs[:most]))

    def count(self, name: str, readers: Sequence[str], some: int | None = None) -> list[int]:
        """Raise TypeError: there are no texts."""
        raise TypeError(f"column {name!r} holds numbers, no texts")

    def examples(self, name: str, most: int) -> list[str]:
        """Return the first numbers of a column as texts."""
        texts = map(number_text, self._columns[name][:most].tolist())
        return [each for each in texts if each is not None]

    def values(self, column: Column, name: str) -> np.ndarray:
        """Return the numbers of a column, or the codes of its categories."""
        return _read(column, self._columns[name])

    def keys(self, name: str) -> np.ndarray:
        """Return the numbers of a column."""
        return self._columns[name]

    def blocks(
        self, columns: Sequence[Column], names: Sequence[str]
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Yield slices of rows, and the columns' numbers there."""
        for rows in self._slices(len(names)):
            parts = (self._columns[name][rows] for name in names)
            yield rows, [_read(*each) for each in zip(columns, parts, strict=True)]

    def odd(self, column: Column, name: str) -> list[tuple[str, int, int]]:
        """Return an empty list: all values are numbers."""
        return []

    def _slices(self, columns: int) -> Iterator[slice]:
        step = max(1, _BLOCK_BYTES // (8 * max(columns, 1)))
        return (slice(begin, min(begin + step, len(self))) for begin in range(0, len(self), step))


def _read(column: Column, values: np.ndarray) -> np.ndarray:
    """Return numbers as a column description takes them: as codes, if it has texts."""
    if not column.texts:
        return values
    codes = np.full(len(values), MISSING, np.int32)
    found, places = np.unique(values, return_inverse=True)
    texts = [number_text(each) for each in found.tolist()]
    codes[:] = np.array(column.codes(texts), np.int32)[places]
    return codes


class _Facts:
    """Facts about a column of numbers, gathered from block to block."""

    def __init__(self) -> None:
        self._missing = self._infinite = 0
        self._low, self._high = np.inf, -np.inf
        self._whole = True
        self._up = self._down = True
        self._first: float | None = None

    def add(self, values: np.ndarray, rows: slice) -> None:
        """Add the values of some rows."""
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        self._missing += int(missing.sum())
        known = values[~missing] if missing.any() else values
        if values.dtype.kind == "f":
            finite = np.isfinite(known)
            self._infinite += len(known) - int(finite.sum())
            known = known if finite.all() else known[finite]
        if not len(known):
            self._up = self._down = False
            return
        self._low, self._high = (
            min(self._low, float(known.min())),
            max(self._high, float(known.max())),
        )
        if values.dtype.kind == "f":
            self._whole = self._whole and bool((known % 1 == 0).all())
        if len(known) != len(values):
            self._up = self._down = False
        if self._up or self._down:
            self._first = float(values[0]) if self._first is None else self._first
            place = np.arange(rows.start, rows.stop)
            apart = values.astype(np.float64) - self._first
            self._up = self._up and bool((apart == place).all())
            self._down = self._down and bool((apart == -place).all())

    @property
    def facts(self) -> NumberFacts:
        """Return the facts about the values so far."""
        steps = self._up or self._down
        return NumberFacts(self._missing, self._infinite, self._low, self._high, self._whole, steps)
