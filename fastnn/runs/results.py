"""Results of a sweep: a folder with a line of JSON for each run, and the best model."""

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
    """Error for a file of results with a line that cannot be read; the message names both."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Settings, outcome, and losses and accuracies of the last epoch (None if missing) of a run."""

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
        """Return a key that is greater for a better run: by accuracy, then loss, then settings."""
        finished = self.outcome == "finished"
        accuracy = self.val_accuracy if self.val_accuracy is not None else -math.inf
        loss = self.val_loss if self.val_loss is not None else math.inf
        return finished, accuracy, -loss, key_of(self.settings)

    def to_line(self) -> str:
        """Return the result as a line of JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> Result:
        """Return the result in a line; raise LookupError, TypeError or ValueError if invalid."""
        plain = json.loads(line)
        result = cls(from_plain(plain.pop("settings")), **plain)
        for name, value in vars(result).items():
            if name not in ("settings", "outcome") and not _is_kept(value):
                raise ValueError(f"{name} is {value!r}; expected a finite number or null")
        return result


def _is_kept(value: object) -> bool:
    """Return whether a value is None or a finite number."""
    return type(value) in (int, type(None)) or (type(value) is float and math.isfinite(value))


class Results:
    """Results by `key_of` their settings, and the best model, kept in a folder.

    Raises SweepFileError if the file of results cannot be read, and OSError if the folder cannot be
    written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.results = {key_of(each.settings): each for each in read_results(folder / RESULTS)}
        atomic.remove_partials(folder / BEST)

    @property
    def best(self) -> Result | None:
        """Return the result of the run that did best on its validation rows."""
        return max(self.results.values(), key=lambda result: result.rank, default=None)

    def keep(self, result: Result, model: bytes) -> None:
        """Write a result, and its model if it is the best; the model first, in case of a kill."""
        if self.best is None or result.rank >= self.best.rank:
            with atomic.replacing(self.folder / BEST) as file:
                file.write(model)
        atomic.append_line(self.folder / RESULTS, result.to_line())
        self.results[key_of(result.settings)] = result


def read_results(path: Path) -> list[Result]:
    """Return the results in a file, none if it is missing; cut off an unfinished last line.

    Raises SweepFileError for any other line that cannot be read.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    results = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            results.append(Result.from_line(line.decode()))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise SweepFileError(f"{path}: line {number} is no result of a run: {error}") from None
    if whole != content:
        with atomic.replacing(path) as file:
            file.write(whole)
    return results
