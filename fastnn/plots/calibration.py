"""Calibration of a classifier: accuracy against the predicted probability."""

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
    """Plot a classifier's accuracy against the probability of the class that it predicts.

    Rows are binned by the probability p of the predicted class. A calibrated model is right for a
    share p of the rows (dashed line); below the line it is overconfident. A lower panel shows the
    number of rows in each bin. The title has the expected calibration error, the mean over rows of
    abs(accuracy - p) of their bins.

    Parameters
    ----------
    probabilities : numpy.ndarray
        Predicted probabilities, of shape (n, classes).
    y_true : numpy.ndarray
        True classes as integers from 0, of shape (n,).
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.
    bins : int, default 10
        Number of bins of equal width from 0 to 1.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        For arrays of other shapes, or without rows.
    OSError
        If `path` cannot be written.

    References
    ----------
    .. [1] Guo, C., Pleiss, G., Sun, Y., & Weinberger, K. Q. (2017). "On Calibration of Modern
       Neural Networks." ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import plots
    >>> figure = plots.calibration(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    >>> figure.axes[0].get_title()
    'calibration error 15.00% of 2 rows'
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
    least = 1 / probabilities.shape[1]  # the largest of k probabilities is at least 1 / k
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
