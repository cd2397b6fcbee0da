"""The page: one HTML file that holds its pictures, for any width of screen."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

from fastnn import reports as experiments
from fastnn.reports.comparison import EARLY, FASTNN, PYTORCH


def render(results: list[dict[str, Any]], missing: dict[str, str], folder: Path) -> str:
    """Give the page for the results of experiments, whose pictures lie in folders of `folder`.

    `missing` says of experiments that could not run why. Raises OSError for a picture that
    cannot be read.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fastnn.reports", "."),
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        percent=lambda share: "" if share is None else f"{share:.2%}",
        number=lambda value: f"{value:.4g}", seconds=seconds, times=times,
    )  # fmt: skip
    pictures = {
        each["name"]: [_picture(folder / each["name"], picture) for picture in each["pictures"]]
        for each in results
    }
    template = environment.get_template("report.html.jinja")
    return template.render(
        results=results, missing=missing, pictures=pictures, early=EARLY, ours=FASTNN,
        theirs=PYTORCH, known=len(experiments.EXPERIMENTS),
    )  # fmt: skip


def seconds(value: float) -> str:
    """Seconds with three digits, and a unit."""
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def times(ratio: float) -> str:
    """A ratio with two digits, whole where it is large."""
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"


def _picture(folder: Path, picture: dict[str, str]) -> dict[str, Any]:
    content = (folder / picture["file"]).read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # of the PNG's header
    return {
        **picture, "width": width, "height": height,
        "data": base64.b64encode(content).decode(),
    }  # fmt: skip
