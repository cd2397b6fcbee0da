"""`fastnn evaluate`: how good a model is on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import fastnn
from fastnn.cli.arguments import DATASETS, MODEL, is_path, read_dataset, read_labelled, read_model
from fastnn.cli.errors import reported_errors
from fastnn.runs.settings import DEFAULT_LOSSES, LOSSES, check_dataset, one_of

if TYPE_CHECKING:
    from fastnn.data.datasets import Dataset
    from fastnn.nn.sequential import Sequential


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=DATASETS)],
    loss: Annotated[
        str | None,
        typer.Option(
            help="cross-entropy, mse, l1 or huber. "
            "[default: cross-entropy for classes, mse for numbers]"
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Of a file: the column to compare with, if not that of the training."),
    ] = None,
) -> None:
    """Print how good a model is on test rows: accuracy and loss, or for numbers R2 and RMSE.

    Of a file that the model was trained on, these are the rows that were held out; of another one,
    all rows.
    """
    with reported_errors():
        check_dataset(dataset)
        if loss is not None:
            one_of("loss", loss, LOSSES)
        chain = read_model(model)
        if is_path(dataset):
            x, y, rows = read_labelled(chain, dataset, target)
        else:
            data = read_dataset(dataset)
            _check_fit(chain, model, data)
            x, y, rows = data.x_test, data.y_test, f"{len(data.x_test):,} test rows of {dataset}"
        task = "classification" if y.dtype.kind == "i" else "regression"
        loss = loss or DEFAULT_LOSSES[task]
        try:
            result = fastnn.evaluate(chain, x, y, loss=getattr(fastnn, LOSSES[loss])())
        except (TypeError, ValueError) as error:  # layers that do not fit each other, or the task
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
        if task == "classification":
            scores = f"accuracy {result.accuracy:.2%}"
        else:
            from fastnn.metrics import regression_scores

            found = regression_scores(y, fastnn.predict(chain, x)[:, 0])
            scores = f"r2 {found['r2']:.4f}, rmse {found['rmse']:.4g}"
    typer.echo(f"{scores}, loss {result.loss:.4g} on the {rows}")


def _check_fit(model: Sequential, path: Path, dataset: Dataset) -> None:
    """See that a model takes the columns of a data set, and gives one for each class."""
    from fastnn.compiler.program import flat_layers
    from fastnn.nn.layers import Linear

    linear = [layer for layer in flat_layers(model) if isinstance(layer, Linear)]
    columns, classes = dataset.x_test.shape[1], len(dataset.classes)
    takes = linear[0].in_features if linear else columns
    gives = linear[-1].out_features if linear else columns
    if (takes, gives) != (columns, classes):
        raise typer.BadParameter(
            f"{path} takes {takes} columns and gives {gives}; "
            f"{dataset.name} has {columns} columns and {classes} classes",
            param_hint="'DATASET'",
        )
