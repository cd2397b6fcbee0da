"""Histories of trainings that were not run."""

import numpy as np

from fastnn import History


def history(loss, val_loss=1.0, *, accuracy=0.5, val_accuracy=0.5, seconds=1.0):
    """Return a history of numbers by epoch; a single number is that of every epoch."""
    columns = {
        "loss": loss,
        "accuracy": accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "seconds": seconds,
    }
    made = History()
    for row in np.broadcast(*map(np.float64, columns.values())):
        made.add(**dict(zip(columns, map(float, row), strict=True)))
    return made
