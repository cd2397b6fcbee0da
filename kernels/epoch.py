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

from kernels.jit import array, const, entry
from kernels.simd import advance, data
from kernels.state import HALT, ROWS, START, THREADS, TICK
from kernels.threads import wait

FUNCTION, WAIT, OPERANDS, COLUMNS = 0, 1, 2, 19
"""Places in an instruction's row, and its length."""


@intrinsic
def _call(typingctx, address, operands, state, scratch):
    """Call the instruction function at an address."""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args[1:]])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, operands, state, scratch), codegen


@entry(
    lambda real: (
        (const(types.int64, 2), array(types.int64, 1), array(real, 1), array(types.int64, 1))
        + (types.int64,) * 4
    ),
    types.int64,
)
def run(program, state, scratch, barrier, samples, batch, begin, end):
    """Run a program on batches `begin` to `end` of a data set; give how many were finished.

    `state` and `scratch` are this thread's; all threads are called with the same
    `program` and `barrier`. The last batch of `samples` may be a smaller one. When
    the loss of a batch is not finite, nothing of that batch is learned.
    """
    here, memory, meeting = data(state), data(scratch), data(barrier)
    table = data(program)
    for step in range(begin, end):
        here[START] = step * batch
        here[ROWS] = min(batch, samples - here[START])
        for i in range(program.shape[0]):
            row = advance(table, i * COLUMNS)
            _call(row[FUNCTION], advance(row, OPERANDS), here, memory)
            if row[WAIT]:
                wait(meeting, here[THREADS])
            if here[HALT]:
                return step - begin
        here[TICK] += 1
    return end - begin
