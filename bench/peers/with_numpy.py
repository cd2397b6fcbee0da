"""NumPy's way: ufuncs and matmul into arrays that are there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench import data
from bench.peers import Case

VERSIONS = {"numpy": np.__version__}


def set_threads(count: int | None) -> None:
    """Let BLAS use so many threads; the rest of NumPy has one."""
    threadpool_limits(count)


def matmul(rows: int, depth: int, columns: int, form: str) -> Case:
    """A product of float32 matrices."""
    a, b, c = data.matrices(rows, depth, columns, form)
    return Case(
        partial(np.matmul, a, b, c),
        lambda: {"error": data.product_error(a, b, np.matmul(a, b, c))},
    )


def _sigmoid(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    np.negative(x, out)
    np.exp(out, out)
    np.add(out, 1, out)
    return np.reciprocal(out, out)


def _relu(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0, out=out)


_FUNCTIONS: dict[str, Callable] = {
    "relu": _relu,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "exp": np.exp,
}


def activation(function: str, size: int) -> Case:
    """An activation of float32 numbers."""
    x = data.numbers(size)
    y = np.empty_like(x)
    call = partial(_FUNCTIONS[function], x, y)
    return Case(call, lambda: {"ulps": data.ulps(function, x, call())})


OPERATIONS = {"matmul": matmul, "activation": activation}
