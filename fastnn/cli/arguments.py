"""Arguments of commands: data sets, models and folders, read or refused with a one-line error."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from fastnn.cli.errors import fail
from fastnn.cli.output import note
from fastnn.data.names import is_path
from fastnn.runs.settings import (
    SettingError,
    Settings,
    choices,
    optimizer_defaults,
)

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.data.tables.reading import Reading
    from fastnn.data.tables.schema import Schema
    from fastnn.nn.sequential import Sequential

DATASETS = (
    "{datasets}, or a file: CSV, Parquet, JSON, .npy, .npz, a spreadsheet; *.csv for several."
)
MODEL = "File that `fastnn train` wrote."


class Naming(TyperCommand):
    """A command whose help texts may hold names in braces, which stand for lists of choices.

    The choices are looked up only when such a help is shown, because their import is slow.
    """

    def format_help(self, context, formatter) -> None:
        """Write the help, with choices in the place of names in braces."""
        helped = [each for each in self.params if isinstance(each, (TyperArgument, TyperOption))]
        naming = [each for each in helped if "{" in (each.help or "")]
        known = _names() if naming else {}
        for each in naming:
            each.help = (each.help or "").format_map(known)
        super().format_help(context, formatter)


def _names() -> dict[str, str]:
    """Return the text that each name in braces stands for."""
    from fastnn.data import datasets

    return {
        "datasets": ", ".join(datasets.DATASETS),
        "activations": sentence(choices("activation")),
        "losses": sentence(choices("loss")),
        "norms": sentence(choices("norm")),
        "optimizers": sentence(choices("optimizer")),
        **{f"usual_{name}": _usual(name) for name in ("lr", "momentum", "weight_decay")},
    }


def sentence(names: Iterable[str]) -> str:
    """Return names as a sentence: "a, b or c."."""
    return f"{_listed(names, 'or')}."


def _listed(names: Iterable[str], conjunction: str) -> str:
    """Return names as text: "a, b or c"."""
    *most, last = names
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def _usual(setting: str) -> str:
    """Return the optimizers' defaults for a setting as text: "0.05 for sgd, 0.003 for adam"."""
    takers: dict[float, list[str]] = {}
    for name in choices("optimizer"):
        usual = optimizer_defaults(name)
        if setting in usual:
            takers.setdefault(usual[setting], []).append(name)
    return ", ".join(f"{value:g} for {_listed(names, 'and')}" for value, names in takers.items())


def given(context: typer.Context, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of a command's parameters among `names`; lists are tuples.

    Those that are not given, and have no default, are left out.
    """
    values = {name: context.params.get(name) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None and value not in ((), [])
    }


def reading_of(context: typer.Context) -> Reading:
    """Return how a file of texts is to be read, by the options of a command.

    A wrong sign ends the command.
    """
    from fastnn.data.tables.reading import Reading

    try:
        return Reading(**given(context, Reading.__dataclass_fields__))
    except ValueError as error:
        fail(str(error))


def check_folder(folder: Path) -> None:
    """Make the folder; raise SettingError, before any work is done, if it is not writable."""
    from fastnn.files.atomic import make_folder

    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingError("out", f"cannot write in {folder}: {error.strerror}") from None


def read_dataset(name: str, subset: int | None = None) -> Dataset:
    """Return a data set; end the command with an error if it cannot be read."""
    from fastnn.data import datasets

    try:
        return datasets.load(name, subset=subset)
    except datasets.SubsetError as error:
        raise SettingError("subset", str(error)) from None
    except ValueError as error:  # the file is damaged
        fail(str(error))


def read_settled(settings: Settings) -> Dataset:
    """Return the data set, or the table in a file, that settings name."""
    if is_path(settings.dataset):
        return read_own(settings)
    return read_dataset(settings.dataset, settings.subset)


def read_own(settings: Settings) -> Dataset:
    """Return the table that settings name; end the command if it cannot be trained on."""
    from fastnn.data import datasets
    from fastnn.data.tables.sources import TargetError

    try:
        from fastnn.runs.data import read_data

        return read_data(settings)
    except datasets.SubsetError as error:
        raise SettingError("subset", str(error)) from None
    except TargetError as error:
        raise SettingError("target", str(error)) from None
    except (ValueError, ImportError) as error:
        fail(str(error))


def read_labelled(model: Sequential, path: str, target: str | None, reading: Reading):
    """Return rows of a file, their targets, and a description of the rows for a message.

    These are the rows held out if the model was trained on this file, else all rows. A file that
    does not fit the model ends the command.
    """
    import numpy as np

    from fastnn.data.tables.preparing import values_to_split_by
    from fastnn.data.tables.rows import encoded_rows
    from fastnn.data.tables.sources import find_target, open_source
    from fastnn.data.tables.target import missing_targets
    from fastnn.data.tables.understanding import Understanding, Wishes

    schema = input_schema(model).told(reading.decimal, reading.thousands)
    if schema.target is None:
        fail("the model was not trained on a file, so it knows no target; name a data set instead")
    try:
        source = open_source(path, None, reading)
        label, labels = find_target(source, target or schema.target.name)
        own = labels is source
        split = schema.split
        by = [split.column] if split is not None and split.column in source.names else []
        also = [*by, *([label] if own else [])]
        table = schema.table(source, source.spelled([label]) if own else (), also)
        y = schema.target.read(table if own else labels.table(), label, model.classes)
        names = schema.names_in(source)
        for message in schema.check(table, names):
            note(f"fastnn: {message}")
        rows = np.flatnonzero(~missing_targets(y))
        if len(rows) < len(y):
            lacking = len(y) - len(rows)
            left = "1 row" if lacking == 1 else f"{lacking:,} rows"
            note(f"fastnn: {path}: {left} without a target: left out")
        y, which = y[rows], f"{len(rows):,} rows of {path}"
        if split is not None and split.made_of(y):
            keys = values_to_split_by(Understanding(table, Wishes()), split)[rows] if by else None
            held_out = split.parts(y, keys)[1]
            rows, y = rows[held_out], y[held_out]
            which = f"{len(rows):,} rows of {path} that training held out"
        return encoded_rows(schema.columns, table, names, rows), y, which
    except (ValueError, ImportError) as error:
        fail(str(error))


def input_schema(model: Sequential) -> Schema:
    """Return the schema of a model's inputs: numbers without names if the model has no schema."""
    import dataclasses

    from fastnn.data.tables.schema import Schema
    from fastnn.nn.sequential import columns_of

    schema = model.schema or Schema()
    if schema.columns:
        return schema
    columns, _ = columns_of(model)
    if columns is None:
        fail("the model has no Linear layer, so it is not known how many columns it takes")
    return dataclasses.replace(schema, columns=Schema.of_numbers(columns).columns, named=False)


def read_model(path: Path) -> Sequential:
    """Return the model in a file, and print its warnings; end the command if it is no model."""
    from fastnn.files.models import ModelFileError, load

    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", UserWarning)
        try:
            model = load(path)
        except (OSError, ModelFileError) as error:
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
    for doubt in doubts:
        note(f"fastnn: {doubt.message}")
    return model
