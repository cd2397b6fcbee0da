"""ModelCheckpoint: the best model so far, in a file."""

from __future__ import annotations

import os
from pathlib import Path

from fastnn.files import models
from fastnn.training.callbacks.watch import Watch
from fastnn.training.training import Training


class ModelCheckpoint(Watch):
    """Save the model after each epoch that is the best so far.

    Parameters
    ----------
    path : path-like
        The model file. It may hold `{epoch}`, and then each epoch gets a file of its own.
    monitor : str, optional
        List of the history to watch; None takes `val_loss`, or `loss` where nothing is validated.
    mode : {"min", "max"}, optional
        Which way is better; None takes "max" for accuracies.
    min_delta : float, default 0.0
        By how much a better number has to differ from the best one.
    save_best_only : bool, default True
        Whether only the best epochs are saved; otherwise all are.

    Raises
    ------
    ValueError
        For a list that there is not, and for settings out of range. When training begins, what
        `fastnn.save` raises for a model that cannot be saved.

    Examples
    --------
    >>> from fastnn.callbacks import ModelCheckpoint
    >>> ModelCheckpoint("models/{epoch}.safetensors", save_best_only=False).path
    'models/{epoch}.safetensors'
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str | None = None,
                 mode: str | None = None, min_delta: float = 0.0,
                 save_best_only: bool = True):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.path, self.save_best_only = os.fspath(path), save_best_only

    def on_train_begin(self, training: Training) -> None:
        """Check that the model can be saved, and make the folder."""
        super().on_train_begin(training)
        models.check(training.model)
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, training: Training) -> None:
        """Save the model."""
        if self._has_improved(training) or not self.save_best_only:
            models.save(training.model, self.path.replace("{epoch}", str(training.epoch)))
