"""A compact check of every kernel, for a processor that NUMBA_CPU_NAME and _FEATURES name.

Run as a script by tests/kernels/test_host.py; prints the vector width it was done with.
"""

import threading

import numpy as np

import kernels
from kernels.base import host
from kernels.base.jit import real_type
from kernels.base.memory import aligned_zeros, leading_dimension
from kernels.functions import updates
from kernels.instructions import common as instructions
from kernels.instructions import layers
from kernels.instructions import losses as losses_of
from kernels.machine import interpreter as epoch
from kernels.machine.barrier import BARRIER
from kernels.machine.state import STATE, THREAD, THREADS
from kernels.product import linear

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


def whole(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(dtype)


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


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
        kernels.matmul_update(a, b, w, updates.SGD, 0, settings(learning_rate=1.0))
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
    same(kernels.normalize(x, whole(21, dtype, 1), whole(21, dtype, 2)),
         (x - whole(21, dtype, 1)) * whole(21, dtype, 2))  # fmt: skip


def settings(**given):
    values = np.zeros(updates.SETTINGS)
    values[updates.CLIP_VALUE] = values[updates.CLIP_NORM] = np.inf
    values[updates.GRADIENT_SCALE] = 1.0
    for name, value in given.items():
        values[getattr(updates, name.upper())] = value
    return values


def check_updates(dtype):
    for size in (1, 7, 17, 100):
        p, g = normal(size, dtype), normal(size, dtype, 1)
        velocity, expected, speed = np.zeros_like(p), p.astype(np.float64), 0.0
        values = settings(learning_rate=0.1, momentum=0.9, nesterov=1, weight_decay=0.01)
        for step in range(3):
            updates.update_flat(updates.SGD, step, values, p, g, velocity, velocity)
            change = g + 0.01 * expected
            speed = change if step == 0 else 0.9 * speed + change
            expected = expected - 0.1 * (change + 0.9 * speed)
        close(p, expected)
        p, first, second = p.copy(), np.zeros_like(p), np.zeros_like(p)
        values = settings(learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8)
        values[updates.CLIP_VALUE] = 0.5
        clipped, expected = np.clip(np.float64(g), -0.5, 0.5), p.astype(np.float64)
        for step in range(3):
            updates.update_flat(updates.ADAM, step, values, p, g, first, second)
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
    inputs, outputs, batch, samples = 21, 10, 16, 70
    real, keep = real_type(dtype), []

    def memory(rows, columns):
        ld = leading_dimension(columns, dtype)
        keep.append(aligned_zeros(rows * ld, dtype))
        return keep[-1].ctypes.data, ld

    def held(array):
        keep.append(array)
        return array.ctypes.data

    random = np.random.default_rng(0)
    source = held(random.integers(0, 256, (samples, inputs)).astype(np.uint8))
    order = held(random.permutation(samples))
    labels = held(random.integers(0, outputs, samples))
    x, hidden, y, g, below = (memory(batch, n) for n in (inputs, inputs, outputs, outputs, inputs))
    w = memory(inputs, outputs)
    weight = keep[-1]
    w_slope, bias = memory(inputs, outputs), memory(1, outputs)
    bias_slope, velocity = memory(1, outputs), memory(inputs, outputs)
    mask, chosen = held(np.zeros((batch, 128), np.uint8)), held(np.zeros(batch, np.int64))
    weights, losses = held(np.ones(batch, dtype)), held(np.zeros(batch, dtype))
    hits, totals, sums = held(np.zeros(batch, np.uint8)), held(np.zeros(2)), held(np.zeros(1))
    values = settings(learning_rate=0.1, momentum=0.9, clip_norm=1.0)
    mean, factor = held(np.full(inputs, 128, dtype)), held(np.full(inputs, 1 / 64, dtype))
    scale = int(np.float64(2).view(np.int64))
    size, tanh = inputs * w[1], kernels.ACTIVATIONS["tanh"]
    table = [
        (instructions.gather_bytes, inputs, source, order, 1, mean, factor, *x),
        (instructions.gather_labels, labels, order, chosen),
        (layers.dropout_layer, inputs, *x, *hidden, mask, 128, 5, 0, 0, 2**15, scale),
        (instructions.activation, tanh, inputs, *hidden, *hidden),
        (instructions.linear, inputs, outputs, 0, *hidden, *w, 0, bias[0], *y, 0),
        (losses_of.cross_entropy, outputs, *y, chosen, weights, 0, *g, losses, hits),
        (losses_of.tally, losses, hits, totals, 1),
        (
            instructions.linear_input_gradient, inputs, outputs, tanh, *g, *w, 0, *hidden, 0,
            *below, 0,
        ),
        (layers.dropout_gradient, inputs, *below, mask, 128, scale, *below),
        (
            instructions.linear_update, inputs, outputs, *hidden, 0, *g, 0, *w_slope, 0,
            bias_slope[0], -1, -1, 0, held(values), w_slope[0], w_slope[0], bias_slope[0],
            bias_slope[0],
        ),
        (instructions.gradient_squares, size, w_slope[0], sums),
        (instructions.clip_norm, 1, sums, held(values)),
        (
            instructions.update, size, w[0], w_slope[0], updates.SGD, 0, held(values),
            velocity[0], velocity[0],
        ),
    ]  # fmt: skip
    room = epoch.COLUMNS - epoch.OPERANDS
    rows = [[kind.address(real), 1, *at, *[0] * (room - len(at))] for kind, *at in table]
    program, barrier = np.array(rows, np.int64), aligned_zeros(BARRIER, np.int64)

    def work(thread):
        state = np.zeros(STATE, np.int64)
        state[THREAD], state[THREADS] = thread, threads
        scratch = aligned_zeros(linear.scratch_size(dtype, 2048), dtype)
        done = epoch.run[np.dtype(dtype)](
            epoch.NOTHING, program, epoch.NOTHING, state, scratch, barrier, samples, batch, 0, 5, 0
        )
        assert done == 5

    team = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    return weight


if __name__ == "__main__":
    checks = [function for name, function in sorted(globals().items()) if name.startswith("check_")]
    for check in checks:
        for dtype in (np.float32, np.float64):
            check(dtype)
    print(f"{len(checks)} checks passed with vectors of {host.VECTOR_BYTES} bytes")
