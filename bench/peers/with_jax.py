"""Operations of JAX: jitted functions, and whole epochs."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bench import data
from bench.learners.with_jax import Learner
from bench.peers import Case
from bench.peers.training import trainer

VERSIONS = {"jax": jax.__version__}


def set_threads(count: int | None) -> None:
    """Do nothing, because JAX reads the number of threads when the process starts."""


def _jitted(function: Callable, *arguments) -> Callable:
    """Return a jitted call that waits for the result."""
    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def matmul(rows: int, depth: int, columns: int, form: str) -> Case:
    """Return the case of a product of float32 matrices, transposed in compiled code."""
    a, b, _ = data.matrices(rows, depth, columns, form)
    left, right = (x.T if t in form else x for x, t in ((a, "A"), (b, "B")))

    def product(left, right):
        return (left.T if "A" in form else left) @ (right.T if "B" in form else right)

    call = _jitted(product, jnp.asarray(left), jnp.asarray(right))
    return Case(call, lambda: {"ulps": data.product_ulps(a, b, np.asarray(call()))})


def _cross_entropy(x, y):
    """Return the gradient of the mean loss."""

    def loss(x):
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()

    return jax.value_and_grad(loss)(x)[1]


_FUNCTIONS: dict[str, Callable] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "exp": jnp.exp,
    "softmax": jax.nn.softmax,
    "softmax-cross-entropy": _cross_entropy,
}


def elementwise(function: str, size: int) -> Case:
    """Return the case of a function of float32 arrays; updates reuse their inputs' memory."""
    made = data.elementwise(function, size)
    inputs = [jnp.array(each) for each in made.inputs]
    if function in ("SGD", "Adam"):
        return _update(function, made, inputs)
    call = _jitted(_FUNCTIONS[function], *inputs)
    return Case(call, lambda: {"ulps": made.error([np.asarray(call())])})


def _sgd(state, g):
    p, velocity = state
    velocity = data.MOMENTUM * velocity + g
    return p - data.LR * velocity, velocity


def _adam(state, g):
    p, m, v = state
    (b1, b2), step = data.BETAS, 2
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    return p - data.LR * (m / (1 - b1**step)) / (jnp.sqrt(v / (1 - b2**step)) + data.EPS), m, v


def _update(rule: str, made: data.Elementwise, inputs: list) -> Case:
    p, g, *memory = inputs
    state = [(p, *memory)]
    compiled = jax.jit(_sgd if rule == "SGD" else _adam, donate_argnums=0)

    def call() -> None:
        state[0] = jax.block_until_ready(compiled(state[0], g))

    def check() -> dict[str, float]:
        call()
        return {"ulps": made.error([np.asarray(state[0][0])])}

    return Case(call, check)


def _dropout(key, x):
    kept = jax.random.bernoulli(key, 1 - data.DROPOUT, x.shape)
    return jnp.where(kept, x / (1 - data.DROPOUT), 0)


_LAYERS: dict[str, Callable] = {
    "ReLU": jax.nn.relu,
    "Tanh": jnp.tanh,
    "Sigmoid": jax.nn.sigmoid,
    "Softmax": jax.nn.softmax,
}


def layer(kind: str, rows: int, columns: int, outputs: int, backward: bool) -> Case:
    """Return the case of a layer's forward pass, or of both passes, jitted."""
    x, gradient, weight, bias = map(jnp.asarray, data.layer(rows, columns, outputs))
    key = jax.random.key(0)

    def forward(weight, bias, x, key):
        if kind == "Linear":
            return x @ weight.T + bias
        return _dropout(key, x) if kind == "Dropout" else _LAYERS[kind](x)

    def both(weight, bias, x, gradient, key):
        _, pull = jax.vjp(lambda *given: forward(*given, key), weight, bias, x)
        return pull(gradient)

    if backward:
        call = _jitted(both, weight, bias, x, gradient, key)
        return Case(call, lambda: {"sum": data.checksum(np.asarray(call()[2]))})
    call = _jitted(forward, weight, bias, x, key)
    return Case(call, lambda: {"sum": data.checksum(np.asarray(call()))})


def predict(sizes: list[int], rows: int) -> Case:
    """Return the case of a prediction, jitted, from an array of JAX."""
    x, layers = data.network(sizes, rows)
    weights = [(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in layers]

    def forward(weights, x):
        for weight, bias in weights[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        weight, bias = weights[-1]
        return x @ weight + bias

    call = _jitted(forward, weights, jnp.asarray(x))
    return Case(call, lambda: {"sum": data.checksum(np.asarray(call()))})


OPERATIONS = {
    "matmul": matmul,
    "elementwise": elementwise,
    "layer": layer,
    "training": trainer(Learner),
    "predict": predict,
}
