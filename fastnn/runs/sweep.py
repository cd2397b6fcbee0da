"""Sweeps: many trainings on one data set, in parallel processes of one thread each.

A folder keeps the results and the best model. Each result is on the disk before the next is
counted, so a sweep that was killed goes on with the runs that have no result yet.
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
from fastnn.optim.monitors import MONITORS
from fastnn.runs.data import read_data
from fastnn.runs.processes import in_processes
from fastnn.runs.results import Result, Results
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings, key_of
from fastnn.training.steps import NonFiniteLossError


class Sweep(Results):
    """The runs of some settings; runs with a result in the folder are done.

    Raises the errors of `Results`.
    """

    def __init__(self, points: Sequence[Settings], folder: Path):
        super().__init__(folder)
        self.points = [dataclasses.replace(each, threads=1) for each in points]
        self.trained, self.seconds = 0, 0.0

    @property
    def rate(self) -> float:
        """Return the models that `run` trained per second; 0 if it trained none."""
        return self.trained / self.seconds if self.trained else 0.0

    @property
    def left(self) -> list[Settings]:
        """Return the settings that have no result, and the best ones if their model is missing."""
        lost = [] if self.lost is None else [self.lost]
        return [each for each in self.points if key_of(each) not in self.results] + lost

    def run(self, dataset: Dataset, jobs: int) -> Iterator[Result]:
        """Train with all settings in `left`, in `jobs` processes, and yield results as they come.

        `trained` counts the models, and `seconds` is the time since the processes have started.
        """
        points = [each for each in self.points if key_of(each) not in self.results]
        yield from self._train(points, dataset, jobs)
        while (lost := self.lost) is not None:  # a new best one may have taken its place
            same = lost in self.points
            yield from self._train([lost], dataset if same else read_data(lost), 1)

    def _train(self, points: list[Settings], dataset: Dataset, jobs: int) -> Iterator[Result]:
        before = self.seconds
        for seconds, (result, model) in train_all(_train, points, dataset, jobs):
            self.keep(result, model)
            self.trained, self.seconds = self.trained + 1, before + seconds
            yield result


def train_all(
    train: Callable[[Settings, Dataset], Any],
    points: Sequence[Settings],
    dataset: Dataset,
    jobs: int,
) -> Iterator[tuple[float, Any]]:
    """Call `train` with each of some settings, in `jobs` processes of one thread each.

    Yields (seconds since the first training began, result). Each process first trains a network of
    one hidden unit, to import and compile what it needs.
    """
    first = [_smallest(dtype) for dtype in sorted({each.dtype for each in points})]
    return in_processes(train, ((each, dataset) for each in points), jobs, first)


def _smallest(dtype: str) -> tuple[Settings, Dataset]:
    return Settings("disk", hidden=(1,), epochs=1, dtype=dtype, threads=1), datasets.disk(9, 9)


def _train(settings: Settings, dataset: Dataset) -> tuple[Result, bytes]:
    """Train a model; return its result and the bytes of its file."""
    run = Run(settings, dataset)
    with suppress(NonFiniteLossError):  # `run.outcome` records it
        run.train()
    numbers: dict[str, Any] = {name: _last(getattr(run.history, name)) for name in MONITORS}
    numbers |= {"seconds": run.seconds, "parameters": run.parameters}
    result = Result(settings, run.outcome, **numbers)
    return result, result.to_bytes(run.model)


def _last(values: Sequence[float | None]) -> float | None:
    """Return the last number, or None if there is none or it is not finite."""
    last = values[-1] if values else None
    return last if last is not None and math.isfinite(last) else None
