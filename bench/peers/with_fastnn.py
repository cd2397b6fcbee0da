"""fastnn, and what the machine itself can do, measured in the same process."""

from __future__ import annotations

from functools import partial

import llvmlite
import numba
import numpy as np

import fastnn
import kernels
from bench import data, estimators, peak
from bench.peers import Case
from bench.workloads import Workload
from fastnn.estimators import MLPClassifier, MLPRegressor

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


def network(workload: Workload) -> fastnn.Sequential:
    """The network of a workload, with the weights that all begin with."""
    layers: list[fastnn.Layer] = []
    if workload.storage == "uint8":
        layers.append(fastnn.Normalize(data.BYTE_MEAN, data.BYTE_STD))
    linears = list(data.parameters(workload))
    if workload.dropout and len(linears) == 1:
        layers.append(fastnn.Dropout(workload.dropout))
    for place, (weight, bias) in enumerate(linears, 1):
        linear = fastnn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = weight, bias
        layers.append(linear)
        if place < len(linears):
            layers.append(_ACTIVATIONS[workload.activation]())
            if workload.dropout:
                layers.append(fastnn.Dropout(workload.dropout))
        elif workload.output:
            layers.append(_ACTIVATIONS[workload.output]())
    return fastnn.Sequential(*layers)


def optimizer_of(workload: Workload, model: fastnn.Sequential) -> fastnn.SGD | fastnn.Adam:
    """The optimizer of a workload."""
    parameters, clip = model.parameters(), workload.clip_value
    if workload.optimizer == "Adam":
        return fastnn.Adam(parameters, lr=workload.lr, clip_value=clip)
    return fastnn.SGD(parameters, lr=workload.lr, momentum=workload.momentum, clip_value=clip)


def training(**settings) -> Case:
    """Epochs of training a workload, shuffling included."""
    workload = Workload(**settings)
    x, y, x_test, y_test = data.samples(workload)
    loss = fastnn.MSELoss() if workload.loss == "mse" else fastnn.CrossEntropyLoss()

    def train(model, optimizer, epochs: int, seed: int | None = None) -> None:
        fastnn.fit(
            model, x, y, loss=loss, optimizer=optimizer, epochs=epochs,
            batch_size=workload.batch, seed=seed, threads=_threads,
        )  # fmt: skip

    def check() -> dict[str, float]:
        scores = []
        for seed in range(workload.seeds):
            model = network(workload)
            train(model, optimizer_of(workload, model), workload.epochs_to_learn, seed)
            found = fastnn.evaluate(model, x_test, y_test, loss=loss)
            scores.append((found.loss, 100 * (found.accuracy or 0.0)))
        return dict(zip(("loss", "accuracy"), np.mean(scores, axis=0), strict=True))

    model = network(workload)
    return Case(partial(train, model, optimizer_of(workload, model), workload.epochs), check)


def estimator(name: str) -> Case:
    """`fit` of an estimator on a data set."""
    makers = (MLPClassifier, MLPRegressor)
    return estimators.fitting(*(partial(make, threads=_threads) for make in makers), name)


OPERATIONS = {
    "matmul": matmul,
    "activation": activation,
    "training": training,
    "estimator": estimator,
    "multiply-adds": peak.multiply_adds,
    "copy": peak.copy,
}
