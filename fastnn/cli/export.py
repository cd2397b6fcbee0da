"""`fastnn export`: write a model to an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastnn.cli.arguments import MODEL, read_model
from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import say
from fastnn.runs.settings import one_of

_DTYPES = ("uint8", "float32", "float64")


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: a name in .onnx.")],
    input_dtype: Annotated[
        str | None, typer.Option(help="uint8, float32 or float64; by default the model's.")
    ] = None,
) -> None:
    """Write a model to an ONNX file, with its preprocessing, for batches of any size."""
    import fastnn
    from fastnn.files.atomic import is_replaced

    with reported_errors():
        if input_dtype is not None:
            one_of("input_dtype", input_dtype, _DTYPES)
        if out.suffix.lower() != ".onnx":
            raise typer.BadParameter(f"{out}; expected a name in .onnx", param_hint="'OUT'")
        chain = read_model(model)
        try:
            fastnn.to_onnx(chain, out, input_dtype=input_dtype)
        except ImportError as error:
            fail(str(error))
        except (TypeError, ValueError) as error:
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
    if is_replaced(out):  # else the model itself may be on standard output
        say(f"wrote {out}: {out.stat().st_size:,} bytes")
