"""The interpreter: one call trains for as many batches as it is told to.

A program is a table of integers, a row for each instruction: the address of its
function (`kernels.instructions`), whether all threads must be done with it before
the next, and its operands. The interpreter is compiled once for each dtype, so a
new network costs no compilation.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.jit import array, const, entry, inline
from kernels.simd import advance, data
from kernels.state import HALT, ROWS, START, THREADS, TICK
from kernels.threads import BEGIN, END, post, posted, wait

FUNCTION, WAIT, OPERANDS, COLUMNS = 0, 1, 2, 19
"""Places in an instruction's row, and its length."""


@intrinsic
def call(typingctx, address, operands, state, scratch):
    """Call the instruction function at an address."""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args[1:]])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, operands, state, scratch), codegen


@inline
def _batches(program, state, scratch, barrier, samples, batch, begin, end):
    """Run a program on batches `begin` to `end`; give how many were finished."""
    here, memory, meeting = data(state), data(scratch), data(barrier)
    table = data(program)
    done = 0
    for step in range(begin, end):
        here[START] = step * batch
        here[ROWS] = min(batch, samples - here[START])
        for i in range(program.shape[0]):
            row = advance(table, i * COLUMNS)
            call(row[FUNCTION], advance(row, OPERANDS), here, memory)
            if row[WAIT]:
                wait(meeting, here[THREADS])
            if here[HALT]:
                break
        if here[HALT]:
            break
        here[TICK] += 1
        done += 1
    wait(meeting, here[THREADS])
    return done


def _arguments(real, numbers):
    """Types of the arguments: a program, what a thread needs to run it, and some numbers."""
    arrays = const(types.int64, 2), array(types.int64, 1), array(real, 1), array(types.int64, 1)
    return arrays + (types.int64,) * numbers


@entry(lambda real: _arguments(real, 4), types.int64)
def run(program, state, scratch, barrier, samples, batch, begin, end):
    """Run a program on batches `begin` to `end` of a data set; give how many were finished.

    `state` and `scratch` are this thread's; `program` and `barrier` are those of all
    threads: the others are in `follow`, or come there. The last batch of `samples` may be a
    smaller one. When the loss of a batch is not finite, nothing of that batch is learned.
    """
    if state[THREADS] > 1:
        post(data(barrier), begin, end)
    return _batches(program, state, scratch, barrier, samples, batch, begin, end)


@entry(lambda real: _arguments(real, 3), types.int64)
def follow(program, state, scratch, barrier, samples, batch, seen):
    """Run what the first thread runs, after the first `seen` times, until that is nothing more.

    Gives how many times that was. Returns about a millisecond after the last, or when
    `threads.DISMISSED` is written to the barrier.
    """
    meeting = data(barrier)
    while posted(meeting, seen):
        seen += 1
        _batches(
            program, state, scratch, barrier, samples, batch, meeting[BEGIN], meeting[END]
        )  # fmt: skip
    return seen
