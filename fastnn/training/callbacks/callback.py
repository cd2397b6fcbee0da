"""The base class of callbacks, and how training calls them."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from fastnn.training.training import Training

__all__ = ["Callback"]

BatchesEnd = Callable[[Any, Training], None]


def only_shows(method: BatchesEnd) -> BatchesEnd:
    """Mark an `on_batches_end` that does not read the model, whose weights may then be stale."""
    method.only_shows = True  # type: ignore[attr-defined]
    return method


class Callback:
    """Base class of callbacks, which `fit` calls between epochs; its methods do nothing.

    Subclasses override the methods they need. Each method is passed the `Training`, whose `stop`
    ends the run after the epoch. `fit` calls a plain function as `on_epoch_end`, and warns of a
    method `on_...` that is none of these.

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
        """Act every few hundredths of a second within an epoch, for example to show progress."""

    def on_epoch_end(self, training: Training) -> None:
        """Act after an epoch, its validation, and the schedule's step."""

    def on_train_end(self, training: Training) -> None:
        """Act after the last epoch, or after an interruption."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint keeps: numbers and arrays by name."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`, before a run resumes."""

    def on_resume(self, training: Training) -> None:
        """Act after all is restored from a checkpoint; an error refuses the checkpoint."""


class FunctionCallback(Callback):
    """Callback that calls a function after each epoch."""

    def __init__(self, function: Callable[[Training], object]):
        self._function = function

    def on_epoch_end(self, training: Training) -> None:
        """Call the function."""
        self._function(training)


def listeners(callbacks: Iterable[Callback | Callable[[Training], object]]) -> list[Callback]:
    """Return `Callback` objects; raise TypeError for anything but callbacks and functions.

    Warns of methods `on_...` that are never called, because their names are misspelled or another
    library's.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {callbacks!r}; expected a list of them")
    found = []
    for each in callbacks:
        if isinstance(each, type) or not (isinstance(each, Callback) or callable(each)):
            raise TypeError(f"callback {each!r} is neither a Callback nor a function")
        if isinstance(each, Callback):
            _warn_of_unknown_methods(each)
        found.append(each if isinstance(each, Callback) else FunctionCallback(each))
    return found


def _warn_of_unknown_methods(callback: Callback) -> None:
    """Warn of methods whose names begin as those of events, and are none."""
    events = [name for name in vars(Callback) if name.startswith("on_")]
    for name in dir(type(callback)):
        if name.startswith("on_") and name not in events:
            ours = name.replace("start", "begin").replace("batch_", "batches_")
            (nearest,) = difflib.get_close_matches(ours, events, n=1, cutoff=0)
            warnings.warn(
                f"{type(callback).__name__}.{name} is never called: there is no such method of "
                f"callbacks. The nearest one is {nearest}",
                stacklevel=4,
            )


def notify(listeners: Iterable[Callback], event: str, training: Training) -> None:
    """Call the method named `event` of all callbacks."""
    for listener in listeners:
        getattr(listener, event)(training)


def hear_of_batches(listeners: Iterable[Callback]) -> bool:
    """Return whether any callback may read the model in `on_batches_end`."""
    return not all(getattr(type(each).on_batches_end, "only_shows", False) for each in listeners)
