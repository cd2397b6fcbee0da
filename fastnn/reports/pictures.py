"""Pictures of data and of trained networks: points, surfaces, images and shades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.data.datasets import DISK_RADIUS
from fastnn.reports.figures import BLUE, GREEN, ORANGE, VERMILION, WIDTH, panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINT_COLORS = (ORANGE, BLUE)
_EDGE = "#222222"


def points(
    x: np.ndarray, classes: np.ndarray, names: Sequence[str], wrong: np.ndarray | None = None
) -> Figure:
    """Plot points (n, 2) of the unit square, coloured by class, with circles around wrong ones."""
    figure, axes = panel(height=WIDTH)
    _unit_square(axes)
    for label, (name, color) in enumerate(zip(names, _POINT_COLORS, strict=True)):
        members = x[classes == label]
        axes.scatter(
            members[:, 0], members[:, 1], s=14, color=color, alpha=0.75, linewidths=0, label=name
        )
    if wrong is not None:
        count = f"wrong ({int(wrong.sum())} of {len(x):,})"
        axes.scatter(
            x[wrong, 0],
            x[wrong, 1],
            s=60,
            facecolors="none",
            edgecolors=_EDGE,
            linewidths=1.2,
            label=count,
        )
    figure.legend(
        frameon=False, loc="outside lower center", ncols=3, fontsize=9.5, handletextpad=0.2
    )
    return figure


def surfaces(moments: Mapping[int, np.ndarray]) -> Figure:
    """Plot a network's outputs (side, side) over the unit square, with a panel for each epoch.

    Blue is inside, orange outside; the line is the decision boundary, the dashes the true circle.
    """
    from matplotlib.colors import LinearSegmentedColormap

    from fastnn.plots.figure import LiteralFigure

    colors = LinearSegmentedColormap.from_list("classes", [ORANGE, "white", BLUE])
    rows = -(-len(moments) // 3)
    figure = LiteralFigure(figsize=(WIDTH, 0.2 + 1.62 * rows), layout="constrained")
    panels = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, (epoch, values) in zip(panels, moments.items(), strict=False):
        _unit_square(axes)
        axes.imshow(
            values,
            origin="lower",
            extent=(0, 1, 0, 1),
            cmap=colors,
            vmin=-1,
            vmax=1,
            interpolation="bilinear",
        )
        if values.min() < 0 < values.max():
            middles = (np.arange(len(values)) + 0.5) / len(values)
            axes.contour(middles, middles, values, levels=[0], colors=_EDGE, linewidths=1.4)
        axes.set_title(f"epoch {epoch}", fontsize="medium")
        axes.set(xticks=[], yticks=[])
    for axes in panels[len(moments) :]:
        axes.set_visible(False)
    return figure


def images(pixels: np.ndarray, titles: Sequence[str], *, signed: bool = False) -> Figure:
    """Plot images (n, height, width), five in a row; `signed` is blue above 0 and red below."""
    from fastnn.plots.figure import LiteralFigure

    rows = -(-len(pixels) // 5)
    figure = LiteralFigure(figsize=(WIDTH, 1.15 * rows), layout="constrained")
    bound = float(np.abs(pixels).max()) or 1.0
    shades = {"cmap": "RdBu", "vmin": -bound, "vmax": bound} if signed else {"cmap": "gray_r"}
    panels = figure.subplots(rows, 5, squeeze=False).ravel()
    for axes, image, title in zip(panels, pixels, titles, strict=False):
        axes.imshow(image, interpolation="nearest", **shades)
        axes.set_title(title, fontsize="medium", pad=3)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("0.8")
    for axes in panels[len(pixels) :]:
        axes.set_visible(False)
    return figure


def awake(shares: np.ndarray, names: Sequence[str]) -> Figure:
    """Plot the shares (epochs, classes) of images whose logit is above 0; red where it is 0."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, axes = panel()
    axes.grid(False)
    shown = np.ma.masked_equal(shares.T, 0)
    colors = LinearSegmentedColormap.from_list("awake", ["#d6ecdf", GREEN, "#00412f"])
    shades = colors.with_extremes(bad=VERMILION)
    extent = (0.5, len(shares) + 0.5, len(names) - 0.5, -0.5)
    image = axes.imshow(
        shown, aspect="auto", cmap=shades, vmin=0, vmax=1, extent=extent, interpolation="nearest"
    )
    axes.hlines(np.arange(1, len(names)) - 0.5, *extent[:2], color="white", linewidth=1.5)
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set(xlabel="epoch", ylabel="logit of digit")
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(xmax=1), aspect=30, pad=0.02)
    bar.set_label("images with it above 0 (red: none)", fontsize=9.5)
    bar.outline.set_visible(False)
    return figure


def _unit_square(axes: Axes) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(
        Circle(
            (0.5, 0.5),
            DISK_RADIUS,
            fill=False,
            color=_EDGE,
            linewidth=1,
            linestyle=(0, (4, 3)),
            zorder=3,
        )
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.grid(False)
