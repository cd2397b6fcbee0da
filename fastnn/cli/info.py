"""`fastnn info`: the content of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnn.cli.arguments import MODEL, read_model
from fastnn.cli.errors import reported_errors
from fastnn.cli.output import say
from fastnn.cli.tables import print_table

if TYPE_CHECKING:
    from fastnn.data.tables.schema import Schema
    from fastnn.nn.sequential import Sequential


def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
) -> None:
    """Show the content of a model file: layers, parameters, classes and columns."""
    with reported_errors():
        chain = read_model(model)
        size = model.stat().st_size
    _print_chain(chain)
    if chain.classes:
        say(f"classes: {', '.join(chain.classes)}")
    if chain.schema is not None:
        _print_schema(chain.schema)
    say(f"{model}: {size:,} bytes")


def _print_schema(schema: Schema) -> None:
    """Print the target of a model, and its input columns or picture size."""
    from fastnn.data.tables.table import few

    if schema.target is not None:
        say(f"{schema.target.task} of {schema.target.name}")
    if schema.columns:
        named = [
            f"{each.name} ({few(each.texts, 3)})" if each.texts else each.name
            for each in schema.columns
        ]
        say(f"columns: {few(named, 20)}")
    if schema.image is not None:
        height, width = schema.image.shape
        say(f"pictures: converted to {height}x{width}")


def _print_chain(model: Sequential) -> None:
    """Print the layers of a chain, with their parameters and the total."""
    rows = [
        [f"{place}  {layer!r}", f"{sum(each.size for each in layer.parameters()):,}"]
        for place, layer in enumerate(model)
    ]
    total = sum(each.size for each in model.parameters())
    dtypes = {each.dtype.name for each in model.parameters()}
    print_table(["layer", "parameters"], rows)
    say(f"{total:,} parameters of {' and '.join(sorted(dtypes)) or 'no dtype'}")
