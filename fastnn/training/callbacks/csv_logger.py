"""CSVLogger: the history as a CSV file with one line for each epoch."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TextIO

from fastnn.files.atomic import make_folder, open_in_place, replacing
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
        make_folder(self.path.parent)
        place = open_in_place(self.path)
        if place is None:
            with replacing(self.path) as file:
                file.write(self._text_until(training.epoch))
            place = self.path.open("ab")
        else:  # a pipe or a device, which is opened once
            place.write(self._text_until(0))
        self._file = io.TextIOWrapper(place, "utf-8", newline="")

    def _text_until(self, epoch: int) -> bytes:
        """Return the line of names, and the file's complete lines of epochs up to this one."""
        lines = [",".join(self.COLUMNS)]
        if epoch > 0 and self.path.exists():
            found = self.path.read_bytes().decode("utf-8", "replace").splitlines()
            known = set(map(str, range(1, epoch + 1)))
            # A power cut may leave zeros and halves of lines.
            whole = (line for line in found if line.count(",") == lines[0].count(","))
            lines += [line for line in whole if line.partition(",")[0] in known]
        return "".join(f"{line}\r\n" for line in lines).encode()

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
