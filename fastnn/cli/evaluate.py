"""`fastnn evaluate`: a model's accuracy on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import fastnn
from fastnn.cli.arguments import DATASETS, MODEL, read_dataset, read_model
from fastnn.cli.errors import reported_errors
from fastnn.settings import LOSSES, Settings, check_dataset, one_of

if TYPE_CHECKING:
    from fastnn.datasets import Dataset
    from fastnn.sequential import Sequential


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=DATASETS)],
    loss: Annotated[str, typer.Option(help="cross-entropy or mse.")] = Settings.loss,
) -> None:
    """Print a model's accuracy and loss on test rows."""
    with reported_errors():
        check_dataset(dataset)
        one_of("loss", loss, LOSSES)
        chain, data = read_model(model), read_dataset(dataset)
        _check_fit(chain, model, data)
        function = getattr(fastnn, LOSSES[loss])()
        try:
            result = fastnn.evaluate(chain, data.x_test, data.y_test, loss=function)
        except ValueError as error:  # a chain whose layers do not fit each other
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
    typer.echo(
        f"accuracy {result.accuracy:.2%}, loss {result.loss:.4g} "
        f"on the {len(data.x_test):,} test rows of {dataset}"
    )


def _check_fit(model: Sequential, path: Path, dataset: Dataset) -> None:
    """See that a model takes the columns of a data set, and gives one for each class."""
    from fastnn.layers import Linear
    from fastnn.program import flat_layers

    linear = [layer for layer in flat_layers(model) if isinstance(layer, Linear)]
    columns, classes = dataset.x_test.shape[1], len(dataset.classes)
    if linear and (linear[0].in_features, linear[-1].out_features) != (columns, classes):
        raise typer.BadParameter(
            f"{path} takes {linear[0].in_features} columns and gives {linear[-1].out_features}; "
            f"{dataset.name} has {columns} columns and {classes} classes",
            param_hint="'DATASET'",
        )
