"""Instructions that compute losses, and count what they find.

They are as those of `kernels.instructions.common`; `Operands` in each docstring are in order.
"""

from __future__ import annotations

import math

from kernels.base.jit import inline
from kernels.base.simd import as_bits, as_float, peek, pointer, poke, store_first, width, zeros
from kernels.functions.losses import (
    absolute_error_rows,
    binary_cross_entropy_rows,
    huber_error_rows,
    log_likelihood_rows,
    poisson_rows,
    squared_error_rows,
)
from kernels.functions.softmax import cross_entropy_probability_rows, cross_entropy_rows
from kernels.machine.state import (
    HALT,
    LOSS,
    ROWS,
    THREAD,
    bytes_at,
    cell,
    doubles_at,
    instruction,
    my_rows,
    words_at,
)


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
    i, rows = my_rows(state)
    cross_entropy_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], words_at(at[3], i),
        cell(at[4], i, scratch), _share_of_mean(state, at[5], scratch),
        cell(at[6], i * at[7], scratch), at[7], cell(at[8], i, scratch), scratch,
        bytes_at(at[9], i),
    )  # fmt: skip


@instruction
def cross_entropy_probability(at, state, scratch):
    """Loss and gradient for probabilities.

    Operands: classes, x, ldx, t, ldt, factors, bits of the smoothing, weights, masses, g, ldg,
    losses, hits.
    """
    i, rows = my_rows(state)
    cross_entropy_probability_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i * at[4], scratch), at[4],
        pointer(at[5], scratch), as_float(at[6]), cell(at[7], i, scratch),
        _share_of_mean(state, at[8], scratch), cell(at[9], i * at[10], scratch), at[10],
        cell(at[11], i, scratch), bytes_at(at[12], i),
    )  # fmt: skip


@instruction
def squared_error(at, state, scratch):
    """Loss and gradient of mean squared error.

    Operands: columns, x, ldx, t, ldt, bits of delta, weights, masses, g, ldg, losses, hits.
    """
    i, rows = my_rows(state)
    squared_error_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i * at[4], scratch), at[4],
        as_float(at[5]), cell(at[6], i, scratch), _share_of_mean(state, at[7], scratch, at[0]),
        cell(at[8], i * at[9], scratch), at[9], cell(at[10], i, scratch), bytes_at(at[11], i),
    )  # fmt: skip


@instruction
def absolute_error(at, state, scratch):
    """Loss and gradient of mean absolute error.

    Operands: columns, x, ldx, t, ldt, bits of delta, weights, masses, g, ldg, losses, hits.
    """
    i, rows = my_rows(state)
    absolute_error_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i * at[4], scratch), at[4],
        as_float(at[5]), cell(at[6], i, scratch), _share_of_mean(state, at[7], scratch, at[0]),
        cell(at[8], i * at[9], scratch), at[9], cell(at[10], i, scratch), bytes_at(at[11], i),
    )  # fmt: skip


@instruction
def huber_error(at, state, scratch):
    """Loss and gradient of the mean of Huber's function of errors.

    Operands: columns, x, ldx, t, ldt, bits of delta, weights, masses, g, ldg, losses, hits.
    """
    i, rows = my_rows(state)
    huber_error_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i * at[4], scratch), at[4],
        as_float(at[5]), cell(at[6], i, scratch), _share_of_mean(state, at[7], scratch, at[0]),
        cell(at[8], i * at[9], scratch), at[9], cell(at[10], i, scratch), bytes_at(at[11], i),
    )  # fmt: skip


@instruction
def poisson(at, state, scratch):
    """Loss and gradient of logarithms of rates of events, for counts.

    Operands: columns, x, ldx, t, ldt, bits of delta, weights, masses, g, ldg, losses, hits.
    """
    i, rows = my_rows(state)
    poisson_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i * at[4], scratch), at[4],
        as_float(at[5]), cell(at[6], i, scratch), _share_of_mean(state, at[7], scratch, at[0]),
        cell(at[8], i * at[9], scratch), at[9], cell(at[10], i, scratch), bytes_at(at[11], i),
    )  # fmt: skip


@instruction
def log_likelihood(at, state, scratch):
    """Loss and gradient of logarithms of probabilities, for class indices.

    Operands: classes, x, ldx, labels, weights, masses, g, ldg, losses, hits.
    """
    i, rows = my_rows(state)
    log_likelihood_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], words_at(at[3], i),
        cell(at[4], i, scratch), _share_of_mean(state, at[5], scratch),
        cell(at[6], i * at[7], scratch), at[7], cell(at[8], i, scratch), bytes_at(at[9], i),
    )  # fmt: skip


@instruction
def one_hot(at, state, scratch):
    """Rows of class indices: 1 at the class, 0 elsewhere. Operands: classes, labels, t, ldt."""
    first, rows = my_rows(state)
    labels = words_at(at[1], 0)
    for i in range(first, first + rows):
        row = cell(at[2], i * at[3], scratch)
        for j in range(0, at[0], width(row)):
            store_first(row, j, zeros(row), at[0] - j)
        poke(row, labels[i], 1.0)


@instruction
def binary_cross_entropy(at, state, scratch):
    """Loss and gradient of columns that are each a yes or no.

    Operands: columns, x, ldx, t, ldt, factors, weights, masses, g, ldg, losses, hits.
    """
    i, rows = my_rows(state)
    binary_cross_entropy_rows(
        rows, at[0], cell(at[1], i * at[2], scratch), at[2], cell(at[3], i * at[4], scratch), at[4],
        pointer(at[5], scratch), cell(at[6], i, scratch),
        _share_of_mean(state, at[7], scratch, at[0]),
        cell(at[8], i * at[9], scratch), at[9], cell(at[10], i, scratch), bytes_at(at[11], i),
    )  # fmt: skip


@instruction
def tally(at, state, scratch):
    """Add the batch's losses and hits to the totals, or stop the run at one that is not finite.

    Every thread sums all rows, so that each knows by itself whether to stop.
    Operands: losses, hits, totals (float64: loss, hits), whether to stop.
    """
    values, hits, totals = pointer(at[0], scratch), bytes_at(at[1], 0), doubles_at(at[2])
    loss, right = 0.0, 0
    for i in range(state[ROWS]):
        loss += peek(values, i)
        right += hits[i]
    if at[3] and not math.isfinite(loss):
        state[HALT], state[LOSS] = 1, as_bits(loss)
    elif state[THREAD] == 0:
        totals[0] += loss
        totals[1] += right
