"""The verdict on a network of a table: its scores beside simple models, and what matters to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastnn.data.dataset import Dataset
from fastnn.metrics import scores
from fastnn.plots.importance import importance
from fastnn.runs import baselines
from fastnn.runs.folder import IMPORTANCE
from fastnn.runs.importances import Importances
from fastnn.runs.intervals import Interval, intervals
from fastnn.runs.telltales import telltales


class Verdict:
    """What is known of a network on the test rows of a table, and of simple models beside it.

    It is made of the data before training, since the simple models need the training rows, and
    gets the network's part by `judge`.

    Parameters
    ----------
    data : Dataset
        Training and test rows of a table.
    """

    def __init__(self, data: Dataset):
        self.notes = telltales(data)
        """Remarks on columns that alone tell the target."""
        self.rivals: dict[str, dict[str, float]] = {}
        """Scores of the simple models by name: "linear", if it could be fitted, and "constant"."""
        self.fitted_to = ""
        """The training rows and inputs that the linear model was fitted to, if not all."""
        try:
            told, self.fitted_to = baselines.linear(data)
            self.rivals["linear"] = scores(data.y_test, told)
        except Exception as error:  # a comparison must not cost the training
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            self.notes.append(f"no linear model to compare with: {reason}")
        self.rivals["constant"] = scores(data.y_test, baselines.constant(data))
        self.scores: dict[str, float] = {}
        self.intervals: dict[str, Interval] = {}
        self.importances = Importances([], 0, 0)

    def judge(
        self,
        y: np.ndarray,
        told: np.ndarray,
        scores: dict[str, float],
        importances: Importances,
    ) -> None:
        """Take the network's predictions of the test rows, their scores, and what matters to it."""
        self.scores, self.intervals = scores, intervals(y, told)
        self.importances = importances

    def draw(self, folder: Path) -> list[str]:
        """Draw the picture of the verdict into a folder; return the names of what was drawn."""
        if not self.importances.columns:
            return []
        names, falls, deviations = zip(*self.importances.columns, strict=True)
        score = "accuracy" if self.score == "accuracy" else "R²"
        importance(names, falls, deviations, score, folder / IMPORTANCE)
        return [IMPORTANCE]

    @property
    def score(self) -> str:
        """Name of the score whose fall is the importance of a column."""
        return "accuracy" if "accuracy" in self.scores else "r2"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `history.json`."""
        return {
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "compared": self.rivals,
            "importance": {
                name: {"mean": mean, "std": std} for name, mean, std in self.importances.columns
            },
        }
