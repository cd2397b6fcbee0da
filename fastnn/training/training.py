"""A training: the state of a run of `fit` that callbacks may read and change."""

from __future__ import annotations

from fastnn.nn.loss import Loss
from fastnn.nn.sequential import Sequential
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.schedule import Schedule
from fastnn.training.history import History

__all__ = ["Training"]


class Training:
    """State of a run of `fit`, which is passed to callbacks.

    A callback ends the run after the epoch by setting `stop`. Settings of the optimizer that it
    changes take effect with the next epoch.

    Parameters
    ----------
    model : Sequential
        The model that is trained.
    loss : Loss
        The loss that is minimised.
    optimizer : Optimizer
        The optimizer of the model's parameters.
    history : History
        The history of the epochs done so far.
    schedule : Schedule, optional
        The schedule of the learning rate; None for a constant rate.

    Attributes
    ----------
    epoch, epochs : int
        Number of the current epoch, from 1 (0 before the first), and the number of all epochs.
    batch, batches : int
        Number of batches done in this epoch, and the number of batches of an epoch.
    validating : bool
        Whether there are validation data.
    stop : bool
        Whether training ends after this epoch; False at first.

    Examples
    --------
    A function of a training is a callback, too:

    >>> def stop_early(training):
    ...     training.stop = training.history.loss[-1] < 0.1
    """

    def __init__(
        self,
        model: Sequential,
        loss: Loss,
        optimizer: Optimizer,
        history: History,
        schedule: Schedule | None = None,
    ):
        self._model, self._loss, self._optimizer = model, loss, optimizer
        self._history, self._schedule = history, schedule
        self.epoch = self.epochs = self.batch = self.batches = 0
        self.validating = self.stop = False

    @property
    def model(self) -> Sequential:
        """The model that is trained."""
        return self._model

    @property
    def loss(self) -> Loss:
        """The loss that is minimised."""
        return self._loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer of the model's parameters."""
        return self._optimizer

    @property
    def history(self) -> History:
        """The history of the epochs done so far."""
        return self._history

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of the learning rate, or None for a constant rate."""
        return self._schedule
