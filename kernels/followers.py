"""Threads that run what another one runs, and wait for it: awake for a moment, then asleep.

They are Python's own; the interpreter's lock is free while they compute, and while they look
for what is announced (`kernels.epoch.follow`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

_PROCESSOR = 36  # place of the core in Linux's status of a thread, after its name


class Follower(threading.Thread):
    """A thread that runs what the first one runs.

    `follow` is `kernels.epoch.follow` of some dtype, with its arguments but the last one.
    It runs within `surroundings`, and does not go to sleep while it is `wanted`.
    """

    def __init__(
        self, follow: Callable[..., int], arguments: Sequence[Any],
        surroundings: AbstractContextManager | None = None,
        wanted: Callable[[], bool] = lambda: False,
    ):  # fmt: skip
        super().__init__(daemon=True)
        self._follow, self._arguments = follow, arguments
        self._surroundings, self._wanted = surroundings or nullcontext(), wanted
        self._called, self._ended = threading.Event(), False
        self.awake = False
        """Whether it looks for what is announced; one that is wanted stays awake."""

    def begin(self) -> None:
        """Start it, asleep, unless it has been."""
        if self.ident is None:
            self.start()

    def call(self) -> None:
        """Have it look for what is announced, if it has gone to sleep."""
        self._called.set()

    def end(self) -> None:
        """Wait until it has ended: at once, if it has been dismissed."""
        self._ended = True
        self._called.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        """Follow whenever called, until the end."""
        seen = 0
        with self._surroundings:
            while True:
                self._called.wait()
                self._called.clear()
                if self._ended:
                    return
                self.awake = True
                while self.awake:
                    seen = self._follow(*self._arguments, seen)
                    # In this order: who wants it, and finds it awake, must not be left waiting.
                    self.awake = False
                    self.awake = self._wanted() and not self._ended


def spread(others: Sequence[Follower]) -> None:
    """Put threads beside this one on cores of their own, where they are not; they may move on.

    Linux may have threads that began to work together share a core for seconds, while another
    one is idle.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    cores = sorted(allowed)
    numbers = [each.native_id for each in others if each.native_id is not None]
    with suppress(OSError, ValueError):  # not every container allows it
        mine, *theirs = (_core_of(each) for each in (threading.get_native_id(), *numbers))
        if len({mine, *theirs}) > len(theirs) or len(theirs) >= len(cores):
            return
        first = cores.index(mine)
        for number, thread in enumerate(numbers, 1):
            os.sched_setaffinity(thread, {cores[(first + number) % len(cores)]})
            os.sched_setaffinity(thread, allowed)


def _core_of(thread: int) -> int:
    """Number of the core that a thread of this process ran on last."""
    stat = Path(f"/proc/self/task/{thread}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[_PROCESSOR])
