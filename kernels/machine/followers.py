"""Threads that run what another one runs, and wait for it: awake for a moment, then asleep.

They are Python's own; the interpreter's lock is free while they compute, and while they look
for what is announced (`kernels.machine.interpreter.follow`).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

_LOOK = 0.03  # seconds between two looks at the cores that threads are on
_PROCESSOR = 36  # place of the core in Linux's status of a thread, after its name


class Follower(threading.Thread):
    """A thread that runs what the first one runs.

    `follow` is `kernels.machine.interpreter.follow` of some dtype, with its arguments but the last
    one. It runs within what `surroundings` gives, and does not go to sleep while it is `wanted`.
    """

    def __init__(
        self, follow: Callable[..., int], arguments: Sequence[Any],
        surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
        wanted: Callable[[], bool] = lambda: False,
    ):  # fmt: skip
        super().__init__(daemon=True)
        self._follow, self._arguments = follow, arguments
        self._surroundings, self._wanted = surroundings, wanted
        self._called, self._ended = threading.Event(), False
        self._allowed: set[int] = set()  # cores that it may run on once it is awake
        self.awake = False
        """Whether it looks for what is announced; one that is wanted stays awake."""

    def begin(self) -> None:
        """Start it, asleep, unless it has been."""
        if self.ident is None:
            self.start()

    def call(self) -> None:
        """Have it look for what is announced, if it has gone to sleep."""
        self._called.set()

    def move(self, core: int, allowed: set[int]) -> None:
        """Have it run on a core, from when it is awake; then on any that is allowed."""
        self._allowed = allowed
        os.sched_setaffinity(self._number(), {core})
        if self.awake:
            os.sched_setaffinity(self._number(), allowed)

    def core(self) -> int:
        """Number of the core that it ran on last."""
        stat = Path(f"/proc/self/task/{self._number()}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[_PROCESSOR])

    def _number(self) -> int:
        """What the system knows it by; raises OSError where it has not begun."""
        if self.native_id is None:
            raise OSError("the thread has not begun")
        return self.native_id

    def end(self) -> None:
        """Wait until it has ended: at once, if it has been dismissed."""
        self._ended = True
        self._called.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        """Follow whenever called, until the end."""
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
                    # In this order: who wants it, and finds it awake, must not be left waiting.
                    self.awake = False
                    self.awake = self._wanted() and not self._ended


def _allow(cores: set[int]) -> set[int]:
    """Let this thread run on these cores, where the system lets it; nothing more is to be done."""
    with suppress(OSError):
        os.sched_setaffinity(0, cores)
    return set()


def spread(others: Sequence[Follower]) -> None:
    """Put threads beside this one on cores of their own, where they are not.

    Linux may have threads that began to work together share a core for seconds, while another
    one is idle; and wake a thread on the core of the one that called it, for which it then
    waits. They may move on afterwards.
    """
    if _this_core is None:
        return
    allowed = os.sched_getaffinity(0)
    if len(others) >= len(allowed):
        return
    with suppress(OSError, ValueError):  # not every container allows it
        mine, cores = _this_core(), sorted(allowed)
        awake = [each.core() for each in others if each.awake]
        sharing = len({mine, *awake}) <= len(awake)
        first = cores.index(mine)
        for number, each in enumerate(others, 1):
            if sharing or not each.awake:
                each.move(cores[(first + number) % len(cores)], allowed)


class Followers:
    """Threads that follow one, which holds `wanted` while it needs them awake.

    Of each there are the arguments that it follows with.
    """

    def __init__(
        self, follow: Callable[..., int], arguments: Sequence[Sequence[Any]],
        surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):  # fmt: skip
        self.wanted = threading.Lock()
        self._each = [Follower(follow, its, surroundings, self.wanted.locked) for its in arguments]
        self._look = 0.0  # when to look again at the cores that they are on

    def __len__(self) -> int:
        return len(self._each)

    def awake(self) -> bool:
        """Whether all are; as long as they are wanted, they stay it."""
        for each in self._each:
            if not each.awake:
                return False
        return True

    def gather(self, now: float) -> bool:
        """Have all awake, soon, and on cores of their own; give whether they were awake.

        `now` is the clock's time. Raises what starting a thread raises.
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
        """Wait until all have ended: at once, if they have been dismissed."""
        for each in self._each:
            each.end()


def _find_this_core() -> Callable[[], int] | None:
    """The system's function that gives the core of the calling thread; None where it has none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_this_core = _find_this_core()
