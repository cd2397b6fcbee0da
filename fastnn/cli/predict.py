"""`fastnn predict`: a model's predictions for rows or for a picture."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnn.cli.arguments import MODEL, input_schema, read_model
from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import note, say, standard_output
from fastnn.cli.tables import print_table

if TYPE_CHECKING:
    import numpy as np

    from fastnn.data.tables.schema import Schema
    from fastnn.nn.sequential import Sequential

_ROWS_SHOWN = 20
_CLASSES_SHOWN = 5
_PIECE = 1 << 14  # rows predicted at a time


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Rows (CSV, .npy, .npz, Parquet) or a picture (PNG, JPEG); - for standard input.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="CSV file for all predictions; - for standard output.")
    ] = None,
) -> None:
    """Print the class and probabilities that a model predicts for rows or for a picture.

    A picture of any size is converted the way the training images were: for MNIST, light on dark,
    fitted in 20x20, centred by mass in 28x28. For a regression, the number is printed.
    """
    with reported_errors():
        chain = read_model(model)
        source: Path | bytes = sys.stdin.buffer.read() if file == "-" else Path(file)
        name = "standard input" if file == "-" else file
        try:
            inputs, picture = _inputs(chain, source, name)
            rows = _predictions(chain, inputs)
            if out is not None:
                _write(chain, rows, out)
            elif picture:
                _print_picture(chain, next(rows))
            else:
                _print_rows(chain, rows)
        except (ValueError, ImportError) as error:
            fail(str(error))


def _inputs(model: Sequential, source: Path | bytes, name: str) -> tuple[Iterator, bool]:
    """Return blocks of rows for the model, and whether they are a picture."""
    from fastnn.data.tables.reading import is_picture, read_table

    schema = input_schema(model)
    if is_picture(_head(source)):
        if schema.image is None:
            what = f"rows of {len(schema.columns)} columns"
            raise ValueError(f"{name}: found a picture; the model was trained on {what}")
        return iter([schema.image(source)]), True
    table = read_table(source, name)
    columns = schema.read(table)
    for message in schema.unseen(columns):
        note(f"fastnn: {name}: {message}")
    return _blocks(schema, columns), False


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:16]
    with source.open("rb") as file:
        return file.read(16)


def _blocks(schema: Schema, columns: list[np.ndarray]) -> Iterator[np.ndarray]:
    import numpy as np

    for begin in range(0, len(columns[0]), _PIECE):
        rows = slice(begin, min(begin + _PIECE, len(columns[0])))
        x = np.empty((rows.stop - begin, schema.width))
        schema.write(columns, rows, x)
        yield x


def _predictions(model: Sequential, blocks: Iterator) -> Iterator[np.ndarray]:
    """Yield each row's probabilities, or the number that a regression predicts."""
    import fastnn
    from fastnn.metrics import link_of, probabilities

    link = link_of(model)
    for x in blocks:
        outputs = fastnn.predict(model, x)
        yield from probabilities(outputs, link) if _classifies(model, outputs) else outputs


def _classifies(model: Sequential, outputs: np.ndarray) -> bool:
    if model.schema is not None and model.schema.target is not None:
        return model.schema.target.task == "classification"
    return bool(model.classes) or outputs.shape[1] > 1


def _names(model: Sequential, row: np.ndarray) -> list[str]:
    """Return the names of the classes; none for a regression."""
    if len(row) == 1 and not model.classes:
        return []
    if len(model.classes) == len(row):
        return list(model.classes)
    return [str(place) for place in range(len(row))]


def _print_picture(model: Sequential, row: np.ndarray) -> None:
    """Print the class of a picture, and the probabilities of all classes, the greatest first."""
    names = _names(model, row)
    say(names[row.argmax()])
    print_table(["class", "probability"], [[names[i], f"{row[i]:.2%}"] for i in (-row).argsort()])


def _print_rows(model: Sequential, rows: Iterator[np.ndarray]) -> None:
    """Print a table of the first rows, with the probabilities of a few classes."""
    shown = list(itertools.islice(rows, _ROWS_SHOWN))
    names = _names(model, shown[0])
    few = names if len(names) <= _CLASSES_SHOWN else []
    table = [
        [str(number), *_cells(names, row), *(f"{p:.2%}" for p in (row if few else ()))]
        for number, row in enumerate(shown, start=1)
    ]
    print_table(["row", "prediction", *(["probability"] if names else []), *few], table)
    if next(rows, None) is not None:
        say(f"the first {_ROWS_SHOWN} rows; --out FILE writes all")


def _cells(names: list[str], row: np.ndarray) -> list[str]:
    if not names:
        return [f"{row[0]:.6g}"]
    return [names[row.argmax()], f"{row.max():.2%}"]


def _write(model: Sequential, rows: Iterator[np.ndarray], out: Path) -> None:
    """Write all rows as CSV: prediction, and for classes its and all classes' probabilities."""
    from fastnn.files.atomic import is_replaced, replacing

    if str(out) == "-":
        with standard_output() as text:
            _write_rows(model, rows, text)
        return
    with replacing(out) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        count = _write_rows(model, rows, text)
        text.detach()
    if is_replaced(out):  # else the predictions themselves may be on standard output
        say(f"{out}: {count:,} predictions")


def _write_rows(model: Sequential, rows: Iterator[np.ndarray], file) -> int:
    writer = csv.writer(file, lineterminator="\n")
    count = 0
    for count, row in enumerate(rows, start=1):
        names = _names(model, row)
        if count == 1:
            header = [f"probability of {name}" for name in names]
            writer.writerow(["prediction", *(["probability"] if names else []), *header])
        if names:
            writer.writerow([names[row.argmax()], row.max(), *row.tolist()])
        else:
            writer.writerow(row.tolist())
    return count
