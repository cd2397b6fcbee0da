"""A callback, and how training tells callbacks what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastnn.training.training import Training

__all__ = ["Callback"]

BatchesEnd = Callable[[Any, Training], None]


def only_shows(method: BatchesEnd) -> BatchesEnd:
    """Mark an `on_batches_end` that does not look at the model, which need not be current then."""
    method.only_shows = True  # type: ignore[attr-defined]
    return method


class Callback:
    """What may happen between epochs: a base class whose methods do nothing.

    Override what you need. Each method is given the `Training`, whose `stop` ends the run after
    the epoch. A plain function given to `fit` is called as `on_epoch_end`.

    Examples
    --------
    >>> from fastnn.callbacks import Callback
    >>> class StopAtHalf(Callback):
    ...     def on_epoch_end(self, training):
    ...         training.stop = training.history.loss[-1] < 0.5
    """

    def on_train_begin(self, training: Training) -> None:
        """Act before the first epoch."""

    def on_epoch_begin(self, training: Training) -> None:
        """Act before an epoch."""

    @only_shows
    def on_batches_end(self, training: Training) -> None:
        """Act every few hundredths of a second of an epoch, to show how far it is."""

    def on_epoch_end(self, training: Training) -> None:
        """Act after an epoch, its validation, and the schedule's step."""

    def on_train_end(self, training: Training) -> None:
        """Act after the last epoch, also after one that was interrupted."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on later needs to know: numbers and arrays by name."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state, before a run goes on after epoch `training.epoch`."""


class FunctionCallback(Callback):
    """A function that is called after each epoch."""

    def __init__(self, function: Callable[[Training], object]):
        self._function = function

    def on_epoch_end(self, training: Training) -> None:
        """Call the function."""
        self._function(training)


def listeners(callbacks: Iterable[Callback | Callable[[Training], object]]) -> list[Callback]:
    """Return callbacks as objects; raise TypeError for what is neither object nor function."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {callbacks!r}; expected a list of them")
    found = []
    for each in callbacks:
        if isinstance(each, type) or not (isinstance(each, Callback) or callable(each)):
            raise TypeError(f"callback {each!r} is neither a Callback nor a function")
        found.append(each if isinstance(each, Callback) else FunctionCallback(each))
    return found


def notify(listeners: Iterable[Callback], event: str, training: Training) -> None:
    """Tell all callbacks of an event, by the name of their method."""
    for listener in listeners:
        getattr(listener, event)(training)


def hear_of_batches(listeners: Iterable[Callback]) -> bool:
    """Return whether a callback may look at the model when it hears of batches."""
    return not all(getattr(type(each).on_batches_end, "only_shows", False) for each in listeners)
