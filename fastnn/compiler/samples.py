"""The instructions that gather samples, targets and weights into a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.source import Source
from fastnn.nn.loss import Loss
from fastnn.nn.normalize import Normalize
from kernels.instructions import samples as instructions


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


def emit_samples(build: Builder, source: Source, normalize: Normalize | None, wait: bool) -> Block:
    """Emit the gathering of a batch of samples, normalised if asked for; return the batch."""
    build.fix(source.x)
    return _emit_gathering(build, source.x, source.order, normalize, wait)


def emit_rows(build: Builder, x: np.ndarray, normalize: Normalize | None) -> Block:
    """Emit the reading of rows that lie one after another at the address of `x`; return the batch.

    The run halts at a number that is not finite. Rows that need no conversion are not copied.
    """
    if x.dtype == np.uint8:
        return _emit_gathering(build, x, np.arange(build.batch), normalize)
    rows = Block(build.keep(x), x.shape[1], x.shape[1])
    build.emit(instructions.check_finite, columns=rows.columns, x=rows)
    if normalize is None:
        _check_dtype(build, x)
        return rows
    return _emit_gathering(build, x, np.arange(build.batch), normalize)


def _emit_gathering(
    build: Builder,
    x: np.ndarray,
    order: np.ndarray,
    normalize: Normalize | None,
    wait: bool = True,
) -> Block:
    """Emit the gathering of rows in an order, converted and normalised; return the batch."""
    _check_dtype(build, x)
    columns = x.shape[1]
    mean: Any = 0
    factor: Any = 0
    if normalize is not None:
        mean, factor = (table.astype(build.dtype) for table in normalize.tables(columns))
    y = build.block(columns)
    build.emit(
        instructions.gather_bytes if x.dtype == np.uint8 else instructions.gather,
        columns=columns,
        source=x,
        order=order,
        normalising=normalize is not None,
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


def emit_truth(build: Builder, loss: Loss, source: Source, columns: int) -> Truth:
    """Emit the gathering of a batch's targets, weights and masses; return them.

    Raises ValueError for class indices that do not fit a model of so many `columns`.
    """
    assert source.y is not None
    _check_labels(loss, source.y, columns)
    labels, rows = _emit_targets(build, source.y, source.order)
    ones = build.keep(np.ones(build.batch, build.dtype))
    masses = loss.masses(source.y, source.weights, build.dtype)
    if masses is None:
        return Truth(labels, rows, ones, ones, 0)
    place = _emit_numbers(build, masses, source)
    if masses is source.weights:
        return Truth(labels, rows, place, place, place)
    weights = ones if source.weights is None else _emit_numbers(build, source.weights, source)
    return Truth(labels, rows, weights, place, place)


def _check_labels(loss: Loss, y: np.ndarray, columns: int) -> None:
    """Raise ValueError unless class indices are below the number of columns."""
    loss.target_columns(columns)  # raises if the loss does not take so many
    if y.ndim == 1 and not 0 <= y.min() <= y.max() < columns:
        raise ValueError(
            f"the targets range from {y.min()} to {y.max()}; expected class indices below {columns}"
        )


def _emit_targets(
    build: Builder, y: np.ndarray, order: np.ndarray
) -> tuple[int | None, Block | None]:
    """Emit the gathering of a batch's targets: class indices, or rows of numbers."""
    if y.ndim == 1:
        labels = build.take(build.batch, np.int64)
        build.emit(instructions.gather_labels, source=y, order=order, labels=labels)
        return labels, None
    rows = build.block(y.shape[1])
    build.emit(
        instructions.gather,
        columns=rows.columns,
        source=y,
        order=order,
        normalising=0,
        mean=0,
        factor=0,
        y=rows,
    )
    return None, rows


def _emit_numbers(build: Builder, numbers: np.ndarray, source: Source) -> int:
    """Emit the gathering of one number for each row; return their address."""
    place = build.take(build.batch)
    build.emit(instructions.gather_numbers, source=numbers, order=source.order, numbers=place)
    return place
