"""Spellings of numbers in texts: decimal commas, thousands, percent signs and currencies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SYMBOLS = "%‰$€£¥₹"
_SPACES = " \u00a0\u202f"  # a space, a fixed one and a narrow one
_THOUSANDS = {".": (",", "'", " "), ",": (".", "'", " ")}
"""Signs between thousands, by the sign before decimals; a space stands for all kinds of it."""


@dataclass(frozen=True)
class Spelling:
    """A way to write numbers: the sign before decimals, between thousands, and a symbol.

    The symbol, of a currency or percent, is before or behind each number, if there is one.
    """

    decimal: str = "."
    thousands: str = ""
    symbol: str = ""

    @property
    def plain(self) -> bool:
        """Return whether Python would read these numbers."""
        return self == PLAIN

    @property
    def pattern(self) -> str:
        """Return the regular expression of the numbers; it holds no quotes."""
        signs = re.escape(self._gaps).replace("'", r"\x27")
        point, gap = re.escape(self.decimal), f"[{signs}]"
        digits = r"\d+" if not self._gaps else rf"(?:\d+|[1-9]\d{{0,2}}(?:{gap}\d{{3}})+)"
        number = rf"(?:{digits}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
        if not self.symbol:
            return rf"[+-]?{number}"
        symbol, space = re.escape(self.symbol), f"[{_SPACES}]?"
        return rf"(?:[+-]?{symbol}{space}[+-]?{number}|[+-]?{number}{space}{symbol})"

    @property
    def _gaps(self) -> str:
        return _SPACES if self.thousands == " " else self.thousands

    def query(self, cell: str) -> str:
        """Return the SQL of a text as a number; NULL for other texts."""
        if self.plain:  # DuckDB would read underscores, too
            return f"CASE WHEN NOT contains({cell}, '_') THEN TRY_CAST({cell} AS DOUBLE) END"
        clean = cell
        for sign in (*self._gaps, *self.symbol, *(_SPACES if self.symbol else "")):
            clean = f"replace({clean}, chr({ord(sign)}), '')"
        if self.decimal != ".":
            clean = f"replace({clean}, '{self.decimal}', '.')"
        read = f"TRY_CAST({clean} AS DOUBLE)"
        return f"CASE WHEN regexp_full_match({cell}, '{self.pattern}') THEN {read} END"

    def describe(self) -> str:
        """Return what is special about the numbers, as text: "with decimal comma"."""
        parts = []
        if self.decimal == ",":
            parts.append("decimal comma")
        if self.thousands:
            parts.append(f"{self.thousands!r} between thousands")
        ways = [f"with {' and '.join(parts)}"] if parts else []
        return ", ".join([*ways, *([f"in {self.symbol}"] if self.symbol else [])])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self).copy()

    @classmethod
    def from_dict(cls, plain: Any) -> Spelling:
        """Return a spelling from the values of `to_dict`; raise ValueError for other values."""
        known = {"decimal", "thousands", "symbol"}
        if not isinstance(plain, dict) or plain.keys() != known:
            raise ValueError(f"found {plain!r} as a spelling of numbers; expected {sorted(known)}")
        spelling = cls(**plain)
        allowed = ("", *_THOUSANDS.get(spelling.decimal, ()))
        if spelling.thousands not in allowed or spelling.symbol not in ("", *_SYMBOLS):
            raise ValueError(f"found {plain!r} as a spelling of numbers")
        return spelling


PLAIN = Spelling()
"""Numbers as Python writes them."""


def spellings(
    examples: Iterable[str], decimal: str | None = None, thousands: str | None = None
) -> list[Spelling]:
    """Return the ways in which numbers like the examples may be written, the plainest first.

    `decimal` and `thousands` are signs that are known.
    """
    symbols = {sign for text in examples for sign in text if sign in _SYMBOLS}
    symbol = symbols.pop() if len(symbols) == 1 else ""
    return [
        Spelling(point, gap, symbol)
        for point in ([decimal] if decimal else [".", ","])
        for gap in ([thousands] if thousands is not None else ["", *_THOUSANDS[point]])
        if gap != point
    ]
