"""Spellings of numbers in texts: decimal commas, thousands, currencies, and ways to write minus."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

SYMBOLS = (
    *("R$", "US$", "zł", "kr", "Fr.", *"%‰$€£¥₹₽₩₺₫₪₴฿"),
    *("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HUF", "INR", "JPY", "KRW"),
    *("MXN", "NOK", "NZD", "PLN", "RUB", "SEK", "SGD", "TRY", "USD", "ZAR"),
)
"""Percent signs and currencies; those that hold others come first."""

NEGATIVES = ("-1", "−1", "(1)", "1-")
"""Ways to write minus one: with a hyphen, with another minus sign, in accounts, and behind it."""

_SPACES = " \u00a0\u2007\u2009\u202f"  # usual, no-break, as wide as a figure, thin, narrow no-break
_APOSTROPHES = "'\u2019"
_MINUSES = "\u2212\u2013\ufe63\uff0d-"  # minus, en dash, small and wide hyphen, hyphen
_THOUSANDS = {".": (",", "'", " "), ",": (".", "'", " ")}
"""Signs between thousands, by the sign before decimals; each stands for its kin, too."""

_SYMBOL = re.compile("|".join(map(re.escape, SYMBOLS)))
_LONGEST = 60  # letters of a number
_NEGATIVE = {
    "(1)": re.compile(r"\(.*\d.*\)"),
    "1-": re.compile(rf"\d[^\d{_MINUSES}]*[{_MINUSES}]\D*$"),
    "−1": re.compile(rf"^\D*([{_MINUSES[:-1]}]|-[{_SPACES}])"),
}


@dataclass(frozen=True)
class Spelling:
    """A way to write numbers: signs before decimals and between thousands, symbol and minus.

    The symbol, of a currency or percent, is before or behind each number, if there is one.
    `negative`, one of `NEGATIVES`, is how minus one is written.
    """

    decimal: str = "."
    thousands: str = ""
    symbol: str = ""
    negative: str = "-1"

    @property
    def plain(self) -> bool:
        """Return whether Python would read these numbers."""
        return self == PLAIN

    @property
    def pattern(self) -> str:
        """Return the regular expression of the numbers; it holds no quotes."""
        return f"(?:{'|'.join(self._forms())})".replace("'", r"\x27")

    def _forms(self) -> list[str]:
        """Return the regular expressions of numbers, and of negative ones that differ."""
        number, space = self._number, f"[{_SPACES}]?" if self._spaced else ""
        plus = f"(?:[+{_MINUSES if self.negative == '−1' else '-'}]{space})?"
        forms = [self._with_symbol(plus, number)]
        if self.negative == "(1)":
            bare = rf"\({space}{number}{space}\)"
            inside = rf"\({space}{self._with_symbol('', number)}{space}\)"
            forms += [inside, self._with_symbol("", bare)] if self.symbol else [bare]
        if self.negative == "1-":
            minus = f"{space}[{_MINUSES}]"
            forms.append(self._with_symbol("", f"{number}{minus}"))
            if self.symbol:
                forms.append(f"{number}{space}{re.escape(self.symbol)}{minus}")
        return forms

    def _with_symbol(self, sign: str, number: str) -> str:
        """Return the regular expression of a number with the symbol, before it or behind it."""
        if not self.symbol:
            return f"{sign}{number}"
        symbol, space = re.escape(self.symbol), f"[{_SPACES}]?"
        behind = f"{sign}{number}{space}{symbol}"
        return f"(?:{sign}{symbol}{space}{number}|{symbol}{space}{sign}{number}|{behind})"

    @property
    def _number(self) -> str:
        """Return the regular expression of numbers without signs."""
        point, gap = re.escape(self.decimal), f"[{re.escape(self._gaps)}]"
        digits = r"\d+"
        if self.thousands:
            lakhs = r"|[1-9]\d?(?:,\d\d)+,\d{3}" if self.thousands == "," else ""
            digits = rf"(?:\d+|[1-9]\d{{0,2}}(?:{gap}\d{{3}})+{lakhs})"
        return rf"(?:{digits}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"

    @property
    def _gaps(self) -> str:
        """Return the signs between thousands with their kin."""
        return {" ": _SPACES, "'": _APOSTROPHES}.get(self.thousands, self.thousands)

    @property
    def _spaced(self) -> bool:
        """Return whether spaces may stand beside a symbol or a sign."""
        return bool(self.symbol) or self.negative != "-1"

    def query(self, cell: str) -> str:
        """Return the SQL of a text as a number; NULL for other texts."""
        if self.plain:  # DuckDB would read underscores, too
            return f"CASE WHEN NOT contains({cell}, '_') THEN TRY_CAST({cell} AS DOUBLE) END"
        read = f"TRY_CAST({self._plainly(cell)} AS DOUBLE)"
        return f"CASE WHEN regexp_full_match({cell}, '{self.pattern}') THEN {read} END"

    def _plainly(self, cell: str) -> str:
        """Return the SQL of a number's text as Python would write it."""
        spaces = _SPACES if self._spaced else ""
        changes = dict.fromkeys([self.symbol, *self._gaps, *spaces], "")
        if self.decimal != ".":
            changes[self.decimal] = "."
        if self.negative != "-1":
            changes |= dict.fromkeys(_MINUSES[:-1], "-")
        if self.negative == "(1)":
            changes |= {"(": "-", ")": ""}
        for old, new in changes.items():
            if old:
                old = old.replace("'", "''")
                cell = f"replace({cell}, '{old}', '{new}')"
        if self.negative == "1-":
            return (
                f"CASE WHEN ends_with({cell}, '-') THEN '-' || rtrim({cell}, '-') ELSE {cell} END"
            )
        return cell

    def told(self, decimal: str | None, thousands: str | None) -> Spelling:
        """Return the spelling with other signs, where they are told."""
        decimal = self.decimal if decimal is None else decimal
        thousands = self.thousands if thousands is None else thousands
        return replace(self, decimal=decimal, thousands="" if thousands == decimal else thousands)

    def describe(self) -> str:
        """Return what is special about the numbers, as text: "with decimal comma"."""
        parts = []
        if self.decimal == ",":
            parts.append("decimal comma")
        if self.thousands:
            parts.append(f"{self.thousands!r} between thousands")
        if self.negative != "-1":
            parts.append(f"negative ones as {self.negative}")
        ways = [f"with {' and '.join(parts)}"] if parts else []
        return ", ".join([*ways, *([f"in {self.symbol}"] if self.symbol else [])])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; those of spellings with a hyphen as minus are as before."""
        plain = vars(self).copy()
        if self.negative == "-1":
            del plain["negative"]
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> Spelling:
        """Return a spelling from the values of `to_dict`; raise ValueError for other values."""
        known = {"decimal", "thousands", "symbol"}
        if not isinstance(plain, dict) or plain.keys() - {"negative"} != known:
            raise ValueError(f"found {plain!r} as a spelling of numbers; expected {sorted(known)}")
        if not all(isinstance(each, str) for each in plain.values()):
            raise ValueError(f"found {plain!r} as a spelling of numbers; expected texts")
        spelling = cls(**plain)
        if (
            spelling.decimal not in _THOUSANDS
            or spelling.thousands not in ("", *_THOUSANDS[spelling.decimal])
            or spelling.symbol not in ("", *SYMBOLS)
            or spelling.negative not in NEGATIVES
        ):
            raise ValueError(f"found {plain!r} as a spelling of numbers")
        return spelling


PLAIN = Spelling()
"""Numbers as Python writes them."""


def spellings(
    examples: Sequence[str], decimal: str | None = None, thousands: str | None = None
) -> list[Spelling]:
    """Return the ways in which numbers like the examples may be written, the plainest first.

    `decimal` and `thousands` are signs that are known.
    """
    examples = [each for each in examples if len(each) <= _LONGEST]
    symbols = {symbol for text in examples for symbol in _SYMBOL.findall(text)}
    symbol = symbols.pop() if len(symbols) == 1 else ""
    negatives = [way for way, sign in _NEGATIVE.items() if any(map(sign.search, examples))]
    return [
        Spelling(point, gap, symbol, negative)
        for point in ([decimal] if decimal else [".", ","])
        for gap in ([thousands] if thousands is not None else ["", *_THOUSANDS[point]])
        for negative in ("-1", *negatives)
        if gap != point
    ]
