"""What commands are given: data sets, models and folders, read or refused with one line."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fastnn.cli.errors import fail
from fastnn.settings import SettingError

if TYPE_CHECKING:
    from fastnn.datasets import Dataset
    from fastnn.sequential import Sequential

DATASETS = "digits, mnist, fashion-mnist, disk or two-class."
MODEL = "File that `fastnn train` wrote."


def check_folder(folder: Path) -> None:
    """Make the folder, and see that files can be written there before there is any to lose."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingError("out", f"cannot write in {folder}: {error.strerror}") from None


def read_dataset(name: str, subset: int | None = None) -> Dataset:
    """Read a data set; one that is not there or damaged ends the command."""
    from fastnn import datasets

    try:
        return datasets.load(name, subset=subset)
    except datasets.SubsetError as error:
        raise SettingError("subset", str(error)) from None
    except ValueError as error:  # a damaged file
        fail(str(error))


def read_model(path: Path) -> Sequential:
    """Read a model; a file that is none ends the command. What the file leaves open is said."""
    from fastnn.checkpoint import ModelFileError, load

    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", UserWarning)
        try:
            model = load(path)
        except (OSError, ModelFileError) as error:
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
    for doubt in doubts:
        typer.echo(f"fastnn: {doubt.message}", err=True)
    return model
