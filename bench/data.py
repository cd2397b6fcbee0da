"""Inputs for all libraries, made from fixed seeds, and errors of their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bench.workloads import Workload

_SEPARATION = 4.5  # standard deviations between the means of two classes, so that they overlap
_CHECKED_ROWS = 64


# ------------------------------------------------------------------------- kernels


def matrices(rows: int, depth: int, columns: int, form: str) -> tuple[np.ndarray, ...]:
    """Return A, B and an empty C of a float32 product.

    `form` ("", "A", "B" or "AB") names the operands whose memory is transposed.
    """
    rng = np.random.default_rng(0)
    a = _laid_out(rng.standard_normal((rows, depth), np.float32), "A" in form)
    b = _laid_out(rng.standard_normal((depth, columns), np.float32), "B" in form)
    return a, b, np.empty((rows, columns), np.float32)


def _laid_out(matrix: np.ndarray, transposed: bool) -> np.ndarray:
    return np.ascontiguousarray(matrix.T).T if transposed else matrix


def product_error(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Return the largest error of a product relative to |A| |B|, over some of its rows."""
    rows = np.linspace(0, len(a) - 1, min(len(a), _CHECKED_ROWS)).astype(int)
    left, right = a[rows].astype(np.float64), b.astype(np.float64)
    return float((abs(c[rows] - left @ right) / (abs(left) @ abs(right))).max())


def in_ulps(found: np.ndarray, exact: np.ndarray, scale: np.ndarray | None = None) -> float:
    """Return the largest error in float32 units in the last place of the exact value or a scale."""
    unit = np.spacing(np.abs(exact if scale is None else scale).astype(np.float32))
    return float((np.abs(found.astype(np.float64) - exact) / unit).max())


def product_ulps(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Return `product_error` in units in the last place of |A| |B|."""
    return product_error(a, b, c) / float(np.finfo(np.float32).eps)


class Elementwise(NamedTuple):
    """Inputs and exact outputs of an elementwise function, and the bytes that it moves.

    `exact` has a float64 array for each output. Errors are relative to `scales` if these are
    not None, else to the exact values.
    """

    inputs: tuple[np.ndarray, ...]
    exact: tuple[np.ndarray, ...]
    scales: tuple[np.ndarray | None, ...]
    bytes_an_element: int
    """Bytes read and written for each element if nothing is cached."""

    def error(self, found: Sequence[np.ndarray]) -> float:
        """Return the largest error of outputs in units in the last place."""
        triples = zip(found, self.exact, self.scales, strict=True)
        return max(in_ulps(np.asarray(one), exact, scale) for one, exact, scale in triples)


_CLASSES = 10
LR, MOMENTUM, BETAS, EPS = 0.01, 0.9, (0.9, 0.999), 1e-8
"""Settings of the optimizers' updates."""


def elementwise(function: str, size: int) -> Elementwise:
    """Return inputs of about `size` float32 elements, with the exact outputs of a function."""
    rng = np.random.default_rng(0)
    if function in ("softmax", "softmax-cross-entropy"):
        rows = size // _CLASSES
        x = np.float32(2) * rng.standard_normal((rows, _CLASSES), np.float32)
        p = _softmax(x.astype(np.float64))
        if function == "softmax":
            return Elementwise((x,), (p,), (None,), 8)
        y = rng.integers(0, _CLASSES, rows)
        gradient = (p - np.eye(_CLASSES)[y]) / rows
        return Elementwise((x, y), (gradient,), (np.full_like(gradient, 1 / rows),), 8)
    if function in ("SGD", "Adam"):
        p, g, m = (rng.standard_normal(size, np.float32) for _ in range(3))
        v = rng.standard_normal(size, np.float32) ** 2
        exact = _updated(function, *(each.astype(np.float64) for each in (p, g, m, v)))
        inputs = (p, g, m) if function == "SGD" else (p, g, m, v)
        # A result near zero is a difference of larger numbers, which determine its error.
        step = LR * (MOMENTUM * abs(m) + abs(g)) if function == "SGD" else LR
        scale = np.maximum(np.maximum(abs(exact), abs(p)), step)
        return Elementwise(inputs, (exact,), (scale,), 20 if function == "SGD" else 28)
    x = np.float32(2) * rng.standard_normal(size, np.float32)
    return Elementwise((x,), (EXACT[function](x.astype(np.float64)),), (None,), 8)


EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp": np.exp,
}
"""Activations; in float64 they are exact enough to measure errors of float32."""


def _softmax(x: np.ndarray) -> np.ndarray:
    exps = np.exp(x - x.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def _updated(rule: str, p, g, m, v) -> np.ndarray:
    """Return parameters after the second step of a rule, given its state after the first."""
    if rule == "SGD":
        return p - LR * (MOMENTUM * m + g)
    (b1, b2), steps = BETAS, 2
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    return p - LR * m / (1 - b1**steps) / (np.sqrt(v / (1 - b2**steps)) + EPS)


DROPOUT = 0.25


def layer(rows: int, columns: int, outputs: int) -> tuple[np.ndarray, ...]:
    """Return a batch, a gradient of the output, a weight (out, in) and a bias."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, columns), np.float32)
    gradient = rng.standard_normal((rows, outputs), np.float32)
    weight = rng.standard_normal((outputs, columns), np.float32) / np.float32(np.sqrt(columns))
    return x, gradient, weight, rng.standard_normal(outputs, np.float32)


def network(sizes: Sequence[int], rows: int) -> tuple[np.ndarray, list]:
    """Return a batch, and weights (out, in) and biases of linear layers between which ReLU is."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, sizes[0]), np.float32)
    layers = [
        (
            rng.standard_normal((outputs, inputs), np.float32) / np.float32(np.sqrt(inputs)),
            rng.standard_normal(outputs, np.float32),
        )
        for inputs, outputs in pairwise(sizes)
    ]
    return x, layers


def checksum(array: np.ndarray) -> float:
    """Return the mean absolute value, which is about equal for equal computations."""
    return float(np.abs(np.asarray(array, np.float64)).mean())


# ------------------------------------------------------------------------ training


class Samples(NamedTuple):
    """Rows to train on, and rows to test on: float32 or uint8, with int64 class indices."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def clouds(size: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return normal clouds, one for each class, which overlap so that errors are unavoidable."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, size)
    distance = np.float32(_SEPARATION / np.sqrt(2 * features))
    x = rng.standard_normal((size, features), np.float32)
    x += (distance * rng.standard_normal((classes, features), np.float32))[y]
    return x, y


def disk(size: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uniform points of the square [-1, 1]^2; class 1 is a disk of half its area."""
    x = np.random.default_rng(0).uniform(-1, 1, (size, features)).astype(np.float32)
    return x, ((x**2).sum(axis=1) < 2 / np.pi).astype(np.int64)


_TASKS = {"clouds": clouds, "disk": disk}


def _loaded(workload: Workload) -> Samples:
    """Return rows of the data set of fastnn that has the name of the task."""
    from fastnn import datasets

    found = datasets.load(workload.task)
    n = workload.samples
    return Samples(
        _stored(workload, found.x_train[:n]),
        found.y_train[:n],
        _stored(workload, found.x_test),
        found.y_test,
    )


def _stored(workload: Workload, x: np.ndarray) -> np.ndarray:
    """Return pixels unchanged as bytes, or standardised as float32."""
    if workload.storage == "uint8":
        return x
    numbers = x.astype(np.float32)
    numbers -= np.float32(workload.mean)
    numbers *= np.float32(1 / workload.std)
    return numbers


def samples(workload: Workload) -> Samples:
    """Return the rows of a workload's task, with the dtype of its storage."""
    if workload.task not in _TASKS:
        return _loaded(workload)
    size = workload.samples + workload.test_samples
    x, y = _TASKS[workload.task](size, workload.sizes[0], workload.sizes[-1])
    if workload.storage == "uint8":
        x = np.clip(np.rint(workload.mean + workload.std * x), 0, 255).astype(np.uint8)
    n = workload.samples
    return Samples(x[:n], y[:n], x[n:], y[n:])


def parameters(workload: Workload) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield weight (out, in) and bias of each linear layer, from torch's uniform distribution."""
    rng = np.random.default_rng(1)
    for columns, outputs in zip(workload.sizes, workload.sizes[1:], strict=False):
        bound = 1 / np.sqrt(columns)
        weight = rng.uniform(-bound, bound, (outputs, columns)).astype(np.float32)
        yield weight, rng.uniform(-bound, bound, outputs).astype(np.float32)


def orders(count: int, epochs: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the order of the samples in each epoch, as `fastnn.fit` draws it from a seed."""
    rng = np.random.default_rng(seed)
    order = np.arange(count)
    for _ in range(epochs):
        rng.shuffle(order)
        yield order
