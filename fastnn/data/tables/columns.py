"""Descriptions of a table's columns in a model: its inputs, and the target that it predicts."""

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
    """Feature column of a table: numbers, or texts of `categories` that are one-hot encoded.

    `fill` replaces missing values; without it a missing value is an error.
    """

    name: str
    categories: tuple[str, ...] | None = None
    fill: float | str | None = None

    @property
    def width(self) -> int:
        """Return the number of network inputs of this column."""
        return 1 if self.categories is None else len(self.categories)

    def unseen(self, values: np.ndarray) -> Counter[str]:
        """Return the texts that are not among the categories, with their counts."""
        found = Counter(each for each in values if each is not None)
        return Counter({k: n for k, n in found.items() if k not in (self.categories or ())})

    def write(self, values: np.ndarray, x: np.ndarray) -> None:
        """Encode numbers or texts (rows,) into x (rows, width)."""
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
        """Return plain values, except those that are None."""
        plain: dict[str, Any] = {"name": self.name}
        if self.categories is not None:
            plain["categories"] = list(self.categories)
        if self.fill is not None:
            plain["fill"] = self.fill
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> Column:
        """Return a column from the values of `to_dict`; raise ValueError for other values."""
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
    """Column to predict; `mean` and `std` are those of the training rows in a regression."""

    name: str
    task: str
    mean: float = 0.0
    std: float = 1.0

    def encode(self, values: np.ndarray, classes: Sequence[str], table: str) -> np.ndarray:
        """Return a column as class indices, int64, or as numbers, float64, of shape (rows,).

        Raises TableError for missing values, for texts in a regression and for unknown classes.
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
            texts = as_texts(numbers)  # so that "1.0" is class "1"
        if unknown := sorted({each for each in texts if each not in place}):
            raise TableError(f"{what} holds {few(unknown)}; expected one of {few(classes, 20)}")
        return np.array([place[each] for each in texts], np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self).copy()

    @classmethod
    def from_dict(cls, plain: Any) -> Target:
        """Return a target from the values of `to_dict`; raise ValueError for other values."""
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
