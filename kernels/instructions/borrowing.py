"""Instructions that copy the arrays that a program changes, and copy the results back.

The copies have the layout that suits the kernels. The original arrays keep their values until all
copies, if they are finite, are copied back. A copy of a matrix lies in panels
(`kernels.product.panels`); a vector is a matrix of one row, whose panels are contiguous.
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
"""Columns of the table of borrowed matrices, and their number.

`ROWS` and `COLUMNS` are the shape, `OWNER` and `LD` the address and the leading dimension of the
original, `COPY` the address of the copy, `PANEL` the elements from panel to panel, and `ELEMENTS`
the number of elements of the copy that have to be finite.
"""

_OPERANDS = {"count": INTEGER, "table": WORDS, "notes": WORDS}
"""The number of borrowed matrices, their table, and whether each thread found its share finite."""


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
    """Copy this thread's share of the borrowed matrices."""
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
    """Copy this thread's share back and set `KEPT`, if all threads found their shares finite."""
    for thread in range(state[THREADS]):
        if not at.notes[thread]:
            return
    _copy(at, state, scratch, True)
    state[KEPT] = state[TICK]
