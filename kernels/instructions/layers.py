"""Instructions of softmax, dropout, rectifiers and normalization."""

from __future__ import annotations

from kernels.base.jit import Routine
from kernels.base.kinds import DOUBLE, INTEGER, MASK, MATRIX, REALS, below
from kernels.base.simd import advance
from kernels.functions import normalization
from kernels.functions.dropout import dropout_gradient_rows, dropout_rows
from kernels.functions.rectifiers import RECTIFIERS
from kernels.functions.softmax import (
    log_softmax_gradient_rows,
    log_softmax_rows,
    softmax_gradient_rows,
    softmax_rows,
)
from kernels.machine.instruction import Instruction, instruction
from kernels.machine.state import ROWS, THREAD, THREADS, TICK, my_rows

# ----------------------------------------------------------------------------- softmax


def _forward(name: str, rows_of: Routine) -> Instruction:
    """Return an instruction for a routine (rows, columns, x, y)."""

    def forward(at, state, scratch):
        i, rows = my_rows(state)
        rows_of(rows, at.columns, below(at.x, i), below(at.y, i))

    forward.__qualname__ = name  # the name of the machine code
    return instruction(columns=INTEGER, x=MATRIX, y=MATRIX)(forward)


def _backward(name: str, rows_of: Routine) -> Instruction:
    """Return an instruction for a routine (rows, columns, y, g, out)."""

    def backward(at, state, scratch):
        i, rows = my_rows(state)
        rows_of(rows, at.columns, below(at.y, i), below(at.g, i), below(at.out, i))

    backward.__qualname__ = name
    return instruction(columns=INTEGER, y=MATRIX, g=MATRIX, out=MATRIX)(backward)


softmax = _forward("softmax", softmax_rows)
softmax_gradient = _backward("softmax_gradient", softmax_gradient_rows)
log_softmax = _forward("log_softmax", log_softmax_rows)
log_softmax_gradient = _backward("log_softmax_gradient", log_softmax_gradient_rows)


# ----------------------------------------------------------------------------- dropout


@instruction(
    columns=INTEGER,
    x=MATRIX,
    y=MATRIX,
    mask=MASK,
    seed=INTEGER,
    drawn=INTEGER,
    stream=INTEGER,
    keep=INTEGER,
    scale=DOUBLE,
)
def dropout(at, state, scratch):
    """Compute y = x / (1 - p), or 0 where dropped; `drawn` masks were drawn before this run."""
    i, rows = my_rows(state)
    dropout_rows(
        rows,
        at.columns,
        i,
        below(at.x, i),
        below(at.y, i),
        below(at.mask, i),
        at.seed,
        at.drawn + state[TICK],
        at.stream,
        at.keep,
        at.scale,
    )


@instruction(columns=INTEGER, g=MATRIX, mask=MASK, scale=DOUBLE, out=MATRIX)
def dropout_gradient(at, state, scratch):
    """Compute out = g / (1 - p), or 0 where dropped."""
    i, rows = my_rows(state)
    g, mask, out = below(at.g, i), below(at.mask, i), below(at.out, i)
    dropout_gradient_rows(rows, at.columns, g, mask, at.scale, out)


# --------------------------------------------------------------------------- rectifiers


def _rectify(name: str, rows_of: Routine) -> Instruction:
    def rectify(at, state, scratch):
        i, rows = my_rows(state)
        rows_of(rows, at.columns, at.a, at.b, below(at.x, i), below(at.y, i))

    rectify.__qualname__ = name
    return instruction(columns=INTEGER, a=DOUBLE, b=DOUBLE, x=MATRIX, y=MATRIX)(rectify)


def _rectify_gradient(name: str, rows_of: Routine) -> Instruction:
    def gradient(at, state, scratch):
        i, rows = my_rows(state)
        x, g, out = below(at.x, i), below(at.g, i), below(at.out, i)
        rows_of(rows, at.columns, at.a, at.b, x, g, out)

    gradient.__qualname__ = name
    kinds = {"a": DOUBLE, "b": DOUBLE, "x": MATRIX, "g": MATRIX, "out": MATRIX}
    return instruction(columns=INTEGER, **kinds)(gradient)


RECTIFY = {name: _rectify(name, each.forward) for name, each in RECTIFIERS.items()}
"""Instructions that compute y = f(x), by name; a and b are the function's parameters."""

RECTIFY_GRADIENT = {
    name: _rectify_gradient(f"{name}_gradient", each.backward) for name, each in RECTIFIERS.items()
}
"""Instructions that compute out = g f'(x), by name."""


# ------------------------------------------------------------------------ normalization


@instruction(
    columns=INTEGER,
    eps=DOUBLE,
    x=MATRIX,
    gain=REALS,
    shift=REALS,
    y=MATRIX,
    means=REALS,
    factors=REALS,
)
def layer_norm(at, state, scratch):
    """Normalize each row by its own mean and variance."""
    i, rows = my_rows(state)
    normalization.layer_norm_rows(
        rows,
        at.columns,
        at.eps,
        below(at.x, i),
        at.gain,
        at.shift,
        below(at.y, i),
        advance(at.means, i),
        advance(at.factors, i),
    )


@instruction(
    columns=INTEGER, x=MATRIX, means=REALS, factors=REALS, gain=REALS, g=MATRIX, out=MATRIX
)
def layer_norm_gradient(at, state, scratch):
    """Compute the gradient of a layer norm's input."""
    i, rows = my_rows(state)
    normalization.layer_norm_gradient_rows(
        rows,
        at.columns,
        below(at.x, i),
        advance(at.means, i),
        advance(at.factors, i),
        at.gain,
        below(at.g, i),
        below(at.out, i),
    )


@instruction(
    columns=INTEGER,
    x=MATRIX,
    means=REALS,
    factors=REALS,
    g=MATRIX,
    gain_gradient=REALS,
    shift_gradient=REALS,
)
def layer_norm_parameters(at, state, scratch):
    """Compute the gradients of gain and shift."""
    normalization.layer_norm_parameter_columns(
        state[ROWS],
        at.columns,
        at.x,
        at.means,
        at.factors,
        at.g,
        at.gain_gradient,
        at.shift_gradient,
        state[THREAD],
        state[THREADS],
    )


@instruction(columns=INTEGER, x=MATRIX, means=REALS, variances=REALS)
def moments(at, state, scratch):
    """Compute the mean and the variance of each column."""
    normalization.column_moments(
        state[ROWS], at.columns, at.x, at.means, at.variances, state[THREAD], state[THREADS]
    )


@instruction(
    columns=INTEGER,
    eps=DOUBLE,
    x=MATRIX,
    means=REALS,
    variances=REALS,
    gain=REALS,
    shift=REALS,
    y=MATRIX,
)
def batch_norm(at, state, scratch):
    """Normalize each column by its mean and variance."""
    normalization.batch_norm_columns(
        state[ROWS],
        at.columns,
        at.eps,
        at.x,
        at.means,
        at.variances,
        at.gain,
        at.shift,
        at.y,
        state[THREAD],
        state[THREADS],
    )


@instruction(
    columns=INTEGER,
    eps=DOUBLE,
    x=MATRIX,
    means=REALS,
    variances=REALS,
    gain=REALS,
    g=MATRIX,
    out=MATRIX,
    gain_gradient=REALS,
    shift_gradient=REALS,
)
def batch_norm_gradient(at, state, scratch):
    """Compute the gradients of a batch norm's input, of gain and of shift."""
    normalization.batch_norm_gradient_columns(
        state[ROWS],
        at.columns,
        at.eps,
        0,
        at.x,
        at.means,
        at.variances,
        at.gain,
        at.g,
        at.out,
        at.gain_gradient,
        at.shift_gradient,
        state[THREAD],
        state[THREADS],
    )


@instruction(
    columns=INTEGER,
    momentum=DOUBLE,
    tracked=INTEGER,
    means=REALS,
    variances=REALS,
    running_means=REALS,
    running_variances=REALS,
)
def track_moments(at, state, scratch):
    """Move running moments towards those of the batch; `tracked` batches came before this run.

    With a momentum below 0, the running moments are the means over all batches.
    """
    momentum = at.momentum
    if momentum < 0.0:
        momentum = 1.0 / (at.tracked + state[TICK] + 1)
    normalization.track_moments(
        state[ROWS],
        at.columns,
        momentum,
        at.means,
        at.variances,
        at.running_means,
        at.running_variances,
        state[THREAD],
        state[THREADS],
    )
