"""Pictures of a training run: its learning curves, and the confusions it is left with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastnn.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
# Blue and vermilion of Okabe and Ito: told apart by every eye; the dashes, by every printer.
_STYLES = {"training": ("#0072B2", "-"), "validation": ("#D55E00", "--")}
_LOG_DECADES = 2
_MAX_CLASSES_WITH_COUNTS = 20
_POINTS_PER_INCH = 72
_LETTER_WIDTH = 0.65  # of the size of the font

Series = tuple[np.ndarray, np.ndarray]


def curves(
    history: Mapping[str, Sequence[float | None] | None],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot loss and accuracy against the epoch; return the figure, written to `path` as PNG.

    `history` holds `loss`, `accuracy`, `val_loss` and `val_accuracy`, one number an epoch,
    accuracies as fractions. A key may be missing or None, and so may single entries; those, and
    numbers that are not finite, are left out. Without accuracies there is one panel. The loss axis
    is logarithmic where the losses span more than two decades.

    Raises ValueError when there is nothing to plot, and OSError when `path` cannot be written; no
    partial file is left.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = {key: series for key in ("loss", "accuracy") if (series := _series(history, key))}
    if not panels:
        raise ValueError(f"history holds no finite loss or accuracy: its keys are {list(history)}")
    layout = ConstrainedLayoutEngine(w_pad=0.1)
    figure = Figure(figsize=(4.8 * len(panels), 3.4), dpi=DPI, layout=layout)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (key, series) in zip(all_axes, panels.items(), strict=True):
        _panel(axes, key, series)
    if path is not None:
        _save(figure, Path(path))
    return figure


def confusion(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    classes: Sequence[str],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the confusion matrix, a row for each true class; return it, written to `path` as PNG.

    `y_true` and `y_pred` are integers of shape (n,), indices into `classes`. Cells are shaded by
    their share of the true class and, up to 20 classes, say their count.

    Raises ValueError for labels out of range, not integer, none at all or of differing shapes, and
    OSError when `path` cannot be written; no partial file is left.
    """
    from matplotlib.figure import Figure

    counts = _confusion_counts(np.asarray(y_true), np.asarray(y_pred), len(classes))
    side = float(np.clip(0.5 * len(classes), 3.0, 9.0))  # inches
    figure = Figure(figsize=(side + 1.8, side + 1.2), dpi=DPI, layout="compressed")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _shade(axes, shares)
    _label_classes(axes, classes, side)
    if len(classes) <= _MAX_CLASSES_WITH_COUNTS:
        _write_counts(axes, counts, shares, side)
    right, total = int(np.trace(counts)), int(counts.sum())
    axes.set_title(f"accuracy {right / total:.2%}  ({right:,} of {total:,})", pad=10)
    if path is not None:
        _save(figure, Path(path))
    return figure


def _series(history: Mapping[str, Sequence[float | None] | None], key: str) -> dict[str, Series]:
    """Return the epochs and values of `key`, for training and validation, where there are any."""
    found = {}
    for name, full_key in (("training", key), ("validation", f"val_{key}")):
        entries = history.get(full_key)
        values = np.array([] if entries is None else entries, dtype=np.float64)  # None is NaN
        finite = np.isfinite(values)
        if finite.any():
            found[name] = (np.flatnonzero(finite) + 1, values[finite])
    return found


def _panel(axes: Axes, key: str, series: dict[str, Series]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for name, (epochs, values) in series.items():
        color, dashes = _STYLES[name]
        axes.plot(epochs, values, dashes, color=color, linewidth=1.8, marker="o", markersize=5,
                  markevery=[len(values) - 1], label=name)  # fmt: skip
    last = max(epochs[-1] for epochs, _ in series.values())
    margin = max(0.02 * (last - 1), 0.2)
    axes.set_xlim(1 - min(margin, 0.9), last + margin)  # there is no epoch 0
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set(xlabel="epoch", ylabel=key)
    if key == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    elif _spans_decades(np.concatenate([values for _, values in series.values()])):
        axes.set_yscale("log")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    _label_ends(axes, key, series)


def _spans_decades(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() > 10**_LOG_DECADES)


def _label_ends(axes: Axes, key: str, series: dict[str, Series]) -> None:
    """Write each curve's name and final value to the right of the panel, at its height."""
    number = "{:.2%}" if key == "accuracy" else "{:.4g}"
    axes.autoscale_view()  # the heights are those of the final limits
    heights = {}
    for name, (epochs, values) in series.items():
        point = axes.transData.transform((epochs[-1], values[-1]))
        heights[name] = axes.transAxes.inverted().transform(point)[1]
    for name, height in _spread(heights, gap=0.14).items():
        axes.annotate(
            f"{name}\n{number.format(series[name][1][-1])}",
            xy=(1, height),
            xytext=(6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=_STYLES[name][0],
            verticalalignment="center",
            fontsize="small",
        )


def _spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """Move up to two heights apart to at least `gap` and half that from 0 and 1, in order."""
    names = sorted(heights, key=lambda name: heights[name])
    low, high = np.clip([heights[names[0]], heights[names[-1]]], gap / 2, 1 - gap / 2)
    half = max(high - low, gap * (len(names) - 1)) / 2
    middle = np.clip((low + high) / 2, half + gap / 2, 1 - half - gap / 2)
    return dict(zip(names, np.linspace(middle - half, middle + half, len(names)), strict=True))


def _confusion_counts(y_true: np.ndarray, y_pred: np.ndarray, k: int) -> np.ndarray:
    """Return the (k, k) counts of true class (row) against predicted class (column)."""
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

    # By the square root of the share, so that a confusion of one in a hundred can be seen.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    bar = axes.figure.colorbar(image, ax=axes, ticks=ticks, format="{x:.0%}", aspect=30, pad=0.03)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)


def _label_classes(axes: Axes, classes: Sequence[str], side: float) -> None:
    ticks, cell = range(len(classes)), _POINTS_PER_INCH * side / len(classes)
    size = min(10.0, 0.6 * cell)  # a cell's height
    axes.set_xticks(ticks, classes, fontsize=size)
    axes.set_yticks(ticks, classes, fontsize=size)
    if _LETTER_WIDTH * size * max(map(len, classes)) > 0.9 * cell:
        for label in axes.get_xticklabels():
            label.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted class", ylabel="true class")


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray, side: float) -> None:
    cell, letters = _POINTS_PER_INCH * side / len(counts), len(str(counts.max()))
    size = min(11.0, 0.8 * cell / (_LETTER_WIDTH * letters))  # a cell's width
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black" if count else "0.6"
        axes.text(column, row, str(count), color=color, fontsize=size, in_layout=False,
                  horizontalalignment="center", verticalalignment="center")  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as PNG, whole or not at all; make the folders above it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.image import imsave

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # once, where `savefig` draws a second time, after the layout
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        imsave(file, canvas.buffer_rgba(), format="png", dpi=figure.dpi)
