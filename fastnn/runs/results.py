"""Results of a sweep: a line of JSON for each run, and the best model, in a folder."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

from fastnn.files import atomic
from fastnn.runs.settings import Settings, from_plain, key_of

RESULTS, BEST = "results.jsonl", "best.safetensors"
"""Names of the files in a sweep's folder."""


class SweepFileError(ValueError):
    """A file of results has a line that is none; the message names both."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The last losses and accuracies of a run, None where there are none."""

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
        """Return what is greater for a better run: accuracy, then loss; ties have one order."""
        finished = self.outcome == "finished"
        accuracy = self.val_accuracy if self.val_accuracy is not None else -math.inf
        loss = self.val_loss if self.val_loss is not None else math.inf
        return finished, accuracy, -loss, key_of(self.settings)

    def to_line(self) -> str:
        """Return a line of JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> Result:
        """Read the result of a line; raise LookupError, TypeError or ValueError for another."""
        plain = json.loads(line)
        return cls(from_plain(plain.pop("settings")), **plain)


class Results:
    """Results of runs by `key_of` their settings, and the best model, kept in a folder.

    Raises SweepFileError for a file of results that is none, and OSError for a folder that cannot
    be written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.results = {key_of(each.settings): each for each in read_results(folder / RESULTS)}
        atomic.remove_partials(folder / BEST)

    @property
    def best(self) -> Result | None:
        """Return the run whose model is kept: the best on its validation rows."""
        return max(self.results.values(), key=lambda result: result.rank, default=None)

    def keep(self, result: Result, model: bytes) -> None:
        """Keep a result; the model first, so that a line stands for a model that is there."""
        if self.best is None or result.rank >= self.best.rank:
            with atomic.replacing(self.folder / BEST) as file:
                file.write(model)
        atomic.append_line(self.folder / RESULTS, result.to_line())
        self.results[key_of(result.settings)] = result


def read_results(path: Path) -> list[Result]:
    """Read the results of a file, if there is one; cut off a last line that has no end.

    Raises SweepFileError for another line that is no result.
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
        with atomic.replacing(path) as file:
            file.write(whole)
    return results
