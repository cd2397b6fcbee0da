"""Scores of a sweep's runs against each setting that varies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.plots.style import INKS, new_figure, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_MOST_TICKS = 12


def sweep(
    settings: Mapping[str, Sequence[Any]],
    scores: Sequence[float | None],
    score: str = "validation accuracy",
    path: str | os.PathLike[str] | None = None,
    higher_is_better: bool = True,
) -> Figure:
    """Plot the score of each run of a sweep against each setting.

    Each setting has a panel. Runs are dots, a line goes through the medians at each value, and the
    best run has a ring. Names, and up to twelve different numbers, are evenly spaced; more numbers
    lie on a linear axis, or on a logarithmic one if they span more than a decade.

    Parameters
    ----------
    settings : mapping of str to sequence
        For each setting, its values in all runs.
    scores : sequence of float
        The score of each run. Runs whose score is None or not finite are left out.
    score : str, default "validation accuracy"
        Name of the score; with "accuracy" in it, the axis is in percent.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.
    higher_is_better : bool, default True
        Whether the best run has the highest score.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If there is no setting or no finite score, or lengths differ.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> from fastnn import plots
    >>> figure = plots.sweep({"lr": [0.01, 0.1], "hidden": [(32,), (64,)]}, [0.91, 0.95])
    >>> [axes.get_xlabel() for axes in figure.axes[:2]]
    ['lr', 'hidden']
    """
    values = np.array(scores, np.float64)
    if not settings or any(len(column) != len(values) for column in settings.values()):
        raise ValueError(
            f"settings hold {[len(column) for column in settings.values()]} entries; expected at "
            f"least one list of {len(values)}, one entry for each score"
        )
    finite = np.flatnonzero(np.isfinite(values)).tolist()
    if not finite:
        raise ValueError("no run has a finite score")
    values = values[finite]
    best = int(values.argmax() if higher_is_better else values.argmin())
    columns = min(len(settings), _COLUMNS)
    rows = -(-len(settings) // columns)
    figure = new_figure(0.8 + 3.4 * columns, 0.4 + 2.8 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, (name, column) in zip(panels.flat, settings.items(), strict=False):
        _panel(axes, name, [column[i] for i in finite], values, best)
    for axes in panels.flat[len(settings) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(score)
    if "accuracy" in score:
        from matplotlib.ticker import PercentFormatter

        panels[0, 0].yaxis.set_major_formatter(PercentFormatter(xmax=1))
    return save(figure, path)


def _panel(axes: Axes, name: str, column: list, scores: np.ndarray, best: int) -> None:
    values = sorted(set(column), key=_order)
    places = _places(axes, values)
    x = np.array([places[value] for value in column])
    medians = [(place, np.median(scores[x == place])) for place in sorted(set(places.values()))]
    if len(medians) <= _MOST_TICKS:  # in a random search, values do not repeat
        axes.plot(*zip(*medians, strict=True), color="0.4", linewidth=1.4, zorder=1)
    axes.plot(x, scores, "o", color=INKS[0], markersize=5, alpha=0.6, markeredgewidth=0)
    axes.plot(
        x[best],
        scores[best],
        "o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=INKS[1],
        markeredgewidth=1.8,
    )
    axes.set_xlabel(name)
    plain(axes)


def _places(axes: Axes, values: list) -> dict[Any, float]:
    """Return the places of values on an axis: evenly spaced if few or names, else the numbers."""
    numeric = all(isinstance(value, (int, float)) for value in values)
    if len(values) <= _MOST_TICKS or not numeric:
        axes.set_xticks(range(len(values)), [_text(value) for value in values])
        axes.set_xlim(-0.5, len(values) - 0.5)
        if sum(len(_text(value)) for value in values) > 30:
            axes.tick_params("x", labelrotation=45)
        return {value: float(place) for place, value in enumerate(values)}
    if values[0] > 0 and values[-1] / values[0] > 10:
        axes.set_xscale("log")
    return {value: float(value) for value in values}


def _order(value: Any) -> tuple:
    """Return a sort key: numbers by size, widths by number of layers and size, others by name."""
    if isinstance(value, tuple):
        return len(value), value
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
