"""Schemas: descriptions of a model's data, kept in the model file.

A schema holds columns, categories, target and the conversion of pictures, and encodes tables as
rows of numbers for the network.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.data.images import Conversion
from fastnn.data.tables.columns import UNSEEN, Column, Number, write_columns
from fastnn.data.tables.splits import Split
from fastnn.data.tables.table import Source, Table, TableError, few, shown
from fastnn.data.tables.target import Target

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
        return cls(tuple(Number(str(place)) for place in range(count)), named=False)

    @property
    def width(self) -> int:
        """Return the number of network inputs."""
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> list[str]:
        """Return a name for each input."""
        return [name for column in self.columns for name in column.features]

    def told(self, decimal: str | None, thousands: str | None) -> Schema:
        """Return the schema for texts whose numbers have other signs, where they are told."""
        columns = tuple(each.told(decimal, thousands) for each in self.columns)
        target = None if self.target is None else self.target.told(decimal, thousands)
        return replace(self, columns=columns, target=target)

    def table(
        self, source: Source, texts: Collection[str] = (), also: Collection[str] = ()
    ) -> Table:
        """Return a source's table of the model's columns and of `also`; `texts` are texts, too."""
        names = self.names_in(source)
        spelled = source.spelled(names)  # numbers of other columns need no reading
        own = {
            name
            for name, each in zip(names, self.columns, strict=True)
            if each.of_texts and (name in spelled or not each.of_numbers)
        }
        return source.table({*names, *also}, own | set(texts))

    def encode(self, source: Source, dtype=np.float32) -> np.ndarray:
        """Return the rows of a table as network inputs, (rows, width).

        Warns (`UnseenCategoryWarning`) of categories unseen in training. Raises TableError if the
        table lacks columns, has texts in place of numbers, or lacks values for which the schema has
        no replacement.
        """
        table = self.table(source)
        names = self.names_in(source)
        for message in self.check(table, names):
            warnings.warn(message, UnseenCategoryWarning, stacklevel=2)
        x = np.empty((len(table), self.width), dtype)
        for rows, values in table.blocks(self.columns, names):
            write_columns(self.columns, values, x[rows])
        return x

    def check(self, table: Table, names: Sequence[str]) -> list[str]:
        """Return messages on what a table holds that training did not.

        `names` are those of the table's columns that the model takes. Raises TableError for values
        that are missing or no numbers where the schema has no replacement.
        """
        columns = list(zip(self.columns, names, strict=True))
        lacking: dict[str, int] = {}
        messages = [message for each in columns for message in self._odd(table, *each)]
        unseen: list[Counter[int]] = [Counter() for _ in columns]
        for _, values in table.blocks(self.columns, names):
            for place, (column, name) in enumerate(columns):
                missing = int(column.missing(values[place]).sum())
                if missing and column.fill is None:
                    lacking[name] = lacking.get(name, 0) + missing
                if column.texts:
                    unseen[place][UNSEEN] += int((values[place] == UNSEEN).sum())
                elif column.fill is None and np.isinf(values[place]).any():
                    raise TableError(
                        f"{table.name}: column {name!r} holds an infinite number; expected "
                        "finite ones"
                    )
        if lacking:
            counts = few([f"{name} ({count:,})" for name, count in lacking.items()], 10)
            raise TableError(
                f"{table.name}: values are missing in {counts} of {len(table):,} "
                "rows; the model was trained without --impute, so nothing stands for them"
            )
        for (column, name), counted in zip(columns, unseen, strict=True):
            if counted[UNSEEN]:
                messages.append(self._unseen(table, column, name, counted[UNSEEN]))
        return messages

    def _odd(self, table: Table, column: Column, name: str) -> Iterator[str]:
        """Yield a message on texts that are no numbers or dates; raise TableError if all are."""
        if not (odd := table.odd(column, name)):
            return
        known, read = table.count(name, ["{}", column.query("{}", True)])
        if column.fill is None or read == 0:
            text, _, row = odd[0]
            raise TableError(
                f"{table.name}: column {name!r} holds {shown(text)} in row {row:,}; "
                f"expected {'numbers' if column.of_numbers else 'dates'}"
            )
        texts = few([shown(text) for text, _, _ in odd], 3)
        yield f"column {name!r}: {_rows(known - read)} {texts}: missing"

    def _unseen(self, table: Table, column: Column, name: str, count: int) -> str:
        """Return a message on texts that training did not see."""
        known = {text.lower() for text in column.texts} | set(column.texts)
        facts = table.text_facts(name, 1000)
        new = [shown(text) for text in facts.counts if text not in known]
        counted = 'count as "other"' if getattr(column, "other", False) else "are none of them"
        return (
            f"column {column.name!r}: {_rows(count)} {few(new)}, which training had not; they "
            f"{counted}; known: {few(list(map(shown, column.texts)), 10)}"
        )

    def names_in(self, table: Source | Table) -> list[str]:
        """Return the names of the model's columns in a table: by name, or by place.

        The place counts if the schema or the table has no names. Raises TableError if columns are
        missing.
        """
        missing = [each.name for each in self.columns if each.name not in table.names]
        if not missing:
            return [each.name for each in self.columns]
        if len(table.names) == len(self.columns) and not (self.named and table.named):
            return list(table.names)
        if self.named and table.named:
            raise TableError(
                f"{table.name}: column {few(missing)} is missing; found {few(table.names, 10)}"[
                    :400
                ]
            )
        names = f": {few([each.name for each in self.columns], 10)}" if self.named else ""
        raise TableError(
            f"{table.name}: found {len(table.names)} columns; "
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
