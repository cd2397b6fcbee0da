"""Progress: a progress bar as a callback."""

from __future__ import annotations

from fastnn.training.callbacks.callback import Callback, only_shows
from fastnn.training.progress import ProgressBar
from fastnn.training.training import Training


class Progress(Callback):
    """Callback that shows a progress bar over the batches of all epochs.

    `fit(progress=True)` adds it. The bar is drawn by the package `rich`.

    Examples
    --------
    >>> from fastnn.callbacks import Progress
    >>> callbacks = [Progress()]
    """

    def __init__(self) -> None:
        self._bar = ProgressBar(0, 0, visible=False)

    def on_train_begin(self, training: Training) -> None:
        """Start the bar."""
        self._bar = ProgressBar(training.epochs, training.batches, finished=training.epoch)
        self._bar.__enter__()

    @only_shows
    def on_batches_end(self, training: Training) -> None:
        """Show how many batches are done."""
        self._bar.batches_done(training.batch)

    def on_epoch_end(self, training: Training) -> None:
        """Show loss and accuracy of the epoch."""
        self._bar.epoch_done(training.history)

    def on_train_end(self, training: Training) -> None:
        """Stop the bar and leave it on the screen."""
        self._bar.__exit__()
