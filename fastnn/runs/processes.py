"""Processes that work side by side, each on one thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from joblib import Parallel, delayed

_START = 0.02  # seconds of a first call, so that each process gets one
_WATCH = 0.5  # seconds from one look for the parent to the next
_SHARED_FROM = 4096  # bytes of an array from which on processes map it rather than get it sent


def in_processes(
    function: Callable[..., Any], calls: Iterable[tuple], jobs: int, first: Sequence[tuple] = ()
) -> Iterator[tuple[float, Any]]:
    """Call a function with each of many arguments, in so many processes of one thread each.

    Yields what the calls return, in the order in which they end, with the seconds since the first
    was made. Before that each process makes the calls of `first`, to import and compile what the
    function needs. Processes end when this one does, even by a kill.
    """
    with Parallel(
        jobs, backend="loky", return_as="generator_unordered", max_nbytes=_SHARED_FROM,
        inner_max_num_threads=1, initializer=_begin, initargs=(os.getpid(), function, first),
    ) as parallel:  # fmt: skip
        if jobs == 1:  # it is this process that works
            _call(function, first)
        list(parallel(delayed(time.sleep)(_START) for _ in range(jobs)))
        started = time.perf_counter()
        for result in parallel(delayed(function)(*arguments) for arguments in calls):
            yield time.perf_counter() - started, result


def _begin(parent: int, function: Callable[..., Any], first: Sequence[tuple]) -> None:
    """Begin a process, which ends when its parent does."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    _call(function, first)


def _call(function: Callable[..., Any], calls: Sequence[tuple]) -> None:
    for arguments in calls:
        function(*arguments)
