"""The interpreter: one call runs a program on any number of batches.

A program is a table of int64 with a row for each instruction: the address of its function
(`kernels.machine.instruction`), whether a barrier follows, and its operands. The interpreter is
compiled once for each dtype, so a new network costs no compilation.

The work of an instruction has as many shares as the program has threads. Threads take one share
each, or fewer threads take several each, one after another; the results have the same bits.

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
from kernels.base.subnormals import FLUSH, flush, flushing
from kernels.machine.atomics import atomic_load, atomic_store
from kernels.machine.barrier import LATE, share, wait
from kernels.machine.posts import (
    BEGIN,
    CLAIMED,
    CLOSE,
    COMPANY,
    END,
    arrive,
    claim,
    next_post,
    post,
    ready,
    release,
    take_over,
)
from kernels.machine.state import HALT, OPEN, ROWS, START, THREAD, THREADS, TICK

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
def _carry_out(table, state, scratch, meeting, first, last, company):
    """Run the instructions of a table for shares `first` to `last` - 1 of their work.

    Returns False if one of them stops the run.
    """
    start, before = data(table), state[HALT]
    for i in range(table.shape[0]):
        row = advance(start, i * table.shape[1])
        for number in range(first, last):
            state[THREAD] = number
            call(row[FUNCTION], (advance(row, OPERANDS), state, scratch))
        if row[WAIT]:
            wait(meeting, company)
        if state[HALT] != before:
            return False
    return True


@inline
def _shorten(meeting, step, company, wanted):
    """End the leader's work after this step if a thread is late, before it if help has come."""
    if company > 1:
        if atomic_load(meeting, LATE):
            meeting[CLOSE] = 0
            atomic_store(meeting, END, step + 1)
    elif wanted > 1 and ready(meeting, wanted):
        meeting[CLOSE] = 0
        atomic_store(meeting, END, step)


@inline
def _work(
    opening, program, closing, state, scratch, meeting, samples, batch, thread, company, wanted
):
    """Do this thread's part of the posted work; return the batch before which it ended.

    A thread of a `company` takes its part of the shares that the program has; the first thread may
    end the work early (`_shorten`), and all end it together: they read `END` behind a barrier.
    """
    first, last = share(state[THREADS], thread, company)
    if not state[OPEN]:
        _carry_out(opening, state, scratch, meeting, first, last, company)
        state[OPEN] = 1
    step = meeting[BEGIN]
    while step < atomic_load(meeting, END):
        if thread == 0:
            _shorten(meeting, step, company, wanted)
            if step == meeting[END]:
                break
        state[START] = step * batch
        state[ROWS] = min(batch, samples - state[START])
        if not _carry_out(program, state, scratch, meeting, first, last, company):
            break
        state[TICK] += 1
        step += 1
    if meeting[CLOSE]:
        _carry_out(closing, state, scratch, meeting, first, last, company)
    wait(meeting, company)
    return step


_TABLES = (reads(2, types.int64),) * 3
_MEMORY = writes(1, types.int64), writes(1), writes(1, types.int64)


@entry(*_TABLES, *_MEMORY, *(INTEGER,) * 6, result=types.int64)
def run(
    opening, program, closing, state, scratch, board, samples, batch, begin, end, close, wanted
):
    """Run a program on batches `begin` to `end` - 1 of a data set; return how many were finished.

    The opening table runs first, unless it has run before; the closing table runs at the end if
    `close` is true. The last batch of `samples` may be smaller. A batch whose loss is not finite
    changes no parameter, and ends the run. `state` and `scratch` belong to this thread.

    The work has as many shares as `state` says threads. A company of `wanted` threads does them as
    soon as its helpers, which run `follow`, are all there; until then, and after one of them was
    late (`LATE` on the board), this thread does them all, one after another, to the same bits.
    Subnormal numbers are flushed to 0 meanwhile, on this thread.
    """
    meeting, here, memory = data(board), data(state), data(scratch)
    meeting[LATE] = 0
    before = flushing()
    flush(FLUSH)
    step, until = begin, end
    while True:
        company = 1
        if meeting[LATE]:
            wanted = 1
        if wanted > 1 and claim(meeting, wanted):
            company = wanted
        post(meeting, here, step, until, close, company)
        step = _work(
            opening, program, closing, here, memory, meeting, samples, batch, 0, company, wanted
        )
        release(meeting, company)
        if meeting[END] == until and meeting[CLOSE] == close:
            flush(before)
            return step - begin
        if here[HALT]:
            until = step


@entry(*_TABLES, *_MEMORY, *(INTEGER,) * 3)
def follow(opening, program, closing, state, scratch, board, samples, batch, thread):
    """Run the batches that the leader posts to this helper, until about 1 ms after the last post.

    `thread` is the helper's number, from 1; `state` and `scratch` belong to it.
    """
    meeting, here, memory = data(board), data(state), data(scratch)
    if not arrive(meeting, thread):
        return
    last = next_post(meeting, thread, CLAIMED)
    while last != 0:
        take_over(meeting, here, thread)
        company = meeting[COMPANY]
        _work(opening, program, closing, here, memory, meeting, samples, batch, thread, company, 1)
        last = next_post(meeting, thread, last)
