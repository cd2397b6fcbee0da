"""Which columns of a table matter to a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.plots.style import INKS, new_figure, plain, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_COLUMNS = 20
_LONGEST = 30  # letters of a name


def importance(
    names: Sequence[str],
    falls: Sequence[float],
    deviations: Sequence[float],
    score: str = "accuracy",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the permutation importance of columns: a bar each, the most important one on top.

    At most 20 columns are drawn. A thin line spans a standard deviation to each side.

    Parameters
    ----------
    names : sequence of str
        Names of the columns.
    falls : sequence of float
        Fall of the score when a column is shuffled.
    deviations : sequence of float
        Standard deviation of the fall over the shuffles.
    score : str, default "accuracy"
        Name of the score; "accuracy" is in percent.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If there is no column, or lengths differ.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> from fastnn import plots
    >>> figure = plots.importance(["age", "name"], [0.25, 0.0], [0.01, 0.002])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['age', 'name']
    """
    if not 0 < len(names) == len(falls) == len(deviations):
        raise ValueError(
            f"names, falls and deviations hold {len(names)}, {len(falls)} and {len(deviations)} "
            "entries; expected one for each of at least one column"
        )
    order = np.argsort(-np.asarray(falls, np.float64), kind="stable")[:_MOST_COLUMNS]
    factor = 100 if score == "accuracy" else 1
    figure = new_figure(5.6, 1.1 + 0.3 * len(order))
    axes = figure.subplots()
    axes.barh(
        range(len(order)),
        factor * np.asarray(falls, np.float64)[order],
        xerr=factor * np.asarray(deviations, np.float64)[order],
        color=INKS[0],
        height=0.65,
        error_kw={"ecolor": "0.35", "elinewidth": 1.2},
    )
    axes.axvline(0, color="0.4", linewidth=1)
    axes.set_yticks(range(len(order)), [_short(names[each]) for each in order])
    axes.invert_yaxis()
    axes.set_ylim(len(order) - 0.5, -0.5)
    unit = ", in percent" if factor == 100 else ""
    axes.set_xlabel(f"fall of {score}{unit}, when shuffled")
    if len(names) > len(order):
        axes.set_title(f"{len(order)} of {len(names):,} columns", pad=10)
    plain(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params("y", length=0)
    return save(figure, path)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
