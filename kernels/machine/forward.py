"""The forward pass of a program on rows that lie where the caller has them.

Rows do not depend on each other, so each thread runs a copy of the whole program on rows of its
own, block by block, and meets the others only at the end. A copy is a table of instructions with
memory of its own. Before each block, the addresses of the block's inputs and outputs are written
to the places in the table where its instructions read them.

A plan holds all this in int64: the fields below, the places of inputs and of outputs in a table,
and for each copy the addresses of its table and of its state.
"""

from __future__ import annotations

from numba import types

from kernels.base.calls import call
from kernels.base.jit import entry, inline
from kernels.base.kinds import INTEGER, WORDS, reads, writes
from kernels.base.simd import advance, data, location, pointer_to
from kernels.base.subnormals import FLUSH, flush, flushing
from kernels.machine.barrier import share
from kernels.machine.instruction import instruction
from kernels.machine.interpreter import FUNCTION, OPERANDS
from kernels.machine.state import HALT, ROWS, THREAD, THREADS
from kernels.machine.team import ALONE, share_out

BATCH, LENGTH, WIDTH, X_STEP, Y_STEP, X_PLACES, Y_PLACES, COPIES, FIELDS = range(9)
"""Fields of a plan: the most rows of a block, the rows and columns of a table, bytes from one row
of the inputs and of the outputs to the next, and the numbers of places of either and of copies.
"""

SCRATCH = 1 << 20
"""Elements of float32 of the scratch memory that a plan's program may use."""


@inline
def _copy(plan, number):
    """Return table and state of one of a plan's copies."""
    copies = advance(plan, FIELDS + plan[X_PLACES] + plan[Y_PLACES] + 2 * number)
    return pointer_to(copies[0], types.int64), pointer_to(copies[1], types.int64)


@inline
def _point(table, places, count, address):
    """Write an address to places of a table."""
    for i in range(count):
        table[places[i]] = address


@instruction(plan=WORDS, x=INTEGER, y=INTEGER, rows=INTEGER, most=INTEGER)
def _pass(at, state, scratch):
    """Compute this thread's rows with its copy, up to a block that halts; `most` threads work."""
    plan, number = at.plan, state[THREAD]
    threads = min(state[THREADS], min(at.most, plan[COPIES]))
    if number >= threads:
        return
    begin, end = share(at.rows, number, threads)
    table, own = _copy(plan, number)
    inputs = advance(plan, FIELDS)
    outputs = advance(inputs, plan[X_PLACES])
    own[HALT] = 0
    for first in range(begin, end, plan[BATCH]):
        own[ROWS] = min(plan[BATCH], end - first)
        _point(table, inputs, plan[X_PLACES], at.x + first * plan[X_STEP])
        _point(table, outputs, plan[Y_PLACES], at.y + first * plan[Y_STEP])
        for i in range(plan[LENGTH]):
            row = advance(table, i * plan[WIDTH])
            call(row[FUNCTION], (advance(row, OPERANDS), own, scratch))
        if own[HALT]:
            return


@inline
def _forward(plan, x, y, rows, most, scratch, flushes, team):
    words, before = pointer_to(plan, types.int64), flushing()
    for number in range(words[COPIES]):
        _copy(words, number)[1][HALT] = 0
    flush(FLUSH if flushes else before)
    memory = pointer_to(scratch, types.float32)
    share_out(team, _pass, (words, x, y, rows, most), memory)
    flush(before)
    for number in range(words[COPIES]):
        if _copy(words, number)[1][HALT]:
            return 0
    return 1


@entry(*(INTEGER,) * 8, result=types.int64)
def forward(plan, x, y, rows, most, scratch, flushes, team):
    """Compute the outputs at `y` of the rows at `x`; return 1, or 0 if an instruction halted.

    Plan, inputs, outputs and `scratch` memory are addresses; `team` is one of a team or `ALONE`
    (`kernels.machine.team`), of which at most `most` threads work. Subnormal numbers are flushed to
    0 meanwhile if `flushes` is true.
    """
    return _forward(plan, x, y, rows, most, scratch, flushes, team)


@entry(INTEGER, reads(2), writes(2), INTEGER, INTEGER, result=types.int64)
def forward_alone(plan, x, y, scratch, flushes):
    """Compute like `forward` on one thread; Python finds addresses of arrays more slowly."""
    rows = x.shape[0]
    return _forward(plan, location(data(x)), location(data(y)), rows, 1, scratch, flushes, ALONE)
