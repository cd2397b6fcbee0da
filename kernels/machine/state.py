"""The state of a run that instructions read, and this thread's share of a batch."""

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
"""Indices into the state of a run, and the number of those in use.

`ROWS` is the number of rows of the batch, `START` its first position in the order of samples,
`TICK` the number of finished steps. `THREAD` is the number of this thread, `THREADS` how many
there are. `HALT` is not 0 once the run must stop, and `LOSS` has the bits of the loss that stopped
it. `OPEN` is 1 after the opening table; `KEPT` is the number of steps whose results have been
given back (`kernels.instructions.borrowing`).
"""

ROOM = 32
"""Length of a state in memory: every thread writes its own with each instruction, and no cache
line of it, nor the next one, may be another thread's."""


@inline
def my_rows(state):
    """Return this thread's share of the batch's rows: its first row, and its number of rows."""
    begin, end = share(state[ROWS], state[THREAD], state[THREADS])
    return begin, end - begin
