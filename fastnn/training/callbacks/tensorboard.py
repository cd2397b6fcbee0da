"""TensorBoard: the history as event files for TensorBoard."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from fastnn.optim.monitors import MONITORS
from fastnn.training.callbacks.callback import Callback
from fastnn.training.training import Training


class TensorBoard(Callback):
    """Callback that writes losses, accuracies and the learning rate for TensorBoard.

    The event files are written by torch if it is installed, otherwise by the package
    `tensorboard` (`pip install "fastnn[tensorboard]"`).

    Parameters
    ----------
    folder : path-like
        Folder of the event files.

    Raises
    ------
    ImportError
        If both packages are missing.

    Examples
    --------
    >>> from fastnn.callbacks import TensorBoard
    >>> callbacks = [TensorBoard("runs/first")]  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = os.fspath(folder)
        self._make = _tensorboard_writer()
        self._writer: Any = None

    def on_train_begin(self, training: Training) -> None:
        """Open an event file in the folder."""
        self._writer = self._make(self.folder)

    def on_epoch_begin(self, training: Training) -> None:
        """Write the learning rate."""
        self._writer.add_scalar("lr", training.optimizer.lr, training.epoch)

    def on_epoch_end(self, training: Training) -> None:
        """Write losses and accuracies of the epoch."""
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
    """Return the class of writers for a folder: torch's `SummaryWriter`, or a substitute."""
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
