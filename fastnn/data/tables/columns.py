"""Descriptions of a table's columns in a model: how each is read, and the inputs it becomes.

A description reads one value a row from its column, a number or the code of a text, and writes
the network's inputs of it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastnn.data.tables import dates
from fastnn.data.tables.numbers import PLAIN, Spelling
from fastnn.data.tables.sql import listed

UNSEEN, MISSING = -1, -2
"""Codes of a text that is not among those that are known, and of a missing one."""

GREATEST = 1e37
"""Bound of numbers in float32, which can hold their means and deviations, too."""


@dataclass(frozen=True)
class Column:
    """Feature column of a table. `fill` replaces missing values; without it one is an error."""

    kind: ClassVar[str]
    """The column's kind in a model file."""

    name: str
    fill: Any = None

    @property
    @abstractmethod
    def features(self) -> list[str]:
        """Return a name for each network input."""

    @property
    def width(self) -> int:
        """Return the number of network inputs."""
        return len(self.features)

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the texts that are read as codes; none if numbers are read."""
        return ()

    @property
    def of_texts(self) -> bool:
        """Return whether the column of a file is to be read as texts."""
        return True

    @property
    def of_numbers(self) -> bool:
        """Return whether a column of numbers can be read, too."""
        return False

    @property
    def scaled(self) -> bool:
        """Return whether the inputs are to be scaled; those that are 0 and 1 are not."""
        return True

    def codes(self, texts: Sequence[str | None]) -> list[int]:
        """Return the codes of texts: their places among `texts`."""
        place = {text: i for i, text in enumerate(self.texts)}
        return [MISSING if each is None else place.get(each, UNSEEN) for each in texts]

    def query(self, cell: str, is_text: bool) -> str:
        """Return the SQL of the value that is read from a cell; NULL for what cannot be read."""
        if not is_text:
            return f"CAST({cell} AS DOUBLE)"
        return self._query(cell)

    @abstractmethod
    def _query(self, cell: str) -> str:
        """Return the SQL of the value that is read from a text."""

    def missing(self, values: np.ndarray) -> np.ndarray:
        """Return a mask (rows,) of the missing values among those that were read."""
        return values == MISSING if self.texts else np.isnan(values)

    def told(self, decimal: str | None, thousands: str | None) -> Column:
        """Return the column for texts whose numbers have other signs, where they are told."""
        return self

    @abstractmethod
    def write(self, values: np.ndarray, x: np.ndarray) -> None:
        """Write the inputs of values (rows,) into x (rows, width)."""

    def known(self, values: np.ndarray) -> np.ndarray:
        """Return values with missing ones filled, if there is something to fill them with."""
        if self.fill is None or not (missing := self.missing(values)).any():
            return values
        return np.where(missing, self._read_fill(), values)

    def _read_fill(self) -> float:
        """Return what is read for the fill."""
        return self.fill

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, except those that are None."""
        plain: dict[str, Any] = {"name": self.name}
        return plain if self.fill is None else plain | {"fill": self.fill}

    @classmethod
    def from_dict(cls, plain: Any) -> Column:
        """Return a column from the values of `to_dict`; raise ValueError for other values."""
        if not isinstance(plain, dict) or not isinstance(plain.get("name"), str):
            raise ValueError(f"found {plain!r} as a column; expected one with a name")
        usual = "category" if plain.get("categories") is not None else "number"
        kinds: dict[Any, type[Column]] = {
            each.kind: each for each in (Number, Category, Flag, Moment)
        }
        kind = plain.get("kind", usual)
        if not isinstance(kind, str) or kind not in kinds:
            raise ValueError(f"found a column of kind {kind!r}; expected {', '.join(kinds)}")
        return kinds[kind]._from_dict(plain)

    @classmethod
    @abstractmethod
    def _from_dict(cls, plain: dict[str, Any]) -> Column:
        """Return a column of this kind; raise ValueError for other values."""


@dataclass(frozen=True)
class Number(Column):
    """Column of numbers, which may be spelled in a special way."""

    kind = "number"

    spelling: Spelling = PLAIN

    @property
    def features(self) -> list[str]:
        """Return the column's name."""
        return [self.name]

    @property
    def of_texts(self) -> bool:
        """Return whether the numbers are spelled so that only text can hold them."""
        return not self.spelling.plain

    @property
    def of_numbers(self) -> bool:
        """Return True."""
        return True

    def _query(self, cell: str) -> str:
        return self.spelling.query(cell)

    def told(self, decimal: str | None, thousands: str | None) -> Column:
        """Return the column for numbers with other signs, where they are told."""
        return replace(self, spelling=self.spelling.told(decimal, thousands))

    def missing(self, values: np.ndarray) -> np.ndarray:
        """Return a mask of what is missing or infinite; bytes and other integers never are."""
        return ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)

    def write(self, values: np.ndarray, x: np.ndarray) -> None:
        """Write the numbers; those beyond 1e37 are bounded where x cannot hold them."""
        known = self.known(values)
        with np.errstate(over="ignore"):
            numbers = known.astype(x.dtype, copy=False)
        if x.dtype == np.float32 and np.isinf(numbers).any():
            numbers = np.where(np.isinf(known), known, np.clip(known, -GREATEST, GREATEST))
        x[:, 0] = numbers

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, except those that are usual."""
        plain = super().to_dict()
        return plain if self.spelling.plain else plain | {"spelling": self.spelling.to_dict()}

    @classmethod
    def _from_dict(cls, plain: dict[str, Any]) -> Number:
        _check_fill(plain, _is_number, "a finite number")
        spelled = plain.get("spelling")
        spelling = PLAIN if spelled is None else Spelling.from_dict(spelled)
        return cls(plain["name"], plain.get("fill"), spelling)


@dataclass(frozen=True)
class Category(Column):
    """Column of texts, one-hot encoded; with `other`, an input of its own for all other texts.

    Without `other`, the inputs of another text are all 0.
    """

    kind = "category"

    categories: tuple[str, ...] = ()
    other: bool = False

    @property
    def features(self) -> list[str]:
        """Return `column=category` for each category."""
        names = [f"{self.name}={category}" for category in self.categories]
        return [*names, f"{self.name}=(other)"] if self.other else names

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the categories."""
        return self.categories

    @property
    def scaled(self) -> bool:
        """Return False."""
        return False

    def _query(self, cell: str) -> str:
        return _code(cell, self.categories)

    def _read_fill(self) -> int:
        return self.categories.index(self.fill) if self.fill in self.categories else UNSEEN

    def write(self, values: np.ndarray, x: np.ndarray) -> None:
        """Write 1 in the place of each row's category, 0 elsewhere."""
        codes = self.known(values)
        if self.other:
            codes = np.where(codes == UNSEEN, len(self.categories), codes)
        x[:] = 0
        rows = np.flatnonzero(codes >= 0)
        x[rows, codes[rows]] = 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, except those that are usual."""
        plain = super().to_dict() | {"categories": list(self.categories)}
        return plain | {"other": True} if self.other else plain

    @classmethod
    def _from_dict(cls, plain: dict[str, Any]) -> Category:
        categories, other = plain.get("categories"), plain.get("other", False)
        if not (_are_texts(categories) and categories) or not isinstance(other, bool):
            raise ValueError(f"found categories {categories!r}; expected a list of texts")
        _check_fill(plain, lambda fill: isinstance(fill, str), "a text")
        return cls(plain["name"], plain.get("fill"), tuple(categories), other)


@dataclass(frozen=True)
class Flag(Column):
    """Column of two texts, one input: 0 for the first text of `values`, 1 for the second."""

    kind = "boolean"

    values: tuple[str, str] = ("false", "true")

    @property
    def features(self) -> list[str]:
        """Return the column's name."""
        return [self.name]

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the two texts, in small letters."""
        return self.values

    @property
    def of_numbers(self) -> bool:
        """Return True: 0 and 1 are read."""
        return True

    def codes(self, texts: Sequence[str | None]) -> list[int]:
        """Return 0 and 1 for the two texts in letters of any size, and for 0 and 1 themselves."""
        numbers = {"0": self.values[0], "1": self.values[1]}
        small = [None if each is None else each.lower() for each in texts]
        return super().codes([numbers.get(each or "", each) for each in small])

    def query(self, cell: str, is_text: bool) -> str:
        """Return the SQL of 0, 1 or another code."""
        if not is_text:
            return f"CASE {cell} WHEN 0 THEN 0 WHEN 1 THEN 1 ELSE {UNSEEN} END"
        return self._query(cell)

    def _query(self, cell: str) -> str:
        read = f"lower({cell})"  # a frame may hold True where a file has yes
        other = _code(read, self.values)
        return (
            f"CASE WHEN {read} IN ('false', '0') THEN 0 WHEN {read} IN ('true', '1') THEN 1 "
            f"ELSE {other} END"
        )

    def _read_fill(self) -> int:
        return self.values.index(self.fill)

    def write(self, values: np.ndarray, x: np.ndarray) -> None:
        """Write 0 and 1; what is neither becomes a half."""
        codes = self.known(values)
        x[:, 0] = np.where(codes < 0, 0.5, codes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, except those that are None."""
        return super().to_dict() | {"kind": self.kind, "values": list(self.values)}

    @classmethod
    def _from_dict(cls, plain: dict[str, Any]) -> Flag:
        values: Any = plain.get("values")
        if not _are_texts(values) or len(set(values)) != 2:
            raise ValueError(f"found {values!r} as the values of a column; expected two texts")
        _check_fill(plain, lambda fill: fill in values, "one of its values")
        return cls(plain["name"], plain.get("fill"), tuple(values))


@dataclass(frozen=True)
class Moment(Column):
    """Column of dates and times: year, month, day, weekday, hour, and days since the first.

    `spelling` is one of `fastnn.data.tables.dates`; `clock` is True if there are times of day.
    Fills and `first` are seconds since 1970.
    """

    kind = "date"

    spelling: str = dates.ISO
    clock: bool = False
    first: float = 0.0

    @property
    def date(self) -> bool:
        """Return whether there are dates, not only times of a day."""
        return not dates.is_clock(self.spelling)

    @property
    def features(self) -> list[str]:
        """Return `column part` for each input."""
        return [f"{self.name} {part}" for part in dates.parts(self.clock, self.date)]

    def _query(self, cell: str) -> str:
        read = dates.query(cell, self.spelling)
        if self.spelling == dates.ISO or not self.date:
            return read
        return f"coalesce({read}, {dates.query(cell, dates.ISO)})"  # as frames have their dates

    def write(self, values: np.ndarray, x: np.ndarray) -> None:
        """Write the parts of each moment."""
        dates.write(self.known(values), self.clock, self.date, self.first, x)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, except those that are None."""
        own = {"spelling": self.spelling, "clock": self.clock, "first": self.first}
        return super().to_dict() | {"kind": self.kind} | own

    @classmethod
    def _from_dict(cls, plain: dict[str, Any]) -> Moment:
        parts: list[Any] = [plain.get(key) for key in ("spelling", "clock", "first")]
        spelling, clock, first = parts
        known = (*dates.SPELLINGS, *dates.NUMBERS)
        if spelling not in known or not isinstance(clock, bool) or not _is_number(first):
            raise ValueError(f"found {plain!r} as a column of dates")
        _check_fill(plain, _is_number, "a finite number")
        return cls(plain["name"], plain.get("fill"), spelling, clock, first)


def write_columns(columns: Sequence[Column], values: Sequence[np.ndarray], x: np.ndarray) -> None:
    """Write the inputs of what columns have read, arrays (n,), into x (n, width)."""
    place = 0
    for column, read in zip(columns, values, strict=True):
        column.write(read, x[:, place : place + column.width])
        place += column.width


def _code(cell: str, texts: Sequence[str]) -> str:
    """Return the SQL of a text's place among texts; NULL for a missing one."""
    found = f"enum_code(TRY_CAST({cell} AS ENUM({listed(texts)})))"
    return f"CASE WHEN {cell} IS NOT NULL THEN coalesce(CAST({found} AS INTEGER), {UNSEEN}) END"


def _check_fill(plain: dict[str, Any], fits, kind: str) -> None:
    fill = plain.get("fill")
    if fill is not None and not fits(fill):
        raise ValueError(f"found fill {fill!r} of column {plain['name']!r}; expected {kind}")


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) for each in values)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
