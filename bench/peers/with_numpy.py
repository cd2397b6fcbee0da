"""NumPy's way: ufuncs and matmul into arrays that are there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench import data
from bench.peers import Case
from bench.workloads import Workload

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


# ------------------------------------------------- training, as written from scratch


class _Linear:
    """y = x W + b, in float64 as NumPy makes it, every array new."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        self.params = {"W": weight.T.astype(float), "b": bias.astype(float)}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x, training):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, grad):
        self.grads = {"W": self.x.T @ grad, "b": grad.sum(axis=0)}
        return grad @ self.params["W"].T


class _Parameterless:
    """A layer that learns nothing."""

    def __init__(self):
        self.params: dict[str, np.ndarray] = {}


class _ReLU(_Parameterless):
    def forward(self, x, training):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class _Tanh(_Parameterless):
    def forward(self, x, training):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1 - self.y**2)


class _Dropout(_Parameterless):
    def __init__(self, p: float, rng: np.random.Generator):
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x, training):
        if not training:
            return x
        self.mask = (self.rng.random(x.shape) >= self.p) / (1 - self.p)
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class _SGD:
    def __init__(self, lr: float, momentum: float):
        self.lr, self.momentum, self.velocity = lr, momentum, {}

    def step(self, layers):
        for layer in layers:
            for name in layer.params:
                step = layer.grads[name]
                if self.momentum:
                    step = step + self.momentum * self.velocity.get((layer, name), 0.0)
                    self.velocity[layer, name] = step
                layer.params[name] -= self.lr * step


class _Adam:
    def __init__(self, lr: float, betas=(0.9, 0.999), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.m, self.v, self.t = {}, {}, 0

    def step(self, layers):
        self.t += 1
        b1, b2 = self.betas
        for layer in layers:
            for name in layer.params:
                key, g = (layer, name), layer.grads[name]
                self.m[key] = b1 * self.m.get(key, 0.0) + (1 - b1) * g
                self.v[key] = b2 * self.v.get(key, 0.0) + (1 - b2) * g**2
                m, v = self.m[key] / (1 - b1**self.t), self.v[key] / (1 - b2**self.t)
                layer.params[name] -= self.lr * m / (np.sqrt(v) + self.eps)


_LAYERS = {"relu": _ReLU, "tanh": _Tanh}


def _network(workload: Workload, rng: np.random.Generator) -> list:
    layers: list = []
    linears = list(data.parameters(workload))
    if workload.dropout and len(linears) == 1:
        layers.append(_Dropout(workload.dropout, rng))
    for place, (weight, bias) in enumerate(linears, 1):
        layers.append(_Linear(weight, bias))
        if place < len(linears):
            layers.append(_LAYERS[workload.activation]())
            if workload.dropout:
                layers.append(_Dropout(workload.dropout, rng))
        elif workload.output:
            layers.append(_LAYERS[workload.output]())
    return layers


def _outputs(layers: list, x: np.ndarray, training: bool) -> np.ndarray:
    for layer in layers:
        x = layer.forward(x, training)
    return x


def _loss(workload: Workload, outputs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss, and its gradient with respect to the outputs."""
    if workload.loss == "mse":
        return np.mean((outputs - targets) ** 2), 2 * (outputs - targets) / outputs.size
    exps = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    p = exps / exps.sum(axis=1, keepdims=True)
    return -np.sum(targets * np.log(p + 1e-30)) / len(p), (p - targets) / len(p)


def training(**settings) -> Case:
    """Epochs of training a workload, shuffling included."""
    workload = Workload(**settings)
    x, y, x_test, y_test = data.samples(workload)
    convert = partial(_floats, workload)
    one_hot = np.eye(workload.sizes[-1])
    x = x if workload.storage == "uint8" else x.astype(float)

    def train(layers, optimizer, orders) -> None:
        for order in orders:
            for start in range(0, len(order), workload.batch):
                rows = order[start : start + workload.batch]
                outputs = _outputs(layers, convert(x[rows]), True)
                _, grad = _loss(workload, outputs, one_hot[y[rows]])
                for layer in reversed(layers):
                    grad = layer.backward(grad)
                learning = [layer for layer in layers if layer.params]
                if workload.clip_value is not None:
                    for layer in learning:
                        for name, g in layer.grads.items():
                            layer.grads[name] = np.clip(
                                g, -workload.clip_value, workload.clip_value
                            )
                optimizer.step(learning)

    def fresh(seed: int):
        adam = workload.optimizer == "Adam"
        optimizer = _Adam(workload.lr) if adam else _SGD(workload.lr, workload.momentum)
        return _network(workload, np.random.default_rng(seed)), optimizer

    def check() -> dict[str, float]:
        scores = []
        for seed in range(workload.seeds):
            layers, optimizer = fresh(seed)
            train(layers, optimizer, data.orders(len(x), workload.epochs_to_learn, seed))
            outputs = _outputs(layers, convert(x_test), False)
            loss, _ = _loss(workload, outputs, one_hot[y_test])
            scores.append((loss, 100 * np.mean(outputs.argmax(axis=1) == y_test)))
        return dict(zip(("loss", "accuracy"), np.mean(scores, axis=0), strict=True))

    layers, optimizer = fresh(0)
    rng = np.random.default_rng()
    return Case(
        lambda: train(layers, optimizer, (rng.permutation(len(x)) for _ in range(workload.epochs))),
        check,
    )


def _floats(workload: Workload, x: np.ndarray) -> np.ndarray:
    """Rows as the network takes them; bytes are converted."""
    return (x - data.BYTE_MEAN) / data.BYTE_STD if workload.storage == "uint8" else x


OPERATIONS = {"matmul": matmul, "activation": activation, "training": training}
