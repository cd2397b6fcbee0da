"""Ways to read a file: signs between and in cells, and texts that stand for nothing."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

MISSING_TEXTS = (
    "", "?", "#N/A", "<NA>", "N/A", "NA", "NaN", "None", "NULL", "n/a", "nan", "null",
)  # fmt: skip
"""Texts that stand for a missing value."""


@dataclass(frozen=True)
class Reading:
    """Ways to read a file of texts; None is found from the file.

    Raises ValueError for signs that cannot be.
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    missing: Sequence[str] | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        for name in ("delimiter", "comment"):
            sign = getattr(self, name)
            if sign is not None and (
                not isinstance(sign, str) or len(sign) != 1 or sign in '\r\n"'
            ):
                raise ValueError(f"{name} is {sign!r}; expected one letter")
        for name, allowed in (("decimal", ".,"), ("thousands", ".,' ")):
            sign = getattr(self, name)
            if sign is not None and (
                not isinstance(sign, str) or sign == "" or sign not in allowed
            ):
                raise ValueError(
                    f"{name} is {sign!r}; expected one of {' '.join(map(repr, allowed))}"
                )
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        if isinstance(self.missing, str) or not all(isinstance(each, str) for each in self.texts):
            raise ValueError(f"missing is {self.missing!r}; expected a list of texts")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except (LookupError, TypeError):
                raise ValueError(
                    f"encoding is {self.encoding!r}; expected one that Python knows, such as "
                    "latin-1"
                ) from None

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the texts that stand for a missing value; an empty cell always does."""
        return MISSING_TEXTS if self.missing is None else ("", *self.missing)
