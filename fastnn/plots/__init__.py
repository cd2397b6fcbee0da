"""Pictures of training runs, of what a network has learned, and of where it is wrong.

Each function returns a matplotlib figure, and writes it where a path is given. All are drawn on
white, in inks that are told apart in print and by colour-blind eyes.
"""

from fastnn.plots.calibration import calibration
from fastnn.plots.confusion import confusion
from fastnn.plots.curves import comparison, curves
from fastnn.plots.decision import decision
from fastnn.plots.mistakes import mistakes
from fastnn.plots.predictions import predictions
from fastnn.plots.sweep import sweep
from fastnn.plots.weights import weights

__all__ = [
    "calibration", "comparison", "confusion", "curves", "decision", "mistakes", "predictions",
    "sweep", "weights",
]  # fmt: skip
