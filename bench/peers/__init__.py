"""The same operations by each library, one file each.

A file `with_X.py` has `OPERATIONS`, functions that make a `Case` from arguments that JSON
can hold; `set_threads`; and `VERSIONS`. All take their inputs from `bench.data`, so that
all compute the same. What a library cannot do is missing from `OPERATIONS`, or raises
`NotImplementedError`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple


class Case(NamedTuple):
    """An operation with its inputs, ready to be timed."""

    call: Callable[[], object]
    """Does it once."""
    check: Callable[[], dict[str, float]]
    """Does it once and gives what tells whether the result is right, such as its error."""


def compile_seconds(call: Callable[[], object]) -> float:
    """How much longer a first call takes than a second."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return max(0.0, seconds[0] - seconds[1])


@dataclass(frozen=True)
class Peer:
    """A library: how it is called, what it needs, and how it is told of threads."""

    title: str
    package: str
    threads_variable: str | None = None
    """Variable of the environment read at the start, for a library that never looks again."""
    lingers: float = 0.0
    """Seconds for which its threads keep their cores busy after the work is done."""

    def missing(self) -> str | None:
        """Say what it needs and this machine has not; None when nothing is missing."""
        if find_spec(self.package) is None:
            return f'{self.package} is not installed (pip install ".[bench]")'
        if self.title == "torch.compile" and not _cpp_compiler():
            return "torch.compile needs a C++ compiler (g++ or clang++), and there is none"
        return None


def _cpp_compiler() -> str | None:
    """The compiler that torch's inductor would take."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX") or "g++", "clang++"))), None)


_OPENBLAS = 0.12  # its threads wait awake for 2^28 ticks of the clock

PEERS = {
    "fastnn": Peer("fastnn", "fastnn"),
    "torch": Peer("PyTorch", "torch"),
    "compile": Peer("torch.compile", "torch"),
    "jax": Peer("JAX", "jax", "NPROC"),
    "sklearn": Peer("scikit-learn", "sklearn", lingers=_OPENBLAS),
    "numpy": Peer("NumPy", "numpy", lingers=_OPENBLAS),
}
"""All libraries, by the names that files, tests and `--peers` use."""
