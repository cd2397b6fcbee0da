"""Functions of the rows of matrices, for Python to call: shared by threads where they are large."""

from __future__ import annotations

from collections.abc import Callable

from numba import types

from kernels.base.jit import Routine, array, const, entry
from kernels.base.simd import data, location
from kernels.machine.barrier import share
from kernels.machine.state import THREAD, THREADS, cell, instruction
from kernels.machine.team import ALONE, address_of, operands, shared_elements, together


def of_one(name: str, rows_of: Routine) -> Callable[..., None]:
    """A function (x, y) that fills y, from a routine (rows, columns, x, ldx, y, ldy).

    Both are C-contiguous matrices of one shape and dtype. Machine code is kept by the name.
    """

    def part(at, state, scratch):
        begin, end = share(at[0], state[THREAD], state[THREADS])
        n, first = at[1], begin * at[1]
        rows_of(end - begin, n, cell(at[2], first, scratch), n, cell(at[3], first, scratch), n)

    part.__qualname__ = f"{name}_part"
    mine = instruction(part)

    def whole(x, y, team):
        rows, n = x.shape
        if team == ALONE:
            rows_of(rows, n, data(x), n, data(y), n)
        else:
            at = operands(team)
            at[0], at[1], at[2], at[3] = rows, n, location(data(x)), location(data(y))
            together(team, address_of(mine, data(x)), data(x))

    whole.__qualname__ = f"{name}_of_array"
    compiled = entry(lambda real: (const(real, 2), array(real, 2), types.int64))(whole)
    return lambda x, y: shared_elements(compiled[x.dtype], (x, y), x.size)


def of_two(name: str, rows_of: Routine) -> Callable[..., None]:
    """As `of_one`, (x, g, out) from (rows, columns, x, ldx, g, ldg, out, ldo)."""

    def part(at, state, scratch):
        begin, end = share(at[0], state[THREAD], state[THREADS])
        n, first = at[1], begin * at[1]
        rows_of(
            end - begin, n, cell(at[2], first, scratch), n, cell(at[3], first, scratch), n,
            cell(at[4], first, scratch), n,
        )  # fmt: skip

    part.__qualname__ = f"{name}_part"
    mine = instruction(part)

    def whole(x, g, out, team):
        rows, n = x.shape
        if team == ALONE:
            rows_of(rows, n, data(x), n, data(g), n, data(out), n)
        else:
            at = operands(team)
            at[0], at[1], at[2] = rows, n, location(data(x))
            at[3], at[4] = location(data(g)), location(data(out))
            together(team, address_of(mine, data(x)), data(x))

    whole.__qualname__ = f"{name}_of_array"
    compiled = entry(lambda real: (const(real, 2),) * 2 + (array(real, 2), types.int64))(whole)
    return lambda x, g, out: shared_elements(compiled[x.dtype], (x, g, out), x.size)
