"""The state of a run as its instructions see it, and this thread's share of a batch."""

from __future__ import annotations

from kernels.base.jit import inline
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


@inline
def my_rows(state):
    """Return this thread's share of the batch's rows: the first of them, and their number."""
    begin, end = share(state[ROWS], state[THREAD], state[THREADS])
    return begin, end - begin
