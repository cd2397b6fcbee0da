"""What a program is made of: one function for each kind of instruction.

All have one signature: the instruction's operands (int64: sizes, codes, and addresses
of arrays), the state of the run, and this thread's scratch memory. A program names
them by address, so a new kind of instruction is a new function here, and the
interpreter (`kernels.epoch`) stays as it is. Each does its thread's share of the
output; `Operands` in each docstring are in order.
"""

from __future__ import annotations

import math

from numba import types

from kernels import linear as products
from kernels import updates
from kernels.activations import IDENTITY, activate, activate_gradient
from kernels.dropout import dropout_gradient_rows, dropout_rows
from kernels.jit import inline, routine
from kernels.losses import (
    absolute_error_rows,
    binary_cross_entropy_rows,
    huber_error_rows,
    log_likelihood_rows,
    squared_error_rows,
)
from kernels.samples import gather_bytes as gather_byte_rows
from kernels.samples import gather_rows
from kernels.simd import (
    advance,
    as_bits,
    as_float,
    peek,
    pointer,
    pointer_to,
    poke,
    store_first,
    width,
    zeros,
)
from kernels.softmax import (
    cross_entropy_probability_rows,
    cross_entropy_rows,
    softmax_gradient_rows,
    softmax_rows,
)
from kernels.threads import share

(
    ROWS,
    START,
    TICK,
    THREAD,
    THREADS,
    HALT,
    LOSS,
    STATE,
) = range(8)
"""Places in the state of the run, and its length.

Rows of this batch, where it begins in the order of the samples, steps done so far,
the number of this thread, how many there are, whether to stop, and the bits of the
loss that was the reason.
"""

_WORDS = types.CPointer(types.int64)


def instruction(function):
    """Decorator: a kind of instruction."""
    return routine(lambda real: (_WORDS, _WORDS, types.CPointer(real)))(function)


@inline
def _rows(state):
    """This thread's share of the batch's rows: the first of them, and their number."""
    begin, end = share(state[ROWS], state[THREAD], state[THREADS])
    return begin, end - begin


@inline
def _at(address, offset, scratch):
    """Pointer to an element of an array of the program's dtype at an address."""
    return advance(pointer(address, scratch), offset)


@inline
def _words(address, offset):
    """Pointer to an element of an int64 array at an address."""
    return advance(pointer_to(address, types.int64), offset)


@inline
def _bytes(address, offset):
    """Pointer to an element of a uint8 array at an address."""
    return advance(pointer_to(address, types.uint8), offset)


@inline
def _doubles(address):
    """Pointer to a float64 array at an address."""
    return pointer_to(address, types.float64)


# ------------------------------------------------------------------------- samples


@instruction
def gather(at, state, scratch):
    """Samples into the batch.

    Operands: columns, source, order, normalising, mean, factor, y, ldy.
    """
    first, rows = _rows(state)
    gather_rows(
        rows, at[0], pointer(at[1], scratch), _words(at[2], state[START] + first), at[3],
        pointer(at[4], scratch), pointer(at[5], scratch), _at(at[6], first * at[7], scratch), at[7],
    )  # fmt: skip


@instruction
def gather_bytes(at, state, scratch):
    """As `gather`, from samples of bytes."""
    first, rows = _rows(state)
    gather_byte_rows(
        rows, at[0], _bytes(at[1], 0), _words(at[2], state[START] + first), at[3],
        pointer(at[4], scratch), pointer(at[5], scratch), _at(at[6], first * at[7], scratch), at[7],
    )  # fmt: skip


@instruction
def gather_labels(at, state, scratch):
    """Class indices into the batch. Operands: source, order, labels."""
    first, rows = _rows(state)
    source, order, labels = _words(at[0], 0), _words(at[1], state[START]), _words(at[2], 0)
    for i in range(first, first + rows):
        labels[i] = source[order[i]]


@instruction
def gather_weights(at, state, scratch):
    """Weights of samples into the batch. Operands: source, order, weights."""
    first, rows = _rows(state)
    source, order = pointer(at[0], scratch), _words(at[1], state[START])
    weights = pointer(at[2], scratch)
    for i in range(first, first + rows):
        poke(weights, i, peek(source, order[i]))


# -------------------------------------------------------------------------- layers


@instruction
def linear(at, state, scratch):
    """y = f(x w + bias). Operands: inputs, outputs, activation, x, ldx, w, ldw, bias, y, ldy."""
    products.linear_forward(
        state[ROWS], at[0], at[1], at[2], pointer(at[3], scratch), at[4],
        pointer(at[5], scratch), at[6], pointer(at[7], scratch), pointer(at[8], scratch), at[9],
        state[THREAD], state[THREADS], scratch,
    )  # fmt: skip


@instruction
def linear_input_gradient(at, state, scratch):
    """out = (g w^T) f'(y).

    Operands: inputs, outputs, activation, g, ldg, w, ldw, y, ldy, out, ldo.
    """
    products.linear_input_gradient(
        state[ROWS], at[0], at[1], at[2], pointer(at[3], scratch), at[4],
        pointer(at[5], scratch), at[6], pointer(at[7], scratch), at[8],
        pointer(at[9], scratch), at[10], state[THREAD], state[THREADS], scratch,
    )  # fmt: skip


@instruction
def linear_update(at, state, scratch):
    """Weights and bias by their gradients; with a rule below 0 the gradients themselves.

    Operands: inputs, outputs, x, ldx, g, ldg, w, ldw, bias, rule, updates before this
    run, settings, first and second memory of the weights, and of the bias.
    """
    products.linear_update(
        state[ROWS], at[0], at[1], pointer(at[2], scratch), at[3], pointer(at[4], scratch), at[5],
        pointer(at[6], scratch), at[7], pointer(at[8], scratch),
        at[9], at[10] + state[TICK], _doubles(at[11]),
        pointer(at[12], scratch), pointer(at[13], scratch),
        pointer(at[14], scratch), pointer(at[15], scratch),
        state[THREAD], state[THREADS], scratch,
    )  # fmt: skip


@instruction
def activation(at, state, scratch):
    """y = f(x). Operands: activation, columns, x, ldx, y, ldy."""
    i, rows = _rows(state)
    activate(
        at[0], rows, at[1], _at(at[2], i * at[3], scratch), at[3],
        _at(at[4], i * at[5], scratch), at[5],
    )  # fmt: skip


@instruction
def activation_gradient(at, state, scratch):
    """out = g f'(y). Operands: activation, columns, y, ldy, g, ldg, out, ldo."""
    i, rows = _rows(state)
    activate_gradient(
        at[0], rows, at[1], _at(at[2], i * at[3], scratch), at[3],
        _at(at[4], i * at[5], scratch), at[5], _at(at[6], i * at[7], scratch), at[7],
    )  # fmt: skip


@instruction
def softmax_layer(at, state, scratch):
    """y = softmax(x). Operands: columns, x, ldx, y, ldy."""
    i, rows = _rows(state)
    softmax_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _at(at[3], i * at[4], scratch), at[4]
    )


@instruction
def softmax_gradient(at, state, scratch):
    """out = y (g - sum g y). Operands: columns, y, ldy, g, ldg, out, ldo."""
    i, rows = _rows(state)
    softmax_gradient_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _at(at[3], i * at[4], scratch), at[4],
        _at(at[5], i * at[6], scratch), at[6],
    )  # fmt: skip


@instruction
def dropout_layer(at, state, scratch):
    """y = x / (1 - p), or 0 where dropped.

    Operands: columns, x, ldx, y, ldy, mask, ld_mask, seed, masks drawn before this
    run, stream, keep, bits of the scale.
    """
    i, rows = _rows(state)
    dropout_rows(
        rows, at[0], i, _at(at[1], i * at[2], scratch), at[2],
        _at(at[3], i * at[4], scratch), at[4], _bytes(at[5], i * at[6]), at[6],
        at[7], at[8] + state[TICK], at[9], at[10], as_float(at[11]),
    )  # fmt: skip


@instruction
def dropout_gradient(at, state, scratch):
    """out = g / (1 - p), or 0 where dropped.

    Operands: columns, g, ldg, mask, ld_mask, bits of the scale, out, ldo.
    """
    i, rows = _rows(state)
    dropout_gradient_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _bytes(at[3], i * at[4]), at[4],
        as_float(at[5]), _at(at[6], i * at[7], scratch), at[7],
    )  # fmt: skip


# -------------------------------------------------------------------------- losses


@inline
def _share_of_mean(state, masses, scratch, columns=1):
    """1 / (columns times the sum of the batch's masses), or 0 where that is 0.

    Every thread adds all of them, so that none waits for another; with the address 0 each
    row has 1.
    """
    total = float(state[ROWS])
    if masses != 0:
        total = 0.0
        for i in range(state[ROWS]):
            total += peek(pointer(masses, scratch), i)
    return 1.0 / (total * columns) if total else 0.0


@instruction
def cross_entropy(at, state, scratch):
    """Loss and gradient for class indices.

    Operands: classes, x, ldx, labels, weights, masses, g, ldg, losses, hits.
    """
    i, rows = _rows(state)
    cross_entropy_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _words(at[3], i),
        _at(at[4], i, scratch), _share_of_mean(state, at[5], scratch),
        _at(at[6], i * at[7], scratch), at[7], _at(at[8], i, scratch), scratch, _bytes(at[9], i),
    )  # fmt: skip


@instruction
def cross_entropy_probability(at, state, scratch):
    """Loss and gradient for probabilities.

    Operands: classes, x, ldx, t, ldt, factors, bits of the smoothing, weights, masses, g, ldg,
    losses, hits.
    """
    i, rows = _rows(state)
    cross_entropy_probability_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _at(at[3], i * at[4], scratch), at[4],
        pointer(at[5], scratch), as_float(at[6]), _at(at[7], i, scratch),
        _share_of_mean(state, at[8], scratch), _at(at[9], i * at[10], scratch), at[10],
        _at(at[11], i, scratch), _bytes(at[12], i),
    )  # fmt: skip


@instruction
def squared_error(at, state, scratch):
    """Loss and gradient of mean squared error.

    Operands: columns, x, ldx, t, ldt, bits of delta, weights, masses, g, ldg, losses, hits.
    """
    i, rows = _rows(state)
    squared_error_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _at(at[3], i * at[4], scratch), at[4],
        as_float(at[5]), _at(at[6], i, scratch), _share_of_mean(state, at[7], scratch, at[0]),
        _at(at[8], i * at[9], scratch), at[9], _at(at[10], i, scratch), _bytes(at[11], i),
    )  # fmt: skip


@instruction
def absolute_error(at, state, scratch):
    """Loss and gradient of mean absolute error.

    Operands: columns, x, ldx, t, ldt, bits of delta, weights, masses, g, ldg, losses, hits.
    """
    i, rows = _rows(state)
    absolute_error_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _at(at[3], i * at[4], scratch), at[4],
        as_float(at[5]), _at(at[6], i, scratch), _share_of_mean(state, at[7], scratch, at[0]),
        _at(at[8], i * at[9], scratch), at[9], _at(at[10], i, scratch), _bytes(at[11], i),
    )  # fmt: skip


@instruction
def huber_error(at, state, scratch):
    """Loss and gradient of the mean of Huber's function of errors.

    Operands: columns, x, ldx, t, ldt, bits of delta, weights, masses, g, ldg, losses, hits.
    """
    i, rows = _rows(state)
    huber_error_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _at(at[3], i * at[4], scratch), at[4],
        as_float(at[5]), _at(at[6], i, scratch), _share_of_mean(state, at[7], scratch, at[0]),
        _at(at[8], i * at[9], scratch), at[9], _at(at[10], i, scratch), _bytes(at[11], i),
    )  # fmt: skip


@instruction
def log_likelihood(at, state, scratch):
    """Loss and gradient of logarithms of probabilities, for class indices.

    Operands: classes, x, ldx, labels, weights, masses, g, ldg, losses, hits.
    """
    i, rows = _rows(state)
    log_likelihood_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _words(at[3], i),
        _at(at[4], i, scratch), _share_of_mean(state, at[5], scratch),
        _at(at[6], i * at[7], scratch), at[7], _at(at[8], i, scratch), _bytes(at[9], i),
    )  # fmt: skip


@instruction
def one_hot(at, state, scratch):
    """Rows of class indices: 1 at the class, 0 elsewhere. Operands: classes, labels, t, ldt."""
    first, rows = _rows(state)
    labels = _words(at[1], 0)
    for i in range(first, first + rows):
        row = _at(at[2], i * at[3], scratch)
        for j in range(0, at[0], width(row)):
            store_first(row, j, zeros(row), at[0] - j)
        poke(row, labels[i], 1.0)


@instruction
def binary_cross_entropy(at, state, scratch):
    """Loss and gradient of columns that are each a yes or no.

    Operands: columns, x, ldx, t, ldt, factors, weights, masses, g, ldg, losses, hits.
    """
    i, rows = _rows(state)
    binary_cross_entropy_rows(
        rows, at[0], _at(at[1], i * at[2], scratch), at[2], _at(at[3], i * at[4], scratch), at[4],
        pointer(at[5], scratch), _at(at[6], i, scratch),
        _share_of_mean(state, at[7], scratch, at[0]),
        _at(at[8], i * at[9], scratch), at[9], _at(at[10], i, scratch), _bytes(at[11], i),
    )  # fmt: skip


@instruction
def tally(at, state, scratch):
    """Add the batch's losses and hits to the totals, or stop the run at one that is not finite.

    Every thread sums all rows, so that each knows by itself whether to stop.
    Operands: losses, hits, totals (float64: loss, hits), whether to stop.
    """
    values, hits, totals = pointer(at[0], scratch), _bytes(at[1], 0), _doubles(at[2])
    loss, right = 0.0, 0
    for i in range(state[ROWS]):
        loss += peek(values, i)
        right += hits[i]
    if at[3] and not math.isfinite(loss):
        state[HALT], state[LOSS] = 1, as_bits(loss)
    elif state[THREAD] == 0:
        totals[0] += loss
        totals[1] += right


# ------------------------------------------------------------------------- updates


@instruction
def follow(at, state, scratch):
    """Settings of the optimizer from a table with a row for each batch.

    Operands: samples in a batch, columns of the table, table, settings, and the place of
    each column among the settings.
    """
    if state[THREAD] == 0:
        columns = at[1]
        table, settings = _doubles(at[2]), _doubles(at[3])
        for i in range(columns):
            settings[at[4 + i]] = table[state[START] // at[0] * columns + i]


@instruction
def gradient_squares(at, state, scratch):
    """Sums of squares of a flat gradient, chunk by chunk. Operands: size, gradient, sums."""
    begin, end = share(updates.chunks(at[0]), state[THREAD], state[THREADS])
    sums = _doubles(at[2])
    for chunk in range(begin, end):
        sums[chunk] = updates.sum_of_squares(at[0], pointer(at[1], scratch), chunk)


@instruction
def clip_norm(at, state, scratch):
    """The factor that clips a gradient by its norm. Operands: chunks, sums, settings."""
    sums, settings = _doubles(at[1]), _doubles(at[2])
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
    begin, end = share(updates.chunks(at[0]), state[THREAD], state[THREADS])
    begin, end = begin * updates.CHUNK, min(end * updates.CHUNK, at[0])
    updates.update(
        at[3], at[4] + state[TICK], _doubles(at[5]), 1, end - begin,
        _at(at[1], begin, scratch), 0, _at(at[2], begin, scratch), 0,
        _at(at[6], begin, scratch), _at(at[7], begin, scratch),
    )  # fmt: skip


@instruction
def collect(at, state, scratch):
    """Batch rows to their place among the results. Operands: columns, x, ldx, results."""
    i, rows = _rows(state)
    activate(
        IDENTITY, rows, at[0], _at(at[1], i * at[2], scratch), at[2],
        _at(at[3], (state[START] + i) * at[0], scratch), at[0],
    )  # fmt: skip
