"""`fastnn predict`: a model's predictions for rows or for a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnn.cli import table_options as options
from fastnn.cli.arguments import MODEL, input_schema, read_model, reading_of
from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import note, say, standard_output
from fastnn.cli.tables import print_table

if TYPE_CHECKING:
    import numpy as np

    from fastnn.data.tables.reading import Reading
    from fastnn.data.tables.table import Source, Table
    from fastnn.nn.sequential import Sequential

_ROWS_SHOWN = 20
_CLASSES_SHOWN = 5


def predict(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Rows (a file as in fastnn train) or a picture (PNG, JPEG); - for standard input.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for all predictions: .parquet, else CSV; - for CSV on standard output."
        ),
    ] = None,
    keep_columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of FILE to write beside the predictions; repeat for more.",
        ),
    ] = None,
    delimiter: options.Delimiter = None,
    decimal: options.Decimal = None,
    thousands: options.Thousands = None,
    encoding: options.Encoding = None,
    header: options.Header = None,
    missing: options.Missing = None,
    comment: options.Comment = None,
) -> None:
    """Print the class and probabilities that a model predicts for rows or for a picture.

    The columns of FILE may be in any order, and others are ignored. A picture of any size is
    converted the way the training images were: for MNIST, light on dark, fitted in 20x20, centred
    by mass in 28x28. For a regression, the number is printed.
    """
    with reported_errors():
        chain = read_model(model)
        source: Path | bytes = sys.stdin.buffer.read() if file == "-" else Path(file)
        name = "standard input" if file == "-" else file
        try:
            kept = tuple(keep_columns or ())
            picture, outputs, table = _outputs(chain, source, name, reading_of(context), kept)
            if out is not None:
                _write(chain, outputs, table, kept, out)
            elif picture:
                _print_picture(chain, outputs)
            else:
                _print_rows(chain, outputs)
        except (ValueError, ImportError) as error:
            fail(str(error))


def _outputs(
    model: Sequential, source: Path | bytes, name: str, reading: Reading, kept: Sequence[str]
) -> tuple[bool, np.ndarray, Table | None]:
    """Return whether the source is a picture, the model's outputs, and the table of the rows."""
    from fastnn.data.tables.sources import is_picture, open_source
    from fastnn.runs.predicting import predict_table
    from fastnn.training.prediction import predict as outputs_of

    schema = input_schema(model)
    if is_picture(_head(source)):
        if schema.image is None:
            what = f"rows of {len(schema.columns)} columns"
            raise ValueError(f"{name}: found a picture; the model was trained on {what}")
        return True, outputs_of(model, schema.image(source)), None
    schema = schema.told(reading.decimal, reading.thousands)
    opened = open_source(source, name, reading)
    _check_kept(opened, kept)
    names = schema.names_in(opened)
    table = schema.table(opened, kept, kept)
    for message in schema.check(table, names):
        note(f"fastnn: {name}: {message}")
    return False, predict_table(model, schema, table, names), table


def _check_kept(source: Source, kept: Sequence[str]) -> None:
    """Raise TableError unless a table has the columns that are to be written."""
    from fastnn.data.tables.sources import no_column
    from fastnn.data.tables.table import TableError

    for name in kept:
        if name not in source.names:
            raise TableError(no_column(source, "column to keep", name))


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:16]
    with source.open("rb") as file:
        return file.read(16)


def _print_picture(model: Sequential, outputs: np.ndarray) -> None:
    """Print the class of a picture, and the probabilities of all classes, the greatest first."""
    from fastnn.metrics import link_of, probabilities
    from fastnn.runs.predicting import class_names

    (row,) = probabilities(outputs, link_of(model))
    names = class_names(model, len(row))
    say(names[row.argmax()])
    print_table(["class", "probability"], [[names[i], f"{row[i]:.2%}"] for i in (-row).argsort()])


def _print_rows(model: Sequential, outputs: np.ndarray) -> None:
    """Print a table of the first rows, with the probabilities of a few classes."""
    from fastnn.runs.predicting import prediction_columns

    columns = prediction_columns(model, outputs[:_ROWS_SHOWN])
    if len(columns) == 1:
        titles, cells = [], [f"{each:.6g}" for each in columns["prediction"]]
        rows = [[cell] for cell in cells]
    else:
        classes = list(columns)[2:]
        shown = ["probability", *(classes if len(classes) <= _CLASSES_SHOWN else ())]
        titles = [title.removeprefix("probability of ") for title in shown]
        rows = [
            [name, *(f"{columns[title][row]:.2%}" for title in shown)]
            for row, name in enumerate(columns["prediction"])
        ]
    table = [[str(number), *row] for number, row in enumerate(rows, start=1)]
    print_table(["row", "prediction", *titles], table)
    if len(outputs) > _ROWS_SHOWN:
        say(f"the first {_ROWS_SHOWN} rows; --out FILE writes all")


def _write(
    model: Sequential, outputs: np.ndarray, table: Table | None, kept: Sequence[str], out: Path
) -> None:
    """Write all rows: prediction, and for classes its and all classes' probabilities."""
    from fastnn.files.atomic import is_replaced, replacing
    from fastnn.runs.predicting import prediction_columns, write

    columns = prediction_columns(model, outputs)
    if str(out) == "-":
        with standard_output() as text:
            write(text.buffer, columns, table, kept)
        return
    with replacing(out) as file:
        write(file, columns, table, kept, out.suffix == ".parquet")
    if is_replaced(out):  # else the predictions themselves may be on standard output
        say(f"{out}: {len(outputs):,} predictions")
