"""Training from scratch with NumPy, as in the project's reports: float64, every array new."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench import data
from bench.data import Samples
from bench.workloads import Workload


class _Linear:
    """y = x W + b."""

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
    """A layer without parameters."""

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
    """Return the loss, and its gradient with respect to the outputs."""
    if workload.loss == "mse":
        return np.mean((outputs - targets) ** 2), 2 * (outputs - targets) / outputs.size
    exps = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    p = exps / exps.sum(axis=1, keepdims=True)
    return -np.sum(targets * np.log(p + 1e-30)) / len(p), (p - targets) / len(p)


class Learner:
    """NumPy's `bench.learners.Learner`."""

    compiles = False

    def __init__(self, workload: Workload, samples: Samples, threads: int | None = None):
        self.workload, self.samples = workload, samples
        if threads is not None:
            from threadpoolctl import threadpool_limits

            threadpool_limits(threads)
        self.x = samples.x if workload.storage == "uint8" else samples.x.astype(float)
        self.targets = np.eye(workload.sizes[-1])
        self.rng = np.random.default_rng()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start over with the initial weights."""
        workload = self.workload
        adam = workload.optimizer == "Adam"
        self.optimizer = _Adam(workload.lr) if adam else _SGD(workload.lr, workload.momentum)
        self.layers = _network(workload, np.random.default_rng(seed))

    def _floats(self, x: np.ndarray) -> np.ndarray:
        """Return rows as floats, normalised if they are bytes."""
        return (x - self.workload.mean) / self.workload.std if x.dtype == np.uint8 else x

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train, batch by batch."""
        count, batch = len(self.x), self.workload.batch
        drawn = (self.rng.permutation(count) for _ in range(epochs))
        for order in drawn if seed is None else data.orders(count, epochs, seed):
            for start in range(0, count, batch):
                self._step(order[start : start + batch])
            if after_epoch is not None and after_epoch():
                break

    def _step(self, rows: np.ndarray) -> None:
        outputs = _outputs(self.layers, self._floats(self.x[rows]), True)
        _, grad = _loss(self.workload, outputs, self.targets[self.samples.y[rows]])
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        learning = [layer for layer in self.layers if layer.params]
        if self.workload.clip_value is not None:
            bound = self.workload.clip_value
            for layer in learning:
                layer.grads = {name: np.clip(g, -bound, bound) for name, g in layer.grads.items()}
        self.optimizer.step(learning)

    def score(self) -> tuple[float, float]:
        """Return the mean loss, and the accuracy in percent, over the test samples."""
        outputs = _outputs(self.layers, self._floats(self.samples.x_test), False)
        y = self.samples.y_test
        loss, _ = _loss(self.workload, outputs, self.targets[y])
        return float(loss), 100 * float(np.mean(outputs.argmax(axis=1) == y))
