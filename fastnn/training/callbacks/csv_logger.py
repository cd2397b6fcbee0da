"""CSVLogger: the history as a file that grows by a line an epoch."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TextIO

from fastnn.files.atomic import replacing
from fastnn.optim.monitors import MONITORS
from fastnn.training.callbacks.callback import Callback
from fastnn.training.training import Training


class CSVLogger(Callback):
    """Write a line for each epoch: epoch, learning rate, losses, accuracies and seconds.

    The learning rate is that of the epoch's start. What there is not, such as validation, is left
    empty. A run that goes on later goes on in the file; otherwise the file is replaced.

    Parameters
    ----------
    path : path-like
        The file to write; folders above it are made.

    Examples
    --------
    >>> from fastnn.callbacks import CSVLogger
    >>> CSVLogger("log.csv").COLUMNS
    ('epoch', 'lr', 'loss', 'accuracy', 'val_loss', 'val_accuracy', 'seconds')
    """

    COLUMNS = ("epoch", "lr", *MONITORS, "seconds")

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._file: TextIO | None = None

    def on_train_begin(self, training: Training) -> None:
        """Open the file, with the lines of epochs that were done before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO(newline="")
        csv.writer(text).writerows([self.COLUMNS, *self._lines_until(training.epoch)])
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())
        self._file = self.path.open("a", newline="", encoding="utf-8")

    def _lines_until(self, epoch: int) -> list[list[str]]:
        """Return the file's whole lines of epochs up to this one."""
        if epoch == 0 or not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            lines = list(csv.reader(file))[1:]
        whole = (line for line in lines if len(line) == len(self.COLUMNS))
        return [line for line in whole if int(line[0]) <= epoch]

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
