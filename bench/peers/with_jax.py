"""JAX as a good user writes it: the whole epoch is one jitted `lax.scan`.

The number of threads is that of NPROC at the start of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench import data
from bench.peers import Case, compile_seconds
from bench.workloads import Workload

jax.config.update("jax_platforms", "cpu")

VERSIONS = {"jax": jax.__version__}

_ACTIVATIONS: dict[str, Callable] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "": lambda x: x,
}


def set_threads(count: int | None) -> None:
    """Do nothing: threads are decided when the process starts."""


# ---------------------------------------------------------------------- optimizers


def _sgd(workload: Workload):
    """Give first state, and update, of SGD; with momentum as in torch."""
    lr, momentum = workload.lr, workload.momentum

    def update(params, grads, velocity):
        if not momentum:
            return jax.tree.map(lambda p, g: p - lr * g, params, grads), velocity
        velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, grads)
        return jax.tree.map(lambda p, v: p - lr * v, params, velocity), velocity

    return (lambda params: jax.tree.map(jnp.zeros_like, params) if momentum else ()), update


def _adam(workload: Workload):
    """Give first state, and update, of Adam, with torch's settings."""
    lr, beta1, beta2, eps = workload.lr, 0.9, 0.999, 1e-8

    def first(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return jnp.zeros((), jnp.int32), zeros, jax.tree.map(jnp.zeros_like, params)

    def update(params, grads, state):
        step, m, v = state
        step += 1
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, grads)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, grads)
        of_m, of_v = 1 - beta1**step, 1 - beta2**step

        def moved(p, m, v):
            return p - lr * (m / of_m) / (jnp.sqrt(v / of_v) + eps)

        return jax.tree.map(moved, params, m, v), (step, m, v)

    return first, update


_OPTIMIZERS = {"SGD": _sgd, "Adam": _adam}


# ------------------------------------------------------------------------ networks


def _parameters(workload: Workload):
    """Weights (in, out) and biases."""
    return [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in data.parameters(workload)]


def _floats(x):
    if x.dtype != jnp.uint8:
        return x
    return (x.astype(jnp.float32) - data.BYTE_MEAN) * (1 / data.BYTE_STD)


def _dropout(x, p: float, key):
    return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)


def _forward(workload: Workload, params, x, key=None):
    """Outputs of the network; a key is given in training, and only where something drops."""
    x, last = _floats(x), len(params) - 1
    keys = iter(jax.random.split(key, len(params))) if key is not None else None
    if keys is not None and not last:
        x = _dropout(x, workload.dropout, next(keys))
    for place, (weight, bias) in enumerate(params):
        x = x @ weight + bias
        x = _ACTIVATIONS[workload.output if place == last else workload.activation](x)
        if keys is not None and place < last:
            x = _dropout(x, workload.dropout, next(keys))
    return x


def _loss(workload: Workload, outputs, y):
    if workload.loss == "mse":
        return jnp.mean((outputs - jax.nn.one_hot(y, outputs.shape[1])) ** 2)
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], axis=1).mean()


def _epoch(workload: Workload) -> Callable:
    """An epoch over rows in a given order, as one compiled function."""
    _, update = _OPTIMIZERS[workload.optimizer](workload)

    @jax.jit
    def epoch(state, x, y, order):
        def step(state, rows):
            params, memory, key = state
            drop = None
            if workload.dropout:
                key, drop = jax.random.split(key)
            xs, ys = x[rows], y[rows]
            grads = jax.grad(lambda p: _loss(workload, _forward(workload, p, xs, drop), ys))(params)
            if workload.clip_value is not None:
                bound = workload.clip_value
                grads = jax.tree.map(lambda g: jnp.clip(g, -bound, bound), grads)
            return (*update(params, grads, memory), key), None

        whole = len(order) // workload.batch * workload.batch
        state, _ = lax.scan(step, state, order[:whole].reshape(-1, workload.batch))
        return step(state, order[whole:])[0] if whole < len(order) else state

    return epoch


def training(**settings) -> Case:
    """Epochs of training a workload, shuffling included."""
    workload = Workload(**settings)
    x, y, x_test, y_test = (jnp.asarray(each) for each in data.samples(workload))
    first, _ = _OPTIMIZERS[workload.optimizer](workload)
    epoch, rng = _epoch(workload), np.random.default_rng()

    def start(seed: int = 0):
        params = _parameters(workload)
        return params, first(params), jax.random.key(seed)

    def train(state, orders: Iterable[np.ndarray]):
        for order in orders:
            state = epoch(state, x, y, jnp.asarray(order, jnp.int32))
        return jax.block_until_ready(state)

    @jax.jit
    def score(params):
        outputs = _forward(workload, params, x_test)
        return _loss(workload, outputs, y_test), (outputs.argmax(1) == y_test).mean()

    def check() -> dict[str, float]:
        compiling = compile_seconds(lambda: train(start(), [np.arange(len(x))]))
        scores = []
        for seed in range(workload.seeds):
            params, *_ = train(start(seed), data.orders(len(x), workload.epochs_to_learn, seed))
            scores.append([float(each) for each in score(params)])
        loss, accuracy = np.mean(scores, axis=0)
        return {"loss": loss, "accuracy": 100 * accuracy, "compile_seconds": compiling}

    state = [start()]

    def call() -> None:
        orders = (rng.permutation(len(x)) for _ in range(workload.epochs))
        state[0] = train(state[0], orders)

    return Case(call, check)


OPERATIONS = {"training": training}
