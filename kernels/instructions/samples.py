"""Instructions that gather samples into a batch, and collect results from it."""

from __future__ import annotations

from kernels.base.kinds import BYTES, INTEGER, MATRIX, REALS, WORDS, Matrix, below
from kernels.base.simd import advance, peek, poke
from kernels.functions.activations import IDENTITY, activate
from kernels.functions.gathering import gather_bytes as gather_byte_rows
from kernels.functions.gathering import gather_rows
from kernels.machine.instruction import instruction
from kernels.machine.state import START, my_rows


@instruction(
    columns=INTEGER,
    source=REALS,
    order=WORDS,
    normalising=INTEGER,
    mean=REALS,
    factor=REALS,
    y=MATRIX,
)
def gather(at, state, scratch):
    """Gather samples into the batch."""
    first, rows = my_rows(state)
    order, y = advance(at.order, state[START] + first), below(at.y, first)
    gather_rows(rows, at.columns, at.source, order, at.normalising, at.mean, at.factor, y)


@instruction(
    columns=INTEGER,
    source=BYTES,
    order=WORDS,
    normalising=INTEGER,
    mean=REALS,
    factor=REALS,
    y=MATRIX,
)
def gather_bytes(at, state, scratch):
    """Gather samples of bytes into the batch."""
    first, rows = my_rows(state)
    order, y = advance(at.order, state[START] + first), below(at.y, first)
    gather_byte_rows(rows, at.columns, at.source, order, at.normalising, at.mean, at.factor, y)


@instruction(source=WORDS, order=WORDS, labels=WORDS)
def gather_labels(at, state, scratch):
    """Gather class indices into the batch."""
    first, rows = my_rows(state)
    order = advance(at.order, state[START])
    for i in range(first, first + rows):
        at.labels[i] = at.source[order[i]]


@instruction(source=REALS, order=WORDS, numbers=REALS)
def gather_numbers(at, state, scratch):
    """Gather one number for each sample into the batch."""
    first, rows = my_rows(state)
    order = advance(at.order, state[START])
    for i in range(first, first + rows):
        poke(at.numbers, i, peek(at.source, order[i]))


@instruction(columns=INTEGER, x=MATRIX, results=REALS)
def collect(at, state, scratch):
    """Copy the batch's rows to their positions in the results."""
    i, rows = my_rows(state)
    results = Matrix(advance(at.results, (state[START] + i) * at.columns), at.columns)
    activate(IDENTITY, rows, at.columns, below(at.x, i), results)
