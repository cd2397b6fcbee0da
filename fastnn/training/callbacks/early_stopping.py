"""EarlyStopping: an end to training that brings nothing any more."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.training.callbacks.watch import Watch
from fastnn.training.training import Training


class EarlyStopping(Watch):
    """End training when a number has not become better for some epochs.

    Parameters
    ----------
    monitor : str, optional
        List of the history to watch; None takes `val_loss`, or `loss` where nothing is validated.
    patience : int, default 10
        How many epochs without a better number are allowed.
    min_delta : float, default 0.0
        By how much a better number has to differ from the best one.
    mode : {"min", "max"}, optional
        Which way is better; None takes "max" for accuracies.
    restore_best : bool, default True
        Whether the model holds the weights of the best epoch afterwards, however training ended.

    Attributes
    ----------
    best, best_epoch
        The best number and its epoch, from 1.
    stopped_epoch : int
        The epoch after which training was ended; 0 where it was not.

    Raises
    ------
    ValueError
        For a list that there is not, and for settings out of range.

    Examples
    --------
    >>> from fastnn.callbacks import EarlyStopping
    >>> stop = EarlyStopping(patience=5)
    >>> stop.mode, stop.stopped_epoch
    ('min', 0)
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
        """Return the best number, its epoch and its weights, and the epoch that was the last."""
        weights = dict(self._weights or {})
        return super().state_dict() | {"weights": weights, "stopped_epoch": self.stopped_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().load_state_dict(state)
        self._weights = dict(state["weights"]) or None
        self.stopped_epoch = state["stopped_epoch"]
