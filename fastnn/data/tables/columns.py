"""Columns of a table as a model knows them: its inputs, and the target that it predicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.data.tables.summary import few
from fastnn.data.tables.table import TableError, as_numbers, as_texts, missing_values, numbers_of

TASKS = ("classification", "regression")


@dataclass(frozen=True)
class Column:
    """A column of a table: a number, or one of `categories`, which become a column of 0 or 1 each.

    `fill` stands for a missing value; without it one is an error.
    """

    name: str
    categories: tuple[str, ...] | None = None
    fill: float | str | None = None

    @property
    def width(self) -> int:
        """Return the number of inputs of the network."""
        return 1 if self.categories is None else len(self.categories)

    def unseen(self, values: np.ndarray) -> Counter[str]:
        """Count the texts that are none of the categories."""
        found = Counter(each for each in values if each is not None)
        return Counter({k: n for k, n in found.items() if k not in (self.categories or ())})

    def write(self, values: np.ndarray, x: np.ndarray) -> None:
        """Write numbers or texts (rows,) into x (rows, width)."""
        if self.fill is not None and (missing := missing_values(values)).any():
            values = np.where(missing, np.array(self.fill, values.dtype), values)
        if self.categories is None:
            x[:, 0] = values
            return
        place = {category: i for i, category in enumerate(self.categories)}
        codes = np.array([place.get(each, -1) for each in values], np.intp)
        known = np.flatnonzero(codes >= 0)
        x[:] = 0
        x[known, codes[known]] = 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without those that are None."""
        plain: dict[str, Any] = {"name": self.name}
        if self.categories is not None:
            plain["categories"] = list(self.categories)
        if self.fill is not None:
            plain["fill"] = self.fill
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> Column:
        """Make a column from plain values; raises ValueError for others."""
        if not isinstance(plain, dict) or not isinstance(plain.get("name"), str):
            raise ValueError(f"found {plain!r} as a column; expected one with a name")
        categories, fill = plain.get("categories"), plain.get("fill")
        if categories is not None and not (_are_texts(categories) and categories):
            raise ValueError(f"found categories {categories!r}; expected a list of texts")
        kind = "a text" if categories else "a finite number"
        if fill is not None and not (isinstance(fill, str) if categories else _is_number(fill)):
            raise ValueError(f"found fill {fill!r} of column {plain['name']!r}; expected {kind}")
        return cls(plain["name"], None if categories is None else tuple(categories), fill)


@dataclass(frozen=True)
class Target:
    """The column that is predicted; `mean` and `std` are those of a regression's training rows."""

    name: str
    task: str
    mean: float = 0.0
    std: float = 1.0

    def encode(self, values: np.ndarray, classes: Sequence[str], table: str) -> np.ndarray:
        """Return class indices, int64, or numbers, float64 (rows,), of a column of a table.

        Raises TableError where values are missing, no numbers, or none of the classes.
        """
        what = f"{table}: target {self.name!r}"
        if missing := int(missing_values(values).sum()):
            raise TableError(f"{what} is missing in {missing:,} of {len(values):,} rows")
        if self.task == "regression":
            y = numbers_of(values, what).astype(np.float64)
            if not np.isfinite(y).all():
                raise TableError(f"{what} holds {y[~np.isfinite(y)][0]}; expected finite numbers")
            return y
        place = {name: i for i, name in enumerate(classes)}
        texts = as_texts(values)
        if not place.keys() >= set(texts) and (numbers := as_numbers(values)) is not None:
            texts = as_texts(numbers)  # 1.0 for 1
        if unknown := sorted({each for each in texts if each not in place}):
            raise TableError(f"{what} holds {few(unknown)}; expected one of {few(classes, 20)}")
        return np.array([place[each] for each in texts], np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self).copy()

    @classmethod
    def from_dict(cls, plain: Any) -> Target:
        """Make a target from plain values; raises ValueError for others."""
        if not isinstance(plain, dict) or plain.keys() != {"name", "task", "mean", "std"}:
            raise ValueError(f"found {plain!r} as the target; expected name, task, mean and std")
        numbers = plain["mean"], plain["std"]
        if not isinstance(plain["name"], str) or plain["task"] not in TASKS:
            raise ValueError(f"found target {plain!r}; expected a name, and one of {TASKS}")
        if not all(map(_is_number, numbers)) or plain["std"] <= 0:
            raise ValueError(f"found mean and std {numbers} of the target; expected finite numbers")
        return cls(**plain)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) for each in values)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
