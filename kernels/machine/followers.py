"""Threads that run the work of a leading thread; between posts they poll briefly, then sleep.

They are Python threads. They release Python's interpreter lock while they compute and while they
poll for posted work (`kernels.machine.interpreter.follow`).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

_LOOK = 0.03  # seconds between two checks of the cores that threads run on
_PROCESSOR = 36  # index of the core among the fields of /proc/.../stat behind the thread's name


class Follower(threading.Thread):
    """A thread that runs the work of the leading thread.

    `follow` is `kernels.machine.interpreter.follow` for one dtype, `arguments` are its arguments
    without the last. The thread runs in the context that `surroundings` returns, and does not
    sleep while `wanted` returns True.
    """

    def __init__(
        self,
        follow: Callable[..., int],
        arguments: Sequence[Any],
        surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
        wanted: Callable[[], bool] = lambda: False,
    ):
        super().__init__(daemon=True)
        self._follow, self._arguments = follow, arguments
        self._surroundings, self._wanted = surroundings, wanted
        self._called, self._ended = threading.Event(), False
        self._allowed: set[int] = set()  # cores to allow at the next waking; empty: no change
        self.awake = False
        """True while the thread polls or works; a wanted thread stays awake."""

    def begin(self) -> None:
        """Start the thread, asleep, unless it has started."""
        if self.ident is None:
            self.start()

    def call(self) -> None:
        """Wake the thread if it sleeps."""
        self._called.set()

    def move(self, core: int, allowed: set[int]) -> None:
        """Move the thread to a core; once it runs there, it may run on all `allowed` cores."""
        self._allowed = allowed
        os.sched_setaffinity(self._number(), {core})
        if self.awake:
            os.sched_setaffinity(self._number(), allowed)

    def core(self) -> int:
        """Return the number of the core that the thread last ran on."""
        stat = Path(f"/proc/self/task/{self._number()}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[_PROCESSOR])

    def _number(self) -> int:
        """Return the system's number of the thread; raise OSError if it has not started."""
        if self.native_id is None:
            raise OSError("the thread has not begun")
        return self.native_id

    def end(self) -> None:
        """End the thread and wait for that; a dismissed thread ends at once."""
        self._ended = True
        self._called.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        """Run the leading thread's work after each `call`, until `end`."""
        seen = 0
        with self._surroundings():
            while True:
                self._called.wait()
                self._called.clear()
                if self._ended:
                    return
                self.awake = True
                if self._allowed:
                    self._allowed = _allow(self._allowed)
                while self.awake:
                    seen = self._follow(*self._arguments, seen)
                    # `awake` must be False before `_wanted` is read: otherwise a caller could
                    # find the thread awake just before it sleeps, and wait for it in vain.
                    self.awake = False
                    self.awake = self._wanted() and not self._ended


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
    """The followers of one leading thread, which holds the lock `wanted` to keep them awake.

    `arguments` are the arguments of each `Follower`.
    """

    def __init__(
        self,
        follow: Callable[..., int],
        arguments: Sequence[Sequence[Any]],
        surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        self.wanted = threading.Lock()
        self._each = [Follower(follow, its, surroundings, self.wanted.locked) for its in arguments]
        self._look = 0.0  # time of the next check of their cores

    def __len__(self) -> int:
        return len(self._each)

    def awake(self) -> bool:
        """Return whether all are awake; they stay awake while they are wanted."""
        for each in self._each:
            if not each.awake:
                return False
        return True

    def gather(self, now: float) -> bool:
        """Wake all and spread them over the cores; return whether all were awake before.

        `now` is the time of `time.perf_counter`. Raises RuntimeError if a thread cannot start.
        """
        awake = self.awake()
        if awake and now < self._look:
            return True
        for each in self._each:
            each.begin()
        spread(self._each)
        self._look = now + _LOOK
        if not awake:
            for each in self._each:
                each.call()
        return awake

    def end(self) -> None:
        """End all and wait for that; dismissed threads end at once."""
        for each in self._each:
            each.end()


def _find_this_core() -> Callable[[], int] | None:
    """Return the system's function for the core of the calling thread, or None if it has none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_this_core = _find_this_core()
