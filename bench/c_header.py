"""Time of a call of a C header that `fastnn.to_c` writes, by a loop in C.

    python -m bench.c_header

prints the time of one row for some networks, beside ONNX Runtime where it is installed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

import fastnn
from fastnn.nn.sequential import model_dtype

FLAGS = "-std=gnu99", "-O3", "-march=native"
SIZES = (8, 16, 1), (64, 100, 10), (784, 128, 10), (128, 512, 512, 32)
_ROUNDS, _ROUND_SECONDS = 200, 0.0005

_LOOP = """
#include "net.h"
#include <time.h>

double seconds(REAL *x, REAL *y, long calls);
double seconds(REAL *x, REAL *y, long calls)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (long i = 0; i < calls; ++i) {
        net_predict(x, y);
        x[0] += y[0] * (REAL)1e-9; /* or the compiler would make one call of all */
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}
"""


class CHeader:
    """A model's header, compiled, and a row to call it with.

    Raises FileNotFoundError if there is no C compiler, and subprocess.CalledProcessError if it
    fails.
    """

    def __init__(self, model: fastnn.Sequential, row: np.ndarray, flags: Sequence[str] = FLAGS):
        self._x, self._y = row.copy(), fastnn.predict(model, row[None])[0]
        self._expected = self._y.copy()
        self._loop = _compiled(model, flags)
        self.seconds(1)
        self.error = float(np.abs(self._y - self._expected).max())
        """Largest difference from `fastnn.predict`."""
        self._calls = max(int(_ROUND_SECONDS / max(self.seconds(100), 1e-9)), 1)

    def seconds(self, calls: int | None = None) -> float:
        """Return the seconds of a call: the mean of so many calls, by default of half a ms."""
        calls = self._calls if calls is None else calls
        x, y = (ctypes.c_void_p(each.ctypes.data) for each in (self._x, self._y))
        return self._loop(x, y, ctypes.c_long(calls)) / calls

    def time(self, seconds: float) -> float:
        """Return the seconds of a call, from calls that last about half a millisecond."""
        return self.seconds()


def seconds_per_call(
    model: fastnn.Sequential, row: np.ndarray, flags: Sequence[str] = FLAGS
) -> float:
    """Compile a model's header; return the seconds of a call, the median of some rounds."""
    header = CHeader(model, row, flags)
    return statistics.median(header.seconds() for _ in range(_ROUNDS))


def compiler() -> str | None:
    """Return the path of a C compiler, or None."""
    return next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)


def _compiled(model: fastnn.Sequential, flags: Sequence[str]):
    """Return the compiled loop, whose library stays loaded."""
    found = compiler()
    if found is None:
        raise FileNotFoundError("there is no C compiler: gcc, clang or cc")
    real = "double" if model_dtype(model) == np.float64 else "float"
    with tempfile.TemporaryDirectory() as folder:
        fastnn.to_c(model, Path(folder, "net.h"), probabilities=False)
        source, library = Path(folder, "loop.c"), Path(folder, "loop.so")
        source.write_text(_LOOP.replace("REAL", real))
        command = [found, *flags, "-shared", "-fPIC", source, "-o", library, "-lm"]
        subprocess.run(command, check=True)
        loop = ctypes.CDLL(os.fspath(library)).seconds
    loop.restype = ctypes.c_double
    return loop


def _network(sizes: Sequence[int]) -> fastnn.Sequential:
    """Return a network of ReLUs, with random weights."""
    layers: list[fastnn.Layer] = [fastnn.Linear(sizes[0], sizes[1], seed=0)]
    for seed, (columns, width) in enumerate(pairwise(sizes[1:]), start=1):
        layers += [fastnn.ReLU(), fastnn.Linear(columns, width, seed=seed)]
    return fastnn.Sequential(*layers)


def _onnx_runtime(model: fastnn.Sequential, row: np.ndarray) -> float:
    """Return the seconds of a call of ONNX Runtime from Python, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.onnx")
        fastnn.to_onnx(model, path)
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    feed, times = {"x": row[None]}, []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        for _ in range(50):
            session.run(None, feed)
        times.append((time.perf_counter() - begin) / 50)
    return statistics.median(times)


def main() -> None:
    """Print the time of one row for each network."""
    rng = np.random.default_rng(0)
    for sizes in SIZES:
        model, row = _network(sizes), rng.normal(size=sizes[0]).astype(np.float32)
        line = f"{'-'.join(map(str, sizes)):18} C {1e6 * seconds_per_call(model, row):8.3f} us"
        if importlib.util.find_spec("onnxruntime"):
            line += f"   ONNX Runtime {1e6 * _onnx_runtime(model, row):8.3f} us"
        print(line)


if __name__ == "__main__":
    main()
