"""What a model must know of its data: columns, categories, the target, how pictures are read.

A schema turns tables into the rows of numbers that a network takes; it is kept in the model file.
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
    """Rows hold categories that were not there in training; all their columns are 0."""


@dataclass(frozen=True)
class Schema:
    """Columns of a table, or how a picture is converted, and what the model predicts of them.

    `named` says whether columns are known by name; else they are by place. `split` says which rows
    were held out in training. `link` says how a classifier's outputs become probabilities: by
    softmax, or, with "identity", as they are.
    """

    columns: tuple[Column, ...] = ()
    target: Target | None = None
    image: Conversion | None = None
    split: Split | None = None
    named: bool = True
    link: str = "softmax"

    @classmethod
    def of_numbers(cls, count: int) -> Schema:
        """Return the schema of so many columns of numbers, by place."""
        return cls(tuple(Column(str(place)) for place in range(count)), named=False)

    @property
    def width(self) -> int:
        """Return the number of inputs of the network."""
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> list[str]:
        """Return a name for each input: that of the column, for categories `column=category`."""
        return [
            column.name if category is None else f"{column.name}={category}"
            for column in self.columns
            for category in (column.categories or (None,))
        ]

    def encode(self, table: Table, dtype=np.float32) -> np.ndarray:
        """Return rows of a table as a network takes them, (rows, width).

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
        """Return its columns of a table, checked, as numbers and texts; raise as `encode` does."""
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
        """Write `rows`, a slice or indices, of columns that `read` returned into x (n, width)."""
        place = 0
        for column, values in zip(self.columns, columns, strict=True):
            column.write(values[rows], x[:, place : place + column.width])
            place += column.width

    def unseen(self, columns: Sequence[np.ndarray]) -> list[str]:
        """Return messages on categories in columns that `read` returned and training had not."""
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
        """Return columns by name; by place, where either side has no names and as many columns."""
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
        """Return plain values, for JSON, without those that are None."""
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


def _rows(count: int) -> str:
    return "1 row holds" if count == 1 else f"{count:,} rows hold"
