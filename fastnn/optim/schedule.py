"""The base class of schedules of the learning rate.

A schedule sets the learning rate for each epoch or, with `every="step"`, for each batch.
"""

from __future__ import annotations

import numpy as np

from fastnn.files.plain import count, number
from fastnn.optim.monitors import Watched
from fastnn.optim.optimizer import Optimizer
from kernels.base import arrays
from kernels.functions import updates

EVERY = ("epoch", "step")
"""Units that a schedule may count."""


class Schedule:
    """Base class of schedules; a subclass defines `lr_at`.

    Parameters
    ----------
    optimizer : Optimizer
        Optimizer whose learning rate the schedule sets.
    every : {"epoch", "step"}, default "epoch"
        Whether the schedule advances with each epoch or with each batch.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        For settings out of range.

    Examples
    --------
    >>> from fastnn import SGD, Linear
    >>> from fastnn.schedules import Schedule
    >>> class Harmonic(Schedule):
    ...     def lr_at(self, count):
    ...         return self.base_lr / (1 + count)
    >>> optimizer = SGD(Linear(3, 2).parameters(), lr=0.5)
    >>> schedule = Harmonic(optimizer)
    >>> schedule.step()
    >>> optimizer.lr
    0.25
    """

    places: tuple[int, ...] = (updates.LEARNING_RATE,)
    """Indices of the optimizer's settings that the schedule sets."""

    def __init__(self, optimizer: Optimizer, every: str = "epoch"):
        self._attach(optimizer, every)
        if optimizer.initial_lr is None:
            optimizer.initial_lr = optimizer.lr
        self.base_lr = optimizer.initial_lr
        self.move_to(0)

    def _attach(self, optimizer: Optimizer, every: str) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{self._name}: optimizer is {optimizer!r}; expected a fastnn optimizer"
            )
        self._expect("every", every, every in EVERY, "'epoch' or 'step'")
        self.optimizer, self.every = optimizer, every

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _expect(self, name: str, value, allowed: bool, description: str) -> None:
        if not allowed:
            raise ValueError(f"{self._name}: {name} is {value!r}; expected {description}")

    def _expect_count(self, name: str, value, low: int = 1) -> int:
        return arrays.count(f"{self._name}: {name}", value, low)

    def _expect_number(self, name: str, value, high: float) -> float:
        self._expect(name, value, 0 <= value <= high, f"a number from 0 to {high:g}")
        return float(value)

    def lr_at(self, count: int) -> float:
        """Return the learning rate after `count` epochs or batches."""
        raise NotImplementedError(f"{self._name} does not define lr_at")

    def values_at(self, count: int) -> tuple[float, ...]:
        """Return the settings at `places` after `count` epochs or batches."""
        return (self.lr_at(count),)

    def move_to(self, count: int) -> None:
        """Set the number of epochs or batches done, and the optimizer's settings."""
        self.last_epoch = count
        self.optimizer.settings[list(self.places)] = self.values_at(count)

    def step(self) -> None:
        """Advance by one epoch or batch."""
        self.move_to(self.last_epoch + 1)

    def begin(self, epochs: int, batches: int, validating: bool) -> None:
        """Prepare for a `fit`; raise ValueError if the schedule does not fit it."""

    def epoch_done(self, history: Watched) -> None:
        """Advance after an epoch and its validation, unless the schedule counts batches."""
        if self.every == "epoch":
            self.step()

    def fill(self, table: np.ndarray) -> None:
        """Write the settings of the next batches into the rows of a table."""
        for row in range(len(table)):
            table[row] = self.values_at(self.last_epoch + row)

    def get_last_lr(self) -> list[float]:
        """Return the current learning rate, in a list of one as in torch."""
        return [self.optimizer.lr]

    def state_dict(self) -> dict:
        """Return the state as plain values, without the optimizer's settings."""
        return {"last_epoch": self.last_epoch, "base_lr": self.base_lr}

    def load_state_dict(self, state: dict) -> None:
        """Restore a state.

        Raises KeyError if it belongs to another class of schedules, ValueError for other values.
        """
        expected = self.state_dict().keys()
        if expected != state.keys():
            raise KeyError(
                f"{self._name}: the state has {sorted(state)}; expected {sorted(expected)}"
            )
        checks = {int: count, float: number, type(None): number}
        for name, value in state.items():
            if (check := checks.get(type(getattr(self, name)))) is not None:
                check(name, value)
        for name, value in state.items():
            setattr(self, name, value)
        self._restore()

    def _restore(self) -> None:
        self.move_to(self.last_epoch)

    def __repr__(self) -> str:
        hidden = {"optimizer", "base_lr", "places", *self.state_dict()}
        shown = {name: value for name, value in vars(self).items() if name not in hidden}
        return f"{self._name}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
