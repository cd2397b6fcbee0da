"""EarlyStopping: the end of a training that no longer improves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.files.plain import count
from fastnn.nn.state_dicts import as_array, compare
from fastnn.training.callbacks.watch import Watch
from fastnn.training.training import Training
from kernels.base import arrays


class EarlyStopping(Watch):
    """Callback that ends training when a number of the history has stopped improving.

    Its `validation_data` should not be the test rows: the best of many epochs on these looks better
    than it is on new rows.

    Parameters
    ----------
    monitor : str, optional
        List of the history to watch; None takes `val_loss`, or `loss` without validation.
    patience : int, default 10
        Number of epochs without improvement after which training ends.
    min_delta : float, default 0.0
        Least difference to the best number that counts as an improvement.
    mode : {"min", "max"}, optional
        Whether smaller or larger numbers are better; None takes "max" for accuracies, else "min".
    restore_best : bool, default True
        Whether the model gets the weights of the best epoch afterwards, however training ended.

    Attributes
    ----------
    best : float or None
        The best number so far.
    best_epoch : int
        Epoch of the best number, from 1; 0 before the first.
    stopped_epoch : int
        Epoch after which the callback ended training; 0 if it did not.

    Raises
    ------
    ValueError
        For an unknown list, and for settings out of range.

    Examples
    --------
    >>> from fastnn.callbacks import EarlyStopping
    >>> stop = EarlyStopping(patience=5)
    >>> stop.mode, stop.stopped_epoch
    ('min', 0)
    """

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str | None = None,
        restore_best: bool = True,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = arrays.count("EarlyStopping: patience", patience, 0)
        self.restore_best = restore_best

    def _forget(self) -> None:
        super()._forget()
        self.stopped_epoch = 0
        self._weights: dict[str, np.ndarray] | None = None

    def on_epoch_end(self, training: Training) -> None:
        """Store the weights of the best epoch, or end training."""
        if self._has_improved(training):
            if self.restore_best:
                self._weights = training.model.state_dict()
        elif training.epoch - self.best_epoch >= max(self.patience, 1):
            training.stop, self.stopped_epoch = True, training.epoch

    def on_resume(self, training: Training) -> None:
        """Raise KeyError or ValueError for best weights that are not of this model."""
        if self._weights is not None:
            compare(training.model.state_dict(), self._weights, strict=True)

    def on_train_end(self, training: Training) -> None:
        """Restore the best weights."""
        if self._weights is not None:
            training.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best number, its epoch and weights, and `stopped_epoch`."""
        weights = dict(self._weights or {})
        return super().state_dict() | {"weights": weights, "stopped_epoch": self.stopped_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`."""
        super().load_state_dict(state)
        weights = dict(state["weights"])
        self._weights = {name: as_array(name, each) for name, each in weights.items()} or None
        self.stopped_epoch = count("stopped_epoch", state["stopped_epoch"])
