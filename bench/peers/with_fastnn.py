"""Operations of fastnn, and peak rates of the machine, measured in the same process."""

from __future__ import annotations

from functools import partial

import llvmlite
import numba
import numpy as np

import fastnn
import kernels
from bench import data, estimators, peak
from bench.chains import chain_of
from bench.learners.with_fastnn import Learner
from bench.peers import Case
from bench.peers.training import trainer
from fastnn.estimators import MLPClassifier, MLPRegressor

VERSIONS = {
    "fastnn": fastnn.__version__,
    "numba": numba.__version__,
    "llvmlite": llvmlite.__version__,
    "vector bits": str(8 * kernels.base.host.VECTOR_BYTES),
}

_threads: int | None = None


def set_threads(count: int | None) -> None:
    """Set the number of threads; with None `fit` chooses, and kernels use all cores."""
    global _threads
    _threads = count
    fastnn.set_num_threads(count or kernels.base.host.threads())


def matmul(rows: int, depth: int, columns: int, form: str) -> Case:
    """Return the case of a product of float32 matrices."""
    a, b, c = data.matrices(rows, depth, columns, form)
    call = partial(kernels.matmul, a, b, c)
    return Case(call, lambda: {"ulps": data.product_ulps(a, b, call())})


def elementwise(function: str, size: int) -> Case:
    """Return the case of a function of float32 arrays, with preallocated outputs."""
    made = data.elementwise(function, size)
    if function in ("SGD", "Adam"):
        return _update(function, made)
    kernel = {"softmax-cross-entropy": kernels.softmax_cross_entropy}.get(function)
    if kernel is not None:
        call = partial(kernel, *made.inputs)
        return Case(call, lambda: {"ulps": made.error([call().gradient])})
    out = np.empty_like(made.inputs[0])
    call = partial(getattr(kernels, function), *made.inputs, out)
    return Case(call, lambda: {"ulps": made.error([call()])})


def _update(rule: str, made: data.Elementwise) -> Case:
    p, g, *memory = made.inputs
    parameter = fastnn.Parameter(p)
    parameter.grad[...] = g
    if rule == "SGD":
        optimizer = fastnn.SGD([parameter], lr=data.LR, momentum=data.MOMENTUM)
    else:
        optimizer = fastnn.Adam([parameter], lr=data.LR, betas=data.BETAS, eps=data.EPS)
    for array, value in zip(optimizer.memory[p.dtype], memory, strict=True):
        array[: len(value)] = value
    optimizer.steps = 1

    def check() -> dict[str, float]:
        optimizer.step()
        return {"ulps": made.error([parameter.data])}

    return Case(optimizer.step, check)


def copy(size: int) -> Case:
    """Return the case of a copy of `size` float32 elements by NumPy."""
    return peak.copy(4 * size)


_LAYERS = {
    "ReLU": fastnn.ReLU,
    "Tanh": fastnn.Tanh,
    "Sigmoid": fastnn.Sigmoid,
    "Softmax": fastnn.Softmax,
    "Dropout": partial(fastnn.Dropout, data.DROPOUT),
}


def layer(kind: str, rows: int, columns: int, outputs: int, backward: bool) -> Case:
    """Return the case of a layer's forward pass, or of both passes, eager."""
    x, gradient, weight, bias = data.layer(rows, columns, outputs)
    if kind == "Linear":
        made = fastnn.Linear(columns, outputs)
        made.weight, made.bias = weight, bias
    else:
        made = _LAYERS[kind]()

    def both() -> np.ndarray:
        made(x)
        for parameter in made.parameters():
            parameter.gradient_memory[:] = 0
        return made.backward(gradient)

    call = both if backward else partial(made, x)
    return Case(call, lambda: {"sum": data.checksum(call())})


def predict(sizes: list[int], rows: int, way: str) -> Case:
    """Return the case of a prediction: by `predict`, by a model, or by a `Predictor`."""
    x, layers = data.network(sizes, rows)
    model = chain_of(layers).eval()
    ways = {
        "predict": partial(fastnn.predict, model, x),
        "model": partial(model, x),
        "predictor": partial(fastnn.Predictor(model, rows), x),
    }
    return Case(ways[way], lambda: {"sum": data.checksum(ways[way]())})


def by_hand(sizes: list[int], rows: int) -> Case:
    """Return the case of a step of training by hand: forward, loss, backward, update."""
    x, layers = data.network(sizes, rows)
    model, loss, y = chain_of(layers), fastnn.CrossEntropyLoss(), np.arange(rows) % sizes[-1]
    optimizer = fastnn.SGD(model.parameters(), lr=data.LR, momentum=data.MOMENTUM)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(model(x), y)
        model.backward(loss.backward())
        optimizer.step()
        return value

    return Case(step, lambda: {"loss": step()})


def predict_one(rows: int) -> Case:
    """Return the case of a classifier's `predict`."""
    return estimators.predicting(partial(MLPClassifier, threads=_threads), rows)


def estimator(name: str) -> Case:
    """Return the case of an estimator's `fit` on a data set."""
    makers = (MLPClassifier, MLPRegressor)
    return estimators.fitting(*(partial(make, threads=_threads) for make in makers), name)


def partial_fit(rows: int) -> Case:
    """Return the case of a classifier's `partial_fit` on parts of `rows` rows."""
    return estimators.in_parts(partial(MLPClassifier, threads=_threads), rows)


OPERATIONS = {
    "matmul": matmul,
    "elementwise": elementwise,
    "layer": layer,
    "training": trainer(Learner, lambda: _threads),
    "estimator": estimator,
    "partial_fit": partial_fit,
    "predict": predict,
    "by hand": by_hand,
    "estimator's predict": predict_one,
    "multiply-adds": peak.multiply_adds,
    "copy": copy,
}
