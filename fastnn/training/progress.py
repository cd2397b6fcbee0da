"""A progress bar over the batches of all epochs."""

from __future__ import annotations

from typing import Any

from fastnn.training.history import History


class ProgressBar:
    """Progress bar with epoch, remaining time, loss and accuracy; empty unless `visible`.

    `finished` is the number of epochs done before, in a resumed run.
    """

    def __init__(self, epochs: int, batches: int, visible: bool = True, finished: int = 0):
        self._epochs, self._batches, self._visible = epochs, batches, visible
        self._finished = finished
        self._bar: Any = None

    def __enter__(self) -> ProgressBar:
        if self._visible:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "training",
                total=self._epochs * self._batches,
                completed=self._finished * self._batches,
                epoch=min(self._finished + 1, self._epochs),
                epochs=self._epochs,
                note="",
            )
        return self

    def __exit__(self, *error) -> None:
        if self._bar is not None:
            self._bar.stop()

    def batches_done(self, batches: int) -> None:
        """Show how many batches of this epoch are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._finished * self._batches + batches)

    def epoch_done(self, history: History) -> None:
        """Show loss and accuracy of an epoch."""
        self._finished += 1
        if self._bar is not None:
            note = f"loss {history.loss[-1]:.4f}"
            if history.accuracy[-1] is not None:
                note += f"  accuracy {history.accuracy[-1]:.2%}"
            if history.val_accuracy[-1] is not None:
                note += f"  validation {history.val_accuracy[-1]:.2%}"
            shown = min(self._finished + 1, self._epochs)
            self._bar.update(
                self._task, completed=self._finished * self._batches, epoch=shown, note=note
            )
