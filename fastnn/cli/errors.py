"""Failures of commands: one line that says what was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from fastnn.cli.output import note
from fastnn.runs.settings import SettingError


@contextmanager
def reported_errors() -> Iterator[None]:
    """Report errors of settings, memory and files in one line, and end the command."""
    try:
        yield
    except SettingError as error:
        name = error.setting
        hint = "DATASET" if name == "dataset" else f"--{name.replace('_', '-')}"
        raise typer.BadParameter(str(error), param_hint=f"'{hint}'") from None
    except MemoryError as error:
        fail(f"not enough memory: {error}")
    except OSError as error:
        fail(str(error))


def fail(message: str, code: int = 1) -> NoReturn:
    """Print a line on standard error, and end the command with exit status `code`."""
    note(f"fastnn: {message}")
    raise typer.Exit(code)
