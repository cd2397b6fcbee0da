"""ModelCheckpoint: the best model so far in a file."""

from __future__ import annotations

import os
from pathlib import Path

from fastnn.files import models
from fastnn.files.atomic import make_folder
from fastnn.training.callbacks.watch import Watch
from fastnn.training.training import Training


class ModelCheckpoint(Watch):
    """Callback that saves the model after each epoch that is the best so far.

    Its `validation_data` should not be the test rows: the best of many epochs on these looks better
    than it is on new rows.

    When training begins, it raises the errors of `fastnn.save` for a model that cannot be saved.

    Parameters
    ----------
    path : path-like
        The model file; `{epoch}` in it is replaced by the number of the epoch.
    monitor : str, optional
        List of the history to watch; None takes `val_loss`, or `loss` without validation.
    mode : {"min", "max"}, optional
        Whether smaller or larger numbers are better; None takes "max" for accuracies, else "min".
    min_delta : float, default 0.0
        Least difference to the best number that counts as an improvement.
    save_best_only : bool, default True
        Whether only the best epochs are saved; False saves all.

    Raises
    ------
    ValueError
        For an unknown list, and for settings out of range.

    Examples
    --------
    >>> from fastnn.callbacks import ModelCheckpoint
    >>> ModelCheckpoint("models/{epoch}.safetensors", save_best_only=False).path
    'models/{epoch}.safetensors'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str | None = None,
        mode: str | None = None,
        min_delta: float = 0.0,
        save_best_only: bool = True,
    ):
        super().__init__(monitor, mode, min_delta)
        self.path, self.save_best_only = os.fspath(path), save_best_only
        self._place = self.path

    def on_train_begin(self, training: Training) -> None:
        """Check that the model can be saved, and create the folder."""
        super().on_train_begin(training)
        models.check(training.model)
        self._place = os.path.abspath(self.path)  # the current folder may change
        make_folder(Path(self._place).parent)

    def on_epoch_end(self, training: Training) -> None:
        """Save the model if this epoch is the best, or all are saved."""
        if self._has_improved(training) or not self.save_best_only:
            models.save(training.model, self._place.replace("{epoch}", str(training.epoch)))
