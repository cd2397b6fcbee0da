"""A training: what callbacks see of a run of `fit`, and may change."""

from __future__ import annotations

from fastnn.nn.losses import Loss
from fastnn.nn.sequential import Sequential
from fastnn.optim.optimizers import Optimizer
from fastnn.optim.schedules import Schedule
from fastnn.training.history import History

__all__ = ["Training"]


class Training:
    """A run of `fit`: what callbacks see, and what they may change.

    Setting `stop` ends the run after the epoch; settings of the optimizer that a callback
    changes take effect with the next epoch.

    Parameters
    ----------
    model, loss, optimizer
        What `fit` trains, and by what.
    history : History
        The epochs done so far.
    schedule : Schedule, optional
        What decides the learning rate; None for a constant one.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that is running or has just ended, from 1, and how many there will be.
    batch, batches : int
        How many batches of the epoch are done, and how many it has.
    validating : bool
        Whether there are validation data.
    stop : bool
        Whether training ends after this epoch; False at first.
    """

    def __init__(self, model: Sequential, loss: Loss, optimizer: Optimizer, history: History,
                 schedule: Schedule | None = None):  # fmt: skip
        self.model, self.loss, self.optimizer, self.history = model, loss, optimizer, history
        self.schedule = schedule
        self.epoch = self.epochs = self.batch = self.batches = 0
        self.validating = self.stop = False
