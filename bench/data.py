"""What all libraries are given: inputs made from fixed seeds, and the errors of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from bench.workloads import Workload

BYTE_MEAN, BYTE_STD = 128.0, 40.0
"""Samples kept as bytes are round(`BYTE_MEAN` + `BYTE_STD` x), clipped to 0..255."""

_SEPARATION = 4.5  # between the means of two classes, in standard deviations: some overlap
_TEST_SAMPLES = 10_000
_CHECKED_ROWS = 64


# ------------------------------------------------------------------------- kernels


def matrices(rows: int, depth: int, columns: int, form: str) -> tuple[np.ndarray, ...]:
    """A, B and an empty C of a float32 product; `form` names the operands that lie transposed.

    That is "", "A", "B" or "AB".
    """
    rng = np.random.default_rng(0)
    a = _laid_out(rng.standard_normal((rows, depth), np.float32), "A" in form)
    b = _laid_out(rng.standard_normal((depth, columns), np.float32), "B" in form)
    return a, b, np.empty((rows, columns), np.float32)


def _laid_out(matrix: np.ndarray, transposed: bool) -> np.ndarray:
    return np.ascontiguousarray(matrix.T).T if transposed else matrix


def product_error(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Worst error of a product, of some of its rows, relative to |A| |B|."""
    rows = np.linspace(0, len(a) - 1, min(len(a), _CHECKED_ROWS)).astype(int)
    left, right = a[rows].astype(np.float64), b.astype(np.float64)
    return float((abs(c[rows] - left @ right) / (abs(left) @ abs(right))).max())


def numbers(size: int) -> np.ndarray:
    """Normal float32 numbers of standard deviation 2, where activations bend."""
    return np.float32(2) * np.random.default_rng(0).standard_normal(size, np.float32)


EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp": np.exp,
}
"""Activations, exact enough to tell the error of float32 when given float64."""


def ulps(function: str, x: np.ndarray, y: np.ndarray) -> float:
    """Worst error of y = f(x), in units in the last place."""
    exact = EXACT[function](x.astype(np.float64))
    return float((abs(y - exact) / np.spacing(abs(exact).astype(np.float32))).max())


# ------------------------------------------------------------------------ training


class Samples(NamedTuple):
    """Rows to train on, and rows to evaluate: float32 or uint8, and int64 class indices."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def clouds(size: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal clouds, one a class, that overlap so that no network gets all of them right."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, size)
    distance = np.float32(_SEPARATION / np.sqrt(2 * features))
    x = rng.standard_normal((size, features), np.float32)
    x += (distance * rng.standard_normal((classes, features), np.float32))[y]
    return x, y


def disk(size: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Points uniform in a square of side 2 about 0; class 1 lies in the disk of half its area."""
    x = np.random.default_rng(0).uniform(-1, 1, (size, features)).astype(np.float32)
    return x, ((x**2).sum(axis=1) < 2 / np.pi).astype(np.int64)


_TASKS = {"clouds": clouds, "disk": disk}


def samples(workload: Workload) -> Samples:
    """Rows of a workload's task, in its storage."""
    size = workload.samples + _TEST_SAMPLES
    x, y = _TASKS[workload.task](size, workload.sizes[0], workload.sizes[-1])
    if workload.storage == "uint8":
        x = np.clip(np.rint(BYTE_MEAN + BYTE_STD * x), 0, 255).astype(np.uint8)
    n = workload.samples
    return Samples(x[:n], y[:n], x[n:], y[n:])


def parameters(workload: Workload) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weight (out, in) and bias of each linear layer, uniform as torch draws them."""
    rng = np.random.default_rng(1)
    for columns, outputs in zip(workload.sizes, workload.sizes[1:], strict=False):
        bound = 1 / np.sqrt(columns)
        weight = rng.uniform(-bound, bound, (outputs, columns)).astype(np.float32)
        yield weight, rng.uniform(-bound, bound, outputs).astype(np.float32)


def orders(count: int, epochs: int, seed: int) -> Iterator[np.ndarray]:
    """The order of the samples in each epoch, as `fastnn.fit` draws it from a seed."""
    rng = np.random.default_rng(seed)
    order = np.arange(count)
    for _ in range(epochs):
        rng.shuffle(order)
        yield order
