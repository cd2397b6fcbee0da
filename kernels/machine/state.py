"""The state of a run as its instructions see it, and how they reach what operands name."""

from __future__ import annotations

from numba import types

from kernels.base.jit import inline, routine
from kernels.base.simd import advance, pointer, pointer_to
from kernels.machine.barrier import share

(
    ROWS,
    START,
    TICK,
    THREAD,
    THREADS,
    HALT,
    LOSS,
    OPEN,
    KEPT,
    STATE,
) = range(10)
"""Places in the state of the run, and its length.

Rows of this batch, where it begins in the order of the samples, steps done so far,
the number of this thread, how many there are, whether to stop, the bits of the
loss that was the reason, whether the program has been opened, and the steps whose results have
been given back (`kernels.instructions.borrowing`).
"""

WORDS = types.CPointer(types.int64)


def instruction(function):
    """Decorator: a kind of instruction."""
    return routine(lambda real: (WORDS, WORDS, types.CPointer(real)))(function)


@inline
def my_rows(state):
    """This thread's share of the batch's rows: the first of them, and their number."""
    begin, end = share(state[ROWS], state[THREAD], state[THREADS])
    return begin, end - begin


@inline
def cell(address, offset, scratch):
    """Pointer to an element of an array of the program's dtype at an address."""
    return advance(pointer(address, scratch), offset)


@inline
def words_at(address, offset):
    """Pointer to an element of an int64 array at an address."""
    return advance(pointer_to(address, types.int64), offset)


@inline
def bytes_at(address, offset):
    """Pointer to an element of a uint8 array at an address."""
    return advance(pointer_to(address, types.uint8), offset)


@inline
def doubles_at(address):
    """Pointer to a float64 array at an address."""
    return pointer_to(address, types.float64)
