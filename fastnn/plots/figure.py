"""The figure of all pictures, whose texts mean nothing but themselves."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from fastnn.files.texts import visible

_CSS_PIXELS = 96  # of an inch on a web page, whatever the screen's


class LiteralFigure(Figure):
    """Figure that draws texts as they are: no formulas, no TeX, no control characters.

    Names of classes, columns and runs come from anywhere. They are made harmless here, where all
    are drawn, and not where each is written. Only the numbers that matplotlib itself writes beside
    an axis, such as powers of ten, are formulas.
    """

    def draw(self, renderer) -> None:
        """Draw the figure."""
        # Ticks that are made while it is drawn follow these settings.
        with rc_context({"text.usetex": False}):
            for text in self.findobj(Text):
                text.set(text=visible(text.get_text(), but="\n"), parse_math=False, usetex=False)
            for axis in self.findobj(Axis):
                _draw_numbers(axis)
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return the picture, which notebooks show, and its size there in pixels."""
        file = BytesIO()
        self.savefig(file, format="png")
        width, height = (round(_CSS_PIXELS * inches) for inches in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}


def _draw_numbers(axis: Axis) -> None:
    """Let an axis write its numbers as formulas, unless they are names."""
    axis.offsetText.set_parse_math(True)
    formatter = axis.get_major_formatter()
    if isinstance(formatter, (FixedFormatter, FuncFormatter)):
        if not isinstance(formatter, _Names):
            axis.set_major_formatter(_Names(formatter))
        return
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        tick.label1.set_parse_math(True)
        tick.label2.set_parse_math(True)


class _Names(FuncFormatter):
    """Formatter of ticks that have names."""

    def __init__(self, names: Any):
        super().__init__(lambda place, number: visible(names(place, number), but="\n"))
