"""Whether a classifier is as often right as it is sure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from fastnn.metrics import calibration as measured
from fastnn.plots.style import INKS, new_figure, plain, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def calibration(
    probabilities: np.ndarray,
    y_true: np.ndarray,
    path: str | os.PathLike[str] | None = None,
    bins: int = 10,
) -> Figure:
    """Plot how often a model is right against how sure it is; return it, written to `path`.

    `probabilities` is (n, classes), `y_true` class indices (n,). On the dashed line a model is as
    right as it is sure; below, it is too sure. Beneath, the number of rows in each bin. The title
    gives the expected calibration error (`fastnn.metrics.calibration`).

    Raises ValueError for other shapes or none, and OSError when `path` cannot be written.
    """
    from matplotlib.ticker import PercentFormatter

    probabilities, y_true = np.asarray(probabilities), np.asarray(y_true)
    if probabilities.ndim != 2 or y_true.shape != probabilities.shape[:1] or y_true.size == 0:
        raise ValueError(
            f"probabilities must be (n, classes) and y_true (n,), n at least 1, "
            f"got {probabilities.shape} and {y_true.shape}"
        )
    result = measured(probabilities, y_true, bins)
    figure = new_figure(4.8, 5.2)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    least = 1 / probabilities.shape[1]  # nobody is less sure of the best of so many classes
    upper.plot([least, 1], [least, 1], "--", color="0.4", linewidth=1.2)
    upper.plot(result.confidence, result.accuracy, "-o", color=INKS[0], linewidth=1.8, markersize=6)
    upper.set(ylabel="accuracy", ylim=(-0.03, 1.03))
    upper.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    upper.set_title(f"calibration error {result.error:.2%} of {len(y_true):,} rows", pad=10)
    lower.bar(result.confidence, result.rows, width=0.5 / bins, color=INKS[0])
    lower.set(xlabel="probability of the predicted class", ylabel="rows", yscale="log")
    lower.set_ylim(0.7, 2 * result.rows.max())
    lower.set_xlim(least - 0.03, 1.03)
    lower.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    for axes in (upper, lower):
        plain(axes)
    return save(figure, path)
