"""What all pictures have in common: paper, inks that print and eyes tell apart, and files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fastnn.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
POINTS_PER_INCH = 72
LETTER_WIDTH = 0.65  # of the size of the font
FORMATS = ("png", "svg", "pdf")

# Okabe and Ito's colours: told apart by every eye; the dashes and markers, by every printer.
INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
# Light and dark: numbers that are shades of grey where there is no colour.
SEQUENTIAL = "cividis"
SIGNED = "gray"


def new_figure(width: float, height: float, layout="constrained") -> Figure:
    """Make an empty figure of so many inches, on white paper, so that ink is read anywhere."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")


def plain(axes: Axes) -> None:
    """Leave an axis to the left and below, and a light grid behind."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def save(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Write a figure to `path`, whole or not at all, and make the folders above it; give it back.

    The ending says how: PNG, SVG or PDF; others are PNG. None writes nothing.
    """
    if path is None:
        return figure
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lower().removeprefix(".")
    if kind in FORMATS and kind != "png":
        with replacing(path) as file:
            figure.savefig(file, format=kind)
    else:
        _save_png(figure, path)
    return figure


def _save_png(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.image import imsave

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # once, where `savefig` draws a second time, after the layout
    with replacing(path) as file:
        imsave(file, canvas.buffer_rgba(), format="png", dpi=figure.dpi)
