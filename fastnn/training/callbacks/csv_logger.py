"""CSVLogger: the history as a CSV file with one line for each epoch."""

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
    """Callback that writes a CSV file with one line for each epoch.

    A line holds the epoch, the learning rate at its start, losses, accuracies and seconds; missing
    values, such as those of validation, are empty. A resumed run appends to the file, another run
    replaces it.

    Parameters
    ----------
    path : path-like
        The file to write; missing parent folders are created.

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
        """Open the file and keep the lines of the epochs before a resumed run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO(newline="")
        csv.writer(text).writerows([self.COLUMNS, *self._lines_until(training.epoch)])
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())
        self._file = self.path.open("a", newline="", encoding="utf-8")

    def _lines_until(self, epoch: int) -> list[list[str]]:
        """Return the file's complete lines of epochs up to this one."""
        if epoch == 0 or not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            lines = list(csv.reader(file))[1:]
        whole = (line for line in lines if len(line) == len(self.COLUMNS))
        return [line for line in whole if int(line[0]) <= epoch]

    def on_epoch_begin(self, training: Training) -> None:
        """Store the learning rate."""
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
