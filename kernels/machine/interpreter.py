"""The interpreter: one call runs a program on any number of batches.

A program is a table of int64 with a row for each instruction: the address of its function
(`kernels.machine.instruction`), whether a barrier follows, and its operands. The interpreter is
compiled once for each dtype, so a new network costs no compilation.

An opening table runs before the first batch, and a closing table when Python needs the trained
parameters (`kernels.instructions.borrowing`).
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
"""Columns of a program's table."""


def table_of(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Return a table of the rows of instructions, padded with zeros to one length."""
    width = max(map(len, rows), default=OPERANDS)
    table = np.zeros((len(rows), width), np.int64)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = row
    return table


@inline
def _carry_out(table, state, scratch, meeting):
    """Run the instructions of a table; return False if one of them stops the run."""
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
    """Run a program on batches `begin` to `end` - 1; return how many were finished."""
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
def run(opening, program, closing, state, scratch, barrier, samples, batch, begin, end, close):
    """Run a program on batches `begin` to `end` - 1 of a data set; return how many were finished.

    The opening table runs first, unless it has run before; the closing table runs at the end if
    `close` is true. `state` and `scratch` belong to this thread. All threads share the tables and
    `barrier`; the other threads run `follow`. The last batch of `samples` may be smaller. A batch
    whose loss is not finite changes no parameter, and ends the run.
    """
    if state[THREADS] > 1:
        post(data(barrier), begin, end, close)
    return _batches(
        opening, program, closing, state, scratch, barrier, samples, batch, begin, end, close
    )


@entry(*_TABLES, *_MEMORY, *(INTEGER,) * 3, result=types.int64)
def follow(opening, program, closing, state, scratch, barrier, samples, batch, seen):
    """Run the batches that the first thread posts, after the first `seen` posts.

    Returns the number of posts seen in all, about a millisecond after the last post, or when
    `POSTED` is `DISMISSED` (`kernels.machine.barrier`).
    """
    meeting = data(barrier)
    while posted(meeting, seen):
        seen += 1
        begin, end, close = meeting[BEGIN], meeting[END], meeting[CLOSE]
        _batches(
            opening, program, closing, state, scratch, barrier, samples, batch, begin, end, close
        )
    return seen
