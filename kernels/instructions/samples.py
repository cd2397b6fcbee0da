"""Instructions that gather samples into a batch, and collect results from it."""

from __future__ import annotations

from kernels.base.kinds import (
    BYTES,
    DOUBLE,
    INTEGER,
    MATRIX,
    REALS,
    WORDS,
    Matrix,
    below,
    row_at,
)
from kernels.base.simd import (
    advance,
    fma,
    load_first,
    peek,
    poke,
    reduce_add,
    width,
    zeros,
)
from kernels.functions.activations import IDENTITY, activate
from kernels.functions.gathering import gather_bytes as gather_byte_rows
from kernels.functions.gathering import gather_rows
from kernels.machine.instruction import instruction
from kernels.machine.state import HALT, START, my_rows


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


@instruction(columns=INTEGER, x=MATRIX)
def check_finite(at, state, scratch):
    """Halt the run if a number of the batch is not finite."""
    begin, rows = my_rows(state)
    products = zeros(scratch)  # by 0, which are 0 only for finite numbers
    for i in range(begin, begin + rows):
        row = row_at(at.x, i)
        for j in range(0, at.columns, width(scratch)):
            here = load_first(row, j, at.columns - j)
            products = fma(here, zeros(scratch), products)
    if reduce_add(products) != 0.0:
        state[HALT] = 1


@instruction(columns=INTEGER, above=DOUBLE, x=MATRIX, labels=WORDS)
def classify(at, state, scratch):
    """Write the index of each row's first largest number; of one column, 1 if it is `above`."""
    begin, rows = my_rows(state)
    for i in range(begin, begin + rows):
        row = row_at(at.x, i)
        best, label = peek(row, 0), 0
        for j in range(1, at.columns):
            here = peek(row, j)
            if best == best and (here > best or here != here):  # NaN counts as the largest
                best, label = here, j
        if at.columns == 1 and best > at.above:
            label = 1
        at.labels[i] = label
