"""The target of a table: its column, and whether it holds classes or numbers."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.data.tables.arrays import ArraySource
from fastnn.data.tables.columns import Category, Number
from fastnn.data.tables.numbers import PLAIN, Spelling
from fastnn.data.tables.table import (
    MISSING,
    UNSEEN,
    NumberFacts,
    Source,
    Table,
    TableError,
    TextFacts,
    few,
)
from fastnn.data.tables.understanding import Understanding, Understood

TASKS = ("classification", "regression")
MOST_CLASSES = 1000
"""Largest number of classes of a target."""

_MOST_CLASSES_OF_NUMBERS = 20


class TargetError(TableError):
    """Error for a target that is not a column of the table."""


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

    def read(self, table: Table, name: str, classes: Sequence[str]) -> np.ndarray:
        """Return a column as class indices, int64, or as numbers, float64, of shape (rows,).

        What is missing is -2, or NaN. Raises TableError for texts in a regression and for unknown
        classes.
        """
        what = f"{table.name}: target {name!r}"
        if self.task == "regression":
            column = Number(name, None, self.spelling)
            if odd := table.odd(column, name):
                text, _, row = odd[0]
                raise TableError(f"{what} holds {text!r} in row {row:,}; expected numbers")
            y = table.values(column, name).astype(np.float64)
            if np.isinf(y).any():
                raise TableError(f"{what} holds {y[np.isinf(y)][0]}; expected finite numbers")
            return y
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
            by_value.setdefault(_number(each), []).append(place)
        unknown = [text for text in facts.counts if text not in classes]
        for text in unknown:
            same = by_value.get(_number(text), [])
            if len(same) != 1 or math.isnan(_number(text)):
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


def missing_targets(y: np.ndarray) -> np.ndarray:
    """Return a mask (rows,) of the missing targets among those of `Target.read`."""
    return np.isnan(y) if y.dtype.kind == "f" else y == MISSING


# --------------------------------------------------------------------------- finding


def find_target(source: Source, target: str | None) -> tuple[str, Source]:
    """Return the name of the target, and the source of its column.

    It is given by name, by index, or as a .npy file. Raises TargetError if the column does not
    exist, TableError if a file does not hold one number or text for each row, and OSError if the
    file cannot be read.
    """
    names = source.names
    if target is None:
        raise TargetError(
            f"{source.name}: no target is named; expected one of its columns: {few(names, 10)}"[
                :400
            ]
        )
    if target in names:
        return target, source
    if not source.named and target.lstrip("-").isdigit() and -len(names) <= int(target) < 0:
        return names[int(target)], source
    if Path(target).suffix.lower() == ".npy":
        path = Path(target)
        return path.stem, ArraySource(str(path), {path.stem: _values_in(path)})
    raise TargetError(no_column(source, "target", target))


def _values_in(path: Path) -> np.ndarray:
    """Return the array (rows,) in a .npy file."""
    try:
        values = np.load(path, allow_pickle=False)
        shape = values.shape
    except OSError:
        raise
    except Exception as error:  # errors of tokenize and NumPy have no common base
        raise TableError(f"{path}: found a file that NumPy cannot read: {error}") from error
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or values.dtype.kind not in "biufU":
        raise TableError(
            f"{path}: found an array {shape} of {values.dtype}; expected a target for each row"
        )
    values = values.reshape(len(values))
    return values.astype(object) if values.dtype.kind == "U" else values


def no_column(source: Source, what: str, name: str) -> str:
    """Return the error message for a column that a table does not have."""
    names = source.names
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{source.name}: there is no {what} {name!r} among the columns {few(names, 10)}{hint}"


# --------------------------------------------------------------------- understanding


@dataclass(frozen=True)
class Learned:
    """A target that was understood: its values (rows,), classes, and remarks.

    `y` is as `Target.read` returns it.
    """

    target: Target
    y: np.ndarray
    classes: tuple[str, ...]
    understood: Understood


def understand_target(understanding: Understanding, name: str, task: str | None) -> Learned:
    """Return the values of the target `name`, as classes or as numbers."""
    table = understanding.table
    if table.is_text(name):
        facts = table.text_facts(name, MOST_CLASSES + 1)
        spelling = understanding.spelling(name)
        numbers = None
        if spelling is not None:
            numbers = Number(name, None, spelling)
    else:
        facts = table.text_facts(name, MOST_CLASSES + 1)
        numbers = Number(name)
    found = task or _guessed_task(table, name, facts, numbers)
    why = "as told" if task else _reason(found, facts, numbers)
    if found == "regression":
        return _regression(table, name, facts, numbers or Number(name), why)
    return _classification(table, name, facts, why)


def _classification(table: Table, name: str, facts: TextFacts, why: str) -> Learned:
    if not 2 <= facts.distinct <= MOST_CLASSES:
        raise TableError(
            f"{table.name}: target {name!r} has {facts.distinct:,} different values; "
            f"expected 2 to {MOST_CLASSES:,} classes, or numbers to regress on"
        )
    classes = _ordered(list(facts.counts))
    target = Target(name, "classification")
    y = target.read(table, name, classes)
    found = Understood(
        name, "target", None, classes[0], facts.missing, f"{len(classes)} classes, {why}",
        counts=facts.counts,
    )  # fmt: skip
    return Learned(target, y, classes, found)


def _regression(table: Table, name: str, facts: TextFacts, numbers: Number, why: str) -> Learned:
    target = Target(name, "regression", spelling=numbers.spelling)
    y = table.values(numbers, name).astype(np.float64)
    notes: list[str] = []
    if odd := int(np.isnan(y).sum()) - facts.missing:
        texts = table.odd(numbers, name)
        if odd > 0.1 * (len(y) - facts.missing):
            text, _, row = texts[0]
            raise TableError(
                f"{table.name}: target {name!r} holds {text!r} in row {row:,}; expected numbers"
            )
        shown = few([repr(text) for text, _, _ in texts], 5)
        notes.append(f"target {name!r} holds {shown} in {odd:,} rows, which are no numbers")
    if not numbers.spelling.plain:
        notes.append(f"target {name!r}: numbers {numbers.spelling.describe()}")
    if np.isinf(y).any():
        raise TableError(
            f"{table.name}: target {name!r} holds {y[np.isinf(y)][0]}; expected finite numbers"
        )
    known = y[~np.isnan(y)]
    if not len(known):
        raise TableError(f"{table.name}: target {name!r} holds no values to learn from")
    low, high, mean = float(known.min()), float(known.max()), float(known.mean())
    facts_of = NumberFacts(len(y) - len(known), 0, low, high, mean, False, False)
    found = Understood(
        name, "target", None, f"{low:.6g} to {high:.6g}", facts_of.missing, f"regression, {why}",
        facts_of, notes=notes,
    )  # fmt: skip
    return Learned(target, y, (), found)


def _guessed_task(table: Table, name: str, facts: TextFacts, numbers: Number | None) -> str:
    """Return "classification" for texts and for few different whole numbers."""
    if numbers is None or facts.distinct == 0:
        return "classification"
    if facts.distinct > _MOST_CLASSES_OF_NUMBERS:
        return "regression"
    known = len(table) - facts.missing
    values = table.values(numbers, name).astype(np.float64)
    values = values[np.isfinite(values)]
    if (values % 1 != 0).any():
        return "regression"
    few_of_many = facts.distinct <= max(2, known // 4)
    return "classification" if few_of_many else "regression"


def _reason(task: str, facts: TextFacts, numbers: Number | None) -> str:
    if task == "regression":
        return (
            f"since it holds {'many ' if facts.distinct > _MOST_CLASSES_OF_NUMBERS else ''}numbers"
        )
    return "since it holds texts" if numbers is None else "since it holds few whole numbers"


def _ordered(texts: list[str]) -> tuple[str, ...]:
    """Return the names of classes: numbers in order of size, texts in alphabetical order."""
    values = [_number(each) for each in texts]
    if any(map(math.isnan, values)):
        return tuple(sorted(texts))
    return tuple(text for _, text in sorted(zip(values, texts, strict=True)))


def _number(text: str) -> float:
    """Return the number that a text is; NaN for other texts, such as 1_0."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def learned_target(table: str, target: Target, y: np.ndarray) -> Target:
    """Return the target; for a regression with mean and standard deviation of `y`."""
    if target.task == "classification":
        return target
    low, high = float(y.min()), float(y.max())
    if low == high:
        raise TableError(f"{table}: target {target.name!r} is {low:g} in all training rows")
    scale = max(abs(low), abs(high))  # the squares of huge numbers are no numbers
    mean, std = float((y / scale).mean()) * scale, float((y / scale).std()) * scale
    return Target(target.name, target.task, mean, std, target.spelling)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
