"""How commands fail: one line that says what was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from fastnn.runs.settings import SettingError


@contextmanager
def reported_errors() -> Iterator[None]:
    """Report settings that are not allowed, and what the machine refuses, in a line."""
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
    """End the command with a line on standard error."""
    typer.echo(f"fastnn: {message}", err=True)
    raise typer.Exit(code)
