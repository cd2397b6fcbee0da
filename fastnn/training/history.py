"""The history of a training, epoch by epoch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fastnn._html import table
from fastnn._provided import provided

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History"]

_MOST_ROWS = 10  # of epochs that a notebook shows


class History(dict[str, list]):
    """Losses, accuracies and seconds of a training: lists with one entry for each epoch.

    It is a dict of the lists, which are also its attributes, so `pandas.DataFrame(history)` has a
    row for each epoch. Its length is the number of epochs.

    Parameters
    ----------
    loss, accuracy : list
        Means over the batches of the epoch, each computed before its update; accuracies are from
        0 to 1, and None for a regression.
    val_loss, val_accuracy : list
        Loss and accuracy on the validation data at the end of the epoch; None without such data.
    seconds : list
        Seconds that the epoch took, without validation.

    Examples
    --------
    >>> from fastnn import History
    >>> history = History()
    >>> history.add(loss=0.5, seconds=0.1)
    >>> history
    History(1 epochs, 0.1 s, last: loss=0.5)
    >>> history["loss"]
    [0.5]
    """

    loss: list[float]
    accuracy: list[float | None]
    val_loss: list[float | None]
    val_accuracy: list[float | None]
    seconds: list[float]

    def __init__(
        self,
        loss: Iterable[float] = (),
        accuracy: Iterable[float | None] = (),
        val_loss: Iterable[float | None] = (),
        val_accuracy: Iterable[float | None] = (),
        seconds: Iterable[float] = (),
    ):
        super().__init__(
            loss=list(loss),
            accuracy=list(accuracy),
            val_loss=list(val_loss),
            val_accuracy=list(val_accuracy),
            seconds=list(seconds),
        )

    def add(self, **numbers: float | None) -> None:
        """Append an epoch; lists that are not named get None."""
        for name, values in self.items():
            values.append(numbers.get(name))

    def last(self, monitor: str | None) -> float:
        """Return the last number of a list; None takes `val_loss`, or `loss` without validation.

        Raises ValueError if the list ends with None, such as the accuracy of a regression.
        """
        if monitor is None:
            monitor = "loss" if self.val_loss[-1] is None else "val_loss"
        number = getattr(self, monitor)[-1]
        if number is None:
            raise ValueError(f"the history has no {monitor}, which is to be watched")
        return number

    def to_dict(self) -> dict[str, list]:
        """Return the lists by name, except those that hold only None."""
        return {
            name: list(values)
            for name, values in self.items()
            if any(value is not None for value in values)
        }

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw loss and accuracy against epochs; return the matplotlib figure."""
        return provided("History.plot")(self.to_dict(), path)

    def __getattr__(self, name: str) -> list:
        if name not in self:
            raise AttributeError(f"the history has no list {name!r}; expected one of {list(self)}")
        return self[name]

    def __setattr__(self, name: str, values: list) -> None:
        self[name] = values

    def __missing__(self, name: str) -> list:
        raise KeyError(f"the history has no list {name!r}; expected one of {list(self)}")

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        if not self.loss:
            return "History(no epochs)"
        last = ", ".join(
            f"{name}={values[-1]:.4g}"
            for name, values in self.to_dict().items()
            if name != "seconds" and values[-1] is not None
        )
        return f"History({len(self)} epochs, {float(np.sum(self.seconds)):.3g} s, last: {last})"

    def _repr_html_(self) -> str:
        """Return a table of at most ten epochs, evenly spaced ones and the last, for notebooks."""
        columns = self.to_dict()
        step = max(1, -(-len(self) // _MOST_ROWS))
        epochs = sorted({*range(step, len(self), step), len(self)} - {0})
        rows = [
            [str(epoch), *(_shown(values[epoch - 1]) for values in columns.values())]
            for epoch in epochs
        ]
        return table(["epoch", *columns], rows, f"{len(self)} epochs, {sum(self.seconds):.3g} s")


def _shown(number: float | None) -> str:
    """Return a number of the history as text."""
    return "" if number is None else f"{number:.4g}"
