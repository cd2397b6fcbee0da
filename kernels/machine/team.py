"""Threads that share the work on one large array, for functions that Python calls one by one.

The work is a task, an instruction. The other threads run a program of two rows
(`kernels.machine.interpreter`): the first makes them flush subnormal numbers if the caller does,
the second is the task. The threads look for the next call for about a millisecond after each; a
call finds them there, or works alone. The result has the same bits with any number of threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.base import forks, host
from kernels.base.calls import call
from kernels.base.jit import inline
from kernels.base.kinds import INTEGER
from kernels.base.memory import address, aligned_zeros
from kernels.base.simd import advance, pointer_to
from kernels.base.subnormals import flush, flushing
from kernels.machine import interpreter
from kernels.machine.barrier import LATE, PATIENCE, wait
from kernels.machine.followers import Followers
from kernels.machine.instruction import instruction, write_operands
from kernels.machine.interpreter import FUNCTION, OPERANDS
from kernels.machine.load import LOAD
from kernels.machine.pauses import now, spin
from kernels.machine.posts import claim, post, release, size
from kernels.machine.state import ROOM, STATE, THREADS

# Offsets in the team's memory, in int64: the number of threads that the caller wants and the
# nanoseconds that it waits for them, the first thread's state, the program, and the board.
_WANTED, _HOPE, _STATE, _TABLE = 0, 1, 8, 24
_ROOM = 24  # length of a row: more than any task's operands need
_TASK = _TABLE + _ROOM
_BOARD = _TASK + _ROOM
_SCRATCH = 1 << 20  # float32 of scratch memory for each other thread, more than a product needs

ASK, ALONE = 0, -1
"""Values in place of a team's address: return `PAYS` if a team pays, or compute without a team."""

PAYS = 2
"""Result of a function that has done nothing because a team pays; other results are 0 and 1."""

LARGE = 32_768
"""Elements from which a team pays for elementwise arithmetic."""

# Work is measured in units of the smallest work for which a team pays.
_LONG = 50  # units that are worth waking threads, which takes some 0.1 ms
_SHORT, _REPEATED = 1e-3, 3  # so are 3 calls, each within 1 ms of the last, as in a loop of steps
_HOPING, _HOPING_WORK = 3e5, 5e3  # nanoseconds, and more a unit, to wait for threads that wake
_PATIENT, _PATIENT_WORK = 1e6, 1e4  # and after which a thread that is waited for is late


# --------------------------------------------------------------------- in compiled code


@instruction(flushing=INTEGER)
def _take_over(at, state, scratch):
    """Flush subnormal numbers if the first thread does."""
    flush(at.flushing)


@intrinsic
def _address_of(typingctx, task, like):
    """Return the address of a task's version for the element type of the pointer `like`."""
    if OPERANDS + task.typing_key.length > _ROOM:
        raise TypeError(f"{task.typing_key.name} has too many operands for a team")

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [])
        symbol = task.typing_key.symbol(like.dtype)
        function = cgutils.get_or_insert_function(builder.module, kind, symbol)
        return builder.ptrtoint(function, ir.IntType(64))

    return types.int64(task, like), codegen


@intrinsic(prefer_literal=True)
def _words(typingctx, count):
    """Return memory for a constant number of int64 on the stack."""

    def codegen(context, builder, sig, args):
        return cgutils.alloca_once(builder, ir.IntType(64), size=count.literal_value)

    return types.CPointer(types.int64)(count), codegen


@inline
def _alone(task, operands, scratch):
    state, words = _words(STATE), _words(_ROOM)
    for i in range(STATE):
        state[i] = 0
    state[THREADS] = 1
    write_operands(words, task, operands)
    call(_address_of(task, scratch), (words, state, scratch))


@inline
def _claim_in_time(memory):
    """Claim the wanted threads, if they are there or come while the caller hopes for them."""
    board, company = advance(memory, _BOARD), memory[_WANTED]
    if claim(board, company):
        return True
    began = now()
    while now() - began < memory[_HOPE]:
        if claim(board, company):
            return True
        spin()
    return False


@inline
def share_out(team, task, operands, scratch):
    """Run a task, an instruction, on this thread alone or shared by the threads of a team.

    `operands` is a tuple in the order of their declaration; `team` is an address, `ASK` or
    `ALONE`.
    """
    memory = pointer_to(team, types.int64)
    if team <= ASK or not _claim_in_time(memory):
        _alone(task, operands, scratch)
        return
    board, company = advance(memory, _BOARD), memory[_WANTED]
    state, row = advance(memory, _STATE), advance(memory, _TASK)
    state[THREADS] = company
    memory[_TABLE + FUNCTION] = _address_of(_take_over, scratch)
    memory[_TABLE + OPERANDS] = flushing()
    row[FUNCTION] = _address_of(task, scratch)
    write_operands(advance(row, OPERANDS), task, operands)
    post(board, state, 0, 1, 0, company)
    call(row[FUNCTION], (advance(row, OPERANDS), state, scratch))
    wait(board, company)
    release(board, company)


# --------------------------------------------------------------------------- in Python


class Team:
    """The threads of a team, and the memory in which tasks are posted to them."""

    def __init__(self, threads: int):
        self._threads = self._company = threads  # all, and those that should work now
        self._memory = aligned_zeros(_BOARD + size(threads), np.int64)
        self._address = address(self._memory)
        board, table = self._memory[_BOARD:], self._memory[_TABLE:_BOARD].reshape(2, _ROOM)
        # Their memory reads an element in half the time of the arrays.
        self._words, self._board = self._memory.data, board.data
        nothing = interpreter.table_of([])
        others = [
            (
                *(nothing, table, nothing),
                *(aligned_zeros(ROOM, np.int64), aligned_zeros(_SCRATCH, np.float32)),
                *(board, 1, 1, number),
            )
            for number in range(1, threads)
        ]
        self._followers = Followers(interpreter.follow["float32"], others, board)
        self._lock = threading.Lock()  # of whoever uses the team
        self._asked, self._last = 0, 0.0  # calls in quick succession, and the time of the last
        self._ended = False

    def pays(self, long: bool) -> bool:
        """Return whether the team should do some work, which may be `long`.

        It should not while it does other work, nor while the machine has no cores for it. If some
        threads sleep, only long work, or repeated calls in quick succession, are worth waking
        them.
        """
        self._company = company = LOAD.threads(self._threads)
        if company == 1 or self._lock.locked():
            return False
        now = time.perf_counter()
        self._asked = self._asked + 1 if now - self._last < _SHORT else 1
        self._last = now
        return long or self._asked >= _REPEATED or self._followers.awake(company)

    def run(self, compiled: Callable, arguments: tuple, work: float):
        """Call a compiled function with these arguments and the team's address.

        `work` is in units of the smallest work for which a team pays.
        """
        with self._lock:
            if self._ended:
                return compiled(*arguments, ALONE)
            company, started = self._company, time.perf_counter()
            try:
                awake = self._followers.gather(company, started)
                hope = 0 if awake or work < _LONG else int(_HOPING + work * _HOPING_WORK)
                self._words[_WANTED], self._words[_HOPE] = company, hope
                self._board[PATIENCE] = int(_PATIENT + work * _PATIENT_WORK)
                self._board[LATE] = 0
                result = compiled(*arguments, self._address)
                if awake:
                    LOAD.learn(time.perf_counter() - started, bool(self._board[LATE]))
                return result
            finally:
                self._followers.company = 0

    def end(self) -> None:
        """Wait for the current work and let the team's threads end."""
        with self._lock:
            self._ended = True
            self._followers.end()


_team: Team | None = None
_making = threading.Lock()
_threads = host.threads()  # of kernels and training, by default

asking = ASK if _threads > 1 else ALONE
"""Value in place of a team's address in the first call of a function."""


def get_num_threads() -> int:
    """Return the largest number of threads that kernels and training use by default.

    Returns
    -------
    int
        Number of threads: the cores that this process may use, at most `NUMBA_NUM_THREADS`,
        unless `set_num_threads` has set another number.

    Examples
    --------
    >>> from kernels import get_num_threads, set_num_threads
    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    return _threads


def set_num_threads(threads: int) -> None:
    """Set the largest number of threads that kernels and training use by default.

    Results have the same bits with any number of threads. Fewer threads work while other programs
    keep the cores busy.

    Parameters
    ----------
    threads : int
        Number of threads, from 1 to 256.

    Raises
    ------
    ValueError
        If `threads` is not an integer from 1 to 256.

    Examples
    --------
    >>> from kernels import get_num_threads, set_num_threads
    >>> before = get_num_threads()
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(before)
    """
    global _threads, _team, asking
    if not (type(threads) is int or isinstance(threads, np.integer)) or not (
        1 <= threads <= host.MOST_THREADS
    ):
        raise ValueError(
            f"threads is {threads!r}; expected a positive integer up to {host.MOST_THREADS}"
        )
    with _making:
        before, _threads, _team = _team, int(threads), None
        asking = ASK if _threads > 1 else ALONE
    if before is not None:
        before.end()


def shared(compiled: Callable, arguments: tuple, work: float):
    """Call a compiled function with these arguments and the team's address, or `ALONE`.

    `work` is in units of the smallest work for which a team pays.
    """
    if _threads < 2:
        return compiled(*arguments, ALONE)
    team = _the_team()
    if not team.pays(work >= _LONG):
        return compiled(*arguments, ALONE)
    return team.run(compiled, arguments, work)


def shared_elements(compiled: Callable, arguments: tuple, size: int):
    """Call like `shared` for elementwise arithmetic on `size` elements; alone if they are few."""
    if size < LARGE:
        return compiled(*arguments, ALONE)
    return shared(compiled, arguments, size / LARGE)


def _the_team() -> Team:
    global _team
    team = _team
    if team is None:
        with _making:
            team = _team = _team or Team(_threads)
    return team


def _forget() -> None:
    """Forget the team in the child of a fork, which does not inherit threads."""
    global _team, _making
    _team, _making = None, threading.Lock()


forks.in_child(_forget)
