"""Threads that share the work on one large array, for functions that Python calls one by one.

A function's work is a task, an instruction of a program of two rows, which the other threads
follow as they do an epoch's (`kernels.machine.interpreter`); the first row has them take
subnormal numbers as the caller does. They stay awake for about a millisecond after each call, to
be there for the next one. The result does not depend on them, to the bit.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.base import host
from kernels.base.calls import call
from kernels.base.jit import inline
from kernels.base.kinds import INTEGER
from kernels.base.memory import address, aligned_zeros
from kernels.base.simd import advance, pointer_to
from kernels.base.subnormals import flush, flushing
from kernels.machine import interpreter
from kernels.machine.barrier import BARRIER, DISMISSED, POSTED, post, wait
from kernels.machine.followers import Followers
from kernels.machine.instruction import instruction, write_operands
from kernels.machine.interpreter import FUNCTION, OPERANDS
from kernels.machine.state import STATE, THREAD, THREADS

# Places in the team's memory, on cache lines of their own, and its length.
_STATE, _TABLE = BARRIER, BARRIER + STATE
_ROOM = 24  # of a row: more than any task's operands need
_TASK = _TABLE + _ROOM
_MEMORY = _TASK + _ROOM
_SCRATCH = 1 << 20  # float32 for each of the other threads: what a product needs, and some more

ASK, ALONE = 0, -1
"""Instead of a team's address: to do nothing where a team pays, or to do without one."""

PAYS = 2
"""What a function gives that has done nothing because a team would pay; else it is 0 or 1."""

LARGE = 32_768
"""Elements from which a team pays for arithmetic on each of them."""

_LONG = 50  # times as much as that: worth waking threads for, which takes some 0.1 ms
_SHORT, _REPEATED = 1e-3, 3  # seconds, and how often: as in the steps of a hand-written loop
_LATE, _LATE_WORK = 5e-4, 3e-5  # seconds, and for each time as much as that: a core was not free
_REST = 0.1  # seconds without a team then: as long as OpenBLAS keeps its threads awake


# --------------------------------------------------------------------- in compiled code


@instruction(flushing=INTEGER)
def _take_over(at, state, scratch):
    """Compute with subnormal numbers as the first thread does."""
    flush(at.flushing)


@intrinsic
def _address_of(typingctx, task, like):
    """Return the address of a task's version for the floating type that `like` points to."""
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
    """Return memory for some int64, a constant number of them, in this function's frame."""

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
def share_out(team, task, operands, scratch):
    """Carry out a task, an instruction: alone, or by a team, of which each thread does its share.

    `operands` is a tuple in the order of their declaration, `team` an address, or `ASK` or
    `ALONE`.
    """
    if team <= ASK:
        _alone(task, operands, scratch)
        return
    memory = pointer_to(team, types.int64)
    state, row = advance(memory, _STATE), advance(memory, _TASK)
    memory[_TABLE + FUNCTION] = _address_of(_take_over, scratch)
    memory[_TABLE + OPERANDS] = flushing()
    row[FUNCTION] = _address_of(task, scratch)
    write_operands(advance(row, OPERANDS), task, operands)
    post(memory, 0, 1, 0)
    call(row[FUNCTION], (advance(row, OPERANDS), state, scratch))
    wait(memory, state[THREADS])


# --------------------------------------------------------------------------- in Python


class Team:
    """The threads, and the memory in which they are told what to do."""

    def __init__(self, threads: int):
        self._memory = aligned_zeros(_MEMORY, np.int64)
        self._address = address(self._memory)
        self._memory[_STATE + THREADS] = threads
        barrier, table = self._memory[:BARRIER], self._memory[_TABLE:].reshape(2, _ROOM)
        others, nothing = [], interpreter.table_of([])
        for number in range(1, threads):
            state = aligned_zeros(STATE, np.int64)
            state[THREAD], state[THREADS] = number, threads
            tables = nothing, table, nothing
            others.append((*tables, state, aligned_zeros(_SCRATCH, np.float32), barrier, 1, 1))
        self._followers = Followers(interpreter.follow["float32"], others)
        self._rest = 0.0  # until when it is not to be had
        self._asked, self._last = 0, 0.0  # times, each shortly after the one before; and when
        self._ended = False

    def pays(self, long: bool) -> bool:
        """Whether to have it do some work, which may be a `long` one.

        Not while it does another one's; for a while after one of its threads was late; and while
        some are asleep, unless this is long, or asked repeatedly within a short time: then they
        are worth waking.
        """
        now = time.perf_counter()
        if now < self._rest or self._followers.wanted.locked():
            return False
        self._asked = self._asked + 1 if now - self._last < _SHORT else 1
        self._last = now
        return long or self._asked >= _REPEATED or self._followers.awake()

    def run(self, compiled: Callable, arguments: tuple, work: float):
        """Call a compiled function with these arguments and the team's address.

        `work` says how many times it is what a team just pays for.
        """
        with self._followers.wanted:
            if self._ended:
                return compiled(*arguments, ALONE)
            started = time.perf_counter()
            awake = self._followers.gather(started)
            result = compiled(*arguments, self._address)
            now = time.perf_counter()
            if awake and now - started > _LATE + work * _LATE_WORK:
                self._rest = now + _REST
            return result

    def end(self) -> None:
        """Wait until it has done what it does, and let its threads end."""
        with self._followers.wanted:
            self._ended = True
            self._memory[POSTED] = DISMISSED
            self._followers.end()


_team: Team | None = None
_making = threading.Lock()
_threads = host.threads()

asking = ASK if _threads > 1 else ALONE
"""What a function is given at first: with one thread, no team is worth asking for."""


def get_num_threads() -> int:
    """Threads that functions of large arrays, and training, take at most unless told otherwise."""
    return _threads


def set_num_threads(threads: int) -> None:
    """Have functions of large arrays, and training, take so many threads at most.

    At first that is the number of cores that this process may use, or less where
    `NUMBA_NUM_THREADS` says so. Raises ValueError for what is not a positive integer.
    """
    global _threads, _team, asking
    if not isinstance(threads, (int, np.integer)) or isinstance(threads, bool) or threads < 1:
        raise ValueError(f"threads is {threads!r}; expected a positive integer")
    with _making:
        before, _threads, _team = _team, int(threads), None
        asking = ASK if _threads > 1 else ALONE
    if before is not None:
        before.end()


def shared(compiled: Callable, arguments: tuple, work: float):
    """Call a compiled function with these arguments and the address of a team, or `ALONE`.

    `work` says how many times it is what a team just pays for.
    """
    if _threads < 2:
        return compiled(*arguments, ALONE)
    team = _the_team()
    if not team.pays(work >= _LONG):
        return compiled(*arguments, ALONE)
    return team.run(compiled, arguments, work)


def shared_elements(compiled: Callable, arguments: tuple, size: int):
    """As `shared`, for arithmetic on each of so many elements: alone where they are few."""
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
    """After a fork: threads are not inherited."""
    global _team, _making
    _team, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
