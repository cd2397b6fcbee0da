"""Style shared by all pictures: size, colours, markers, axes and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.files.atomic import make_folder, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
POINTS_PER_INCH = 72
LETTER_WIDTH = 0.65  # times the font size
FORMATS = ("png", "svg", "pdf")

# Okabe and Ito's colours differ for colour-blind readers; dashes and markers differ in print.
INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
# Colour maps that go from dark to light, so that they can be read in grey.
SEQUENTIAL = "cividis"
SIGNED = "gray"


def new_figure(width: float, height: float, layout="constrained") -> Figure:
    """Return an empty figure of a width and height in inches, with a white background."""
    from fastnn.plots.figure import LiteralFigure

    return LiteralFigure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")


def plain(axes: Axes) -> None:
    """Remove the top and right spines, and draw a light grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def legend(owner: Any, drawn: Sequence[Any], names: Sequence[str], **options) -> None:
    """Add a legend to a figure or to axes: names of what was drawn, whatever they begin with.

    matplotlib leaves out those that begin with an underscore.
    """
    places = [str(place) for place in range(len(drawn))]
    made = owner.legend(drawn, places, frameon=False, **options)
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set_text(name)


def save(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Write a figure to `path` atomically, if it is not None, and return the figure.

    Missing folders are made. The ending gives the format: .png, .svg or .pdf; others are PNG.
    """
    if path is None:
        return figure
    path = Path(path)
    make_folder(path.parent)
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
    canvas.draw()  # draws once; `savefig` would draw twice
    with replacing(path) as file:
        imsave(file, canvas.buffer_rgba(), format="png", dpi=figure.dpi)
