"""The callback that keeps the weights of a network's best epoch."""

from __future__ import annotations

from fastnn.nn.sequential import Sequential
from fastnn.runs.recipe import Trained
from fastnn.training.callbacks.early_stopping import EarlyStopping
from fastnn.training.history import History
from fastnn.training.training import Training


class BestEpoch(EarlyStopping):
    """Callback that keeps a network's weights of the best epoch, those before the first included.

    `first` is the loss of the initial weights on the validation rows.
    """

    def __init__(self, network: Sequential, first: float, patience: int):
        super().__init__(patience=patience)
        self._network, self._start, self.first = network, network.state_dict(), first

    def on_train_begin(self, training: Training) -> None:
        """Take the initial weights as those of epoch 0."""
        super().on_train_begin(training)
        if training.epoch == 0:
            self.best, self._weights = self.first, self._start

    def trained(self, history: History) -> Trained:
        """Return what is known of the network after its training."""
        after = [each for each in history.val_loss if each is not None]
        return Trained(self._network, self._start, [self.first, *after], self.best_epoch)
