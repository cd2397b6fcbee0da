"""Instructions of layers that are not linear.

They are as those of `kernels.instructions.common`; `Operands` in each docstring are in order.
"""

from __future__ import annotations

from kernels.base.jit import Routine
from kernels.base.simd import as_float, pointer
from kernels.functions import normalization
from kernels.functions.dropout import dropout_gradient_rows, dropout_rows
from kernels.functions.rectifiers import RECTIFIERS
from kernels.functions.softmax import (
    log_softmax_gradient_rows,
    log_softmax_rows,
    softmax_gradient_rows,
    softmax_rows,
)
from kernels.machine.state import (
    ROWS,
    THREAD,
    THREADS,
    TICK,
    bytes_at,
    cell,
    instruction,
    my_rows,
)

# ------------------------------------------------------------------- softmax and dropout


@instruction
def softmax_layer(at, state, scratch):
    """y = softmax(x). Operands: columns, x, ldx, y, ldy."""
    i, rows = my_rows(state)
    softmax_rows(
        rows,
        at[0],
        cell(at[1], i * at[2], scratch),
        at[2],
        cell(at[3], i * at[4], scratch),
        at[4],
    )


@instruction
def softmax_gradient(at, state, scratch):
    """out = y (g - sum g y). Operands: columns, y, ldy, g, ldg, out, ldo."""
    i, rows = my_rows(state)
    softmax_gradient_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i * at[4], scratch), at[4],
        cell(at[5], i * at[6], scratch), at[6],
    )  # fmt: skip


@instruction
def log_softmax_layer(at, state, scratch):
    """y = log softmax(x). Operands: columns, x, ldx, y, ldy."""
    i, rows = my_rows(state)
    log_softmax_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2],
        cell(at[3], i * at[4], scratch), at[4],
    )  # fmt: skip


@instruction
def log_softmax_gradient(at, state, scratch):
    """out = g - exp(y) sum g. Operands: columns, y, ldy, g, ldg, out, ldo."""
    i, rows = my_rows(state)
    log_softmax_gradient_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2],
        cell(at[3], i * at[4], scratch), at[4], cell(at[5], i * at[6], scratch), at[6],
    )  # fmt: skip


@instruction
def dropout_layer(at, state, scratch):
    """y = x / (1 - p), or 0 where dropped.

    Operands: columns, x, ldx, y, ldy, mask, ld_mask, seed, masks drawn before this
    run, stream, keep, bits of the scale.
    """
    i, rows = my_rows(state)
    dropout_rows(
        rows, at[0], i, cell(at[1], i * at[2], scratch), at[2],
        cell(at[3], i * at[4], scratch), at[4], bytes_at(at[5], i * at[6]), at[6],
        at[7], at[8] + state[TICK], at[9], at[10], as_float(at[11]),
    )  # fmt: skip


@instruction
def dropout_gradient(at, state, scratch):
    """out = g / (1 - p), or 0 where dropped.

    Operands: columns, g, ldg, mask, ld_mask, bits of the scale, out, ldo.
    """
    i, rows = my_rows(state)
    dropout_gradient_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], bytes_at(at[3], i * at[4]), at[4],
        as_float(at[5]), cell(at[6], i * at[7], scratch), at[7],
    )  # fmt: skip


# --------------------------------------------------------------------------- rectifiers


def _forward(name: str, rows_of: Routine) -> Routine:
    def rectify(at, state, scratch):
        i, rows = my_rows(state)
        rows_of(
            rows, at[0], as_float(at[1]), as_float(at[2]),
            cell(at[3], i * at[4], scratch), at[4], cell(at[5], i * at[6], scratch), at[6],
        )  # fmt: skip

    rectify.__qualname__ = name  # machine code is kept by it
    return instruction(rectify)


def _backward(name: str, rows_of: Routine) -> Routine:
    def gradient(at, state, scratch):
        i, rows = my_rows(state)
        rows_of(
            rows, at[0], as_float(at[1]), as_float(at[2]),
            cell(at[3], i * at[4], scratch), at[4], cell(at[5], i * at[6], scratch), at[6],
            cell(at[7], i * at[8], scratch), at[8],
        )  # fmt: skip

    gradient.__qualname__ = name
    return instruction(gradient)


RECTIFY = {name: _forward(name, each.forward) for name, each in RECTIFIERS.items()}
"""y = f(x), by name. Operands: columns, bits of the parameters a and b, x, ldx, y, ldy."""

RECTIFY_GRADIENT = {
    name: _backward(f"{name}_gradient", each.backward) for name, each in RECTIFIERS.items()
}
"""out = g f'(x), by name. Operands: columns, bits of a and b, x, ldx, g, ldg, out, ldo."""


# ------------------------------------------------------------------------ normalisation


@instruction
def layer_norm(at, state, scratch):
    """Rows normalised by themselves.

    Operands: columns, bits of eps, x, ldx, gain, shift, y, ldy, means, factors.
    """
    i, rows = my_rows(state)
    normalization.layer_norm_rows(
        rows, at[0], as_float(at[1]), cell(at[2], i * at[3], scratch), at[3],
        pointer(at[4], scratch), pointer(at[5], scratch),
        cell(at[6], i * at[7], scratch), at[7],
        cell(at[8], i, scratch), cell(at[9], i, scratch),
    )  # fmt: skip


@instruction
def layer_norm_gradient(at, state, scratch):
    """Gradient of the input. Operands: columns, x, ldx, means, factors, gain, g, ldg, out, ldo."""
    i, rows = my_rows(state)
    normalization.layer_norm_gradient_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i, scratch),
        cell(at[4], i, scratch), pointer(at[5], scratch),
        cell(at[6], i * at[7], scratch), at[7], cell(at[8], i * at[9], scratch), at[9],
    )  # fmt: skip


@instruction
def layer_norm_parameters(at, state, scratch):
    """Gradients of gain and shift.

    Operands: columns, x, ldx, means, factors, g, ldg, gain's gradient, shift's gradient.
    """
    normalization.layer_norm_parameter_columns(
        state[ROWS], at[0], pointer(at[1], scratch), at[2], pointer(at[3], scratch),
        pointer(at[4], scratch), pointer(at[5], scratch), at[6], pointer(at[7], scratch),
        pointer(at[8], scratch), state[THREAD], state[THREADS],
    )  # fmt: skip


@instruction
def moments(at, state, scratch):
    """Means and variances of columns. Operands: columns, x, ldx, means, variances."""
    normalization.column_moments(
        state[ROWS], at[0], pointer(at[1], scratch), at[2], pointer(at[3], scratch),
        pointer(at[4], scratch), state[THREAD], state[THREADS],
    )  # fmt: skip


@instruction
def batch_norm(at, state, scratch):
    """Columns normalised by means and variances.

    Operands: columns, bits of eps, x, ldx, means, variances, gain, shift, y, ldy.
    """
    normalization.batch_norm_columns(
        state[ROWS], at[0], as_float(at[1]), pointer(at[2], scratch), at[3],
        pointer(at[4], scratch), pointer(at[5], scratch), pointer(at[6], scratch),
        pointer(at[7], scratch), pointer(at[8], scratch), at[9], state[THREAD], state[THREADS],
    )  # fmt: skip


@instruction
def batch_norm_gradient(at, state, scratch):
    """Gradients of the input, of gain and of shift.

    Operands: columns, bits of eps, x, ldx, means, variances, gain, g, ldg, out, ldo, gain's
    gradient, shift's gradient.
    """
    normalization.batch_norm_gradient_columns(
        state[ROWS], at[0], as_float(at[1]), 0, pointer(at[2], scratch), at[3],
        pointer(at[4], scratch), pointer(at[5], scratch), pointer(at[6], scratch),
        pointer(at[7], scratch), at[8], pointer(at[9], scratch), at[10],
        pointer(at[11], scratch), pointer(at[12], scratch), state[THREAD], state[THREADS],
    )  # fmt: skip


@instruction
def track_moments(at, state, scratch):
    """Move running moments towards those of the batch.

    Operands: columns, bits of the momentum (below 0 for the mean of all batches), batches
    before this run, means, variances, running means, running variances.
    """
    momentum = as_float(at[1])
    if momentum < 0.0:
        momentum = 1.0 / (at[2] + state[TICK] + 1)
    normalization.track_moments(
        state[ROWS], at[0], momentum, pointer(at[3], scratch), pointer(at[4], scratch),
        pointer(at[5], scratch), pointer(at[6], scratch), state[THREAD], state[THREADS],
    )  # fmt: skip
