"""Operations of NumPy: ufuncs and matmul with preallocated outputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench import data
from bench.learners.with_numpy import Learner
from bench.peers import Case
from bench.peers.training import trainer

VERSIONS = {"numpy": np.__version__}


def set_threads(count: int | None) -> None:
    """Set the number of threads of BLAS; the rest of NumPy has one thread."""
    threadpool_limits(count)


def matmul(rows: int, depth: int, columns: int, form: str) -> Case:
    """Return the case of a product of float32 matrices."""
    a, b, c = data.matrices(rows, depth, columns, form)
    return Case(
        partial(np.matmul, a, b, c), lambda: {"ulps": data.product_ulps(a, b, np.matmul(a, b, c))}
    )


def _sigmoid(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    np.negative(x, out)
    np.exp(out, out)
    np.add(out, 1, out)
    return np.reciprocal(out, out)


def _relu(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0, out=out)


def _softmax(x: np.ndarray) -> np.ndarray:
    exps = np.exp(x - x.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def _cross_entropy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean loss; compute the loss too, as the other libraries do."""
    p, rows = _softmax(x), np.arange(len(x))
    -np.log(p[rows, y]).mean()
    p[rows, y] -= 1
    p /= len(x)
    return p


_INTO: dict[str, Callable] = {"relu": _relu, "tanh": np.tanh, "sigmoid": _sigmoid, "exp": np.exp}
_NEW: dict[str, Callable] = {"softmax": _softmax, "softmax-cross-entropy": _cross_entropy}


def elementwise(function: str, size: int) -> Case:
    """Return the case of a function of float32 arrays; ufuncs have preallocated outputs."""
    made = data.elementwise(function, size)
    if function in ("SGD", "Adam"):
        p, g, *memory = made.inputs
        call = partial(_UPDATES[function], p, g, *memory)
    elif function in _INTO:
        call = partial(_INTO[function], *made.inputs, np.empty_like(made.inputs[0]))
    else:
        call = partial(_NEW[function], *made.inputs)
    return Case(call, lambda: {"ulps": made.error([call()])})


def _sgd(p, g, velocity):
    velocity *= data.MOMENTUM
    velocity += g
    p -= data.LR * velocity
    return p


def _adam(p, g, m, v, step=2):
    b1, b2 = data.BETAS
    m *= b1
    m += (1 - b1) * g
    v *= b2
    v += (1 - b2) * g**2
    p -= data.LR * (m / (1 - b1**step)) / (np.sqrt(v / (1 - b2**step)) + data.EPS)
    return p


_UPDATES: dict[str, Callable] = {"SGD": _sgd, "Adam": _adam}


def layer(kind: str, rows: int, columns: int, outputs: int, backward: bool) -> Case:
    """Return the case of a layer's forward pass, or of both passes, with new arrays."""
    x, gradient, weight, bias = data.layer(rows, columns, outputs)
    rng = np.random.default_rng(0)

    def linear():
        y = x @ weight.T + bias
        return (gradient.T @ x, gradient.sum(axis=0), gradient @ weight)[-1] if backward else y

    def relu():
        mask = x > 0
        return gradient * mask if backward else x * mask

    def tanh():
        y = np.tanh(x)
        return gradient * (1 - y**2) if backward else y

    def sigmoid():
        y = 1 / (1 + np.exp(-x))
        return gradient * (y * (1 - y)) if backward else y

    def softmax():
        y = _softmax(x)
        return y * (gradient - (y * gradient).sum(axis=1, keepdims=True)) if backward else y

    def dropout():
        kept = (rng.random(x.shape, np.float32) >= data.DROPOUT) / np.float32(1 - data.DROPOUT)
        y = x * kept
        return gradient * kept if backward else y

    kinds = {
        "Linear": linear,
        "ReLU": relu,
        "Tanh": tanh,
        "Sigmoid": sigmoid,
        "Softmax": softmax,
        "Dropout": dropout,
    }
    call = kinds[kind]
    return Case(call, lambda: {"sum": data.checksum(call())})


OPERATIONS = {
    "matmul": matmul,
    "elementwise": elementwise,
    "layer": layer,
    "training": trainer(Learner),
}
