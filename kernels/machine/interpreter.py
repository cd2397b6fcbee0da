"""The interpreter: one call trains for as many batches as it is told to.

A program is a table of integers, a row for each instruction: the address of its
function (`kernels.machine.instruction`), whether all threads must be done with it before
the next, and its operands. The interpreter is compiled once for each dtype, so a
new network costs no compilation.

Before its first batch a program is opened, and closed when Python wants to see what it has
learned; opening and closing are tables, too (`kernels.instructions.borrowing`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import types

from kernels.base.calls import call
from kernels.base.jit import entry, inline
from kernels.base.kinds import INTEGER, reads, writes
from kernels.base.simd import advance, data
from kernels.machine.barrier import BEGIN, CLOSE, END, post, posted, wait
from kernels.machine.state import HALT, OPEN, ROWS, START, THREADS, TICK

FUNCTION, WAIT, OPERANDS = range(3)
"""Places in an instruction's row, which is as long as the longest one of its table."""


def table_of(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the table of some instructions' rows, each filled up with zeros."""
    width = max(map(len, rows), default=OPERANDS)
    table = np.zeros((len(rows), width), np.int64)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = row
    return table


@inline
def _carry_out(table, state, scratch, meeting):
    """Carry out instructions; give whether none of them stopped the run."""
    first, before = data(table), state[HALT]
    for i in range(table.shape[0]):
        row = advance(first, i * table.shape[1])
        call(row[FUNCTION], (advance(row, OPERANDS), state, scratch))
        if row[WAIT]:
            wait(meeting, state[THREADS])
        if state[HALT] != before:
            return False
    return True


@inline
def _batches(opening, program, closing, state, scratch, barrier, samples, batch, begin, end, close):
    """Run a program on batches `begin` to `end`; give how many were finished."""
    here, memory, meeting = data(state), data(scratch), data(barrier)
    done = 0
    if not here[OPEN]:
        _carry_out(opening, here, memory, meeting)
        here[OPEN] = 1
    for step in range(begin, end):
        here[START] = step * batch
        here[ROWS] = min(batch, samples - here[START])
        if not _carry_out(program, here, memory, meeting):
            break
        here[TICK] += 1
        done += 1
    if close:
        _carry_out(closing, here, memory, meeting)
    wait(meeting, here[THREADS])
    return done


_TABLES = (reads(2, types.int64),) * 3
_MEMORY = writes(1, types.int64), writes(1), writes(1, types.int64)


@entry(*_TABLES, *_MEMORY, *(INTEGER,) * 5, result=types.int64)
def run(
    opening, program, closing, state, scratch, barrier, samples, batch, begin, end, close
):  # fmt: skip
    """Run a program on batches `begin` to `end` of a data set; give how many were finished.

    It is opened first unless it is open, and with `close` closed in the end. `state` and
    `scratch` are this thread's; the program and `barrier` are those of all threads: the others
    are in `follow`, or come there. The last batch of `samples` may be a smaller one. When the
    loss of a batch is not finite, nothing of that batch is learned.
    """
    if state[THREADS] > 1:
        post(data(barrier), begin, end, close)
    return _batches(
        opening, program, closing, state, scratch, barrier, samples, batch, begin, end, close
    )


@entry(*_TABLES, *_MEMORY, *(INTEGER,) * 3, result=types.int64)
def follow(opening, program, closing, state, scratch, barrier, samples, batch, seen):
    """Run what the first thread runs, after the first `seen` times, until that is nothing more.

    Gives how many times that was. Returns about a millisecond after the last, or when
    `threads.DISMISSED` is written to the barrier.
    """
    meeting = data(barrier)
    while posted(meeting, seen):
        seen += 1
        _batches(
            opening, program, closing, state, scratch, barrier, samples, batch,
            meeting[BEGIN], meeting[END], meeting[CLOSE],
        )  # fmt: skip
    return seen
