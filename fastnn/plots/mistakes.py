"""The worst mistakes of a classifier."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.plots.style import INKS, new_figure, plain, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mistakes(
    x: np.ndarray,
    y_true: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    image_shape: tuple[int, int] | None = None,
    path: str | os.PathLike[str] | None = None,
    most: int = 25,
) -> Figure:
    """Plot the misclassified rows whose true class has the least predicted probability.

    With `image_shape`, each row is an image, titled "true class → predicted class" and the
    probability of the predicted class. Otherwise bars show the probabilities of both classes.

    Parameters
    ----------
    x : numpy.ndarray
        Rows of shape (n, features).
    y_true : numpy.ndarray
        True classes, integers that index `classes`, of shape (n,).
    probabilities : numpy.ndarray
        Predicted probabilities, of shape (n, classes).
    classes : sequence of str
        Names of the classes.
    image_shape : tuple of int, optional
        Height and width in pixels of the image in each row.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.
    most : int, default 25
        Largest number of rows to show, the worst first.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        For shapes that do not fit, or if no row is misclassified.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import plots
    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> figure = plots.mistakes(np.zeros((2, 3)), np.array([1, 1]), probabilities, ["cat", "dog"])
    >>> figure.get_suptitle()
    'the worst 1 of 1 mistakes in 2 rows'
    """
    x, y_true, probabilities = map(np.asarray, (x, y_true, probabilities))
    if not (len(x) == len(y_true) == len(probabilities) and probabilities.ndim == 2):
        raise ValueError(
            f"x, y_true and probabilities must have as many rows, got {x.shape}, {y_true.shape} "
            f"and {probabilities.shape}"
        )
    guesses = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guesses != y_true)
    if len(wrong) == 0:
        raise ValueError("there are no mistakes to show")
    given = probabilities[wrong, y_true[wrong]]
    worst = wrong[np.argsort(given, kind="stable")][:most]
    draw = _bars if image_shape is None else _images
    figure = draw(x, worst, y_true, guesses, probabilities, classes, image_shape)
    figure.suptitle(f"the worst {len(worst)} of {len(wrong):,} mistakes in {len(y_true):,} rows")
    return save(figure, path)


def _images(x, worst, y_true, guesses, probabilities, classes, image_shape) -> Figure:
    columns = math.ceil(math.sqrt(len(worst)))
    rows = -(-len(worst) // columns)
    figure = new_figure(max(1.25 * columns, 4.5), 1.5 * rows + 0.5)
    for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("0.8")
        if place >= len(worst):
            axes.set_axis_off()
            continue
        row = worst[place]
        axes.imshow(x[row].reshape(image_shape), cmap="gray_r")
        true, guess = classes[y_true[row]], classes[guesses[row]]
        names = f"{true} → {guess}" if len(true) + len(guess) < 9 else f"{true}\n→ {guess}"
        axes.set_title(f"{names}\n{probabilities[row, guesses[row]]:.1%}", fontsize=8)
    return figure


def _bars(x, worst, y_true, guesses, probabilities, classes, image_shape) -> Figure:
    figure = new_figure(6.4, 0.36 * len(worst) + 1.6)
    axes = figure.subplots()
    places = np.arange(len(worst))
    given, taken = probabilities[worst, y_true[worst]], probabilities[worst, guesses[worst]]
    axes.barh(
        places - 0.19,
        taken,
        0.36,
        color=INKS[1],
        hatch="///",
        edgecolor="white",
        label="predicted class",
    )
    axes.barh(places + 0.19, given, 0.36, color=INKS[0], label="true class")
    names = [f"row {r}: {classes[y_true[r]]} → {classes[guesses[r]]}" for r in worst]
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(worst) - 0.4, -0.6)
    axes.set(xlabel="probability", xlim=(0, 1))
    plain(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
