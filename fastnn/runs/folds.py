"""Cross-validation of a table: each row is held out once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn.data.dataset import Dataset
from fastnn.data.tables.rows import moments
from fastnn.data.tables.splits import mixed_order
from fastnn.metrics import predicted, scores
from fastnn.nn.sequential import Sequential
from fastnn.runs.settings import SettingError
from fastnn.training.prediction import predict


class Folds:
    """Cross-validation on all rows of a table, training and test rows alike.

    Parameters
    ----------
    data : Dataset
        The table.
    count : int
        Number of folds, from 2 to the number of rows. Each holds every class nearly in proportion.
    seed : int, default 0
        Seed of the folds.

    Raises
    ------
    SettingError
        For another number of folds.
    """

    def __init__(self, data: Dataset, count: int, seed: int = 0):
        rows = len(data.y_train) + len(data.y_test)
        if not 2 <= count <= rows:
            raise SettingError("folds", f"{count}; expected 2 to {rows:,}, the rows there are")
        self._data, self.count = data, count
        y = np.concatenate([data.y_train, data.y_test])
        self.parts = np.array_split(mixed_order(y, seed), count)
        """The rows that each fold holds out: places among the training rows, then the test rows."""
        self.scores: list[dict[str, float]] = []
        """Scores of each fold so far, on the rows that it held out."""

    def train(self, trained: Callable[[Dataset], Sequential]) -> Iterator[dict[str, float]]:
        """Yield the scores of the model that `trained` returns for each fold; raise as it does."""
        for held_out in self.parts:
            data = fold(self._data, held_out)
            model = trained(data)
            self.scores.append(scores(data.y_test, predicted(model, predict(model, data.x_test))))
            yield self.scores[-1]

    def summary(self) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation over the folds of each score, NaN if one is NaN."""
        columns = {name: [each[name] for each in self.scores] for name in self.scores[0]}
        return {
            name: (float(np.mean(values)), float(np.std(values, ddof=1)))
            for name, values in columns.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `history.json`: a list for each score, its mean and deviation."""
        return {
            name: {"folds": [each[name] for each in self.scores], "mean": mean, "std": std}
            for name, (mean, std) in self.summary().items()
        }


def fold(data: Dataset, held_out: np.ndarray) -> Dataset:
    """Return a table whose test rows are `held_out`, and whose training rows are the others.

    `held_out` are places among the training rows, then the test rows. Means and deviations, also
    those of the target, are learned anew from the other rows. Categories and what stands for
    missing values stay those of the table.
    """
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    kept = np.setdiff1d(np.arange(len(y)), held_out)
    kept = kept[mixed_order(y[kept], 0)]  # the last ones, a random sample, are validated on
    schema = data.schema
    assert schema is not None
    assert schema.target is not None
    if not data.classes:
        deviation = float(y[kept].std()) or 1.0
        target = dataclasses.replace(schema.target, mean=float(y[kept].mean()), std=deviation)
        schema = dataclasses.replace(schema, target=target)
    mean, std = moments(schema.columns, x[kept])
    return dataclasses.replace(
        data,
        x_train=x[kept],
        y_train=y[kept],
        x_test=x[held_out],
        y_test=y[held_out],
        mean=mean,
        std=std,
        schema=schema,
    )
