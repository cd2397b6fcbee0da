"""Instructions that compute losses, and count losses and hits."""

from __future__ import annotations

import math

from kernels.base.jit import Routine, inline
from kernels.base.kinds import (
    BYTES,
    DOUBLE,
    DOUBLES,
    INTEGER,
    MATRIX,
    REALS,
    WORDS,
    below,
    row_at,
)
from kernels.base.simd import (
    advance,
    as_bits,
    location,
    peek,
    poke,
    store_first,
    width,
    zeros,
)
from kernels.functions.losses import ERRORS, log_likelihood_rows
from kernels.functions.softmax import cross_entropy_probability_rows, cross_entropy_rows
from kernels.machine.instruction import Instruction, instruction
from kernels.machine.state import HALT, LOSS, ROWS, THREAD, my_rows

_FOUND = {"g": MATRIX, "losses": REALS, "hits": BYTES}
"""Operands that all losses write: the gradient, the loss of each row, and whether it is right."""


@inline
def _share_of_mean(state, masses, columns):
    """Return 1 / (columns times the sum of the batch's masses), or 0 if the sum is 0.

    If the address of the masses is 0, each row has mass 1. Every thread adds all masses, so that
    no thread waits for another.
    """
    total = float(state[ROWS])
    if location(masses) != 0:
        total = 0.0
        for i in range(state[ROWS]):
            total += peek(masses, i)
    return 1.0 / (total * columns) if total else 0.0


@instruction(columns=INTEGER, x=MATRIX, labels=WORDS, weights=REALS, masses=REALS, **_FOUND)
def cross_entropy(at, state, scratch):
    """Compute cross-entropy and its gradient for class indices."""
    i, rows = my_rows(state)
    cross_entropy_rows(
        rows,
        at.columns,
        below(at.x, i),
        advance(at.labels, i),
        advance(at.weights, i),
        _share_of_mean(state, at.masses, 1),
        below(at.g, i),
        advance(at.losses, i),
        scratch,
        advance(at.hits, i),
    )


@instruction(
    columns=INTEGER,
    x=MATRIX,
    t=MATRIX,
    factors=REALS,
    smoothing=DOUBLE,
    weights=REALS,
    masses=REALS,
    **_FOUND,
)
def cross_entropy_probability(at, state, scratch):
    """Compute cross-entropy and its gradient for probabilities."""
    i, rows = my_rows(state)
    cross_entropy_probability_rows(
        rows,
        at.columns,
        below(at.x, i),
        below(at.t, i),
        at.factors,
        at.smoothing,
        advance(at.weights, i),
        _share_of_mean(state, at.masses, 1),
        below(at.g, i),
        advance(at.losses, i),
        advance(at.hits, i),
    )


def _error(name: str, rows_of: Routine) -> Instruction:
    """Return the instruction of a loss of rows of numbers."""

    def error(at, state, scratch):
        i, rows = my_rows(state)
        rows_of(
            rows,
            at.columns,
            below(at.x, i),
            below(at.t, i),
            at.factors,
            advance(at.weights, i),
            _share_of_mean(state, at.masses, at.columns),
            below(at.g, i),
            advance(at.losses, i),
            advance(at.hits, i),
        )

    error.__qualname__ = name  # the name of the machine code
    read = {"x": MATRIX, "t": MATRIX, "factors": REALS, "weights": REALS, "masses": REALS}
    return instruction(columns=INTEGER, **read, **_FOUND)(error)


ERROR = {name: _error(name, each.rows) for name, each in ERRORS.items()}
"""Instructions of the losses of rows of numbers, by name."""


@instruction(columns=INTEGER, x=MATRIX, labels=WORDS, weights=REALS, masses=REALS, **_FOUND)
def log_likelihood(at, state, scratch):
    """Compute the negative log-likelihood and its gradient, for class indices."""
    i, rows = my_rows(state)
    log_likelihood_rows(
        rows,
        at.columns,
        below(at.x, i),
        advance(at.labels, i),
        advance(at.weights, i),
        _share_of_mean(state, at.masses, 1),
        below(at.g, i),
        advance(at.losses, i),
        advance(at.hits, i),
    )


@instruction(columns=INTEGER, labels=WORDS, t=MATRIX)
def one_hot(at, state, scratch):
    """Write one-hot rows: 1 at the row's class index, if it is not negative, and 0 elsewhere."""
    first, rows = my_rows(state)
    for i in range(first, first + rows):
        row = row_at(at.t, i)
        for j in range(0, at.columns, width(row)):
            store_first(row, j, zeros(row), at.columns - j)
        if at.labels[i] >= 0:
            poke(row, at.labels[i], 1.0)


@instruction(losses=REALS, hits=BYTES, totals=DOUBLES, halting=INTEGER)
def tally(at, state, scratch):
    """Add the batch's loss and hits to the totals, or stop the run if the loss is not finite.

    Every thread sums all rows, so that each knows by itself whether to stop.
    """
    loss, right = 0.0, 0
    for i in range(state[ROWS]):
        loss += peek(at.losses, i)
        right += at.hits[i]
    if at.halting and not math.isfinite(loss):
        state[HALT], state[LOSS] = 1, as_bits(loss)
    elif state[THREAD] == 0:
        at.totals[0] += loss
        at.totals[1] += right
