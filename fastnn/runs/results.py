"""Results of a sweep: a folder with a line of JSON for each run, and the best model.

The best model's file holds its result, too, and is written before the line. So whenever a sweep is
ended from outside, the next one knows whose model it is, and adds the line that is missing.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastnn.files import atomic, container, models, plain
from fastnn.files.container import ModelFileError
from fastnn.nn.sequential import Sequential
from fastnn.runs.settings import Settings, check_types, from_plain, key_of

RESULTS, BEST = "results.jsonl", "best.safetensors"
"""Names of the files in a sweep's folder."""

_RESULT = "result"  # entry of the best model's description
_NO_RESULT = AttributeError, LookupError, TypeError, ValueError


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

    def to_bytes(self, model: Sequential) -> bytes:
        """Return the bytes of a model's file, with this result, but for the time, in it."""
        result = dataclasses.replace(self, seconds=0.0)  # one seed, one file
        description = {**models.description_of(model), _RESULT: dataclasses.asdict(result)}
        return container.packed(description, model.state_dict())

    @classmethod
    def from_line(cls, line: str | bytes) -> Result:
        """Return the result in a line; raise LookupError, TypeError or ValueError if invalid."""
        return cls.from_plain(plain.loads(line))

    @classmethod
    def from_plain(cls, found: Mapping[str, Any]) -> Result:
        """Return the result in plain values; raise as `from_line` does if they are invalid."""
        given = {**found, "settings": from_plain(found["settings"])}
        check_types(cls, given)
        return cls(**given)


class Results:
    """Results by `key_of` their settings, and the best model, in a folder that nobody else writes.

    A context manager, or `close` lets others write there. Raises InUseError if another sweep does
    now, SweepFileError if the file of results cannot be read, and OSError if the folder cannot be
    written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = atomic.locked(folder, RESULTS)
        try:
            self.results = {key_of(each.settings): each for each in read_results(folder / RESULTS)}
            self._repair()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write in the folder."""
        self._lock.release()

    def _repair(self) -> None:
        """Clean up after a sweep that was ended from outside."""
        for name in (RESULTS, BEST):
            atomic.remove_partials(self.folder / name)
        _cut(self.folder / RESULTS)
        self._kept: Result | None = None
        if (self.folder / RESULTS).exists():  # without one, somebody begins anew
            self._kept = _result_in(self.folder / BEST)
        if self._kept is not None:
            known = self.results.get(key_of(self._kept.settings))
            if known is None or known.rank != self._kept.rank:
                self._add(self._kept)

    @property
    def best(self) -> Result | None:
        """Return the result of the run that did best on its validation rows."""
        return max(self.results.values(), key=lambda result: result.rank, default=None)

    @property
    def lost(self) -> Settings | None:
        """Return the settings of the best run if its model is not in the folder, else None."""
        if self.best is None or (self._kept is not None and self._kept.rank == self.best.rank):
            return None
        return self.best.settings

    def keep(self, result: Result, model: bytes) -> None:
        """Write a result, and its model if it is the best; the model first, in case of a kill."""
        self.results.pop(key_of(result.settings), None)
        if self.best is None or result.rank >= self.best.rank:
            with atomic.replacing(self.folder / BEST) as file:
                file.write(model)
            self._kept = result
        self._add(result)

    def _add(self, result: Result) -> None:
        self._lock.check()
        atomic.append_line(self.folder / RESULTS, result.to_line())
        self.results[key_of(result.settings)] = result


def read_results(path: Path) -> list[Result]:
    """Return the results in a file, none if it is missing, without an unfinished last line.

    Raises SweepFileError for any other line that cannot be read.
    """
    results = []
    for number, line in enumerate(_whole(_content(path)).splitlines(), 1):
        try:
            results.append(Result.from_line(line))
        except _NO_RESULT as error:
            raise SweepFileError(f"{path}: line {number} is no result of a run: {error}") from None
    return results


def _content(path: Path) -> bytes:
    atomic.check_regular(path)
    return path.read_bytes() if path.exists() else b""


def _whole(content: bytes) -> bytes:
    """Return the whole lines: a power cut may leave half a line, and zeros in its place."""
    whole = content[: content.rfind(b"\n") + 1]
    last = whole.rfind(b"\n", 0, -1) + 1
    return whole[:last] if b"\0" in whole[last:] else whole


def _cut(path: Path) -> None:
    """Cut off an unfinished last line."""
    content = _content(path)
    if (whole := _whole(content)) != content:
        with atomic.replacing(path) as file:
            file.write(whole)


def _result_in(path: Path) -> Result | None:
    """Return the result in the file of a best model; None without one, or if it is damaged."""
    try:
        description = container.read(path).description or {}
        return Result.from_plain(description[_RESULT])
    except (FileNotFoundError, ModelFileError, *_NO_RESULT):
        return None
