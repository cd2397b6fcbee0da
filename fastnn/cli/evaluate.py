"""`fastnn evaluate`: the scores of a model on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import fastnn
from fastnn.cli import table_options as options
from fastnn.cli.arguments import (
    DATASETS,
    MODEL,
    read_dataset,
    read_labelled,
    read_model,
    reading_of,
)
from fastnn.cli.errors import reported_errors
from fastnn.cli.output import say
from fastnn.cli.scores import main_scores, print_scores
from fastnn.data.names import is_path
from fastnn.runs.settings import DEFAULT_LOSSES, check_dataset, choices, one_of

if TYPE_CHECKING:
    import numpy as np

    from fastnn.data.dataset import Dataset
    from fastnn.nn.sequential import Sequential


def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=DATASETS)],
    loss: Annotated[
        str | None,
        typer.Option(help="{losses} [default: cross-entropy for classes, mse for numbers]"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Of a file: the column to compare with, if not that of the training."),
    ] = None,
    delimiter: options.Delimiter = None,
    decimal: options.Decimal = None,
    thousands: options.Thousands = None,
    encoding: options.Encoding = None,
    header: options.Header = None,
    missing: options.Missing = None,
    comment: options.Comment = None,
) -> None:
    """Print a model's scores on test rows: accuracy and loss, or for numbers R2, RMSE and loss.

    If the file is the one that the model was trained on, these are the rows that were held out;
    else all rows. For files, a table has more scores and their 95% intervals.
    """
    with reported_errors():
        check_dataset(dataset)
        if loss is not None:
            one_of("loss", loss, choices("loss"))
        chain = read_model(model)
        if is_path(dataset):
            x, y, rows = read_labelled(chain, dataset, target, reading_of(context))
        else:
            data = read_dataset(dataset)
            _check_fit(chain, model, data)
            x, y, rows = data.x_test, data.y_test, f"{len(data.x_test):,} test rows of {dataset}"
        task = "classification" if y.dtype.kind == "i" else "regression"
        loss = loss or DEFAULT_LOSSES[task]
        try:
            result = fastnn.evaluate(chain, x, y, loss=choices("loss")[loss]())
        except (TypeError, ValueError) as error:  # layers do not fit each other, or the task
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
        told = None
        if is_path(dataset):
            from fastnn.metrics import predicted

            told = predicted(chain, fastnn.predict(chain, x))
    if told is None:
        say(f"accuracy {result.accuracy:.2%}, loss {result.loss:.4g} on the {rows}")
    else:
        _print_table(y, told, f"loss {result.loss:.4g} on the {rows}")


def _print_table(y: np.ndarray, told: np.ndarray, rest: str) -> None:
    """Print a line of the main scores of predictions, and a table of all."""
    from fastnn.metrics import scores
    from fastnn.runs.intervals import intervals

    found = scores(y, told)
    say(f"{main_scores(found)}, {rest}")
    print_scores(found, intervals(y, told))


def _check_fit(model: Sequential, path: Path, dataset: Dataset) -> None:
    """Raise BadParameter unless a model takes a data set's columns and has an output a class."""
    from fastnn.nn.sequential import columns_of

    columns, classes = dataset.x_test.shape[1], len(dataset.classes)
    taken, given = (columns if each is None else each for each in columns_of(model))
    if (taken, given) != (columns, classes):
        raise typer.BadParameter(
            f"{path} takes {taken} columns and gives {given}; "
            f"{dataset.name} has {columns} columns and {classes} classes",
            param_hint="'DATASET'",
        )
