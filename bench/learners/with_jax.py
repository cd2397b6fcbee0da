"""JAX as a good user writes it: the whole epoch is one jitted `lax.scan`.

The environment variable NPROC sets the number of threads when the process starts.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench import data
from bench.data import Samples
from bench.workloads import Workload

jax.config.update("jax_platforms", "cpu")

_ACTIVATIONS: dict[str, Callable] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "": lambda x: x,
}


# ---------------------------------------------------------------------- optimizers


def _sgd(workload: Workload):
    """Return the functions for SGD's first state and its update; momentum is torch's."""
    lr, momentum = workload.lr, workload.momentum

    def update(params, grads, velocity):
        if not momentum:
            return jax.tree.map(lambda p, g: p - lr * g, params, grads), velocity
        velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, grads)
        return jax.tree.map(lambda p, v: p - lr * v, params, velocity), velocity

    return (lambda params: jax.tree.map(jnp.zeros_like, params) if momentum else ()), update


def _adam(workload: Workload):
    """Return the functions for Adam's first state and its update, with torch's settings."""
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


def optimizer_of(workload: Workload) -> tuple[Callable, Callable]:
    """Return the functions for the first state of a workload's optimizer and its update."""
    return (_adam if workload.optimizer == "Adam" else _sgd)(workload)


# ------------------------------------------------------------------------ networks


def _dropout(x, p: float, key):
    return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)


def _forward(workload: Workload, params, x, key=None):
    """Return the outputs of the network; `key` is None unless dropout is on."""
    if x.dtype == jnp.uint8:
        x = (x.astype(jnp.float32) - workload.mean) * (1 / workload.std)
    last = len(params) - 1
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
    """Return one compiled function for an epoch over rows in a given order."""
    _, update = optimizer_of(workload)

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


class Learner:
    """JAX's `bench.learners.Learner`."""

    compiles = True

    def __init__(self, workload: Workload, samples: Samples, threads: int | None = None):
        self.workload = workload
        self.x, self.y, self.x_test, self.y_test = (jnp.asarray(each) for each in samples)
        self._epoch, self._rng = _epoch(workload), np.random.default_rng()
        self._score = jax.jit(self._scored)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start over with the initial weights, here (in, out)."""
        params = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in data.parameters(self.workload)]
        self._state = params, optimizer_of(self.workload)[0](params), jax.random.key(seed)

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train, with one call an epoch."""
        count = len(self.x)
        drawn = (self._rng.permutation(count) for _ in range(epochs))
        for order in drawn if seed is None else data.orders(count, epochs, seed):
            self._state = self._epoch(self._state, self.x, self.y, jnp.asarray(order, jnp.int32))
            if after_epoch is not None:
                jax.block_until_ready(self._state)
                if after_epoch():
                    break
        jax.block_until_ready(self._state)

    def _scored(self, params, x, y):
        outputs = _forward(self.workload, params, x)
        return _loss(self.workload, outputs, y), (outputs.argmax(1) == y).mean()

    def score(self) -> tuple[float, float]:
        """Return the mean loss, and the accuracy in percent, over the test samples."""
        loss, accuracy = self._score(self._state[0], self.x_test, self.y_test)
        return float(loss), 100 * float(accuracy)
