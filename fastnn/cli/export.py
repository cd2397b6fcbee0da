"""`fastnn export`: write a model to an ONNX file or a C header."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fastnn.cli.arguments import MODEL, read_model
from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import say
from fastnn.runs.settings import one_of

_DTYPES = ("uint8", "float32", "float64")
_OUT = "File to write: a name in .onnx, or in .h for C."
_NAME = "Name of the model in C; by default made from OUT."
_PROBABILITIES = (
    "Whether the C function returns probabilities; by default it does for a model of classes."
)


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help=_OUT)],
    input_dtype: Annotated[
        str | None, typer.Option(help="uint8, float32 or float64; by default the model's.")
    ] = None,
    name: Annotated[str | None, typer.Option(help=_NAME)] = None,
    probabilities: Annotated[
        bool | None,
        typer.Option("--probabilities/--no-probabilities", help=_PROBABILITIES),
    ] = None,
) -> None:
    """Write a model to an ONNX file or a C header, with its preprocessing.

    ONNX takes batches of any size. The C header has one function, for a row, and needs nothing but
    C99.
    """
    import fastnn
    from fastnn.files.atomic import is_replaced

    of_c: dict[str, Any] = {"name": name, "probabilities": probabilities}
    with reported_errors():
        if input_dtype is not None:
            one_of("input_dtype", input_dtype, _DTYPES)
        suffix = out.suffix.lower()
        if suffix not in (".onnx", ".h"):
            raise typer.BadParameter(f"{out}; expected a name in .onnx or .h", param_hint="'OUT'")
        for option, value in of_c.items():
            if suffix == ".onnx" and value is not None:
                raise typer.BadParameter(f"{out} is no C header", param_hint=f"'--{option}'")
        chain = read_model(model)
        try:
            if suffix == ".h":
                fastnn.to_c(chain, out, input_dtype=input_dtype, **of_c)
            else:
                fastnn.to_onnx(chain, out, input_dtype=input_dtype)
        except ImportError as error:
            fail(str(error))
        except (TypeError, ValueError) as error:
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
    if is_replaced(out):  # else the model itself may be on standard output
        say(f"wrote {out}: {out.stat().st_size:,} bytes")
