"""The confusion matrix of a classifier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.plots.style import LETTER_WIDTH, POINTS_PER_INCH, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_CLASSES_WITH_COUNTS = 20


def confusion(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    classes: Sequence[str],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the confusion matrix, with a row for each true and a column for each predicted class.

    Cells are shaded by their share of the row. With up to 20 classes, they also show their counts.

    Parameters
    ----------
    y_true, y_pred : numpy.ndarray
        True and predicted classes, integers that index `classes`, both of shape (n,).
    classes : sequence of str
        Names of the classes.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        For labels that are out of range or not integers, and for empty arrays or unequal shapes.
    OSError
        If `path` cannot be written; no partial file is left.

    Examples
    --------
    >>> from fastnn import plots
    >>> figure = plots.confusion([0, 1, 1, 1], [0, 1, 1, 0], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    'accuracy 75.00%  (3 of 4)'
    """
    counts = _confusion_counts(np.asarray(y_true), np.asarray(y_pred), len(classes))
    side = float(np.clip(0.5 * len(classes), 3.0, 9.0))  # inches
    figure = new_figure(side + 1.8, side + 1.2, "compressed")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _shade(axes, shares)
    _label_classes(axes, classes, side)
    if len(classes) <= _MAX_CLASSES_WITH_COUNTS:
        _write_counts(axes, counts, shares, side)
    right, total = int(np.trace(counts)), int(counts.sum())
    axes.set_title(f"accuracy {right / total:.2%}  ({right:,} of {total:,})", pad=10)
    return save(figure, path)


def _confusion_counts(y_true: np.ndarray, y_pred: np.ndarray, k: int) -> np.ndarray:
    """Return counts of shape (k, k) by true class (row) and predicted class (column)."""
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or y_true.size == 0:
        raise ValueError(
            f"y_true and y_pred must be of one shape (n,), n at least 1, "
            f"got {y_true.shape} and {y_pred.shape}"
        )
    for what, labels in (("y_true", y_true), ("y_pred", y_pred)):
        if labels.dtype.kind not in "iu":
            raise ValueError(f"{what} must hold integers, got {labels.dtype}")
        if labels.min() < 0 or labels.max() >= k:
            raise ValueError(
                f"{what} must lie in 0..{k - 1} for {k} classes, got {labels.min()}..{labels.max()}"
            )
    cells = y_true.astype(np.int64) * k + y_pred.astype(np.int64)
    return np.bincount(cells, minlength=k * k).reshape(k, k)


def _shade(axes: Axes, shares: np.ndarray) -> None:
    from matplotlib.colors import PowerNorm

    # The shade is the square root of the share, so that a confusion of one in a hundred is visible.
    # pcolormesh instead of imshow, which would make several copies as large as the picture.
    edges = np.arange(len(shares) + 1) - 0.5
    image = axes.pcolormesh(edges, edges, shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    axes.set(aspect="equal", ylim=edges[[-1, 0]])
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    bar = axes.figure.colorbar(image, ax=axes, ticks=ticks, format="{x:.0%}", aspect=30, pad=0.03)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)


def _label_classes(axes: Axes, classes: Sequence[str], side: float) -> None:
    ticks, cell = range(len(classes)), POINTS_PER_INCH * side / len(classes)
    size = min(10.0, 0.6 * cell)  # fits the height of a cell
    axes.set_xticks(ticks, classes, fontsize=size)
    axes.set_yticks(ticks, classes, fontsize=size)
    if LETTER_WIDTH * size * max(map(len, classes)) > 0.9 * cell:
        for label in axes.get_xticklabels():
            label.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted class", ylabel="true class")


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray, side: float) -> None:
    cell, letters = POINTS_PER_INCH * side / len(counts), len(str(counts.max()))
    size = min(11.0, 0.8 * cell / (LETTER_WIDTH * letters))  # fits the width of a cell
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black" if count else "0.6"
        axes.text(
            column,
            row,
            str(count),
            color=color,
            fontsize=size,
            in_layout=False,
            horizontalalignment="center",
            verticalalignment="center",
        )
