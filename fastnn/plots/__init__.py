"""Pictures of training runs, of models, and of their predictions.

Each function returns a matplotlib figure, and writes it to a file if a path is given. Figures have
a white background and colours that differ in print and for colour-blind readers.
"""

from fastnn.plots.calibration import calibration
from fastnn.plots.confusion import confusion
from fastnn.plots.curves import comparison, curves
from fastnn.plots.decision import decision
from fastnn.plots.importance import importance
from fastnn.plots.mistakes import mistakes
from fastnn.plots.predictions import predictions
from fastnn.plots.sweep import sweep
from fastnn.plots.weights import weights

__all__ = [
    "calibration",
    "comparison",
    "confusion",
    "curves",
    "decision",
    "importance",
    "mistakes",
    "predictions",
    "sweep",
    "weights",
]
