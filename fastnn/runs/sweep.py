"""Sweeps: many trainings on one data set, each on one thread of a process of its own.

A folder keeps the results, each on the disk before the next is counted, and the best model. A
sweep that was killed goes on with the runs that have no result yet.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastnn.data import datasets
from fastnn.data.dataset import Dataset
from fastnn.files import models
from fastnn.optim.monitors import MONITORS
from fastnn.runs.processes import in_processes
from fastnn.runs.results import BEST, Result, Results
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings, key_of
from fastnn.training.steps import NonFiniteLossError


class Sweep(Results):
    """The runs of some settings; those of which the folder has results are done.

    Raises what `Results` does.
    """

    def __init__(self, points: Sequence[Settings], folder: Path):
        super().__init__(folder)
        self.points = [dataclasses.replace(each, threads=1) for each in points]
        self.trained, self.seconds = 0, 0.0

    @property
    def rate(self) -> float:
        """Return how many models `run` trained a second; 0 where there was none to train."""
        return self.trained / self.seconds if self.trained else 0.0

    @property
    def left(self) -> list[Settings]:
        """Return settings without a result, and those of the best model, should it be missing."""
        done = set(self.results)
        if self.best is not None and not (self.folder / BEST).exists():
            done.remove(key_of(self.best.settings))
        return [each for each in self.points if key_of(each) not in done]

    def run(self, dataset: Dataset, jobs: int) -> Iterator[Result]:
        """Train all that are left, in so many processes, and yield their results as they come.

        `trained` counts them, and `seconds` is the time that it took, without that for the
        processes to start.
        """
        for seconds, (result, model) in train_all(_train, self.left, dataset, jobs):
            self.keep(result, model)
            self.trained, self.seconds = self.trained + 1, seconds
            yield result


def train_all(
    train: Callable[[Settings, Dataset], Any], points: Sequence[Settings], dataset: Dataset,
    jobs: int,
) -> Iterator[tuple[float, Any]]:  # fmt: skip
    """Train with each of some settings, in so many processes of one thread each.

    Yields what `train` returns, and the seconds since the first training began. Before that each
    process trains a network of one hidden unit, and so has imported and compiled what it needs.
    """
    first = [_smallest(dtype) for dtype in sorted({each.dtype for each in points})]
    return in_processes(train, ((each, dataset) for each in points), jobs, first)


def _smallest(dtype: str) -> tuple[Settings, Dataset]:
    return Settings("disk", hidden=(1,), epochs=1, dtype=dtype, threads=1), datasets.disk(9, 9)


def _train(settings: Settings, dataset: Dataset) -> tuple[Result, bytes]:
    """Train a model; return the result, and the bytes of the model's file."""
    run = Run(settings, dataset)
    with suppress(NonFiniteLossError):  # the outcome says so
        run.train()
    numbers: dict[str, Any] = {name: _last(getattr(run.history, name)) for name in MONITORS}
    numbers |= {"seconds": run.seconds, "parameters": run.parameters}
    return Result(settings, run.outcome, **numbers), models.dumps(run.model)


def _last(values: Sequence[float | None]) -> float | None:
    """Return the last number, None where there is none or it is not finite."""
    last = values[-1] if values else None
    return last if last is not None and math.isfinite(last) else None
