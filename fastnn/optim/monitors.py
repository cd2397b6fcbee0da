"""Monitors: the lists of a history that schedules and callbacks may watch."""

from __future__ import annotations

from typing import Protocol

MONITORS = ("loss", "accuracy", "val_loss", "val_accuracy")
"""Names of the lists of a history that may be watched."""


class Watched(Protocol):
    """Interface of a history that a schedule needs."""

    def last(self, monitor: str | None) -> float:
        """Return the last number of a list; None takes `val_loss`, or `loss` without validation."""


def check_monitor(who: str, monitor: str | None, validating: bool) -> None:
    """Raise ValueError for an unknown list, or for a list that is empty without validation."""
    if monitor is not None and monitor not in MONITORS:
        raise ValueError(f"{who}: monitor is {monitor!r}; expected one of {MONITORS}, or None")
    if monitor is not None and monitor.startswith("val_") and not validating:
        raise ValueError(f"{who}: monitor is {monitor!r}, and there is no validation_data")
