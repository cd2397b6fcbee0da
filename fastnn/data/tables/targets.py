"""Understanding of the target of a table: whether it holds classes or numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastnn.data.tables.columns import Number
from fastnn.data.tables.numbers import PLAIN
from fastnn.data.tables.table import (
    FIRST_ROWS,
    MOST_LABELS,
    NumberFacts,
    Table,
    TableError,
    TextFacts,
    few,
    shown,
)
from fastnn.data.tables.target import MOST_CLASSES, Target, number_of, without_total
from fastnn.data.tables.understanding import Understanding, Understood

_OWN_CLASSES = 10  # rows from which a class for each is none


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
    if task != "classification" and _measures(table, name):
        why = "as told" if task else "since it holds many numbers"
        return _regression(table, name, table.number_facts([name])[0].missing, Number(name), why)
    facts = table.text_facts(name, MOST_CLASSES + 1)
    spelling = understanding.spelling(name) if table.is_text(name) else PLAIN
    numbers = None if spelling is None else Number(name, None, spelling)
    found = task or _guessed_task(table, name, facts, numbers)
    why = "as told" if task else _reason(found, facts, numbers)
    if found == "regression":
        return _regression(table, name, facts.missing, numbers or Number(name), why)
    return _classification(table, name, facts, why)


def _measures(table: Table, name: str) -> bool:
    """Return whether the first rows of a column are too many different numbers for labels."""
    return not table.is_text(name) and len(set(table.examples(name, FIRST_ROWS))) > MOST_LABELS


def _classification(table: Table, name: str, facts: TextFacts, why: str) -> Learned:
    if facts.distinct == 1:
        rows = "the only row" if len(table) == 1 else "all rows"
        raise TableError(
            f"{table.name}: target {name!r} is {shown(next(iter(facts.counts)))} in {rows}; "
            "expected at least two values"
        )
    if facts.distinct == len(table) - facts.missing >= _OWN_CLASSES:
        raise TableError(
            f"{table.name}: target {name!r} has its own text in each row, such as "
            f"{few(list(map(shown, facts.counts)), 3)}; expected classes of several rows, "
            "or numbers to regress on"[:400]
        )
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


def _regression(table: Table, name: str, missing: int, numbers: Number, why: str) -> Learned:
    target = Target(name, "regression", spelling=numbers.spelling)
    y = table.values(numbers, name).astype(np.float64)
    notes: list[str] = []
    if odd := int(np.isnan(y).sum()) - missing:
        texts = table.odd(numbers, name)
        if odd > 0.1 * (len(y) - missing):
            text, _, row = texts[0]
            raise TableError(
                f"{table.name}: target {name!r} holds {shown(text)} in row {row:,}; expected "
                "numbers"
            )
        texts_shown = few([shown(text) for text, _, _ in texts])
        rows = "1 row" if odd == 1 else f"{odd:,} rows"
        notes.append(f"target {name!r} holds no numbers in {rows}, but {texts_shown}")
    if not numbers.spelling.plain:
        notes.append(f"target {name!r}: numbers {numbers.spelling.describe()}")
    if np.isinf(y).any():
        raise TableError(
            f"{table.name}: target {name!r} holds {y[np.isinf(y)][0]}; expected finite numbers"
        )
    whole, y = y, without_total(y)
    if y is not whole:
        notes.append(f"the last row with a {name!r} is left out: it is the sum of all others")
    known = y[~np.isnan(y)]
    if not len(known):
        raise TableError(f"{table.name}: target {name!r} holds no values to learn from")
    low, high = float(known.min()), float(known.max())
    facts_of = NumberFacts(len(y) - len(known), 0, low, high, False, False)
    found = Understood(
        name, "target", None, f"{low:.6g} to {high:.6g}", facts_of.missing, f"regression, {why}",
        facts_of, notes=notes,
    )  # fmt: skip
    return Learned(target, y, (), found)


def _guessed_task(table: Table, name: str, facts: TextFacts, numbers: Number | None) -> str:
    """Return "classification" for texts and for few different whole numbers."""
    if numbers is None or facts.distinct == 0:
        return "classification"
    if facts.distinct > MOST_LABELS:
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
        return f"since it holds {'many ' if facts.distinct > MOST_LABELS else ''}numbers"
    return "since it holds texts" if numbers is None else "since it holds few whole numbers"


def _ordered(texts: list[str]) -> tuple[str, ...]:
    """Return the names of classes: numbers in order of size, texts in alphabetical order."""
    values = [number_of(each) for each in texts]
    if any(map(math.isnan, values)):
        return tuple(sorted(texts))
    return tuple(text for _, text in sorted(zip(values, texts, strict=True)))


def learned_target(table: str, target: Target, y: np.ndarray) -> Target:
    """Return the target; for a regression with mean and standard deviation of `y`."""
    if target.task == "classification":
        return target
    low, high = float(y.min()), float(y.max())
    if low == high:
        raise TableError(f"{table}: target {target.name!r} is {low:g} in all training rows")
    scale = max(abs(low), abs(high))  # the squares of huge numbers are no numbers
    scaled = y / scale
    mean, std = float(scaled.mean()) * scale, float(scaled.std()) * scale
    return Target(target.name, target.task, mean, std, target.spelling)
