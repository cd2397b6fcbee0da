"""The decision surface of a network with two inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.metrics import link_of, probabilities
from fastnn.plots.style import MARKERS, SEQUENTIAL, legend, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastnn.nn.sequential import Sequential

_GRID = 240
_MOST_POINTS = 600


def decision(
    model: Sequential,
    x: np.ndarray,
    y_true: np.ndarray,
    classes: Sequence[str] = (),
    features: Sequence[str] = ("x0", "x1"),
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot a model's predictions over the plane of its two inputs.

    For a classifier, areas have the colour of the most probable class, lighter where its
    probability is lower, with lines between classes. For a regression, shades and contour lines
    show the predicted number. Points show the first 600 rows.

    Parameters
    ----------
    model : Sequential
        A model of two inputs.
    x : numpy.ndarray
        Rows of shape (n, 2), which also set the limits of the axes.
    y_true : numpy.ndarray
        True classes (integers) or numbers of the rows, of shape (n,).
    classes : sequence of str, default ()
        Names of the classes; empty for a regression.
    features : sequence of str, default ("x0", "x1")
        Names of the two inputs.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If `x` or `y_true` has another shape or no rows.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Linear, Sequential, plots
    >>> x = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> figure = plots.decision(Sequential(Linear(2, 2)), x, np.array([0, 1]), ["out", "in"])
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('x0', 'x1')
    """
    from fastnn.training.prediction import predict

    x, y_true = np.asarray(x), np.asarray(y_true)
    if x.ndim != 2 or x.shape[1] != 2 or y_true.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(f"x must be (n, 2) and y_true (n,), got {x.shape} and {y_true.shape}")
    figure = new_figure(5.6, 4.6)
    axes = figure.subplots()
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    margin = 0.05 * np.where(high > low, high - low, 1)
    sides = [np.linspace(a, b, _GRID) for a, b in zip(low - margin, high + margin, strict=True)]
    plane = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    outputs = predict(model, plane).reshape(_GRID, _GRID, -1)
    x, y_true = x[:_MOST_POINTS], y_true[:_MOST_POINTS]
    if classes:
        _shade_classes(axes, sides, outputs, classes, link_of(model))
        drawn = []
        for place, name in enumerate(classes):
            own = x[y_true == place]
            drawn += axes.plot(
                own[:, 0],
                own[:, 1],
                MARKERS[place % len(MARKERS)],
                color=_ink(place, classes),
                markersize=5,
                markeredgecolor=_edge(place, classes),
                markeredgewidth=0.7,
                linestyle="none",
                label=name,
            )
        legend(figure, drawn, classes, loc="outside right center")
    else:
        _shade_numbers(axes, sides, outputs[..., 0], x, y_true)
    axes.set(xlabel=features[0], ylabel=features[1])
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, path)


def _ink(place: int, classes: Sequence[str]):
    """Return the colour of a class: from dark to light, so that they also differ in grey."""
    from matplotlib import colormaps

    return colormaps[SEQUENTIAL](place / max(len(classes) - 1, 1))


def _edge(place: int, classes: Sequence[str]) -> str:
    return "white" if place < len(classes) / 2 else "black"


def _shade_classes(
    axes: Axes, sides, outputs: np.ndarray, classes: Sequence[str], link: str
) -> None:
    shares = probabilities(outputs.reshape(-1, outputs.shape[-1]), link)
    best = shares.argmax(axis=1)
    least = 1 / len(classes)
    sure = (shares.max(axis=1) - least) / (1 - least)
    inks = np.array([_ink(place, classes)[:3] for place in range(len(classes))])
    shade = 1 - 0.6 * sure[:, None] * (1 - inks[best])
    extent = (sides[0][0], sides[0][-1], sides[1][0], sides[1][-1])
    axes.imshow(shade.reshape(_GRID, _GRID, 3), extent=extent, origin="lower", aspect="auto")
    for place in range(len(classes)):
        others = np.delete(shares, place, axis=1).max(axis=1)
        ahead = (shares[:, place] - others).reshape(_GRID, _GRID)
        if ahead.min() < 0 < ahead.max():
            axes.contour(*sides, ahead, levels=[0], colors="black", linewidths=1.2)


def _shade_numbers(axes: Axes, sides, numbers: np.ndarray, x, y_true) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = min(numbers.min(), y_true.min()), max(numbers.max(), y_true.max())
    levels = MaxNLocator(10).tick_values(low, high)
    areas = axes.contourf(*sides, numbers, levels=levels, cmap=SEQUENTIAL)
    axes.contour(*sides, numbers, levels=levels, colors="white", linewidths=0.6)
    axes.scatter(
        x[:, 0],
        x[:, 1],
        c=y_true,
        cmap=SEQUENTIAL,
        vmin=low,
        vmax=high,
        s=22,
        edgecolors="black",
        linewidths=0.6,
    )
    axes.figure.colorbar(areas, ax=axes, aspect=30, pad=0.02).set_label("prediction; points: true")
