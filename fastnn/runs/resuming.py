"""Settings in the checkpoint of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastnn.files import container
from fastnn.files.container import ModelFileError
from fastnn.runs.settings import Settings, from_plain
from fastnn.training import checkpoints

MAY_CHANGE = ("epochs", "threads")
"""Settings that may change when a run is resumed."""

RUN = "Run"
"""Name of the class whose state holds the settings."""


def settings_in(path: Path) -> Settings:
    """Return the settings of the run that wrote a checkpoint.

    Raises ModelFileError if no run wrote the file, OSError if it cannot be read.
    """
    for part in checkpoints.parts_in(path):
        if part["class"] == RUN:
            with container.named(path):
                return read_settings(part["state"])
    raise ModelFileError(f"{path}: found a checkpoint that `fastnn train` did not write")


def read_settings(state: dict[str, Any]) -> Settings:
    """Return the settings in a checkpoint's state; raise ModelFileError if they are invalid."""
    try:
        return from_plain(state["settings"])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFileError(f"found settings that cannot be read: {error}") from error
