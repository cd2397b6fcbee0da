"""Predictions of a regression against the true numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from fastnn.metrics import regression_scores
from fastnn.plots.style import INKS, new_figure, plain, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_POINTS = 5000


def predictions(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    name: str = "target",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the predictions of a regression against the true numbers.

    On the dashed line the prediction equals the true number. The title has the coefficient of
    determination R² and the root mean squared error. At most 5,000 evenly spaced rows are drawn.

    Parameters
    ----------
    y_true, y_pred : numpy.ndarray
        True and predicted numbers, both of shape (n,).
    name : str, default "target"
        Name of the target, for the labels of the axes.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        For empty arrays, or unequal shapes.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> from fastnn import plots
    >>> figure = plots.predictions([1.0, 2.0, 3.0], [1.0, 2.0, 2.5], "height")
    >>> figure.axes[0].get_title()
    'R² 0.875, RMSE 0.2887'
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or y_true.size == 0:
        raise ValueError(
            f"y_true and y_pred must be of one shape (n,), n at least 1, "
            f"got {y_true.shape} and {y_pred.shape}"
        )
    figure = new_figure(4.8, 4.6)
    axes = figure.subplots()
    ends = [min(y_true.min(), y_pred.min()), max(y_true.max(), y_pred.max())]
    axes.plot(ends, ends, "--", color="0.4", linewidth=1.2)
    step = -(-len(y_true) // _MOST_POINTS)
    axes.plot(
        y_true[::step],
        y_pred[::step],
        "o",
        color=INKS[0],
        markersize=4,
        alpha=0.6,
        markeredgewidth=0,
    )
    scores = regression_scores(y_true, y_pred)
    axes.set_title(f"R² {scores['r2']:.3f}, RMSE {scores['rmse']:.4g}", pad=10)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}")
    axes.set_aspect("equal", adjustable="datalim")
    plain(axes)
    return save(figure, path)
