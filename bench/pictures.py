"""Pictures of a report: PNG files made from its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from bench import sections
from bench.peers import PEERS
from bench.report import Figure, Report, number
from bench.tables import in_order

DPI = 150
# Okabe and Ito's colours differ for colour-blind readers; markers differ in print.
COLOURS = {
    "fastnn": "#D55E00",
    "PyTorch": "#0072B2",
    "torch.compile": "#56B4E9",
    "JAX": "#009E73",
    "scikit-learn": "#CC79A7",
    "NumPy": "#8C8C8C",
    "ONNX Runtime": "#E69F00",
}
MARKERS = dict(zip(COLOURS, "osDv^XP", strict=True))
TITLES = [peer.title for peer in PEERS.values()]


def draw(report: Report, folder: Path, stem: str) -> list[Path]:
    """Draw all pictures for which there are figures; return the paths of the files."""
    written = []
    for name, picture in PICTURES.items():
        canvas = picture(list(report.figures.values()))
        path = folder / f"{stem}-{name}.png"
        path.unlink(missing_ok=True)
        if canvas is not None:
            canvas.savefig(path, dpi=DPI, facecolor="white")
            written.append(path)
    return written


def _of(figures: Iterable[Figure], section: str, *quantities: str) -> list[Figure]:
    """Return the figures of a section, and only of some quantities if these are named."""
    return [
        each
        for each in figures
        if each.section == section and (not quantities or each.quantity in quantities)
    ]


def _value(figures: Iterable[Figure], section: str, subject: str, quantity: str) -> float | None:
    key = section, subject, quantity
    return next((each.value for each in figures if each.key == key), None)


def _plain_log(axis: Any) -> None:
    """Label the ticks of a logarithmic axis with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _canvas(width: float, height: float) -> Canvas:
    return Canvas(figsize=(width, height), layout="constrained")


def _annotate(axes, text: str, place: tuple, offset: tuple, **options: Any) -> None:
    """Write a text at an offset in points from a place in the data."""
    options = {"fontsize": 8, **options}
    axes.annotate(text, place, xytext=offset, textcoords="offset points", **options)


# ------------------------------------------------------------------------- roofline


def roofline(figures: list[Figure]) -> Canvas | None:
    """Plot GFLOP/s of products over their FLOPs a byte, with the machine's roofline."""
    names = [sections.SQUARES, sections.PRODUCTS]
    panels = [here for section in names if (here := _of(figures, section))]
    if not panels:
        return None
    machine = sections.MACHINE
    peak = _value(figures, machine, "float32 multiply-adds", "GFLOP/s")
    copied = _value(figures, machine, "copy", "GB/s")
    canvas = _canvas(5.6 * len(panels) + 0.4, 4.4)
    all_axes = canvas.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, here in zip(all_axes, panels, strict=True):
        _roof(axes, [each.at for each in here if each.at], peak, copied)
        for title in TITLES:
            points = [each for each in here if each.quantity == f"{title}, GFLOP/s"]
            points.sort(key=lambda each: each.at or 0.0)
            lines = "-" if here[0].section == sections.SQUARES else ""
            axes.plot(
                [each.at for each in points],
                [each.value for each in points],
                marker=MARKERS[title],
                color=COLOURS[title],
                ls=lines,
                lw=1,
                ms=5,
                mew=0,
                alpha=0.9,
                zorder=3 if title == "fastnn" else 2,
            )
        axes.set(xscale="log", yscale="log", xlabel="FLOPs a byte of operands and result")
        axes.set_title(here[0].section.removesuffix(", float32, one core"), fontsize=10)
        _plain_log(axes.xaxis)
        _plain_log(axes.yaxis)
        axes.grid(alpha=0.25, which="major")
    all_axes[0].set_ylabel("GFLOP/s, float32, one core")
    found = {each.quantity.removesuffix(", GFLOP/s") for here in panels for each in here}
    _legend(canvas, [title for title in TITLES if title in found])
    return canvas


def _roof(axes, places: list[float], peak: float | None, copied: float | None) -> None:
    """Plot the machine's limits: peak of multiply-adds, and bandwidth of memory."""
    ends = np.array([min(places) / 1.6, max(places) * 1.6])
    if peak is not None:
        axes.axhline(peak, color="black", lw=1)
        _annotate(axes, f"FMA peak {peak:.0f} GFLOP/s", (ends[0], peak), (4, 4))
    if copied is not None:
        slope = copied * ends
        axes.plot(ends, slope if peak is None else np.minimum(slope, peak), "k--", lw=1)
        _annotate(axes, f"memory, {copied:.0f} GB/s", (ends[0], slope[0]), (3, 16))
    axes.set_xlim(*ends)


def _legend(canvas: Canvas, titles: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=COLOURS[title], marker=MARKERS[title], lw=1.5, label=title)
        for title in titles
    ]
    canvas.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9
    )


# ----------------------------------------------------------------------------- bars


def _bars(axes, rows: Sequence[str], values: dict[str, dict[str, float]]) -> None:
    """Plot horizontal bars: a group for each row, and a bar for each library with a value."""
    shown = [title for title in TITLES if any(title in values[row] for row in rows)]
    thickness = 0.82 / max(1, len(shown))
    for place, row in enumerate(rows):
        for nth, title in enumerate(shown):
            if title not in values[row]:
                continue
            y = place + (nth - (len(shown) - 1) / 2) * thickness
            value = values[row][title]
            axes.barh(y, value, thickness * 0.92, color=COLOURS[title], lw=0)
            _annotate(axes, number(value), (value, y), (3, 0), va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=8.5)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def _log_bars(axes, values: Iterable[float], start: float | None = None) -> None:
    """Set a logarithmic axis for bars, which begins below the least value."""
    found = list(values)
    axes.set_xscale("log")
    axes.set_xlim(start or min(found) / 2, max(found) * 3)
    _plain_log(axes.xaxis)


def training(figures: list[Figure]) -> Canvas | None:
    """Plot the ratios of each peer's seconds of a training step to fastnn's, with targets."""
    here = _of(figures, sections.STEP_RATIOS)
    rows = in_order(each.subject for each in here)
    values = {
        row: {
            each.quantity: each.value
            for each in here
            if each.subject == row and each.quantity in COLOURS
        }
        for row in rows
    }
    rows = [row for row in rows if values[row]]
    if not rows:
        return None
    canvas = _canvas(9, 1.2 + 0.72 * len(rows))
    axes = canvas.subplots()
    _bars(axes, rows, values)
    for each in here:
        if each.target is not None and each.subject in rows and each.quantity in COLOURS:
            axes.plot(
                each.target.bound,
                rows.index(each.subject) + 0.47,
                marker="^",
                ms=6,
                mew=0,
                color=COLOURS[each.quantity],
                clip_on=False,
                zorder=4,
            )
    numbers = [value for row in rows for value in values[row].values()]
    _log_bars(axes, [*numbers, 1.0], min(0.5, *numbers) / 1.2)
    axes.axvline(1, color=COLOURS["fastnn"], lw=1.5)
    axes.set_xlabel("a training step takes so many times as long as fastnn's (triangles: targets)")
    _legend_of_bars(canvas, [title for title in TITLES if any(title in values[r] for r in rows)])
    return canvas


def _legend_of_bars(canvas: Canvas, titles: Sequence[str]) -> None:
    handles = [Line2D([], [], color=COLOURS[title], lw=6, label=title) for title in titles]
    canvas.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9
    )


def elementwise(figures: list[Figure]) -> Canvas | None:
    """Plot nanoseconds an element, with the time of a copy of as many bytes."""
    names = [sections.elementwise(size) for size in sections.ELEMENTWISE_SIZES]
    panels = [here for section in names if (here := _of(figures, section))]
    if not panels:
        return None
    rows = in_order(each.subject for each in panels[0])
    canvas = _canvas(5.4 * len(panels), 1.2 + 0.62 * len(rows))
    all_axes = canvas.subplots(1, len(panels), squeeze=False)[0]
    for place, (axes, here) in enumerate(zip(all_axes, panels, strict=True)):
        rows = in_order(each.subject for each in here)
        values = {
            row: {each.quantity: each.value for each in here if each.subject == row} for row in rows
        }
        bars = {row: {t: v for t, v in values[row].items() if t in COLOURS} for row in rows}
        _bars(axes, rows, bars)
        moved = [values[row].get("moving the bytes", np.nan) for row in rows]
        for at, value in enumerate(moved):
            axes.plot([value, value], [at - 0.45, at + 0.45], color="black", lw=1.5, ls=":")
        _log_bars(axes, [*(v for row in rows for v in bars[row].values()), *moved])
        axes.set_title(here[0].section.split(":")[0].removeprefix("Elementwise, "), fontsize=10)
        axes.set_xlabel("ns an element (dotted: a copy of as many bytes)")
        if place:
            axes.set_yticklabels([])
    _legend_of_bars(canvas, [t for t in TITLES if any(each.quantity == t for each in panels[0])])
    return canvas


def _seconds(section: str, quantity: str, label: str) -> Callable[[list[Figure]], Canvas | None]:
    """Return a function that plots a bar for each subject of a section."""

    def picture(figures: list[Figure]) -> Canvas | None:
        here = _of(figures, section, quantity)
        if not here:
            return None
        canvas = _canvas(7.2, 0.9 + 0.36 * len(here))
        axes = canvas.subplots()
        for place, each in enumerate(here):
            _bar(axes, place, each, _colour(each.subject))
        axes.set_yticks(range(len(here)), [each.subject.replace("`", "") for each in here])
        axes.invert_yaxis()
        _log_bars(axes, (each.value for each in here))
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        axes.set_xlabel(label)
        return canvas

    return picture


def _bar(axes, place: float, each: Figure, colour: str) -> None:
    """Plot a bar with its value, and with a line between its quartiles."""
    axes.barh(place, each.value, 0.72, color=colour, lw=0)
    if each.low is not None and each.high is not None:
        axes.plot([each.low, each.high], [place, place], color="black", lw=1)
    end = max(each.value, each.high or 0.0)
    _annotate(axes, number(each.value), (end, place), (4, 0), va="center")


def _colour(subject: str) -> str:
    """Return the colour of the library with which a subject begins, or grey."""
    return next((c for title, c in COLOURS.items() if subject.startswith(title)), "#BBBBBB")


def runs(figures: list[Figure]) -> Canvas | None:
    """Plot the seconds to each accuracy on MNIST, by library."""
    here = [
        each for each in _of(figures, sections.TO_ACCURACY) if each.subject.startswith("seconds")
    ]
    return _grouped(here, "seconds of training, MNIST, 784-128-10")


def memory(figures: list[Figure]) -> Canvas | None:
    """Plot the peak memory of each whole run in MB, by library."""
    return _grouped(_of(figures, sections.RUN_MEMORY, *TITLES), "MB at the peak", log=False)


def _grouped(here: list[Figure], label: str, log: bool = True) -> Canvas | None:
    if not here:
        return None
    rows = in_order(each.subject for each in here)
    values = {row: {e.quantity: e.value for e in here if e.subject == row} for row in rows}
    canvas = _canvas(7.2, 1.2 + 0.2 * len(here))
    axes = canvas.subplots()
    _bars(axes, rows, values)
    if log:
        _log_bars(axes, (each.value for each in here))
    else:
        axes.margins(x=0.1)
    axes.set_xlabel(label)
    _legend_of_bars(canvas, [t for t in TITLES if any(each.quantity == t for each in here)])
    return canvas


# --------------------------------------------------------------------------- growth


def growth(figures: list[Figure]) -> Canvas | None:
    """Plot microseconds of a step over width, batch, depth, rows and threads, on log axes."""
    panels = {
        axis: here
        for axis in sections.GROWTH
        if (here := _of(figures, sections.growth(axis), *TITLES))
    }
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    canvas = _canvas(3.9 * columns, 3.3 * rows + 0.3)
    all_axes = canvas.subplots(rows, columns, squeeze=False).ravel()
    for axes, (axis, here) in zip(all_axes, panels.items(), strict=False):
        for title in in_order(each.quantity for each in here):
            points = sorted((e for e in here if e.quantity == title), key=lambda e: e.at or 0.0)
            places = [each.at for each in points]
            axes.plot(
                places,
                [each.value for each in points],
                marker=MARKERS[title],
                ms=4,
                lw=1.4,
                color=COLOURS[title],
            )
            lows, highs = zip(*((e.low or e.value, e.high or e.value) for e in points), strict=True)
            axes.fill_between(places, lows, highs, color=COLOURS[title], alpha=0.15, lw=0)
        axes.set(xscale="log", yscale="log", xlabel=axis)
        axes.set_title(sections.GROWTH[axis], fontsize=9)
        _plain_log(axes.yaxis)
        low, high = axes.get_ylim()
        if high < 20 * low:  # powers of ten alone would be too few ticks
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        ticks = in_order(str(int(each.at or 0)) for each in here)
        axes.set_xticks([float(t) for t in ticks], [f"{int(t):,}" for t in ticks], fontsize=8)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.25)
        if len(ticks) > 5:
            axes.tick_params(axis="x", labelrotation=45)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    for row in range(rows):
        all_axes[row * columns].set_ylabel("microseconds a step")
    found = {each.quantity for here in panels.values() for each in here}
    _legend(canvas, [title for title in TITLES if title in found])
    return canvas


PICTURES: dict[str, Callable[[list[Figure]], Canvas | None]] = {
    "training": training,
    "roofline": roofline,
    "elementwise": elementwise,
    "whole-runs": runs,
    "starting": _seconds(
        sections.TRAINED, "s", "seconds from process start to a digits model of 97%"
    ),
    "memory": memory,
    "growth": growth,
}
"""Functions that draw a picture or return None, by the name in the file."""
