"""The work of a training step, and the number of threads that is worth starting for it."""

from __future__ import annotations

import math

from fastnn.compiler.limits import MOST_THREADS
from fastnn.nn.layer import as_layer
from fastnn.nn.sequential import Sequential, flat_layers, model_dtype
from kernels.base import arrays
from kernels.machine.team import get_num_threads

_UPDATE = 25  # floating-point operations that take as long as updating one weight
_WORK_PER_THREAD = 1.25e6  # floating-point operations a step that are worth a thread
_WORK_TO_START = 5e8  # operations that are worth starting threads, which takes up to a millisecond


def step_work(model: Sequential, rows: int, training: bool = True) -> float:
    """Return the work of a step in floating-point operations: three products in training, else one.

    The update counts as the operations that take as long, and a float64 operation as two.
    """
    products = sum(as_layer(layer).multiply_adds for layer in flat_layers(model))
    operations = 6 * rows + _UPDATE if training else 2 * rows
    return float(operations * products * model_dtype(model).itemsize / 4)


def threads_for(work: float, threads: int | None, steps: float = math.inf) -> int:
    """Return `threads` if it is a number, else the best number for steps of this much work.

    The best is 1 where all `steps` together are not worth starting a second thread. Raises
    ValueError unless `threads` is None or an integer from 1 to `MOST_THREADS`.
    """
    if threads is None:
        if work * steps < _WORK_TO_START:
            return 1
        return int(max(1, min(get_num_threads(), work // _WORK_PER_THREAD)))
    return arrays.count("threads", threads, 1, MOST_THREADS, ", or None")
