"""Figures over epochs: two libraries' curves, their differences, and several initial weights.

All figures have one panel of the same width, so that a page can arrange them freely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.reports.comparison import FASTNN, PYTORCH, Comparison
from fastnn.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.5, 3.3  # inches
# Okabe and Ito's colours, for colour-blind readers; without yellow, which is faint on white.
BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, BLACK = COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
_PARTS = {"training": ("", BLUE), "test": ("val_", VERMILION)}
_LOG_RATIO = 30
LEGEND = {"frameon": False, "fontsize": 9.5, "handlelength": 1.6}


def panel(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure of the common width, and its only panel."""
    from fastnn.plots.figure import LiteralFigure

    figure = LiteralFigure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def curves(comparison: Comparison, key: str) -> Figure:
    """Plot training and test `key` (loss or accuracy) of both libraries against the epoch.

    PyTorch is a thin line on fastnn's broad pale one: it lies inside where the two agree.
    """
    figure, axes = panel()
    for part, (prefix, color) in _PARTS.items():
        for side, made in comparison.sides.items():
            style = _SIDE_STYLES[side] if len(comparison.sides) > 1 else {"linewidth": 1.4}
            values = getattr(made.history, prefix + key)
            axes.plot(_epochs(values), values, color=color, label=f"{part}, {side}", **style)
    _name_axes(axes, key)
    axes.legend(**LEGEND)
    return figure


def several(named: Mapping[str, Comparison | History], key: str) -> Figure:
    """Plot one quantity, such as val_accuracy, of several runs against the epoch."""
    figure, axes = panel()
    for (name, run), color in zip(named.items(), COLORS, strict=False):
        values = getattr(run.history if isinstance(run, Comparison) else run, key)
        axes.plot(_epochs(values), values, color=color, linewidth=1.6, label=name)
        if isinstance(run, Comparison) and PYTORCH in run.sides:
            theirs = getattr(run.sides[PYTORCH].history, key)
            axes.plot(_epochs(theirs), theirs, color=BLACK, linewidth=0.7, linestyle=(0, (1, 3)))
    _name_axes(axes, key)
    axes.legend(**LEGEND)
    return figure


def differences(comparisons: Sequence[Comparison]) -> Figure:
    """Plot relative differences between the losses of fastnn and PyTorch on a log scale."""
    figure, axes = panel()
    for comparison, color in zip(comparisons, COLORS, strict=False):
        gaps = np.maximum(comparison.relative_differences(), np.finfo(np.float64).tiny)
        axes.plot(_epochs(gaps), gaps, color=color, linewidth=1.4, label=comparison.name)
    axes.axhline(1e-3, color="0.5", linewidth=0.9, linestyle="--")
    axes.annotate(
        "0.1%",
        (1, 1e-3),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        color="0.4",
        fontsize="small",
    )
    low, high = np.array([_extent(each) for each in comparisons]).T
    axes.set(yscale="log", ylim=(min(1e-9, low.min() / 2), max(2e-2, 2 * high.max())))
    axes.set(xlabel="epoch", ylabel="difference in loss / loss")
    axes.legend(**LEGEND)
    return figure


def starts(runs: Mapping[str, Sequence[History]], key: str) -> Figure:
    """Plot the median and the range over seeds for each kind of initial weights."""
    figure, axes = panel()
    for (name, histories), color in zip(runs.items(), COLORS, strict=False):
        values = np.array([getattr(history, key) for history in histories], np.float64)
        epochs = _epochs(values[0])
        axes.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.15, lw=0)
        axes.plot(epochs, np.median(values, axis=0), color=color, linewidth=1.6, label=name)
    _name_axes(axes, key)
    axes.legend(**LEGEND)
    return figure


def steps(counts: Mapping[str, Sequence[int]], what: str) -> Figure:
    """Plot counts after each of the first steps of some trainings."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = panel()
    for (name, values), color in zip(counts.items(), COLORS, strict=False):
        axes.step(_epochs(values), values, where="post", color=color, linewidth=1.8, label=name)
    axes.set(xlabel="step", ylabel=what, ylim=(-0.3, max(map(max, counts.values())) + 1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(**LEGEND)
    return figure


def _extent(comparison: Comparison) -> tuple[float, float]:
    """Return the least nonzero and the largest difference, or float64's rounding if all are 0."""
    gaps = comparison.relative_differences()
    gaps = gaps[gaps > 0]
    return (float(gaps.min()), float(gaps.max())) if gaps.size else (1e-16, 1e-16)


_SIDE_STYLES: dict[str, dict] = {
    FASTNN: {"linewidth": 5, "alpha": 0.3, "solid_joinstyle": "bevel"},
    PYTORCH: {"linewidth": 1.0},
}


def _epochs(values: Sequence) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _name_axes(axes: Axes, key: str) -> None:
    """Set labels, a percent scale for accuracies, and a log scale for a wide range of losses."""
    from matplotlib.ticker import MaxNLocator

    part, name = ("test ", key[4:]) if key.startswith("val_") else ("", key)
    axes.set(xlabel="epoch", ylabel=part + name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if name == "accuracy":
        axes.yaxis.set_major_formatter(lambda share, place: f"{100 * share:g}%")
        return
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
    if values.min() > 0 and values.max() / values.min() > _LOG_RATIO:
        axes.set_yscale("log")
