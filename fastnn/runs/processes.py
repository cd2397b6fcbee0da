"""Calls spread over worker processes, each on one thread."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, delayed

_START = 0.02  # seconds that a warm-up call sleeps, so that every worker gets one
_WATCH = 0.5  # seconds between checks that the parent is alive
_SAFE_PATH = "PYTHONSAFEPATH"
_SHARED_FROM = 4096  # bytes; larger arrays are memory-mapped instead of sent


def in_processes(
    function: Callable[..., Any], calls: Iterable[tuple], jobs: int, first: Sequence[tuple] = ()
) -> Iterator[tuple[float, Any]]:
    """Call a function with each tuple of arguments, in `jobs` processes of one thread each.

    Yields (seconds since the first call, result), in the order in which the calls end. Each worker
    first makes the calls of `first`, to import and compile what the function needs; these are not
    in the seconds. Workers end with this process, even when it is killed.
    """
    with (
        _safe_path(),
        Parallel(
            jobs,
            backend="loky",
            return_as="generator_unordered",
            max_nbytes=_SHARED_FROM,
            inner_max_num_threads=1,
            initializer=_begin,
            initargs=(os.getpid(), function, first),
        ) as parallel,
    ):
        if jobs == 1:  # joblib runs the calls in this process, without the initializer
            _call(function, first)
        list(parallel(delayed(time.sleep)(_START) for _ in range(jobs)))
        started = time.perf_counter()
        for result in parallel(delayed(function)(*arguments) for arguments in calls):
            yield time.perf_counter() - started, result


@contextmanager
def _safe_path() -> Iterator[None]:
    """Have Python, where it is started meanwhile, find no module in the current folder.

    joblib and multiprocessing start workers and their helpers in ways that would.
    """
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def _begin(parent: int, function: Callable[..., Any], first: Sequence[tuple]) -> None:
    """Warm up a worker process, and watch its parent in order to end with it."""

    def watch() -> None:
        _wait_for_end_of(parent)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    _call(function, first)


def _wait_for_end_of(parent: int) -> None:
    """Return when the parent of this worker process has ended."""
    if sys.platform == "win32":  # where a process keeps the number of a parent that is gone
        process = multiprocessing.parent_process()
        assert process is not None
        process.join()
        return
    while os.getppid() == parent:
        time.sleep(_WATCH)


def _call(function: Callable[..., Any], calls: Sequence[tuple]) -> None:
    for arguments in calls:
        function(*arguments)
