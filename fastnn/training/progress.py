"""A progress bar over the batches of all epochs."""

from __future__ import annotations

import sys
import time
from typing import Any

from fastnn.training.history import History

_PERIOD = 0.1  # seconds from one change of a notebook's bar to the next


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
            kind = _NotebookBar if _in_notebook() else _TerminalBar
            self._bar = kind(self._epochs, self._epochs * self._batches)
            self._show(self._finished * self._batches)
        return self

    def __exit__(self, *error) -> None:
        if self._bar is not None:
            self._bar.close()

    def batches_done(self, batches: int) -> None:
        """Show how many batches of this epoch are done."""
        self._show(self._finished * self._batches + batches)

    def epoch_done(self, history: History) -> None:
        """Show loss and accuracy of an epoch."""
        self._finished += 1
        if self._bar is None:
            return
        note = f"loss {history.loss[-1]:.4f}"
        if history.accuracy[-1] is not None:
            note += f"  accuracy {history.accuracy[-1]:.2%}"
        if history.val_accuracy[-1] is not None:
            note += f"  validation {history.val_accuracy[-1]:.2%}"
        self._show(self._finished * self._batches, note)

    def _show(self, done: int, note: str | None = None) -> None:
        if self._bar is not None:
            self._bar.show(done, min(self._finished + 1, self._epochs), note)


class _TerminalBar:
    """Bar in a terminal, for a number of epochs and of batches in all of them."""

    def __init__(self, epochs: int, total: int):
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar.start()
        self._note = ""
        self._task = self._bar.add_task("training", total=total, epoch=1, epochs=epochs, note="")

    def show(self, done: int, epoch: int, note: str | None) -> None:
        """Show how many batches are done, the current epoch, and a new note if there is one."""
        self._note = self._note if note is None else note
        self._bar.update(self._task, completed=done, epoch=epoch, note=self._note)

    def close(self) -> None:
        """Leave the bar on the screen."""
        self._bar.stop()


class _NotebookBar:
    """Bar of HTML below a notebook's cell, for a number of epochs and of batches in all of them.

    rich's own needs the package ipywidgets, and a thread.
    """

    def __init__(self, epochs: int, total: int):
        from IPython.display import display

        self._epochs, self._total, self._note = epochs, total, ""
        self._first: int | None = None
        self._began = self._shown = time.perf_counter()
        self._state = 0, 1
        self._handle = display(self, display_id=True)

    def show(self, done: int, epoch: int, note: str | None) -> None:
        """Show how many batches are done, the current epoch, and a new note if there is one."""
        self._first = done if self._first is None else self._first
        self._state, self._note = (done, epoch), self._note if note is None else note
        if time.perf_counter() - self._shown > _PERIOD:
            self._draw()

    def close(self) -> None:
        """Draw the last state, and leave it below the cell."""
        self._draw()

    def _draw(self) -> None:
        self._shown = time.perf_counter()
        self._handle.update(self)

    def _told(self) -> str:
        """Return the percentage, the seconds that are left, and the note."""
        done, _ = self._state
        told = [f"{done / self._total:.0%}"] if self._total else []
        steps = done - (self._first or 0)
        if steps > 0 and done < self._total:
            left = (self._shown - self._began) * (self._total - done) / steps
            told.append(f"{left:.0f} s left")
        return "  ".join([*told, self._note])

    def __repr__(self) -> str:
        return f"epoch {self._state[1]}/{self._epochs}  {self._told()}"

    def _repr_html_(self) -> str:
        done, epoch = self._state
        bar = f'<progress value="{done}" max="{self._total}" style="width: 20em"></progress>'
        text = f"epoch {epoch}/{self._epochs} {bar} {self._told()}"
        return f'<div style="white-space: pre-wrap">{text}</div>'


def _in_notebook() -> bool:
    """Return whether this is the kernel of a notebook; IPython is loaded then."""
    ipython = sys.modules.get("IPython")
    return hasattr(getattr(ipython, "get_ipython", lambda: None)(), "kernel")
