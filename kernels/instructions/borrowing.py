"""What a program borrows: copies of all numbers that it changes, which it works on.

So it lays them out as it likes best, and what it was given stays as it was until the copies,
if all of them are finite, are given back. A matrix is borrowed in panels
(`kernels.product.panels`);
numbers in a row are a matrix of one row, whose panels follow each other.
"""

from __future__ import annotations

from kernels.base.jit import inline
from kernels.base.kinds import INTEGER, WORDS, Matrix
from kernels.base.simd import advance, fma, load, pointer, reduce_add, width, zeros
from kernels.machine.barrier import share
from kernels.machine.instruction import instruction
from kernels.machine.state import KEPT, THREAD, THREADS, TICK
from kernels.product.panels import copy_panels

ROWS, COLUMNS, OWNER, LD, COPY, PANEL, ELEMENTS, FIELDS = range(8)
"""Places in the row of what is borrowed, and its length.

Rows and columns, address and distance of rows where it belongs, address of the copy and elements
from panel to panel, and how many elements of the copy have to be finite.
"""

_OPERANDS = {"count": INTEGER, "table": WORDS, "notes": WORDS}
"""How many matrices are borrowed, a row for each, and whether each thread found them finite."""


@inline
def _copy(at, state, scratch, back):
    for i in range(at.count):
        row = advance(at.table, i * FIELDS)
        owner = Matrix(pointer(row[OWNER], scratch), row[LD])
        copy_panels(
            row[ROWS],
            row[COLUMNS],
            owner,
            pointer(row[COPY], scratch),
            row[PANEL],
            state[THREAD],
            state[THREADS],
            back,
        )


@instruction(**_OPERANDS)
def borrow(at, state, scratch):
    """Copy what is borrowed."""
    _copy(at, state, scratch, False)


@instruction(**_OPERANDS)
def check(at, state, scratch):
    """Note whether this thread's share of the copies is finite."""
    finite = True
    for i in range(at.count):
        row = advance(at.table, i * FIELDS)
        lanes = width(scratch)
        begin, end = share((row[ELEMENTS] + lanes - 1) // lanes, state[THREAD], state[THREADS])
        copy, products = pointer(row[COPY], scratch), zeros(scratch)
        for j in range(begin * lanes, end * lanes, lanes):
            products = fma(load(copy, j), zeros(scratch), products)
        finite = finite and reduce_add(products) == 0.0
    at.notes[state[THREAD]] = finite


@instruction(**_OPERANDS)
def give_back(at, state, scratch):
    """Copy what was borrowed back and note that, unless not all of it is finite."""
    for thread in range(state[THREADS]):
        if not at.notes[thread]:
            return
    _copy(at, state, scratch, True)
    state[KEPT] = state[TICK]
