"""The instructions of losses and of their gradients with respect to the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.lowering.stage import UnsupportedError
from fastnn.compiler.samples import Truth
from fastnn.nn.losses import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
    QuantileLoss,
)
from kernels.functions.losses import ERRORS
from kernels.instructions import losses as instructions
from kernels.machine.instruction import Instruction

Lowering = Callable[[Builder, Any, int, Truth], tuple[Instruction, dict[str, Any]]]
"""Returns the instruction of a loss for a number of columns, and its operands for the targets."""

_LOWERINGS: dict[type, Lowering] = {}


def _lowers(*losses: type) -> Callable[[Lowering], Lowering]:
    """Return a decorator that registers a function as the lowering of these losses."""

    def register(lowering: Lowering) -> Lowering:
        _LOWERINGS.update(dict.fromkeys(losses, lowering))
        return lowering

    return register


def emit_loss(
    build: Builder, loss: Any, y: Block, truth: Truth, totals: np.ndarray, training: bool
) -> Block:
    """Emit the loss and the tally; return the gradient with respect to the output.

    Raises UnsupportedError for a loss that is not one of fastnn's.
    """
    if type(loss) not in _LOWERINGS:
        raise UnsupportedError(f"{type(loss).__name__} is not a loss that fastnn compiles")
    losses, hits = build.take(build.batch), build.take(build.batch, np.uint8)
    gradient = build.block(y.columns)
    kind, operands = _LOWERINGS[type(loss)](build, loss, y.columns, truth)
    build.emit(
        kind,
        **{"columns": y.columns, **operands},
        x=y,
        masses=truth.divisor,
        g=gradient,
        losses=losses,
        hits=hits,
    )
    build.emit(
        instructions.tally, losses=losses, hits=hits, totals=totals, halting=training, wait=False
    )
    return gradient


def _check_columns(targets: Block | None, expected: int) -> None:
    """Raise ValueError for rows of targets with another number of columns."""
    if targets is not None and targets.columns != expected:
        raise ValueError(f"the targets have {targets.columns} columns; expected {expected}")


@_lowers(NLLLoss)
def _log_likelihood(build, loss, columns, truth):
    loss.factors(columns)
    return instructions.log_likelihood, {"labels": truth.labels, "weights": truth.masses}


@_lowers(CrossEntropyLoss)
def _cross_entropy(build, loss, columns, truth):
    factors, rows = loss.factors(columns).astype(build.dtype), truth.rows
    _check_columns(rows, columns)
    if rows is None:
        if not loss.label_smoothing:
            return instructions.cross_entropy, {"labels": truth.labels, "weights": truth.masses}
        rows = build.block(columns)
        build.emit(instructions.one_hot, columns=columns, labels=truth.labels, t=rows)
    smoothing = loss.label_smoothing
    read = {"t": rows, "factors": factors, "smoothing": smoothing, "weights": truth.weights}
    return instructions.cross_entropy_probability, read


@_lowers(
    BCEWithLogitsLoss,
    GaussianNLLLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    PoissonNLLLoss,
    QuantileLoss,
)
def _error(build, loss, columns, truth):
    """Lower a loss of rows of numbers, which may have fewer columns than the outputs."""
    with np.errstate(over="ignore"):
        factors = np.ascontiguousarray(loss.factors(columns), build.dtype)
    _check_columns(truth.rows, columns // ERRORS[loss.kernel].outputs)
    read = {"t": truth.rows, "factors": factors, "weights": truth.weights}
    return instructions.ERROR[loss.kernel], {"columns": truth.rows.columns, **read}
