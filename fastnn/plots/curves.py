"""Learning curves of one run, and of several runs together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn.plots.style import DASHES, INKS, MARKERS, legend, new_figure, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_STYLES = {"training": (INKS[0], DASHES[0]), "validation": (INKS[1], DASHES[1])}
_LOG_DECADES = 2

Series = tuple[np.ndarray, np.ndarray]


def curves(
    history: Mapping[str, Sequence[float | None] | None], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Plot the losses and accuracies of a run against the epoch.

    The loss axis is logarithmic if the losses span more than two decades. Without accuracies there
    is one panel.

    Parameters
    ----------
    history : mapping of str to sequence of float
        The lists `loss`, `accuracy`, `val_loss` and `val_accuracy`, with a number for each epoch,
        accuracies from 0 to 1, as from `History.to_dict`. Lists may be missing or None. Entries
        that are None or not finite are left out.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If there is no finite loss or accuracy.
    OSError
        If `path` cannot be written; no partial file is left.

    Examples
    --------
    >>> from fastnn import plots
    >>> figure = plots.curves({"loss": [0.9, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.6]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss']
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = {key: series for key in ("loss", "accuracy") if (series := _series(history, key))}
    if not panels:
        raise ValueError(f"history holds no finite loss or accuracy: its keys are {list(history)}")
    layout = ConstrainedLayoutEngine(w_pad=0.1)
    figure = new_figure(4.8 * len(panels), 3.4, layout)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (key, series) in zip(all_axes, panels.items(), strict=True):
        _panel(axes, key, series)
    return save(figure, path)


def comparison(
    histories: Mapping[str, Mapping[str, Sequence[float | None] | None]],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the learning curves of several runs together.

    Each run has its own colour, dashes and marker. Its validation is drawn as a thick line, its
    training as a thin one; without validation, training is drawn as the thick line.

    Parameters
    ----------
    histories : mapping of str to mapping
        Histories as in `curves`, by the names of the runs.
    path : str or path-like, optional
        File to write, as .png, .svg or .pdf. By default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If there is no finite loss or accuracy.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> from fastnn import plots
    >>> figure = plots.comparison({"slow": {"loss": [0.9, 0.8]}, "fast": {"loss": [0.9, 0.5]}})
    >>> [axes.get_title() for axes in figure.axes]
    ['training loss']
    """
    panels = {
        key: {name: each for name, one in histories.items() if (each := _series(one, key))}
        for key in ("loss", "accuracy")
    }
    panels = {key: runs for key, runs in panels.items() if runs}
    if not panels:
        raise ValueError(f"no finite loss or accuracy in the histories of {list(histories)}")
    figure = new_figure(4.8 * len(panels), 3.6 + 0.22 * -(-len(histories) // 2))
    drawn: dict[str, Line2D] = {}
    styles = {name: _cycled(place) for place, name in enumerate(histories)}
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (key, runs) in zip(all_axes, panels.items(), strict=True):
        for name, series in runs.items():
            drawn[name] = _draw_run(axes, name, series, *styles[name])
        _frame(axes, key, [each for series in runs.values() for each in series.values()])
        best = "validation" if any("validation" in each for each in runs.values()) else "training"
        axes.set_title(f"{best} {key}" + (", thin: training" if best == "validation" else ""))
    legend(figure, [*drawn.values()], [*drawn], loc="outside lower center", ncols=2, handlelength=5)
    return save(figure, path)


def _cycled(place: int):
    """Return the colour, dashes and marker of a run; the first seventy runs differ."""
    return INKS[place % len(INKS)], DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)]


def _draw_run(axes: Axes, name: str, series: dict[str, Series], ink, dashes, marker) -> Line2D:
    """Draw a run; return the line for the legend."""
    epochs, values = series["validation" if "validation" in series else "training"]
    (line,) = axes.plot(
        epochs,
        values,
        color=ink,
        linestyle=dashes,
        linewidth=1.8,
        marker=marker,
        markersize=5.5,
        markevery=max(1, len(values) // 6),
        label=name,
    )
    if len(series) == 2:
        axes.plot(*series["training"], color=ink, linestyle=dashes, linewidth=0.8)
    return line


def _series(history: Mapping[str, Sequence[float | None] | None], key: str) -> dict[str, Series]:
    """Return the epochs and finite values of `key`, by "training" and "validation", if any."""
    found = {}
    for name, full_key in (("training", key), ("validation", f"val_{key}")):
        entries = history.get(full_key)
        values = np.array([] if entries is None else entries, dtype=np.float64)  # None is NaN
        finite = np.isfinite(values)
        if finite.any():
            found[name] = (np.flatnonzero(finite) + 1, values[finite])
    return found


def _panel(axes: Axes, key: str, series: dict[str, Series]) -> None:
    for name, (epochs, values) in series.items():
        color, dashes = _STYLES[name]
        axes.plot(
            epochs,
            values,
            dashes,
            color=color,
            linewidth=1.8,
            marker="o",
            markersize=5,
            markevery=[len(values) - 1],
            label=name,
        )
    _frame(axes, key, list(series.values()))
    _label_ends(axes, key, series)


def _frame(axes: Axes, key: str, series: Sequence[Series]) -> None:
    """Set limits, ticks, scale and labels of a panel of loss or accuracy."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    last = max(epochs[-1] for epochs, _ in series)
    margin = max(0.02 * (last - 1), 0.2)
    axes.set_xlim(1 - min(margin, 0.9), last + margin)  # there is no epoch 0
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set(xlabel="epoch", ylabel=key)
    if key == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    elif _spans_decades(np.concatenate([values for _, values in series])):
        axes.set_yscale("log")
    plain(axes)


def _spans_decades(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() > 10**_LOG_DECADES)


def _label_ends(axes: Axes, key: str, series: dict[str, Series]) -> None:
    """Write each curve's name and final value to the right of the panel, at its height."""
    number = "{:.2%}" if key == "accuracy" else "{:.4g}"
    axes.autoscale_view()  # heights depend on the final limits
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
    """Return up to two heights moved at least `gap` apart and `gap` / 2 away from 0 and 1."""
    names = sorted(heights, key=lambda name: heights[name])
    low, high = np.clip([heights[names[0]], heights[names[-1]]], gap / 2, 1 - gap / 2)
    half = max(high - low, gap * (len(names) - 1)) / 2
    middle = np.clip((low + high) / 2, half + gap / 2, 1 - half - gap / 2)
    return dict(zip(names, np.linspace(middle - half, middle + half, len(names)), strict=True))
