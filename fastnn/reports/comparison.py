"""Comparison of a training by fastnn with the same training by PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn.training.evaluation import Evaluation
from fastnn.training.history import History

FASTNN, PYTORCH = "fastnn", "PyTorch"
EARLY = 50
"""Number of first epochs over which `agreement` compares losses separately."""


@dataclass
class Side:
    """One library's result: the history, and the trained model's scores, without dropout."""

    history: History
    train: Evaluation
    test: Evaluation
    threads: int | None = None

    @property
    def seconds(self) -> float:
        """Seconds of the training steps, without validation."""
        return float(sum(self.history.seconds))

    def to_dict(self) -> dict[str, Any]:
        """Return the side as plain values."""
        return {
            "train": self.train._asdict(),
            "test": self.test._asdict(),
            "seconds": self.seconds,
            "threads": self.threads,
            "history": self.history.to_dict(),
        }


@dataclass
class Comparison:
    """A named run: its settings, the report's figures, and a `Side` for each library."""

    name: str
    settings: dict[str, Any]
    reported: str
    sides: dict[str, Side] = field(default_factory=dict)

    @property
    def history(self) -> History:
        """The history of fastnn's training."""
        return self.sides[FASTNN].history

    def differences(self) -> np.ndarray:
        """Return for each epoch the difference in training or test loss, whichever is larger."""
        return self._gaps().max(axis=0)

    def relative_differences(self) -> np.ndarray:
        """Return the same as `differences`, relative to PyTorch's losses."""
        theirs = self.sides[PYTORCH].history
        scale = np.array([theirs.loss, theirs.val_loss], np.float64)
        return (self._gaps() / scale).max(axis=0)

    def _gaps(self) -> np.ndarray:
        ours, theirs = (self.sides[side].history for side in (FASTNN, PYTORCH))
        both = np.array([(h.loss, h.val_loss) for h in (ours, theirs)], np.float64)
        return np.abs(both[0] - both[1])

    def agreement(self) -> dict[str, float] | None:
        """Return differences in loss, accuracy and time, or None if only fastnn has run."""
        if PYTORCH not in self.sides:
            return None
        gaps, relative = self.differences(), self.relative_differences()
        ours, theirs = self.sides[FASTNN], self.sides[PYTORCH]
        return {
            "largest_difference": float(gaps.max()),
            "at_epoch": int(gaps.argmax()) + 1,
            "largest_relative_difference": float(relative.max()),
            "early_epochs": min(EARLY, len(gaps)),
            "largest_relative_difference_early": float(relative[:EARLY].max()),
            "test_accuracy_difference": abs(
                (ours.test.accuracy or 0) - (theirs.test.accuracy or 0)
            ),
            "times_as_fast": theirs.seconds / ours.seconds,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "name": self.name,
            "settings": self.settings,
            "reported": self.reported,
            "sides": {name: side.to_dict() for name, side in self.sides.items()},
            "agreement": self.agreement(),
        }
