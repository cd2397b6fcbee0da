"""What a model must know of its data: columns, categories, the target, how pictures are read.

A schema turns tables into the rows of numbers that a network takes; it is kept in the model file.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.data.images import Conversion
from fastnn.data.tables.reading import Table, TableError, as_numbers, as_texts, missing_values
from fastnn.data.tables.splits import Split
from fastnn.data.tables.summary import ColumnSummary, blocks, few, missing_text, summarise

TASKS = ("classification", "regression")
LINKS = ("softmax", "identity")


class UnseenCategoryWarning(UserWarning):
    """Rows hold categories that were not there in training; all their columns are 0."""


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
        """Number of inputs of the network."""
        return 1 if self.categories is None else len(self.categories)

    def unseen(self, values: np.ndarray) -> Counter[str]:
        """Count what texts are none of the categories."""
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
        """Plain values; what there is none of is left out."""
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
        """Class indices, int64, or numbers, float64 (rows,), of a column of a table.

        Raises TableError where values are missing, no numbers, or none of the classes.
        """
        what = f"{table}: target {self.name!r}"
        if missing := int(missing_values(values).sum()):
            raise TableError(f"{what} is missing in {missing:,} of {len(values):,} rows")
        if self.task == "regression":
            y = _numbers(values, what).astype(np.float64)
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
        """Plain values."""
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


@dataclass(frozen=True)
class Schema:
    """Columns of a table, or how a picture is converted, and what the model predicts of them.

    `named` tells whether columns are known by name; else by their place. `split` says which rows
    were held out in training, `link` how a classifier's outputs become probabilities: by softmax,
    or, with "identity", as they are.
    """

    columns: tuple[Column, ...] = ()
    target: Target | None = None
    image: Conversion | None = None
    split: Split | None = None
    named: bool = True
    link: str = "softmax"

    @classmethod
    def of_numbers(cls, count: int) -> Schema:
        """Schema of so many columns of numbers, by place."""
        return cls(tuple(Column(str(place)) for place in range(count)), named=False)

    @property
    def width(self) -> int:
        """Number of inputs of the network."""
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> list[str]:
        """A name for each input: that of the column, for categories `column=category`."""
        return [
            column.name if category is None else f"{column.name}={category}"
            for column in self.columns
            for category in (column.categories or (None,))
        ]

    def encode(self, table: Table, dtype=np.float32) -> np.ndarray:
        """Rows of a table as a network takes them, (rows, width).

        Warns (`UnseenCategoryWarning`) of categories that were not there in training, whose
        columns are all 0. Raises TableError for a table that lacks columns, holds texts for
        numbers, or lacks values that nothing stands for.
        """
        columns = self.read(table)
        for message in self.unseen(columns):
            warnings.warn(message, UnseenCategoryWarning, stacklevel=2)
        x = np.empty((len(table), self.width), dtype)
        for rows in blocks(columns):
            self.write(columns, rows, x[rows])
        return x

    def read(self, table: Table) -> list[np.ndarray]:
        """The schema's columns of a table, checked, as numbers and texts; raises as `encode`."""
        columns = [
            as_texts(values)
            if column.categories is not None
            else _numbers(values, f"{table.name}: column {column.name!r}")
            for column, values in zip(self.columns, self._pick(table), strict=True)
        ]
        summaries = summarise([each.name for each in self.columns], columns)
        lacking = [
            summary
            for summary, column in zip(summaries, self.columns, strict=True)
            if summary.missing and column.fill is None
        ]
        if lacking:
            raise TableError(
                f"{table.name}: values are missing in {missing_text(lacking)} of {len(table):,} "
                "rows; the model was trained without --impute, so nothing stands for them"
            )
        check_finite(summaries, table.name)
        return columns

    def write(self, columns: Sequence[np.ndarray], rows, x: np.ndarray) -> None:
        """Write `rows`, a slice or indices, of columns that `read` gave into x (n, width)."""
        place = 0
        for column, values in zip(self.columns, columns, strict=True):
            column.write(values[rows], x[:, place : place + column.width])
            place += column.width

    def unseen(self, columns: Sequence[np.ndarray]) -> list[str]:
        """What to say of categories in columns that `read` gave, and that training had not."""
        messages = []
        for column, values in zip(self.columns, columns, strict=True):
            if column.categories is None or not (unseen := column.unseen(values)):
                continue
            messages.append(
                f"column {column.name!r}: {_rows(unseen.total())} "
                f"{few([f'{k!r}' for k, _ in unseen.most_common()])}, which training had not; "
                f"known: {few([f'{k!r}' for k in column.categories], 10)}"
            )
        return messages

    def _pick(self, table: Table) -> list[np.ndarray]:
        """Columns by name; by place, where either side has no names and as many columns."""
        missing = [each.name for each in self.columns if each.name not in table.columns]
        if not missing:
            return [table.columns[each.name] for each in self.columns]
        if len(table.columns) == len(self.columns) and not (self.named and table.named):
            return list(table.columns.values())
        if self.named and table.named:
            raise TableError(
                f"{table.name}: column {few(missing)} is missing; "
                f"found {few(list(table.columns), 10)}"
            )
        names = f": {few([each.name for each in self.columns], 10)}" if self.named else ""
        raise TableError(
            f"{table.name}: found {len(table.columns)} columns; "
            f"expected the {len(self.columns)} that the model takes{names}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what there is none of is left out."""
        parts = {"target": self.target, "image": self.image, "split": self.split}
        plain: dict[str, Any] = {k: part.to_dict() for k, part in parts.items() if part is not None}
        if self.columns:
            plain |= {"columns": [each.to_dict() for each in self.columns], "named": self.named}
        if self.link != "softmax":
            plain["link"] = self.link
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> Schema:
        """Make a schema from plain values; raises ValueError, or TypeError, for others."""
        if not isinstance(plain, dict):
            raise ValueError(f"found {plain!r} as a schema; expected its parts")
        columns, named = plain.get("columns", []), plain.get("named", True)
        if not isinstance(columns, list) or not isinstance(named, bool):
            raise ValueError("found columns of a schema that are no list, or not known to be named")
        if (link := plain.get("link", "softmax")) not in LINKS:
            raise ValueError(f"found link {link!r}; expected {' or '.join(LINKS)}")
        return cls(
            tuple(Column.from_dict(each) for each in columns),
            Target.from_dict(plain["target"]) if "target" in plain else None,
            Conversion.from_dict(plain["image"]) if "image" in plain else None,
            Split(**plain["split"]) if "split" in plain else None,
            named,
            link,
        )


def check_finite(summaries: Sequence[ColumnSummary], table: str) -> None:
    """Raise TableError for a column that holds an infinite number."""
    for each in summaries:
        if each.count and not each.counts and (math.isinf(each.low) or math.isinf(each.high)):
            raise TableError(
                f"{table}: column {each.name!r} holds an infinite number; expected finite ones"
            )


def _numbers(values: np.ndarray, what: str) -> np.ndarray:
    numbers = as_numbers(values)
    if numbers is not None:
        return numbers
    for row, each in enumerate(values, start=1):
        if each is not None and as_numbers(np.array([each], object)) is None:
            raise TableError(f"{what} holds {each!r} in row {row:,}; expected numbers")
    raise AssertionError("a column that is no numbers has a text")


def _rows(count: int) -> str:
    return "1 row holds" if count == 1 else f"{count:,} rows hold"


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) for each in values)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
