"""Threads that help a leading thread; between posts they look for work briefly, then sleep.

They are threads of Python that release its lock while they compute and while they look for work
(`kernels.machine.interpreter.follow`). They are started without `threading`, since its hooks are
for threads that run a program's own functions, and its `start` waits for the new thread.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from kernels.base import forks
from kernels.machine.barrier import ARRIVED
from kernels.machine.load import LOAD
from kernels.machine.posts import AWAY, DISMISSED, cells

_BIRTH = 3e-4  # seconds to wait for a new thread
_LOOK = 0.03  # seconds between two checks of the cores that threads run on
_PROCESSOR = 36  # index of the core among the fields of /proc/.../stat behind the thread's name


class Follower:
    """A thread that follows the leader of `crew` after each call, as long as it is wanted.

    `follow` is `kernels.machine.interpreter.follow` for one dtype, and `arguments` are its
    arguments; the last one is `number`, from 1. The thread runs in the context that `surroundings`
    returns. It starts with the first call.
    """

    def __init__(
        self,
        crew: Followers,
        number: int,
        follow: Callable[..., None],
        arguments: Sequence[Any],
        surroundings: Callable[[], AbstractContextManager[None]],
    ):
        self._crew, self.number = crew, number
        self._follow, self._arguments, self._surroundings = follow, arguments, surroundings
        self.renew()

    def renew(self) -> None:
        """Forget the thread, which does not exist in the child of a fork."""
        self._called, self._up = _locked(), _locked()  # unlocked by a call, and by the thread
        self._begun = False
        self.native_id = 0
        """The system's number of the thread, or 0 if it does not run."""
        self._allowed: set[int] = set()  # cores to allow at the next waking; empty: no change

    @property
    def awake(self) -> bool:
        """True while the thread looks for work or works."""
        return self._crew.cells[self.number - 1] != AWAY

    def call(self) -> None:
        """Wake the thread, unless it has died."""
        LOAD.helpers.add(self)
        if not self._begun:
            LOAD.helpers.discard(self)
        if self._called.locked():
            self._called.release()

    def begin(self) -> None:
        """Start the thread, asleep, unless it has begun; raise RuntimeError if that is impossible.

        Waits for a moment, because the new thread may need this core.
        """
        if self._begun:
            return
        self._begun = True
        try:
            _thread.start_new_thread(self._live, ())
        except BaseException:
            self._begun = False
            raise
        self._up.acquire(timeout=_BIRTH)

    def dismiss(self) -> None:
        """Let the thread end, and do no more work; nobody waits for that."""
        self._crew.cells[self.number - 1] = DISMISSED
        if self._begun:
            self.call()

    def move(self, core: int, allowed: set[int]) -> None:
        """Move the thread to a core; once it is up there, it may run on all `allowed` cores."""
        self._allowed = allowed
        os.sched_setaffinity(self.native_id, {core})
        if self.awake:
            os.sched_setaffinity(self.native_id, allowed)

    def core(self) -> int:
        """Return the number of the core that the thread last ran on."""
        stat = Path(f"/proc/self/task/{self.native_id}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[_PROCESSOR])

    def _live(self) -> None:
        """Attend to the leader after each call, until the crew ends; report what goes wrong."""
        try:
            self.native_id = threading.get_native_id()
            if self._up.locked():
                self._up.release()
            with self._surroundings():
                while True:
                    self._called.acquire()
                    if self._crew.ended:
                        return
                    LOAD.helpers.add(self)
                    self._attend()
                    LOAD.helpers.discard(self)
        except BaseException as error:
            self._crew.error = error
        finally:
            self._begun, self.native_id = False, 0
            LOAD.helpers.discard(self)  # after that: `call` adds it before it looks

    def _attend(self) -> None:
        """Follow the leader until the thread is wanted no more."""
        if self._allowed:
            self._allowed = _allow(self._allowed)
        # The thread leaves before it reads `company`, which the leader sets before it looks who is
        # there: otherwise the thread could sleep while the leader believes it to be awake.
        self._follow(*self._arguments)
        while self.number < self._crew.company and not self._crew.ended:
            self._follow(*self._arguments)


def _locked() -> threading.Lock:
    """Return a lock that is held."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _allow(cores: set[int]) -> set[int]:
    """Let this thread run on these cores, if the system permits; return the empty set."""
    with suppress(OSError):
        os.sched_setaffinity(0, cores)
    return set()


def spread(others: Sequence[Follower]) -> None:
    """Move each other thread to a core of its own, if two threads share one or some sleep.

    Linux may keep threads on one core for seconds while another core is idle, and may wake a
    thread on the core of its caller, where it waits for the caller. Afterwards the system may
    move the threads again.
    """
    if _this_core is None:
        return
    allowed = os.sched_getaffinity(0)
    if len(others) >= len(allowed):
        return
    with suppress(OSError, ValueError):  # some containers forbid it
        mine, cores = _this_core(), sorted(allowed)
        awake = [each.core() for each in others if each.awake]
        sharing = len({mine, *awake}) <= len(awake)
        first = cores.index(mine)
        for number, each in enumerate(others, 1):
            if sharing or not each.awake:
                each.move(cores[(first + number) % len(cores)], allowed)


class Followers:
    """The followers of one leading thread, which share the memory `board` with it.

    `arguments` are the arguments of each `Follower`.
    """

    def __init__(
        self,
        follow: Callable[..., None],
        arguments: Sequence[Sequence[Any]],
        board: np.ndarray,
        surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        self.company = 0
        """Number of threads that the leader wants, itself included; 0 if it wants no help."""
        self.ended = False
        self.error: BaseException | None = None
        """The error that has ended one of the threads."""
        # The memory reads an element in half the time of the array.
        self.cells, self._board = cells(board).data, board
        self._each = [
            Follower(self, number, follow, its, surroundings)
            for number, its in enumerate(arguments, 1)
        ]
        self._look = 0.0  # time of the next check of their cores
        _crews.add(self)

    def __len__(self) -> int:
        return len(self._each)

    def awake(self, company: int) -> bool:
        """Return whether all of a company are awake; they stay so while they are wanted."""
        for number in range(company - 1):
            if self.cells[number] == AWAY:
                return False
        return True

    def gather(self, company: int, now: float) -> bool:
        """Want a company of threads, and wake or start those that sleep; return whether none did.

        `now` is the time of `time.perf_counter`. The caller sets `company` to 0 after the work.
        Raises the error that has ended one of the threads, or RuntimeError if one cannot start.
        """
        self.company = company
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        awake = self.awake(company)
        if awake and now < self._look:
            return True
        wanted = self._each[: company - 1]
        for each in wanted:
            each.begin()
        spread([each for each in wanted if each.native_id])
        self._look = now + _LOOK
        for each in wanted:
            if not each.awake:
                each.call()
        return awake

    def end(self) -> None:
        """Let all threads end; nobody waits for that."""
        self.ended = True
        for each in self._each:
            each.dismiss()

    def renew(self) -> None:
        """Begin anew without threads, in the child of a fork."""
        self.company, self.error = 0, None
        self._board[ARRIVED] = 0
        for each in self._each:
            self.cells[each.number - 1] = AWAY
            each.renew()


_crews: weakref.WeakSet[Followers] = weakref.WeakSet()


def _renew_all() -> None:
    for each in list(_crews):
        each.renew()


forks.in_child(_renew_all)


def _find_this_core() -> Callable[[], int] | None:
    """Return the system's function for the core of the calling thread, or None if it has none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_this_core = _find_this_core()
