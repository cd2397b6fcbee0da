"""The same operations by each library, one file each.

A file `with_X.py` has `OPERATIONS`, functions that make a `Case` from arguments of JSON;
`set_threads`; and `VERSIONS`. Inputs come from `bench.data`, so that all libraries compute
the same. Operations that a library lacks are missing from `OPERATIONS`, or raise
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
    """Function that runs the operation once."""
    check: Callable[[], dict[str, float]]
    """Function that runs the operation once, and returns figures such as the result's error."""


def compile_seconds(call: Callable[[], object]) -> float:
    """Return the seconds that a first call takes longer than a second one."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return max(0.0, seconds[0] - seconds[1])


@dataclass(frozen=True)
class Peer:
    """A library: its title, its package, and properties of its threads."""

    title: str
    package: str
    threads_variable: str | None = None
    """Environment variable with the number of threads, if it is read only at the start."""
    lingers: float = 0.0
    """Seconds for which threads spin after their work is done."""
    trains: bool = True
    """False for a library that only predicts."""

    def missing(self) -> str | None:
        """Return a message about a missing requirement, or None if nothing is missing."""
        if find_spec(self.package) is None:
            return f'{self.package} is not installed (pip install ".[bench]")'
        if self.title == "torch.compile" and not _cpp_compiler():
            return "torch.compile needs a C++ compiler (g++ or clang++), and there is none"
        return None


def _cpp_compiler() -> str | None:
    """Return the path of the compiler that torch's inductor would use, or None."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX") or "g++", "clang++"))), None)


_OPENBLAS = 0.12  # OpenBLAS threads spin for 2^28 clock ticks
_ONNXRUNTIME = 0.05  # measured: its threads spin for 20 to 30 ms

PEERS = {
    "fastnn": Peer("fastnn", "fastnn"),
    "torch": Peer("PyTorch", "torch"),
    "compile": Peer("torch.compile", "torch"),
    "jax": Peer("JAX", "jax", "NPROC"),
    "sklearn": Peer("scikit-learn", "sklearn", lingers=_OPENBLAS),
    "onnxruntime": Peer("ONNX Runtime", "onnxruntime", lingers=_ONNXRUNTIME, trains=False),
    "numpy": Peer("NumPy", "numpy", lingers=_OPENBLAS),
}
"""All libraries, by the names in files, tests and `--peers`."""
