"""Summary of a table, printed before training on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn.cli.output import say
from fastnn.cli.tables import print_table

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.data.tables.summary import ColumnSummary

_SHOWN = 20
_SHOWN_COUNTS = 3
_WIDTH = 20


def print_summary(data: Dataset) -> None:
    """Print a table's columns, its target and notes on odd values; nothing for named data sets."""
    if not data.summary:
        return
    *features, target = data.summary
    missing = any(each.missing for each in features)
    titles = ["column", "kind", *(["missing"] if missing else []), "least", "mean", "greatest"]
    rows = []
    for each in features[:_SHOWN]:
        cells = [_short(each.name), "category" if each.counts else "number"]
        rows.append([*cells, *([f"{each.missing:,}"] if missing else []), *_range(each)])
    print_table(titles, rows)
    if len(features) > _SHOWN:
        say(f"and {len(features) - _SHOWN:,} more columns")
    say(_target(target, data))
    for note in data.notes:
        say(f"note: {note}")


def _range(column: ColumnSummary) -> list[str]:
    if column.counts:
        return ["", f"{len(column.counts):,} kinds", ""]
    return [f"{number:.4g}" for number in (column.low, column.mean, column.high)]


def _target(target: ColumnSummary, data: Dataset) -> str:
    """Return a line about the target: its classes, or its range."""
    if not data.classes:
        assert data.schema is not None
        assert data.schema.target is not None
        low, mean, high = _range(target)
        std = data.schema.target.std
        return (
            f"target {target.name}: regression, {low} to {high}, mean {mean}, deviation {std:.4g}"
        )
    counts = ", ".join(
        f"{_short(name)} ({count:,})" for name, count in target.counts.most_common(_SHOWN_COUNTS)
    )
    more = len(data.classes) - _SHOWN_COUNTS
    rest = f" and {more} more" if more > 0 else ""
    return f"target {target.name}: {len(data.classes)} classes, {counts}{rest}"


def _short(name: str) -> str:
    return name if len(name) <= _WIDTH else name[: _WIDTH - 1] + "…"
