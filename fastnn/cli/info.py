"""`fastnn info`: what a model file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnn.cli.arguments import MODEL, read_model
from fastnn.cli.errors import reported_errors
from fastnn.cli.tables import print_table

if TYPE_CHECKING:
    from fastnn.sequential import Sequential


def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
) -> None:
    """Show what a model file holds."""
    with reported_errors():
        chain = read_model(model)
        size = model.stat().st_size
    _print_chain(chain)
    if chain.classes:
        typer.echo(f"classes: {', '.join(chain.classes)}")
    typer.echo(f"{model}: {size:,} bytes")


def _print_chain(model: Sequential) -> None:
    """Print the layers of a chain, with their parameters and the total."""
    rows = [
        [f"{place}  {layer!r}", f"{sum(each.size for each in layer.parameters()):,}"]
        for place, layer in enumerate(model)
    ]
    total = sum(each.size for each in model.parameters())
    dtypes = {each.dtype.name for each in model.parameters()}
    print_table(["layer", "parameters"], rows)
    typer.echo(f"{total:,} parameters of {' and '.join(sorted(dtypes)) or 'no dtype'}")
