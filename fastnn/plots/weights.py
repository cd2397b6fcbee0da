"""The weights of a network's first layer."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.plots.style import SIGNED, new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastnn.nn.sequential import Sequential

_MOST_UNITS = 64
_MOST_FEATURES = 60


def weights(
    model: Sequential,
    image_shape: tuple[int, int] | None = None,
    features: Sequence[str] = (),
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the weights of a model's first Linear layer.

    With `image_shape`, each unit's weights are shown as an image. Otherwise there is a row for each
    unit and a column for each input. Grey is 0, white positive, black negative. At most 64 units
    and 60 inputs are shown, those whose weights have the largest Euclidean norms.

    Parameters
    ----------
    model : Sequential
        A model with a Linear layer.
    image_shape : tuple of int, optional
        Height and width in pixels, if the inputs are the pixels of an image.
    features : sequence of str, default ()
        Names of the inputs; by default their numbers are shown.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If the model has no Linear layer, or `image_shape` does not fit it.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> from fastnn import Linear, Sequential, plots
    >>> figure = plots.weights(Sequential(Linear(3, 2)), features=["age", "height", "weight"])
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['age', 'height', 'weight']
    """
    from fastnn.nn.linear import Linear
    from fastnn.nn.sequential import flat_layers

    layer = next((each for each in flat_layers(model) if isinstance(each, Linear)), None)
    if layer is None:
        raise ValueError("the model has no Linear layer whose weights could be shown")
    w = np.array(layer.weight.data)
    if image_shape is not None and math.prod(map(int, image_shape)) != w.shape[1]:
        raise ValueError(f"image_shape is {image_shape}; the layer has {w.shape[1]} inputs")
    units = _largest(w, 1, _MOST_UNITS)
    shown = w[units]
    limit = max(float(np.quantile(np.abs(shown), 0.995)), 1e-12)
    if image_shape is None:
        figure = _heat_map(shown, units, features, limit)
    else:
        figure = _images(shown.reshape(-1, *image_shape), limit)
    if len(units) < len(w):
        figure.suptitle(f"the {len(units)} of {len(w)} units with the largest weights")
    return save(figure, path)


def _largest(w: np.ndarray, axis: int, most: int) -> np.ndarray:
    """Return the indices, in order, of the rows or columns with the largest norms."""
    return np.sort(np.argsort(-np.linalg.norm(w, axis=axis), kind="stable")[:most])


def _images(images: np.ndarray, limit: float) -> Figure:
    columns = min(len(images), max(1, math.ceil(math.sqrt(len(images)))))
    rows = -(-len(images) // columns)
    figure = new_figure(0.75 * columns + 1.2, 0.75 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if place < len(images):
            drawn = axes.imshow(images[place], cmap=SIGNED, vmin=-limit, vmax=limit)
    bar = figure.colorbar(drawn, ax=grid, aspect=30, shrink=0.8, pad=0.02)
    bar.set_label("weight")
    return figure


def _heat_map(w: np.ndarray, units: np.ndarray, features: Sequence[str], limit: float) -> Figure:
    inputs = _largest(w, 0, _MOST_FEATURES)
    names = [features[place] if features else str(place) for place in inputs]
    figure = new_figure(max(4.0, 0.3 * len(inputs) + 1.8), max(2.5, min(9.0, 0.16 * len(w))) + 1.2)
    axes = figure.subplots()
    drawn = axes.imshow(
        w[:, inputs], cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    axes.set_xticks(range(len(names)), [name[:24] for name in names], fontsize=8)
    if max(map(len, names)) > 3:
        for label in axes.get_xticklabels():
            label.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
    step = max(1, len(units) // 16)
    axes.set_yticks(range(0, len(units), step), [str(each) for each in units[::step]], fontsize=8)
    axes.set(xlabel="input", ylabel="unit")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=axes, aspect=30, pad=0.02).set_label("weight")
    return figure
