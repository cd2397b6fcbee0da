"""The target of a table in a model: the column that it predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.data.tables.columns import MISSING, UNSEEN, Category, Number
from fastnn.data.tables.numbers import PLAIN, Spelling
from fastnn.data.tables.table import Table, TableError, few, shown

TASKS = ("classification", "regression")
_FEWEST_OF_TOTAL = 10  # numbers whose sum is no coincidence
_ROUNDING = 1e-4  # by which a sum of rounded numbers may differ
MOST_CLASSES = 1000
"""Largest number of classes of a target."""


@dataclass(frozen=True)
class Target:
    """Column to predict; `mean` and `std` are those of the training rows in a regression.

    The numbers of a regression may be spelled in a special way.
    """

    name: str
    task: str
    mean: float = 0.0
    std: float = 1.0
    spelling: Spelling = PLAIN

    def told(self, decimal: str | None, thousands: str | None) -> Target:
        """Return the target for numbers with other signs, where they are told."""
        return replace(self, spelling=self.spelling.told(decimal, thousands))

    def read(self, table: Table, name: str, classes: Sequence[str]) -> np.ndarray:
        """Return a column as class indices, int64, or as numbers, float64, of shape (rows,).

        What is missing is -2, or NaN, and so is a last number that is the sum of all others. Raises
        TableError for texts in a regression and for unknown classes.
        """
        what = f"{table.name}: target {name!r}"
        if self.task == "regression":
            column = Number(name, None, self.spelling)
            if odd := table.odd(column, name):
                text, _, row = odd[0]
                raise TableError(f"{what} holds {shown(text)} in row {row:,}; expected numbers")
            y = table.values(column, name).astype(np.float64)
            if np.isinf(y).any():
                raise TableError(f"{what} holds {y[np.isinf(y)][0]}; expected finite numbers")
            return without_total(y)
        codes = table.values(Category(name, None, tuple(classes)), name).astype(np.int64)
        if (codes == UNSEEN).any():
            codes = self._codes_of_numbers(table, name, classes, codes)
        return codes

    def _codes_of_numbers(
        self, table: Table, name: str, classes: Sequence[str], codes: np.ndarray
    ) -> np.ndarray:
        """Return codes with numbers found by their values: "1.0" is class "1".

        Raises TableError for what is no class.
        """
        facts = table.text_facts(name, MOST_CLASSES)
        by_value: dict[float, list[int]] = {}
        for place, each in enumerate(classes):
            by_value.setdefault(number_of(each), []).append(place)
        unknown = [text for text in facts.counts if text not in classes]
        for text in unknown:
            same = by_value.get(number_of(text), [])
            if len(same) != 1 or math.isnan(number_of(text)):
                raise TableError(
                    f"{table.name}: target {name!r} holds {few(unknown)}; expected one of "
                    f"{few(classes, 20)}"[:400]
                )
            found = table.values(Category(name, None, (text,)), name) == 0
            codes[found] = same[0]
        return codes

    def encode(self, table: Table, name: str, classes: Sequence[str]) -> np.ndarray:
        """Return what `read` does; raise TableError for missing values, too."""
        y = self.read(table, name, classes)
        if missing := int(missing_targets(y).sum()):
            raise TableError(
                f"{table.name}: target {name!r} is missing in {missing:,} of {len(y):,} rows"
            )
        return y

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, except a plain spelling."""
        plain = {"name": self.name, "task": self.task, "mean": self.mean, "std": self.std}
        return plain if self.spelling.plain else plain | {"spelling": self.spelling.to_dict()}

    @classmethod
    def from_dict(cls, plain: Any) -> Target:
        """Return a target from the values of `to_dict`; raise ValueError for other values."""
        known = {"name", "task", "mean", "std"}
        if not isinstance(plain, dict) or plain.keys() - {"spelling"} != known:
            raise ValueError(f"found {plain!r} as the target; expected name, task, mean and std")
        numbers = plain["mean"], plain["std"]
        if not isinstance(plain["name"], str) or plain["task"] not in TASKS:
            raise ValueError(f"found target {plain!r}; expected a name, and one of {TASKS}")
        if not all(map(_is_number, numbers)) or plain["std"] <= 0:
            raise ValueError(f"found mean and std {numbers} of the target; expected finite numbers")
        spelled = plain.get("spelling")
        spelling = PLAIN if spelled is None else Spelling.from_dict(spelled)
        return cls(plain["name"], plain["task"], *numbers, spelling)


def without_total(y: np.ndarray) -> np.ndarray:
    """Return targets (rows,) with NaN for a last number that is the sum of all others."""
    rows = np.flatnonzero(~np.isnan(y))
    if len(rows) <= _FEWEST_OF_TOTAL:
        return y
    others, last = y[rows[:-1]], y[rows[-1]]
    total = others.sum()
    if abs(last) <= np.abs(others).max() or abs(last - total) > _ROUNDING * abs(total):
        return y
    return np.where(np.arange(len(y)) == rows[-1], np.nan, y)


def missing_targets(y: np.ndarray) -> np.ndarray:
    """Return a mask (rows,) of the missing targets among those of `Target.read`."""
    return np.isnan(y) if y.dtype.kind == "f" else y == MISSING


def number_of(text: str) -> float:
    """Return the number that a text is; NaN for other texts, such as 1_0."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
