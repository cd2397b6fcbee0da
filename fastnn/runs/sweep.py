"""Sweeps: many trainings on one data set, each on one thread of a process of its own.

A folder keeps what comes of them: a line for each run, on the disk before the next is counted,
and the best model. A sweep that was killed goes on with the runs that have no line yet.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from fastnn.data import datasets
from fastnn.data.dataset import Dataset
from fastnn.files import atomic as files
from fastnn.files import models as checkpoint
from fastnn.runs.run import Run
from fastnn.runs.search import key_of
from fastnn.runs.settings import Settings, from_plain
from fastnn.training.steps import NonFiniteLossError

RESULTS, BEST = "results.jsonl", "best.safetensors"
"""Names of the files in a sweep's folder."""

_START = 0.02  # seconds of a first call, so that each process gets one
_WATCH = 0.5  # seconds from one look for the parent to the next
_SHARED_FROM = 4096  # bytes of an array from which on processes map it rather than get it sent


class SweepFileError(ValueError):
    """A file of results has a line that is none; the message names both."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a run: its last losses and accuracies, None where there are none."""

    settings: Settings
    outcome: str
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float = 0.0
    parameters: int = 0

    @property
    def rank(self) -> tuple:
        """What is greater for a better run: accuracy, then loss; the same order on every day."""
        finished = self.outcome == "finished"
        accuracy = self.val_accuracy if self.val_accuracy is not None else -math.inf
        loss = self.val_loss if self.val_loss is not None else math.inf
        return finished, accuracy, -loss, key_of(self.settings)

    def to_line(self) -> str:
        """A line of JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> Result:
        """The result of a line; raises LookupError, TypeError or ValueError for what is none."""
        plain = json.loads(line)
        return cls(from_plain(plain.pop("settings")), **plain)


class Sweep:
    """The runs of some settings, in a folder; those that it has results of are done.

    Raises SweepFileError for a file of results that is none, and OSError for a folder that cannot
    be written.
    """

    def __init__(self, points: Sequence[Settings], folder: Path):
        self.folder = folder
        self.results = {key_of(each.settings): each for each in read_results(folder / RESULTS)}
        self.points = [dataclasses.replace(each, threads=1) for each in points]
        self.trained, self.seconds = 0, 0.0
        files.remove_partials(folder / BEST)

    @property
    def best(self) -> Result | None:
        """The run whose model is kept: the best on its validation rows."""
        return max(self.results.values(), key=lambda result: result.rank, default=None)

    @property
    def rate(self) -> float:
        """Models trained a second by `run`; 0 where there was none to train."""
        return self.trained / self.seconds if self.trained else 0.0

    @property
    def left(self) -> list[Settings]:
        """Settings without a result yet, and those of the best model, should it be missing."""
        done = set(self.results)
        if self.best is not None and not (self.folder / BEST).exists():
            done.remove(key_of(self.best.settings))
        return [each for each in self.points if key_of(each) not in done]

    def run(self, dataset: Dataset, jobs: int) -> Iterator[Result]:
        """Train all that are left, in so many processes, and give their results as they come.

        `trained` counts them, and `seconds` is the time that it took, without that for the
        processes to start.
        """
        left = self.left
        dtypes = sorted({each.dtype for each in left})
        with _processes(jobs, _get_ready, dtypes) as parallel:
            started = time.perf_counter()
            tasks = (delayed(_train)(settings, dataset) for settings in left)
            for result, model in parallel(tasks):
                self._keep(result, model)
                self.trained, self.seconds = self.trained + 1, time.perf_counter() - started
                yield result

    def _keep(self, result: Result, model: bytes) -> None:
        """Keep a result; the model first, so that a line stands for a model that is there."""
        if self.best is None or result.rank >= self.best.rank:
            with files.replacing(self.folder / BEST) as file:
                file.write(model)
        files.append_line(self.folder / RESULTS, result.to_line())
        self.results[key_of(result.settings)] = result


def run_in_torch(
    points: Sequence[Settings], dataset: Dataset, jobs: int
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Train the same networks by PyTorch, in so many processes of one thread each.

    Gives for each the seconds from the first's beginning, without those for the processes to
    start, and what `fastnn.runs.in_torch.train` gives. Raises ImportError where there is no torch.
    """
    from fastnn.runs import in_torch as torch_training

    with _processes(jobs, _get_torch_ready) as parallel:
        started = time.perf_counter()
        tasks = (delayed(torch_training.train)(settings, dataset) for settings in points)
        for result in parallel(tasks):
            yield time.perf_counter() - started, result


@contextmanager
def _processes(jobs: int, prepare: Callable, *arguments) -> Iterator[Parallel]:
    """Processes of one thread each, in which a function that prepares for work has been called."""
    with Parallel(
        jobs, backend="loky", return_as="generator_unordered", max_nbytes=_SHARED_FROM,
        inner_max_num_threads=1, initializer=_begin, initargs=(os.getpid(), prepare, *arguments),
    ) as parallel:  # fmt: skip
        if jobs == 1:  # it is this process that works
            prepare(*arguments)
        list(parallel(delayed(time.sleep)(_START) for _ in range(jobs)))
        yield parallel


def _begin(parent: int, prepare: Callable, *arguments) -> None:
    """Begin a process, which ends when its parent does, be that by a kill."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    prepare(*arguments)


def read_results(path: Path) -> list[Result]:
    """Results of a file, none where there is no file; a last line without an end is cut off.

    Raises SweepFileError for another line that is none.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    results = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            results.append(Result.from_line(line.decode()))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise SweepFileError(f"{path}: line {number} is no result of a run: {error}") from None
    if whole != content:
        with files.replacing(path) as file:
            file.write(whole)
    return results


def _get_ready(dtypes: list[str]) -> None:
    """Import and compile what training takes, by a training."""
    for dtype in dtypes:
        Run(*_smallest(dtype)).train()


def _get_torch_ready() -> None:
    from fastnn.runs import in_torch as torch_training

    torch_training.train(*_smallest("float32"))


def _smallest(dtype: str) -> tuple[Settings, Dataset]:
    return Settings("disk", hidden=(1,), epochs=1, dtype=dtype, threads=1), datasets.disk(9, 9)


def _train(settings: Settings, dataset: Dataset) -> tuple[Result, bytes]:
    """Train a model: what came of it, and its file's bytes."""
    run = Run(settings, dataset)
    with suppress(NonFiniteLossError):  # the outcome says so
        run.train()
    last = {
        name: values[-1] if values and _is_number(values[-1]) else None
        for name, values in vars(run.history).items()
        if name in ("loss", "accuracy", "val_loss", "val_accuracy")
    }
    numbers: dict[str, Any] = {**last, "seconds": run.seconds, "parameters": run.parameters}
    return Result(settings, run.outcome, **numbers), checkpoint.dumps(run.model)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
