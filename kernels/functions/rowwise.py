"""Functions of matrices, row by row, that Python calls; threads share large matrices."""

from __future__ import annotations

from collections.abc import Callable

from kernels.base.jit import Routine, entry
from kernels.base.kinds import INTEGER, MATRIX, Matrix, below, reads, writes
from kernels.base.simd import data
from kernels.machine.barrier import share
from kernels.machine.instruction import instruction
from kernels.machine.state import THREAD, THREADS
from kernels.machine.team import share_out, shared_elements


def of_one(name: str, rows_of: Routine) -> Callable[..., None]:
    """Return a function (x, y) that computes y, from a routine (rows, columns, x, y).

    x and y are C-contiguous matrices of one shape and dtype. `name` names the machine code.
    """

    def part(at, state, scratch):
        begin, end = share(at.rows, state[THREAD], state[THREADS])
        rows_of(end - begin, at.columns, below(at.x, begin), below(at.y, begin))

    part.__qualname__ = f"{name}_part"
    mine = instruction(rows=INTEGER, columns=INTEGER, x=MATRIX, y=MATRIX)(part)

    def whole(x, y, team):
        rows, n = x.shape
        share_out(team, mine, (rows, n, Matrix(data(x), n), Matrix(data(y), n)), data(x))

    whole.__qualname__ = f"{name}_of_array"
    compiled = entry(reads(2), writes(2), INTEGER)(whole)
    return lambda x, y: shared_elements(compiled[x.dtype], (x, y), x.size)


def of_two(name: str, rows_of: Routine) -> Callable[..., None]:
    """Return a function (x, g, out) like `of_one`, from a routine (rows, columns, x, g, out)."""

    def part(at, state, scratch):
        begin, end = share(at.rows, state[THREAD], state[THREADS])
        x, g, out = below(at.x, begin), below(at.g, begin), below(at.out, begin)
        rows_of(end - begin, at.columns, x, g, out)

    part.__qualname__ = f"{name}_part"
    mine = instruction(rows=INTEGER, columns=INTEGER, x=MATRIX, g=MATRIX, out=MATRIX)(part)

    def whole(x, g, out, team):
        rows, n = x.shape
        operands = rows, n, Matrix(data(x), n), Matrix(data(g), n), Matrix(data(out), n)
        share_out(team, mine, operands, data(x))

    whole.__qualname__ = f"{name}_of_array"
    compiled = entry(reads(2), reads(2), writes(2), INTEGER)(whole)
    return lambda x, g, out: shared_elements(compiled[x.dtype], (x, g, out), x.size)
