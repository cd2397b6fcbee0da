"""The instructions that gather samples, targets and weights into a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.source import Source
from fastnn.nn.loss import Loss
from kernels.instructions import samples as instructions

Tables = tuple[np.ndarray, np.ndarray]
"""Mean and 1 / std of each column, by which samples are normalised."""


@dataclass(frozen=True)
class Truth:
    """Targets of a batch, and addresses of the weights and masses of its rows.

    Targets are either `labels`, the address of class indices, or the block `rows`. Weights and
    masses default to ones. `divisor` is the address of the masses, or 0 if all are 1.
    """

    labels: int | None
    rows: Block | None
    weights: int
    masses: int
    divisor: int


def inputs_of(source: Source, loss: Loss | None, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Return the arrays that a program reads samples and targets from, by name."""
    found = {"x": source.x, "order": source.order}
    if loss is None or source.y is None:
        return found
    found["y"] = loss.labels(source.y)
    masses = loss.masses(source.y, source.weights, dtype)
    if source.weights is not None:
        found["weights"] = source.weights
    if masses is not None and masses is not source.weights:
        found["masses"] = masses
    return found


def form_of(inputs: Mapping[str, np.ndarray]) -> list:
    """Return what arrays must have in common to be bound to one program."""
    return [(name, each.dtype, each.shape[1:]) for name, each in inputs.items()]


def emit_samples(build: Builder, tables: Tables | None) -> Block:
    """Emit the gathering of a batch of samples, normalised if asked for; return the batch."""
    x = build.inputs["x"]
    return _emit_gathering(build, x, build.input("x"), build.input("order"), tables, False)


def emit_rows(build: Builder, x: np.ndarray, tables: Tables | None) -> Block:
    """Emit the reading of rows that lie one after another at the address of `x`; return the batch.

    The run halts at a number that is not finite. Rows that need no conversion are not copied.
    """
    place, order = build.keep(x), build.keep(np.arange(build.batch))
    if x.dtype == np.uint8:
        return _emit_gathering(build, x, place, order, tables)
    rows = Block(place, x.shape[1], x.shape[1])
    build.emit(instructions.check_finite, columns=rows.columns, x=rows)
    if tables is None:
        _check_dtype(build, x)
        return rows
    return _emit_gathering(build, x, place, order, tables)


def emit_copy(build: Builder, x: np.ndarray) -> Block:
    """Emit the copying of rows that lie one after another at the address of `x`; return them."""
    order = build.keep(np.arange(build.batch))
    return _emit_gathering(build, x, build.keep(x), order, None)


def _emit_gathering(
    build: Builder,
    x: np.ndarray,
    place: int,
    order: int,
    tables: Tables | None,
    wait: bool = True,
) -> Block:
    """Emit the gathering of rows like `x` at a place, in an order at another; return the batch."""
    _check_dtype(build, x)
    columns = x.shape[1]
    mean: Any = 0
    factor: Any = 0
    if tables is not None:
        mean, factor = (table.astype(build.dtype) for table in tables)
    y = build.block(columns)
    build.emit(
        instructions.gather_bytes if x.dtype == np.uint8 else instructions.gather,
        columns=columns,
        source=place,
        order=order,
        normalising=tables is not None,
        mean=mean,
        factor=factor,
        y=y,
        wait=wait,
    )
    return y


def _check_dtype(build: Builder, x: np.ndarray) -> None:
    """Raise ValueError unless samples are bytes or numbers of the program's dtype."""
    if x.dtype not in (build.dtype, np.uint8):
        raise ValueError(f"the samples are {x.dtype}; the model computes in {build.dtype}")


def emit_truth(build: Builder, loss: Loss, columns: int) -> Truth:
    """Emit the gathering of a batch's targets, weights and masses; return them.

    Raises ValueError for class indices that do not fit a model of so many `columns`.
    """
    y = build.inputs["y"]
    _check_labels(loss, y, columns)
    labels, rows = _emit_targets(build, y)
    ones = build.keep(np.ones(build.batch, build.dtype))
    given = [name for name in ("weights", "masses") if name in build.inputs]
    if not given:
        return Truth(labels, rows, ones, ones, 0)
    places = [_emit_numbers(build, name) for name in given]
    weights = places[0] if "weights" in given else ones
    return Truth(labels, rows, weights, places[-1], places[-1])


def _check_labels(loss: Loss, y: np.ndarray, columns: int) -> None:
    """Raise ValueError unless class indices are below the number of columns.

    Kernels ignore rows whose index is negative.
    """
    loss.target_columns(columns)  # raises if the loss does not take so many
    if y.ndim == 1 and not y.max() < columns:
        raise ValueError(
            f"the targets range from {y.min()} to {y.max()}; expected class indices below {columns}"
        )


def _emit_targets(build: Builder, y: np.ndarray) -> tuple[int | None, Block | None]:
    """Emit the gathering of a batch's targets: class indices, or rows of numbers."""
    source, order = build.input("y"), build.input("order")
    if y.ndim == 1:
        labels = build.take(build.batch, np.int64)
        build.emit(instructions.gather_labels, source=source, order=order, labels=labels)
        return labels, None
    rows = build.block(y.shape[1])
    build.emit(
        instructions.gather,
        columns=rows.columns,
        source=source,
        order=order,
        normalising=0,
        mean=0,
        factor=0,
        y=rows,
    )
    return None, rows


def _emit_numbers(build: Builder, name: str) -> int:
    """Emit the gathering of one number for each row; return their address."""
    place, numbers = build.take(build.batch), build.input(name)
    order = build.input("order")
    build.emit(instructions.gather_numbers, source=numbers, order=order, numbers=place)
    return place
