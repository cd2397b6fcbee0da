"""The base class of callbacks that watch a number of the history for improvement."""

from __future__ import annotations

import math
from typing import Any

from fastnn.files.plain import count, number
from fastnn.optim.monitors import check_monitor
from fastnn.training.callbacks.callback import Callback
from fastnn.training.training import Training


class Watch(Callback):
    """Callback that watches a number of the history for improvement.

    Parameters
    ----------
    monitor : str or None
        List of the history to watch; None takes `val_loss`, or `loss` without validation.
    mode : {"min", "max"} or None
        Whether smaller or larger numbers are better; None takes "max" for accuracies, else "min".
    min_delta : float
        Least difference to the best number that counts as an improvement, 0 or more.
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
        """Check that the watched list will be filled; reset the best number in a new run."""
        check_monitor(self._name, self.monitor, training.validating)
        if training.epoch == 0:
            self._forget()

    def _has_improved(self, training: Training) -> bool:
        """Return whether the last epoch is the best so far; store its number if so."""
        last = training.history.last(self.monitor)
        sign = 1 if self.mode == "max" else -1
        better = not math.isnan(last) and (
            self.best is None or sign * (last - self.best) > self.min_delta
        )
        if better:
            self.best, self.best_epoch = last, training.epoch
        return better

    def state_dict(self) -> dict[str, Any]:
        """Return the best number and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`; raise ValueError if it holds no numbers."""
        self.best = number("best", state["best"])
        self.best_epoch = count("best_epoch", state["best_epoch"])
