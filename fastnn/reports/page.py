"""The page of results: one HTML file with embedded pictures, for any width of screen."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

from fastnn import reports
from fastnn.reports.comparison import EARLY, FASTNN, PYTORCH


def render(results: list[dict[str, Any]], missing: dict[str, str], folder: Path) -> str:
    """Return the HTML page of results, with the pictures from subfolders of `folder`.

    `missing` has the reasons, by name, of experiments that could not run. Raises OSError if a
    picture cannot be read.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fastnn.reports", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=lambda share: "" if share is None else f"{share:.2%}",
        number=lambda value: f"{value:.4g}",
        seconds=seconds,
        times=times,
    )
    pictures = {
        each["name"]: [_picture(folder / each["name"], picture) for picture in each["pictures"]]
        for each in results
    }
    template = environment.get_template("report.html.jinja")
    return template.render(
        results=results,
        missing=missing,
        pictures=pictures,
        early=EARLY,
        ours=FASTNN,
        theirs=PYTORCH,
        known=len(reports.EXPERIMENTS),
    )


def seconds(value: float) -> str:
    """Return seconds as text with three digits and the unit."""
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def times(ratio: float) -> str:
    """Return a ratio as text with two digits, or as a whole number if it is large."""
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"


def _picture(folder: Path, picture: dict[str, str]) -> dict[str, Any]:
    content = (folder / picture["file"]).read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # from the PNG header
    return {**picture, "width": width, "height": height, "data": base64.b64encode(content).decode()}
