"""The load of the machine: how many threads have a core of their own, for the whole process.

Threads that wait for each other are quick only while each has a core. Two things tell whether
there are cores. Linux says how many tasks run now in the whole system; that is seen before any
time is lost. Elsewhere, and where a process may use only a part of the system's cores, a thread
that came late is the sign. Then the process works on one thread for a rest, which is four times as
long each time, up to some seconds, until threads have worked together for as long as the rest
without one being late.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from kernels.base import forks, host

_FRESH = 1e-3  # seconds for which a look at the load is true
_SHORTEST, _LONGEST, _LONGER = 0.01, 4.0, 4  # seconds of a rest, and the factor of the next
_RUNNING = 3  # index of "running/all" among the fields of /proc/loadavg


class Load:
    """The cores that are free for this process, and its experience with threads that were late.

    `running` returns the number of tasks that run in the whole system, or None if it is unknown;
    `cores` the number of cores that this process may use.
    """

    def __init__(
        self,
        running: Callable[[], int | None],
        cores: Callable[[], int] = host.cores,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._running, self._cores, self._clock = running, cores, clock
        self.helpers: set[object] = set()
        """Threads of this process that help or look for work, each of which keeps itself here."""
        self._free, self._looked = 1, -1.0
        self._rest, self._good, self._until = _SHORTEST, _LONGEST, 0.0

    def threads(self, most: int) -> int:
        """Return how many of at most `most` threads should work now.

        Of numbers that need the same time for `most` equal shares, it is the smallest.
        """
        if most == 1:
            return 1
        now = self._clock()
        if now < self._until:
            return 1
        if not 0.0 <= now - self._looked < _FRESH:
            self._free, self._looked = self._count_free(), now
        if self._free >= most:
            return most
        shares = -(-most // max(1, self._free))  # of each thread
        return -(-most // shares)

    def _count_free(self) -> int:
        """Return the number of cores that this thread and its helpers may have to themselves."""
        cores, running = self._cores(), self._running()
        if running is None:
            return cores
        others = running - 1 - len(self.helpers)
        return min(cores, (os.cpu_count() or cores) - others)

    def learn(self, seconds: float, late: bool) -> None:
        """Learn from threads that have worked together for some time, and whether one was late."""
        if not late:
            self._good += seconds
            return
        tired = self._good < self._rest
        self._rest = min(_LONGER * self._rest, _LONGEST) if tired else _SHORTEST
        self._good, self._until = 0.0, self._clock() + self._rest


def _running_tasks() -> int | None:
    """Return how many tasks run now in the whole system, or None where that is unknown.

    It is of no use to a process that may use only some of the cores: the tasks may run on others.
    """
    try:
        if len(os.sched_getaffinity(0)) < (os.cpu_count() or 1):
            return None
        file = os.open("/proc/loadavg", os.O_RDONLY)
        try:
            return int(os.read(file, 128).split()[_RUNNING].partition(b"/")[0])
        finally:
            os.close(file)
    except (AttributeError, OSError, ValueError, IndexError):
        return None


LOAD = Load(_running_tasks)
"""The load as this process sees it."""

forks.in_child(LOAD.helpers.clear)
