"""Schemas: descriptions of a model's data, kept in the model file.

A schema holds columns, categories, target and the conversion of pictures, and encodes tables as
rows of numbers for the network.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.data.images import Conversion
from fastnn.data.tables.columns import Column, Target
from fastnn.data.tables.splits import Split
from fastnn.data.tables.summary import blocks, check_finite, few, missing_text, summarise
from fastnn.data.tables.table import Table, TableError, as_texts, numbers_of

LINKS = ("softmax", "identity")


class UnseenCategoryWarning(UserWarning):
    """Warning that rows hold categories unseen in training; their one-hot columns are all 0."""


@dataclass(frozen=True)
class Schema:
    """Description of a model's inputs, columns of a table or a picture, and of its target.

    `named` is True if columns are found by name, False if by index. `split` describes the rows held
    out in training. `link` is the function from a classifier's outputs to probabilities: "softmax",
    or "identity" if the outputs are probabilities.
    """

    columns: tuple[Column, ...] = ()
    target: Target | None = None
    image: Conversion | None = None
    split: Split | None = None
    named: bool = True
    link: str = "softmax"

    @classmethod
    def of_numbers(cls, count: int) -> Schema:
        """Return the schema of `count` columns of numbers without names."""
        return cls(tuple(Column(str(place)) for place in range(count)), named=False)

    @property
    def width(self) -> int:
        """Return the number of network inputs."""
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> list[str]:
        """Return a name for each input: the name of the column, or `column=category`."""
        return [
            column.name if category is None else f"{column.name}={category}"
            for column in self.columns
            for category in (column.categories or (None,))
        ]

    def encode(self, table: Table, dtype=np.float32) -> np.ndarray:
        """Return the rows of a table as network inputs, (rows, width).

        Warns (`UnseenCategoryWarning`) of categories unseen in training, whose one-hot columns are
        all 0. Raises TableError if the table lacks columns, has texts in place of numbers, or lacks
        values for which the schema has no replacement.
        """
        columns = self.read(table)
        for message in self.unseen(columns):
            warnings.warn(message, UnseenCategoryWarning, stacklevel=2)
        x = np.empty((len(table), self.width), dtype)
        for rows in blocks(columns):
            self.write(columns, rows, x[rows])
        return x

    def read(self, table: Table) -> list[np.ndarray]:
        """Return the schema's columns of a table as numbers and texts; raise as `encode` does."""
        columns = [
            as_texts(values)
            if column.categories is not None
            else numbers_of(values, f"{table.name}: column {column.name!r}")
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
        """Encode `rows`, a slice or indices, of columns from `read` into x (n, width)."""
        place = 0
        for column, values in zip(self.columns, columns, strict=True):
            column.write(values[rows], x[:, place : place + column.width])
            place += column.width

    def unseen(self, columns: Sequence[np.ndarray]) -> list[str]:
        """Return messages on categories, in columns from `read`, that training did not see."""
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
        """Return columns by name, or by index if the schema or the table has no names."""
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
        """Return plain values for JSON, except those that are None."""
        parts = {"target": self.target, "image": self.image, "split": self.split}
        plain: dict[str, Any] = {k: part.to_dict() for k, part in parts.items() if part is not None}
        if self.columns:
            plain |= {"columns": [each.to_dict() for each in self.columns], "named": self.named}
        if self.link != "softmax":
            plain["link"] = self.link
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> Schema:
        """Return a schema from the values of `to_dict`; raise ValueError, TypeError for others."""
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


def _rows(count: int) -> str:
    return "1 row holds" if count == 1 else f"{count:,} rows hold"
