"""What a program is made of: one function for each kind of instruction.

All have one signature: the instruction's operands (int64: sizes, codes, and addresses
of arrays), the state of the run, and this thread's scratch memory. A program names
them by address, so a new kind of instruction is a new function here, and the
interpreter (`kernels.machine.interpreter`) stays as it is. Each does its thread's share of the
output; `Operands` in each docstring are in order. A function is compiled when a program
first names it. Layers that are not linear are in `kernels.instructions.layers`, losses in
`kernels.instructions.losses`.
"""

from __future__ import annotations

import math

from kernels.base.simd import advance, peek, pointer, poke
from kernels.functions import updates
from kernels.functions.activations import IDENTITY, activate, activate_gradient
from kernels.functions.gathering import gather_bytes as gather_byte_rows
from kernels.functions.gathering import gather_rows
from kernels.machine.barrier import share
from kernels.machine.state import (
    ROWS,
    START,
    THREAD,
    THREADS,
    TICK,
    bytes_at,
    cell,
    doubles_at,
    instruction,
    my_rows,
    words_at,
)
from kernels.product import few_outputs
from kernels.product import linear as products

# ------------------------------------------------------------------------- samples


@instruction
def gather(at, state, scratch):
    """Samples into the batch.

    Operands: columns, source, order, normalising, mean, factor, y, ldy.
    """
    first, rows = my_rows(state)
    gather_rows(
        rows, at[0], pointer(at[1], scratch), words_at(at[2], state[START] + first), at[3],
        pointer(at[4], scratch), pointer(at[5], scratch),
        cell(at[6], first * at[7], scratch), at[7],
    )  # fmt: skip


@instruction
def gather_bytes(at, state, scratch):
    """As `gather`, from samples of bytes."""
    first, rows = my_rows(state)
    gather_byte_rows(
        rows, at[0], bytes_at(at[1], 0), words_at(at[2], state[START] + first), at[3],
        pointer(at[4], scratch), pointer(at[5], scratch),
        cell(at[6], first * at[7], scratch), at[7],
    )  # fmt: skip


@instruction
def gather_labels(at, state, scratch):
    """Class indices into the batch. Operands: source, order, labels."""
    first, rows = my_rows(state)
    source, order, labels = words_at(at[0], 0), words_at(at[1], state[START]), words_at(at[2], 0)
    for i in range(first, first + rows):
        labels[i] = source[order[i]]


@instruction
def gather_weights(at, state, scratch):
    """Weights of samples into the batch. Operands: source, order, weights."""
    first, rows = my_rows(state)
    source, order = pointer(at[0], scratch), words_at(at[1], state[START])
    weights = pointer(at[2], scratch)
    for i in range(first, first + rows):
        poke(weights, i, peek(source, order[i]))


# -------------------------------------------------------------------------- layers


@instruction
def linear(at, state, scratch):
    """y = f(x w + bias).

    Operands: inputs, outputs, activation, x, ldx, w, ldw, elements from panel to panel of w or
    0, bias, y, ldy, those from panel to panel of y or 0.
    """
    products.linear_forward(
        state[ROWS], at[0], at[1], at[2], pointer(at[3], scratch), at[4],
        pointer(at[5], scratch), at[6], at[7], pointer(at[8], scratch),
        pointer(at[9], scratch), at[10], at[11], state[THREAD], state[THREADS], scratch,
    )  # fmt: skip


@instruction
def linear_half(at, state, scratch):
    """Sums of this thread's half of x w, of two.

    Operands: inputs, outputs, x, ldx, elements from panel to panel of x, w, ldw, sums, those
    from the first thread's sums to the second one's.
    """
    half = state[THREAD]
    few_outputs.sum_half(
        half, state[ROWS], at[0], at[1], cell(at[2], half * at[4], scratch), at[3],
        pointer(at[5], scratch), at[6], cell(at[7], half * at[8], scratch), scratch,
    )  # fmt: skip


@instruction
def linear_from_halves(at, state, scratch):
    """y = f(sums of both halves + bias).

    Operands: outputs, activation, sums, elements from the first half's to the second one's, bias,
    y, ldy.
    """
    i, rows = my_rows(state)
    first = cell(at[2], i * few_outputs.FEW, scratch)
    few_outputs.add_halves(
        rows, at[0], at[1], first, advance(first, at[3]), pointer(at[4], scratch),
        cell(at[5], i * at[6], scratch), at[6],
    )  # fmt: skip


@instruction
def linear_input_gradient(at, state, scratch):
    """out = (g w^T) f'(y).

    Operands: inputs, outputs, activation, g, ldg, w, ldw, elements from panel to panel of w or
    0, y, ldy, those of y, out, ldo, those of out.
    """
    products.linear_input_gradient(
        state[ROWS], at[0], at[1], at[2], pointer(at[3], scratch), at[4],
        pointer(at[5], scratch), at[6], at[7], pointer(at[8], scratch), at[9], at[10],
        pointer(at[11], scratch), at[12], at[13], state[THREAD], state[THREADS], scratch,
    )  # fmt: skip


@instruction
def linear_update(at, state, scratch):
    """Weights and bias by their gradients; with a rule below 0 the gradients themselves.

    Operands: inputs, outputs, x, ldx, elements from panel to panel of x or 0, g, ldg, those of g,
    w, ldw, those of w, bias, rule of the weights and of the bias, updates before this run,
    settings, first and second memory of the weights, and of the bias.
    """
    products.linear_update(
        state[ROWS], at[0], at[1], pointer(at[2], scratch), at[3], at[4],
        pointer(at[5], scratch), at[6], at[7], pointer(at[8], scratch), at[9], at[10],
        pointer(at[11], scratch), at[12], at[13], at[14] + state[TICK], doubles_at(at[15]),
        pointer(at[16], scratch), pointer(at[17], scratch),
        pointer(at[18], scratch), pointer(at[19], scratch),
        state[THREAD], state[THREADS], scratch,
    )  # fmt: skip


@instruction
def activation(at, state, scratch):
    """y = f(x). Operands: activation, columns, x, ldx, y, ldy."""
    i, rows = my_rows(state)
    activate(
        at[0], rows, at[1], cell(at[2], i * at[3], scratch), at[3],
        cell(at[4], i * at[5], scratch), at[5],
    )  # fmt: skip


@instruction
def activation_gradient(at, state, scratch):
    """out = g f'(y). Operands: activation, columns, y, ldy, g, ldg, out, ldo."""
    i, rows = my_rows(state)
    activate_gradient(
        at[0], rows, at[1], cell(at[2], i * at[3], scratch), at[3],
        cell(at[4], i * at[5], scratch), at[5], cell(at[6], i * at[7], scratch), at[7],
    )  # fmt: skip


# ------------------------------------------------------------------------- updates


@instruction
def follow(at, state, scratch):
    """Settings of the optimizer from a table with a row for each batch.

    Operands: samples in a batch, columns of the table, table, settings, and the place of
    each column among the settings.
    """
    if state[THREAD] == 0:
        columns = at[1]
        table, settings = doubles_at(at[2]), doubles_at(at[3])
        for i in range(columns):
            settings[at[4 + i]] = table[state[START] // at[0] * columns + i]


@instruction
def gradient_squares(at, state, scratch):
    """Sums of squares of a flat gradient, chunk by chunk. Operands: size, gradient, sums."""
    begin, end = share(updates.chunks(at[0]), state[THREAD], state[THREADS])
    sums = doubles_at(at[2])
    for chunk in range(begin, end):
        sums[chunk] = updates.sum_of_squares(at[0], pointer(at[1], scratch), chunk)


@instruction
def penalty(at, state, scratch):
    """Add what weight decay adds to the batch's sum of losses: decay / 2 * w^2, for each row.

    Operands: size, flat weights, settings, sums (float64, one a chunk).
    """
    begin, end = share(updates.chunks(at[0]), state[THREAD], state[THREADS])
    factor = 0.5 * doubles_at(at[2])[updates.WEIGHT_DECAY] * state[ROWS]
    sums = doubles_at(at[3])
    for chunk in range(begin, end):
        sums[chunk] += factor * updates.sum_of_squares(at[0], pointer(at[1], scratch), chunk)


@instruction
def clip_norm(at, state, scratch):
    """The factor that clips a gradient by its norm. Operands: chunks, sums, settings."""
    sums, settings = doubles_at(at[1]), doubles_at(at[2])
    total = 0.0
    for chunk in range(at[0]):
        total += sums[chunk]
    if state[THREAD] == 0:
        bound = settings[updates.CLIP_NORM]
        settings[updates.GRADIENT_SCALE] = updates.norm_scale(math.sqrt(total), bound)


@instruction
def update(at, state, scratch):
    """Flat parameters by their gradient.

    Operands: size, p, g, rule, updates before this run, settings, first and second
    memory.
    """
    updates.update_chunks(at, at[4] + state[TICK], state, scratch)


@instruction
def collect(at, state, scratch):
    """Batch rows to their place among the results. Operands: columns, x, ldx, results."""
    i, rows = my_rows(state)
    activate(
        IDENTITY, rows, at[0], cell(at[1], i * at[2], scratch), at[2],
        cell(at[3], (state[START] + i) * at[0], scratch), at[0],
    )  # fmt: skip
