"""Checkpoints on the command line: checks of their path, and settings of a resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fastnn.cli.output import say
from fastnn.runs.settings import SettingError, Settings

if TYPE_CHECKING:
    from collections.abc import Callable


def check_checkpoint(path: Path | None, every: int, resume: bool) -> None:
    """Raise SettingError if options of checkpoints do not fit, or the path is not writable."""
    from fastnn.files.atomic import check_writable, make_folder

    if path is None and resume:
        raise SettingError("resume", "give the file with --checkpoint")
    if path is None and every != 1:
        raise SettingError("every", "give a file with --checkpoint")
    if every < 1:
        raise SettingError("every", f"{every}; expected a positive integer")
    if path is None:
        return
    try:
        make_folder(path.parent)
        check_writable(path)
    except OSError as error:
        raise SettingError("checkpoint", f"cannot write {path}: {error.strerror}") from None


def check_apart(path: Path | None, folder: Path) -> None:
    """Raise SettingError if the run would overwrite its checkpoint with another of its files."""
    from fastnn.runs.folder import FILES

    if path is not None and path.resolve() in {(folder / name).resolve() for name in FILES}:
        raise SettingError("checkpoint", f"{path} is a file that the run writes; name another")


def resumed(path: Path, given: Settings, is_told: Callable[[str], bool]) -> Settings:
    """Return the settings of the run that wrote a checkpoint, updated from the command line.

    Only settings in `MAY_CHANGE` may be updated; raises SettingError for any other that differs.
    If there is no checkpoint yet, the given settings are returned.
    """
    from fastnn.files.container import ModelFileError
    from fastnn.runs.resuming import MAY_CHANGE, settings_in

    if not path.exists():
        say(f"there is no {path} yet: beginning with the first epoch")
        return given
    try:
        settings = settings_in(path)
    except ModelFileError as error:
        raise SettingError("checkpoint", str(error)) from None
    for name in filter(is_told, vars(given)):
        told, before = getattr(given, name), getattr(settings, name)
        if name in MAY_CHANGE:
            setattr(settings, name, told)
        elif told != before:
            raise SettingError(name, f"{told}; the run that wrote {path} has {before}")
    return settings


def is_told(context: typer.Context) -> Callable[[str], bool]:
    """Return a function that says whether the option of a name is on the command line."""
    return lambda name: getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
