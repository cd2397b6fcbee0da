"""Importances of the columns of a table, as numbers."""

from __future__ import annotations

from typing import NamedTuple


class Importance(NamedTuple):
    """Fall of a model's accuracy, or of its R2, when a column is shuffled."""

    column: str
    mean: float
    """Mean over the shuffles."""
    std: float
    """Standard deviation over the shuffles."""


class Importances(NamedTuple):
    """Importance of each column, the greatest first; empty if it was not measured."""

    columns: list[Importance]
    rows: int
    """Test rows that were shuffled."""
    repeats: int
