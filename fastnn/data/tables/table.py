"""Tables: columns by name, of numbers or of texts, and facts about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.data.tables.columns import Column
from fastnn.data.tables.reading import MISSING_TEXTS

MOST_LABELS = 20
"""Largest number of different numbers that are taken for labels."""

FIRST_ROWS = 1000
"""Rows that tell whether there are more of them, in most tables."""

_MOST_SHOWN = 60  # letters of a cell


class TableError(ValueError):
    """Error for a file that is not a usable table; the message has the file and the reason."""


@dataclass(frozen=True)
class NumberFacts:
    """Facts about a column of numbers: counts of rows, and the range of the finite numbers.

    `whole` is True if all are whole numbers, `steps` if each is one more, or one less, than the
    one before it.
    """

    missing: int
    infinite: int
    low: float
    high: float
    whole: bool
    steps: bool


@dataclass(frozen=True)
class TextFacts:
    """Facts about a column of texts: the most frequent ones with their numbers of rows.

    `distinct` is the number of different texts.
    """

    missing: int
    distinct: int
    counts: dict[str, int]


class Table(ABC):
    """A table whose columns hold numbers, or texts.

    Missing values are neither. `named` is False if names are only indices: "0", "1", ...
    """

    def __init__(self, name: str, names: Sequence[str], named: bool, rows: int):
        self.name, self.names, self.named = name, tuple(names), named
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    @abstractmethod
    def is_text(self, name: str) -> bool:
        """Return whether a column holds texts."""

    @abstractmethod
    def is_bytes(self, name: str) -> bool:
        """Return whether a column holds whole numbers from 0 to 255 in a byte each."""

    @abstractmethod
    def number_facts(self, names: Sequence[str]) -> list[NumberFacts]:
        """Return the facts about columns of numbers."""

    @abstractmethod
    def text_facts(self, name: str, most: int, rows: np.ndarray | None = None) -> TextFacts:
        """Return the facts about a column of texts, with at most `most` texts.

        `rows` are the indices of the rows that count; None takes all. Numbers are taken as texts.
        """

    @abstractmethod
    def count(self, name: str, readers: Sequence[str], some: int | None = None) -> list[int]:
        """Return the number of rows for which each SQL, with {} for a text, is not NULL.

        `some` looks at about so many rows, from all over the table.
        """

    @abstractmethod
    def examples(self, name: str, most: int) -> list[str]:
        """Return the first texts of a column, or numbers as texts."""

    @abstractmethod
    def values(self, column: Column, name: str) -> np.ndarray:
        """Return what a column description reads in the column `name`, (rows,)."""

    @abstractmethod
    def keys(self, name: str) -> np.ndarray:
        """Return numbers (rows,) that are equal where a column's cells are equal."""

    @abstractmethod
    def blocks(
        self, columns: Sequence[Column], names: Sequence[str]
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Yield slices of rows, and what each column description reads in its column there.

        The arrays are those of `values`.
        """

    @abstractmethod
    def odd(self, column: Column, name: str) -> list[tuple[str, int, int]]:
        """Return the texts that a column description cannot read: texts, rows, and first rows.

        There are at most five, the most frequent ones first; rows are counted from 1.
        """


class Source(ABC):
    """A table that is not read yet: its names are known."""

    def __init__(
        self, name: str, names: Sequence[str], named: bool = True, notes: Sequence[str] = ()
    ):
        self.name, self.named = name, named
        self.names = told_apart(names)
        """Names of the columns; those of one name are told apart."""
        self.repeated = {each for each, count in Counter(names).items() if count > 1}
        """Names that several columns have."""
        several = f"several columns are named {few(sorted(map(repr, self.repeated)))}"
        renamed = few([repr(new) for new, old in zip(self.names, names, strict=True) if new != old])
        repeats = [f"{several}; the later ones are read as {renamed}"] if self.repeated else []
        self.notes = (*notes, *repeats)
        """Remarks on how the table is read."""
        self.missing: Collection[str] = MISSING_TEXTS
        """Texts that stand for a missing value."""
        self.keep: Any = None
        """Files and memory that have to last as long as the source."""
        self.decimal_comma = False
        """True if a comma is more likely to begin decimals than to part thousands."""

    def spelled(self, names: Collection[str]) -> set[str]:
        """Return those columns whose numbers, if they hold any, are texts in the source."""
        return set(names)

    def measured(
        self, columns: Collection[str], texts: Collection[str], measure: str
    ) -> Table | None:
        """Return the table with a column `measure` of numbers; None if it may hold something else.

        It holds many different ones, in the spelling of Python. To read them as texts first, as
        columns of `spelled` are, would take longer.
        """
        return None

    @abstractmethod
    def table(self, columns: Collection[str] | None = None, texts: Collection[str] = ()) -> Table:
        """Return the table, with some of its columns (None: all), of which some are texts.

        Raises TableError if the table cannot be read.
        """


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Return names, with numbers behind those that were there before, as pandas does: x, x.1."""
    taken, told = set(names), list[str]()
    numbers: dict[str, int] = {}
    for name in names:
        new, number = name, numbers.get(name, 0)
        while number and new in taken:
            new, number = f"{name}.{number}", number + 1
        numbers[name] = max(number, 1)
        taken.add(new)
        told.append(new)
    return tuple(told)


def shown(text: str) -> str:
    """Return a text in quotes, of which a long one is cut, for messages."""
    return repr(text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…")


def few(names: Sequence[str], most: int = 5) -> str:
    """Return the first names as text, followed by the number of the others."""
    more = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def number_text(value: float) -> str | None:
    """Return a number as text: None for NaN, "3" for 3.0."""
    if value != value:
        return None
    return str(int(value)) if not isinstance(value, bool) and value % 1 == 0 else str(value)
