"""Callbacks: what may happen between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnn.training import Training


class Callback:
    """What may happen between epochs; override what you need.

    Each method is given the `Training`, whose `stop` may be set to end it after the
    epoch. A plain function given to `fit` is called as `on_epoch_end`.
    """

    def on_train_begin(self, training: Training) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, training: Training) -> None:
        """Before an epoch."""

    def on_epoch_end(self, training: Training) -> None:
        """After an epoch and its validation."""

    def on_train_end(self, training: Training) -> None:
        """After the last epoch, also one that was interrupted."""


class _FunctionCallback(Callback):
    def __init__(self, function: Callable[[Training], object]):
        self._function = function

    def on_epoch_end(self, training):
        self._function(training)


def listeners(callbacks: Iterable[Callback | Callable[[Training], object]]) -> list[Callback]:
    """Callbacks as objects; raises TypeError for things that are neither objects nor functions."""
    found = []
    for each in callbacks:
        if isinstance(each, type) or not (isinstance(each, Callback) or callable(each)):
            raise TypeError(f"callback {each!r} is neither a Callback nor a function")
        found.append(each if isinstance(each, Callback) else _FunctionCallback(each))
    return found


def notify(listeners: Iterable[Callback], event: str, training: Training) -> None:
    """Tell all callbacks of an event, by the name of their method."""
    for listener in listeners:
        getattr(listener, event)(training)
