"""A watch: a callback that knows when a number of the history has become better."""

from __future__ import annotations

import math
from typing import Any

from fastnn.optim.monitors import check_monitor
from fastnn.training.callbacks.callback import Callback
from fastnn.training.training import Training


class Watch(Callback):
    """A callback that knows when a number of the history has become better.

    Parameters
    ----------
    monitor : str or None
        List of the history; None takes `val_loss`, or `loss` where nothing is validated.
    mode : {"min", "max"} or None
        Which way is better; None takes "max" for accuracies.
    min_delta : float
        By how much a better number has to differ from the best one, 0 or more.
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
        """Check that there will be something to watch; forget the run before."""
        check_monitor(self._name, self.monitor, training.validating)
        if training.epoch == 0:
            self._forget()

    def _has_improved(self, training: Training) -> bool:
        """Return whether the last epoch is the best so far, and note it if so."""
        number = training.history.last(self.monitor)
        sign = 1 if self.mode == "max" else -1
        better = not math.isnan(number) and (
            self.best is None or sign * (number - self.best) > self.min_delta
        )
        if better:
            self.best, self.best_epoch = number, training.epoch
        return better

    def state_dict(self) -> dict[str, Any]:
        """Return the best number and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
