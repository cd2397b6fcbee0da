"""A compact check of every kernel, for a processor that NUMBA_CPU_NAME and _FEATURES name.

Run as a script by tests/kernels/base/test_host.py; prints the vector width it was done with.
"""

import threading
import time
from functools import partial

import numpy as np
from kit import FLOATS, block, dirty_scratch, normal, row_of, settings_of, whole

import kernels
from kernels.base import host
from kernels.base.jit import real_type
from kernels.base.kinds import Memory, Update
from kernels.base.memory import aligned_zeros
from kernels.functions import updates
from kernels.instructions import layers, linear, losses, samples
from kernels.instructions import updates as learning
from kernels.machine.interpreter import follow, run, table_of
from kernels.machine.posts import DISMISSED, READY, cells
from kernels.machine.posts import size as board_size
from kernels.machine.state import STATE, THREADS

FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp": np.exp,
}
SLOPES = {
    "relu": lambda y: y > 0,
    "tanh": lambda y: 1 - y**2,
    "sigmoid": lambda y: y * (1 - y),
    "exp": lambda y: y,
}


def same(actual, expected):
    np.testing.assert_array_equal(actual, expected)


def close(actual, expected):
    """Within torch's tolerances."""
    loose = {"rtol": 1.3e-6, "atol": 1e-5} if actual.dtype == np.float32 else {"rtol": 1e-7}
    np.testing.assert_allclose(actual, expected, **loose)


def check_matmul(dtype):
    sizes = (1, 2, 5, 6, 7, 13, 14, 15, 17, 33, 65)
    random = np.random.default_rng(0)
    shapes = [tuple(random.choice(sizes, 3)) for _ in range(60)]
    shapes += [(0, 2, 3), (3, 0, 4), (40, 257, 70), (230, 300, 290), (15, 513, 33)]
    shapes += [(15, 1034, 33), (15, 1024, 70)]
    for rows, depth, columns in shapes:
        a, b = whole((rows, depth), dtype), whole((depth, columns), dtype, 1)
        bias = whole(columns, dtype, 2)
        for left in (a, np.asfortranarray(a)):
            for right in (b, np.asfortranarray(b), np.repeat(b, 2, 1)[:, ::2]):
                same(kernels.matmul(left, right), a @ b)
                out = kernels.matmul(left, right, bias=bias, activation="relu")
                same(out, np.maximum(a @ b + bias, 0))
                out = whole((columns, rows), dtype, 3).T
                expected = out + a @ b
                same(kernels.matmul(left, right, out, accumulate=True), expected)
    a, b = normal((37, 300), dtype), normal((300, 70), dtype, 1)
    product = kernels.matmul(a, b)
    same(kernels.matmul(a[5:6], b[:, 40:]), product[5:6, 40:])
    same(kernels.matmul(b.T, a.T), product.T)
    y = np.tanh(product)
    close(kernels.matmul_gradient(a / 9, b / 9, y, "tanh"), (product / 81) * (1 - y**2))
    sums = np.zeros(70, dtype)
    kernels.add_column_sums(whole((9, 70), dtype), sums)
    same(sums, whole((9, 70), dtype).sum(0))


def check_linear(dtype):
    for depth, rows, columns in ((5, 3, 2), (257, 20, 33), (64, 100, 10), (9001, 17, 9)):
        a, b = whole((depth, rows), dtype), whole((depth, columns), dtype, 1)
        w = whole((rows, columns), dtype, 2)
        expected = w - a.T @ b
        kernels.matmul_update(a, b, w, updates.SGD, 0, settings_of(learning_rate=1.0))
        same(w, expected)


def check_activations(dtype):
    for size in (1, 3, 7, 8, 17, 130):
        x, g = normal(size, dtype) * 3, normal(size, dtype, 1)
        for name, function in FUNCTIONS.items():
            y = getattr(kernels, name)(x)
            close(y, function(np.float64(x)))
            close(getattr(kernels, f"{name}_gradient")(y, g), g * SLOPES[name](np.float64(y)))
    inf, nan = np.inf, np.nan
    x = np.array([nan, inf, -inf, 0.0, -1e6, 1e6], dtype)
    same(kernels.relu(x), [nan, inf, 0, 0, 0, 1e6])
    same(kernels.tanh(x), [nan, 1, -1, 0, -1, 1])
    same(kernels.sigmoid(x), [nan, 1, 0, 0.5, 0, 1])
    same(kernels.exp(x), [nan, inf, 0, 1, 0, inf])
    tiny = np.finfo(dtype).smallest_normal * np.array([1, 0.5, 0.25], dtype)
    close(kernels.exp(np.log(np.float64(tiny)).astype(dtype)) / tiny, np.ones(3, dtype) + 0 * tiny)


def check_softmax(dtype):
    for classes in (1, 3, 10, 17, 40):
        x = normal((7, classes), dtype) * 4
        wide = np.exp(np.float64(x) - x.max(1, keepdims=True))
        y = wide / wide.sum(1, keepdims=True)
        close(kernels.softmax(x), y)
        close(kernels.log_softmax(x), np.log(y))
        g = normal((7, classes), dtype, 1)
        change = y * (g - (g * y).sum(1, keepdims=True))
        close(kernels.softmax_gradient(y.astype(dtype), g), change)
        labels = np.arange(7) % classes
        one_hot = np.eye(classes)[labels]
        weights = np.arange(1, 8, dtype=dtype)
        for targets in (labels, one_hot):
            loss = kernels.softmax_cross_entropy(x, targets, weights)
            share = (weights / weights.sum())[:, None]
            close(loss.gradient, share * (y - one_hot))
            close(loss.losses, -weights * np.log(y[np.arange(7), labels]))
            assert loss.correct == (x.argmax(1) == labels).sum()
    row = np.array([[1000, 1000, -np.inf]], dtype)
    same(kernels.softmax(row), [[0.5, 0.5, 0]])
    assert np.isnan(kernels.softmax(np.array([[0, np.nan]], dtype))).all()


def check_mean_squared_error(dtype):
    y, t = normal((7, 21), dtype), normal((7, 21), dtype, 1)
    loss = kernels.mean_squared_error(y, t)
    close(loss.gradient, 2 * (y - t) / y.size)
    close(loss.losses, ((y - t) ** 2).sum(1))
    assert loss.correct == (y.argmax(1) == t.argmax(1)).sum()


def check_dropout(dtype):
    """Masks are those of every other processor: some of them are written here."""
    x = np.ones((2, 66), dtype)
    y, mask = kernels.dropout(x, 0.5, seed=2**40 + 1, step=3, stream=4)
    drawn = np.packbits(mask[:, :66], axis=1)
    assert drawn.tobytes().hex() == "6d400d5c16959b37406308e612c6be1f30c0", drawn.tobytes().hex()
    same(y, 2 * mask[:, :66])
    same(kernels.dropout_gradient(x, mask), y)


def check_samples(dtype):
    x = whole((6, 21), dtype)
    mean, factor = whole(21, dtype, 1), whole(21, dtype, 2)
    same(kernels.normalize(x, mean, factor), (x - mean) * factor)


def check_updates(dtype):
    for size in (1, 7, 17, 100):
        p, g = normal(size, dtype), normal(size, dtype, 1)
        velocity, expected, speed = np.zeros_like(p), p.astype(np.float64), 0.0
        values = settings_of(learning_rate=0.1, momentum=0.9, nesterov=1, weight_decay=0.01)
        for step in range(3):
            updates.update_flat(updates.SGD, True, step, values, p, g, velocity[None])
            change = g + 0.01 * expected
            speed = change if step == 0 else 0.9 * speed + change
            expected = expected - 0.1 * (change + 0.9 * speed)
        close(p, expected)
        p, memory = p.copy(), np.zeros((2, size), dtype)
        values = settings_of(learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8, clip_value=0.5)
        clipped, expected = np.clip(np.float64(g), -0.5, 0.5), p.astype(np.float64)
        for step in range(3):
            updates.update_flat(updates.ADAM, True, step, values, p, g, memory)
            # Moments of a constant gradient, their bias corrected, are it and its square.
            expected = expected - 0.1 * clipped / (np.abs(clipped) + 1e-8)
        close(p, expected)
        close(np.array(kernels.gradient_norm([g]), dtype), np.linalg.norm(np.float64(g)))


def check_epoch(dtype):
    """A linear layer learns from bytes with dropout and a clipped norm; threads agree."""
    learned = [train(dtype, threads) for threads in (1, 2)]
    same(learned[0], learned[1])
    assert np.isfinite(learned[0]).all()
    assert learned[0].any()


def train(dtype, threads):
    inputs, outputs, batch, count = 21, 10, 16, 70
    random = np.random.default_rng(0)
    source = random.integers(0, 256, (count, inputs)).astype(np.uint8)
    order, labels = random.permutation(count), random.integers(0, outputs, count)

    widths = inputs, inputs, outputs, outputs, inputs
    x, hidden, y, g, below = (block(np.zeros((batch, n)), dtype) for n in widths)
    w, w_slope, velocity = (np.zeros((inputs, 16), dtype) for _ in range(3))
    bias, bias_slope = np.zeros(outputs, dtype), np.zeros(outputs, dtype)
    chosen, sums, totals = np.zeros(batch, np.int64), np.zeros(1), np.zeros(2)
    found = {"losses": np.zeros(batch, dtype), "hits": np.zeros(batch, np.uint8)}
    values = settings_of(learning_rate=0.1, momentum=0.9, clip_norm=1.0)
    sizes, tanh = {"inputs": inputs, "outputs": outputs}, kernels.ACTIVATIONS["tanh"]
    dropping = {"columns": inputs, "mask": np.zeros((batch, 128), np.uint8), "scale": 2.0}
    drawing = {"seed": 5, "drawn": 0, "stream": 0, "keep": 2**15}
    mean, factor = np.full(inputs, 128, dtype), np.full(inputs, 1 / 64, dtype)
    normalising = {"normalising": 1, "mean": mean, "factor": factor}
    ones, nothing, written = np.ones(batch, dtype), Memory(0, 0), Update(0, 1, 0, 0)
    writing = dict.fromkeys(("w_memory", "bias_memory"), nothing)
    writing |= dict.fromkeys(("of_w", "of_bias"), written)
    sgd = Update(updates.SGD.routine.address(real_type(dtype)), 1, 0, values.ctypes.data)
    columns, labelled = {"columns": inputs}, {"columns": outputs, "labels": chosen}
    emit = partial(row_of, dtype=dtype)
    rows = [
        emit(samples.gather_bytes, source=source, order=order, y=x, **columns, **normalising),
        emit(samples.gather_labels, source=labels, order=order, labels=chosen),
        emit(layers.dropout, x=x, y=hidden, **dropping, **drawing),
        emit(linear.activation, activation=tanh, x=hidden, y=hidden, **columns),
        emit(linear.linear, activation=0, x=hidden, w=w, bias=bias, y=y, **sizes),
        emit(losses.cross_entropy, x=y, weights=ones, masses=0, g=g, **labelled, **found),
        emit(losses.tally, totals=totals, halting=1, **found),
        emit(linear.linear_input_gradient, activation=tanh, g=g, w=w, y=hidden, out=below, **sizes),
        emit(layers.dropout_gradient, g=below, out=below, **dropping),
        emit(linear.linear_update, x=hidden, g=g, w=w_slope, bias=bias_slope, **sizes, **writing),
        emit(learning.gradient_squares, size=w.size, gradient=w_slope, sums=sums),
        emit(learning.clip_norm, chunks=1, sums=sums, settings=values),
        emit(learning.update, size=w.size, p=w, g=w_slope, memory=velocity[None], how=sgd),
    ]
    program = table_of(rows)
    board, state = aligned_zeros(board_size(threads), np.int64), np.zeros(STATE, np.int64)
    state[THREADS] = threads
    tables = table_of([]), program, table_of([])

    def help_out(thread):
        mine = np.zeros(STATE, np.int64), dirty_scratch(dtype), board
        while cells(board)[thread - 1] != DISMISSED:
            follow[np.dtype(dtype)](*tables, *mine, count, batch, thread)

    team = [threading.Thread(target=help_out, args=(n,)) for n in range(1, threads)]
    for thread in team:
        thread.start()
    while not (cells(board) == READY).all():
        time.sleep(0)
    mine = state, dirty_scratch(dtype), board
    assert run[np.dtype(dtype)](*tables, *mine, count, batch, 0, 5, 0, threads) == 5
    cells(board)[:] = DISMISSED
    for thread in team:
        thread.join()
    return w


if __name__ == "__main__":
    checks = [function for name, function in sorted(globals().items()) if name.startswith("check_")]
    for check in checks:
        for dtype in FLOATS:
            check(dtype)
    print(f"{len(checks)} checks passed with vectors of {host.VECTOR_BYTES} bytes")
