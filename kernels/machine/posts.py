"""Work that a leading thread posts to the threads that are there to help.

Nobody waits for a thread that is not there. A helper that looks for work says so in a cell of its
own; the leader claims it in one step, and a helper that leaves withdraws in one step, so a helper
that has left cannot be claimed, and one that is claimed cannot leave. The leader posts work only
when it has claimed all whom it wants, and works alone otherwise. A helper looks for about a
millisecond before it leaves, because waking a thread takes longer than a whole epoch of a small
network.
"""

from __future__ import annotations

import numpy as np

from kernels.base.jit import inline
from kernels.machine.atomics import atomic_load, atomic_store, exchange
from kernels.machine.barrier import BARRIER
from kernels.machine.pauses import give_way, now, spin
from kernels.machine.state import STATE, THREAD

BEGIN, END, CLOSE, COMPANY, POSTS = range(BARRIER, BARRIER + 5)
"""Indices behind the barrier: the range of batches and whether to close, the number of threads
that work on them, and the number of posts so far."""

_STATE = 48  # the leader's state at the time of the post
_CELLS = 64
_APART = 16  # int64 between two cells: two cache lines

DISMISSED, AWAY, READY, CLAIMED = -1, 0, 1, 2
"""Values of a helper's cell; a larger one is the number of its post, counted from `CLAIMED`."""

_SPINS = 200  # spins, some microseconds, before a helper offers its core to others
_LOOKING = 1_000_000  # nanoseconds that a helper looks for work


@inline
def cell(thread):
    """Return the index of a helper's cell; helpers are threads 1, 2, ..."""
    return _CELLS + _APART * (thread - 1)


def size(threads: int) -> int:
    """Return the number of int64 of a board, the memory that this many threads share."""
    return cell.py_func(threads)


def cells(board: np.ndarray) -> np.ndarray:
    """Return the cells of the helpers 1, 2, ... on a board."""
    return board[_CELLS::_APART]


# ---------------------------------------------------------------------- of the leader


@inline
def ready(board, company):
    """Return whether all helpers of a company of threads look for work."""
    for thread in range(1, company):
        if atomic_load(board, cell(thread)) != READY:
            return False
    return True


@inline
def claim(board, company):
    """Claim all helpers of a company; return False and claim none if one is not there."""
    for thread in range(1, company):
        if not exchange(board, cell(thread), READY, CLAIMED):
            for other in range(1, thread):
                atomic_store(board, cell(other), READY)
            return False
    return True


@inline
def post(board, state, begin, end, close, company):
    """Post batches to a company that has been claimed, with the leader's state."""
    board[BEGIN], board[END], board[CLOSE], board[COMPANY] = begin, end, close, company
    for i in range(STATE):
        board[_STATE + i] = state[i]
    board[POSTS] += 1
    for thread in range(1, company):
        atomic_store(board, cell(thread), CLAIMED + board[POSTS])


@inline
def release(board, company):
    """Let the helpers of a company, which has finished its work, look for work again."""
    for thread in range(1, company):
        atomic_store(board, cell(thread), READY)


# --------------------------------------------------------------------- of the helpers


@inline
def arrive(board, thread):
    """Say that this helper looks for work; return False if it is dismissed."""
    return exchange(board, cell(thread), AWAY, READY)


@inline
def next_post(board, thread, last):
    """Return the number of the first post after `last` to this helper, which has arrived.

    Returns 0 when it has left, about a millisecond after the last post, or when it is dismissed.
    `last` is `CLAIMED` before the first post.
    """
    spins, began = 0, 0
    while True:
        found = atomic_load(board, cell(thread))
        if found > last:
            return found
        if found == DISMISSED:
            return 0
        spins += 1
        if spins < _SPINS:
            spin()
        elif began == 0:
            began = now()
        elif now() - began < _LOOKING:
            give_way()
        elif exchange(board, cell(thread), READY, AWAY):
            return 0
        else:  # the leader has claimed it, and is about to post
            give_way()


@inline
def take_over(board, state, thread):
    """Copy the leader's state at the time of the post."""
    for i in range(STATE):
        state[i] = board[_STATE + i]
    state[THREAD] = thread
