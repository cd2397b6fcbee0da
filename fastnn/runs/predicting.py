"""Predictions of a model for the rows of a table: in columns, and in files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from fastnn.data.tables.columns import write_columns
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.scratch import Scratch
from fastnn.data.tables.sources import open_source
from fastnn.data.tables.table import Table
from fastnn.metrics import link_of, probabilities
from fastnn.nn.sequential import Sequential, model_dtype
from fastnn.training.prediction import predict


def predict_frame(model: Sequential, frame: Any) -> dict[str, np.ndarray]:
    """Return predictions by columns; see `Sequential.predict_frame`."""
    if model.schema is None or not model.schema.columns:
        raise ValueError("predict_frame: the model was not trained on a table")
    return prediction_columns(model, predict(model, model.schema.encode(open_source(frame))))


def predict_table(model: Sequential, schema: Schema, table: Table, names: Sequence[str]):
    """Return the outputs for the rows of a table, (rows, outputs); rows are encoded in blocks."""
    parts, dtype = [], model_dtype(model)
    for rows, values in table.blocks(schema.columns, names):
        x = np.empty((rows.stop - rows.start, schema.width), dtype)
        write_columns(schema.columns, values, x)
        parts.append(predict(model, x))
    return np.concatenate(parts)


def prediction_columns(model: Sequential, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return columns of predictions, from outputs (rows, outputs).

    For classes: "prediction", the names of the most probable ones, "probability", theirs, and
    "probability of ..." for each class. For numbers: "prediction".
    """
    if not classifies(model, outputs):
        return {"prediction": outputs[:, 0]}
    names, shares = class_names(model, outputs.shape[1]), probabilities(outputs, link_of(model))
    most = shares.argmax(axis=1)
    columns = {"prediction": np.array(names, object)[most], "probability": shares.max(axis=1)}
    return columns | {f"probability of {name}": shares[:, i] for i, name in enumerate(names)}


def classifies(model: Sequential, outputs: np.ndarray) -> bool:
    """Return whether a model's outputs are of classes."""
    if model.schema is not None and model.schema.target is not None:
        return model.schema.target.task == "classification"
    return bool(model.classes) or outputs.shape[1] > 1


def class_names(model: Sequential, count: int) -> list[str]:
    """Return the names of a model's classes, or their places if they have none."""
    return list(model.classes) if len(model.classes) == count else list(map(str, range(count)))


def write(
    file: BinaryIO,
    columns: dict[str, np.ndarray],
    table: Table | None = None,
    kept: Sequence[str] = (),
    parquet: bool = False,
) -> None:
    """Write columns to a file, as CSV or Parquet, behind the columns `kept` of the table."""
    from fastnn.data.tables.relation import write_file

    scratch = Scratch("the predictions")
    scratch.flush()
    write_file(scratch.path, columns, table, kept, parquet)
    with scratch.path.open("rb") as written:
        shutil.copyfileobj(written, file)
