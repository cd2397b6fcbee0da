"""Callbacks: what may happen between epochs, and those that come with fastnn.

fastnn.fit(..., callbacks=[EarlyStopping(patience=5), CSVLogger("log.csv")])
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from fastnn.files import models as checkpoint
from fastnn.files.atomic import replacing
from fastnn.training.history import MONITORS, check_monitor, last_of
from fastnn.training.progress import ProgressBar

if TYPE_CHECKING:
    from fastnn.training.fit import Training

__all__ = ["Callback"]


class Callback:
    """What may happen between epochs; override what you need.

    Each method is given the `Training`, whose `stop` may be set to end it after the
    epoch. A plain function given to `fit` is called as `on_epoch_end`.
    """

    def on_train_begin(self, training: Training) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, training: Training) -> None:
        """Before an epoch."""

    def on_batches_end(self, training: Training) -> None:
        """Every few hundredths of a second of an epoch, for what shows how far it is."""

    def on_epoch_end(self, training: Training) -> None:
        """After an epoch, its validation, and the schedule's step."""

    def on_train_end(self, training: Training) -> None:
        """After the last epoch, also one that was interrupted."""

    def state_dict(self) -> dict[str, Any]:
        """What the callback has to remember for a run to go on later; numbers and arrays."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state, before a run that goes on behind epoch `training.epoch`."""


class _FunctionCallback(Callback):
    def __init__(self, function: Callable[[Training], object]):
        self._function = function

    def on_epoch_end(self, training):
        self._function(training)


class Progress(Callback):
    """A progress bar over the batches of all epochs: `fit(progress=True)`."""

    def __init__(self) -> None:
        self._bar = ProgressBar(0, 0, visible=False)

    def on_train_begin(self, training: Training) -> None:
        """Show the bar."""
        self._bar = ProgressBar(training.epochs, training.batches, finished=training.epoch)
        self._bar.__enter__()

    def on_batches_end(self, training: Training) -> None:
        """Show how many batches are done."""
        self._bar.batches_done(training.batch)

    def on_epoch_end(self, training: Training) -> None:
        """Show the results of the epoch."""
        self._bar.epoch_done(training.history)

    def on_train_end(self, training: Training) -> None:
        """Leave the bar as it is."""
        self._bar.__exit__()


class _Watch(Callback):
    """Knows when a number of the history has become better.

    `monitor` names a list of the history; None takes `val_loss`, or `loss` where nothing is
    validated. `mode` says which way is better; None takes "max" for accuracies.
    """

    def __init__(self, monitor: str | None, mode: str | None, min_delta: float):
        self._name = type(self).__name__
        check_monitor(self._name, monitor, validating=True)
        if mode not in (None, "min", "max"):
            raise ValueError(f"{self._name}: mode is {mode!r}; expected 'min', 'max' or None")
        if not min_delta >= 0:
            raise ValueError(
                f"{self._name}: min_delta is {min_delta!r}; expected a number of 0 or more"
            )
        self.monitor, self.min_delta = monitor, min_delta
        falling = monitor is None or monitor.endswith("loss")
        self.mode = mode or ("min" if falling else "max")
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch = 0

    def on_train_begin(self, training: Training) -> None:
        """See that there will be something to watch."""
        check_monitor(self._name, self.monitor, training.validating)
        if training.epoch == 0:
            self._forget()

    def _has_improved(self, training: Training) -> bool:
        """Whether the last epoch is the best so far; notes it if so."""
        number = last_of(training.history, self.monitor)
        sign = 1 if self.mode == "max" else -1
        better = not math.isnan(number) and (
            self.best is None or sign * (number - self.best) > self.min_delta
        )
        if better:
            self.best, self.best_epoch = number, training.epoch
        return better

    def state_dict(self) -> dict[str, Any]:
        """The best number and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]


class EarlyStopping(_Watch):
    """Ends training when a number has not become better for `patience` epochs.

    Better means by more than `min_delta`. With `restore_best` the model holds the weights of
    the best epoch afterwards, however training ended. `monitor` names a list of the history
    (None: `val_loss`, or `loss` where nothing is validated); `mode` "min" or "max" says
    which way is better (None: "max" for accuracies). `best`, `best_epoch` and `stopped_epoch`
    (0 where it was not needed) tell what happened.
    """

    def __init__(self, monitor: str | None = None, patience: int = 10, min_delta: float = 0.0,
                 mode: str | None = None, restore_best: bool = True):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        if not isinstance(patience, (int, np.integer)) or patience < 0:
            raise ValueError(
                f"EarlyStopping: patience is {patience!r}; expected an integer of 0 or more"
            )
        self.patience, self.restore_best = int(patience), restore_best

    def _forget(self) -> None:
        super()._forget()
        self.stopped_epoch = 0
        self._weights: dict[str, np.ndarray] | None = None

    def on_epoch_end(self, training: Training) -> None:
        """Keep the weights of the best epoch, or stop."""
        if self._has_improved(training):
            if self.restore_best:
                self._weights = training.model.state_dict()
        elif training.epoch - self.best_epoch >= max(self.patience, 1):
            training.stop, self.stopped_epoch = True, training.epoch

    def on_train_end(self, training: Training) -> None:
        """Go back to the best weights."""
        if self._weights is not None:
            training.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """The best number, its epoch and its weights, and the epoch that was the last."""
        return super().state_dict() | {
            "weights": dict(self._weights or {}), "stopped_epoch": self.stopped_epoch,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().load_state_dict(state)
        self._weights = dict(state["weights"]) or None
        self.stopped_epoch = state["stopped_epoch"]


class ModelCheckpoint(_Watch):
    """Saves the model to `path` after each epoch that is the best so far.

    `path` may hold `{epoch}`, and then each gets a file of its own. With `save_best_only`
    false every epoch is saved; `monitor`, `mode` and `min_delta` are as in `EarlyStopping`.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str | None = None,
                 mode: str | None = None, min_delta: float = 0.0,
                 save_best_only: bool = True):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.path, self.save_best_only = os.fspath(path), save_best_only

    def on_train_begin(self, training: Training) -> None:
        """See that the model can be saved, and make the folder."""
        super().on_train_begin(training)
        checkpoint.check(training.model)
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, training: Training) -> None:
        """Save the model."""
        if self._has_improved(training) or not self.save_best_only:
            checkpoint.save(training.model, self.path.replace("{epoch}", str(training.epoch)))


class CSVLogger(Callback):
    """Writes a line for each epoch: epoch, learning rate at its start, losses, accuracies, seconds.

    What there is not, such as validation, is left empty. A run that goes on later goes on in
    the file; otherwise a file that was there is replaced.
    """

    COLUMNS = ("epoch", "lr", *MONITORS, "seconds")

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._file: TextIO | None = None

    def on_train_begin(self, training: Training) -> None:
        """Open the file, keeping lines of epochs that were done before."""
        done: list[list[str]] = []
        if training.epoch and self.path.exists():
            with self.path.open(newline="") as file:
                lines = list(csv.reader(file))[1:]
            whole = (line for line in lines if len(line) == len(self.COLUMNS))
            done = [line for line in whole if int(line[0]) <= training.epoch]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO(newline="")
        csv.writer(text).writerows([self.COLUMNS, *done])
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())
        self._file = self.path.open("a", newline="", encoding="utf-8")

    def on_epoch_begin(self, training: Training) -> None:
        """Note the learning rate."""
        self._lr = training.optimizer.lr

    def on_epoch_end(self, training: Training) -> None:
        """Write a line."""
        assert self._file is not None
        numbers = [getattr(training.history, name)[-1] for name in self.COLUMNS[2:]]
        csv.writer(self._file).writerow([training.epoch, self._lr, *numbers])
        self._file.flush()

    def on_train_end(self, training: Training) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class TensorBoard(Callback):
    """Writes losses, accuracies and the learning rate for TensorBoard, by torch's writer if there.

    Without torch the package `tensorboard` writes them. Raises ImportError where that is
    missing too: `pip install "fastnn[tensorboard]"`.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = os.fspath(folder)
        self._make = _tensorboard_writer()
        self._writer: Any = None

    def on_train_begin(self, training: Training) -> None:
        """Open a file of events in the folder."""
        self._writer = self._make(self.folder)

    def on_epoch_begin(self, training: Training) -> None:
        """Write the learning rate."""
        self._writer.add_scalar("lr", training.optimizer.lr, training.epoch)

    def on_epoch_end(self, training: Training) -> None:
        """Write what the epoch ended with."""
        for name in MONITORS:
            number = getattr(training.history, name)[-1]
            if number is not None:
                kind = name.removeprefix("val_")
                part = "train" if kind == name else "validation"
                self._writer.add_scalar(f"{kind}/{part}", number, training.epoch)

    def on_train_end(self, training: Training) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _tensorboard_writer() -> Callable[[str], Any]:
    """What makes a writer for a folder: torch's `SummaryWriter`, or one like it."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter
    except ImportError:
        pass
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise ImportError(
            'TensorBoard: the package tensorboard is missing; pip install "fastnn[tensorboard]"'
        ) from None

    class Writer(EventFileWriter):
        def add_scalar(self, tag: str, number: float, step: int) -> None:
            value = Summary.Value(tag=tag, simple_value=number)
            summary = Summary(value=[value])
            self.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    return Writer


def listeners(callbacks: Iterable[Callback | Callable[[Training], object]]) -> list[Callback]:
    """Callbacks as objects; raises TypeError for things that are neither objects nor functions."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {callbacks!r}; expected a list of them")
    found = []
    for each in callbacks:
        if isinstance(each, type) or not (isinstance(each, Callback) or callable(each)):
            raise TypeError(f"callback {each!r} is neither a Callback nor a function")
        found.append(each if isinstance(each, Callback) else _FunctionCallback(each))
    return found


def notify(listeners: Iterable[Callback], event: str, training: Training) -> None:
    """Tell all callbacks of an event, by the name of their method."""
    for listener in listeners:
        getattr(listener, event)(training)


def hear_of_batches(listeners: Iterable[Callback]) -> bool:
    """Whether any callback wants to know of batches, and may look at the model then."""
    plain = Callback.on_batches_end, Progress.on_batches_end
    return any(type(each).on_batches_end not in plain for each in listeners)
