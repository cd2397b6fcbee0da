"""Summary of a table, printed before training on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn.cli.output import say
from fastnn.cli.tables import print_table

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.data.tables.understanding import Understood

_SHOWN = 20
_SHOWN_COUNTS = 3
_WIDTH = 20


def print_summary(data: Dataset) -> None:
    """Print what was understood of a table's columns and target, and notes.

    Prints nothing for named data sets.
    """
    if not data.summary:
        return
    *features, target = data.summary
    missing = any(each.missing for each in features)
    rows = [
        [
            _short(each.name),
            each.kind,
            *([f"{each.missing:,}"] if missing else []),
            _short(_content(each)),
            each.became,
        ]
        for each in features[:_SHOWN]
    ]
    print_table(["column", "kind", *(["missing"] if missing else []), "content", "became"], rows)
    if len(features) > _SHOWN:
        say(f"and {len(features) - _SHOWN:,} more columns")
    say(_target(target, data))
    for note in data.notes:
        say(f"note: {note}")


def _content(column: Understood) -> str:
    """Return the range of a column's numbers, or its most frequent texts."""
    if column.facts is not None:
        return column.example
    texts = list(column.counts)
    return column.example if not texts else ", ".join(texts[:_SHOWN_COUNTS])


def _target(target: Understood, data: Dataset) -> str:
    """Return a line about the target: its task and why, its classes or its range."""
    head = f"target {target.name}: {target.became}"
    if not data.classes:
        assert data.schema is not None
        assert data.schema.target is not None
        mean, std = data.schema.target.mean, data.schema.target.std
        return f"{head}: {target.example}, mean {mean:.4g}, deviation {std:.4g}"
    most = list(target.counts.items())[:_SHOWN_COUNTS]
    counts = ", ".join(f"{_short(name)} ({count:,})" for name, count in most)
    more = len(data.classes) - _SHOWN_COUNTS
    rest = f" and {more} more" if more > 0 else ""
    return f"{head}: {counts}{rest}"


def _short(name: str) -> str:
    return name if len(name) <= _WIDTH else name[: _WIDTH - 1] + "…"
