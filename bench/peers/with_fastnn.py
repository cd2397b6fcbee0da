"""fastnn, and what the machine itself can do, measured in the same process."""

from __future__ import annotations

from functools import partial

import llvmlite
import numba
import numpy as np

import fastnn
import kernels
from bench import data, peak
from bench.peers import Case
from bench.workloads import Workload

VERSIONS = {
    "fastnn": fastnn.__version__,
    "numba": numba.__version__,
    "llvmlite": llvmlite.__version__,
    "vector bits": str(8 * kernels.host.VECTOR_BYTES),
}

_threads: int | None = None


def set_threads(count: int | None) -> None:
    """Train on so many threads; None lets `fit` choose."""
    global _threads
    _threads = count


def matmul(rows: int, depth: int, columns: int, form: str) -> Case:
    """A product of float32 matrices."""
    a, b, c = data.matrices(rows, depth, columns, form)
    call = partial(kernels.matmul, a, b, c)
    return Case(call, lambda: {"error": data.product_error(a, b, call())})


def activation(function: str, size: int) -> Case:
    """An activation of float32 numbers."""
    x = data.numbers(size)
    call = partial(getattr(kernels, function), x, np.empty_like(x))
    return Case(call, lambda: {"ulps": data.ulps(function, x, call())})


_ACTIVATIONS = {"relu": fastnn.ReLU, "tanh": fastnn.Tanh, "sigmoid": fastnn.Sigmoid}


def _model(workload: Workload) -> fastnn.Sequential:
    layers: list[fastnn.Layer] = []
    for weight, bias in data.parameters(workload):
        linear = fastnn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = weight, bias
        layers += [linear, _ACTIVATIONS[workload.activation]()]
    if workload.storage == "uint8":
        layers.insert(0, fastnn.Normalize(data.BYTE_MEAN, data.BYTE_STD))
    return fastnn.Sequential(*layers[:-1])


def training(**settings) -> Case:
    """Epochs of training a workload, shuffling included."""
    workload = Workload(**settings)
    x, y, x_test, y_test = data.samples(workload)
    model, loss = _model(workload), fastnn.CrossEntropyLoss()
    optimizer = fastnn.SGD(model.parameters(), lr=workload.lr, momentum=workload.momentum)

    def train(seed: int | None = None) -> None:
        fastnn.fit(
            model, x, y, loss=loss, optimizer=optimizer, epochs=workload.epochs,
            batch_size=workload.batch, seed=seed, threads=_threads,
        )  # fmt: skip

    def check() -> dict[str, float]:
        train(seed=0)
        found = fastnn.evaluate(model, x_test, y_test, loss=loss)
        return {"loss": found.loss, "accuracy": 100 * (found.accuracy or 0.0)}

    return Case(train, check)


OPERATIONS = {
    "matmul": matmul,
    "activation": activation,
    "training": training,
    "multiply-adds": peak.multiply_adds,
    "copy": peak.copy,
}
