import ctypes
import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import kernels
from kernels.base.jit import real_type
from kernels.base.memory import aligned_zeros, leading_dimension
from kernels.functions import normalization, updates
from kernels.functions.dropout import keep_halves, keep_scale, mask_columns
from kernels.functions.rectifiers import RECTIFIERS, rectify, rectify_gradient
from kernels.instructions import common as instructions
from kernels.instructions import layers as layer_instructions
from kernels.instructions import losses as loss_instructions
from kernels.machine.state import HALT, LOSS, ROWS, START, STATE, THREAD, THREADS, TICK
from kernels.product import few_outputs, linear
from kernels.product.affine import affine
from kernels.product.sharing import columns_of

FLOATS = (np.float32, np.float64)
TEAMS = (1, 2, 3, 5)
CODE = kernels.ACTIVATIONS


def carry_out(kind, dtype, operands, rows, threads, start=0, tick=0, only=None):
    """Run an instruction as `threads` threads would, or one of them; give their states."""
    pointer = ctypes.c_void_p
    run = ctypes.CFUNCTYPE(None, pointer, pointer, pointer)(kind.address(real_type(dtype)))
    at = [x.ctypes.data if isinstance(x, np.ndarray) else int(x) for x in operands]
    table, states = np.array(at, np.int64), []
    for thread in range(threads) if only is None else [only]:
        state = np.zeros(STATE, np.int64)
        state[[ROWS, START, TICK, THREAD, THREADS]] = rows, start, tick, thread, threads
        scratch = aligned_zeros(linear.scratch_size(dtype, 2048), dtype)
        scratch[...] = np.nan
        run(table.ctypes.data, state.ctypes.data, scratch.ctypes.data)
        states.append(state)
    return states


def block(values, dtype=None):
    """Rows as the arena has them, with NaN between; its base is all of it."""
    values = np.asarray(values, dtype)
    rows, columns = values.shape
    room = np.full((rows, leading_dimension(columns, values.dtype)), np.nan, values.dtype)
    room[:, :columns] = values
    return room[:, :columns]


def place(view):
    """Address and leading dimension, as operands."""
    return view, view.strides[0] // view.itemsize


def nothing(shape, dtype):
    return block(np.full(shape, np.nan, dtype))


def only_inside(view):
    return bool(np.isnan(view.base[:, view.shape[1] :]).all())


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def bits(value):
    return np.float64(value).view(np.int64)


pytestmark = [
    pytest.mark.parametrize("dtype", FLOATS),
    pytest.mark.parametrize("threads", TEAMS),
]

# ----------------------------------------------------------------------------- samples


@pytest.mark.parametrize("kind", ["numbers", "bytes"])
@pytest.mark.parametrize("normalising", [False, True])
def test_gather(kind, normalising, dtype, threads):
    random = np.random.default_rng(0)
    source = random.integers(0, 256, (30, 21)).astype(np.uint8 if kind == "bytes" else dtype)
    order = random.permutation(30)
    mean, factor = normal(21, dtype, 1), normal(21, dtype, 2)
    tables = (mean, factor) if normalising else (0, 0)
    instruction = instructions.gather_bytes if kind == "bytes" else instructions.gather
    for start, rows in ((0, 8), (16, 8), (24, 6), (5, 1)):
        y = nothing((8, 21), dtype)
        operands = 21, source, order, normalising, *tables, *place(y)
        carry_out(instruction, dtype, operands, rows, threads, start)
        expected = source[order[start : start + rows]].astype(dtype)
        assert_array_equal(y[:rows], (expected - mean) * factor if normalising else expected)
        assert np.isnan(y[rows:]).all()
        assert only_inside(y)


def test_gather_labels(dtype, threads):
    source, order = np.arange(100, 130), np.random.default_rng(0).permutation(30)
    labels = np.full(8, -1)
    carry_out(instructions.gather_labels, dtype, (source, order, labels), 6, threads, start=24)
    assert_array_equal(labels, [*source[order[24:]], -1, -1])


def test_gather_weights(dtype, threads):
    source, order = normal(30, dtype), np.random.default_rng(0).permutation(30)
    weights = np.full(8, np.nan, dtype)
    carry_out(instructions.gather_weights, dtype, (source, order, weights), 6, threads, start=24)
    assert_array_equal(weights, [*source[order[24:]], np.nan, np.nan])


# ------------------------------------------------------------------------------ layers


def test_linear_layer(dtype, threads):
    x, w = block(normal((50, 20), dtype)), block(normal((20, 33), dtype, 1))
    bias, y, g = normal(33, dtype, 2), nothing((50, 33), dtype), block(normal((50, 33), dtype, 3))
    operands = 20, 33, CODE["tanh"], *place(x), *place(w), 0, bias, *place(y), 0
    carry_out(instructions.linear, dtype, operands, 45, threads)
    assert_array_equal(y[:45], kernels.matmul(x[:45], w, bias=bias, activation="tanh"))
    assert np.isnan(y[45:]).all()
    assert only_inside(y)

    before, out = np.tanh(x.copy()), nothing((50, 20), dtype)
    before = block(before)
    operands = 20, 33, CODE["tanh"], *place(g), *place(w), 0, *place(before), 0, *place(out), 0
    carry_out(instructions.linear_input_gradient, dtype, operands, 45, threads)
    expected = kernels.tanh_gradient(before[:45], kernels.matmul(g[:45], w.T))
    assert_array_equal(out[:45], expected)
    assert np.isnan(out[45:]).all()
    assert only_inside(out)


def test_linear_halves(dtype, threads):
    """Each of two threads sums half of the inputs, and all add the halves of their rows."""
    x, w, bias = normal((50, 40), dtype), block(normal((40, 10), dtype, 1)), normal(10, dtype, 2)
    middle = columns_of.py_func(40, 64 // np.dtype(dtype).itemsize, 1, 2)[0]
    halves = np.full((2, 50, 40), np.nan, dtype)
    halves[0, :, :middle], halves[1, :, : 40 - middle] = x[:, :middle], x[:, middle:]
    sums, y = np.full((2, 60, few_outputs.FEW), np.nan, dtype), nothing((50, 10), dtype)
    place_of_sums = sums, 60 * few_outputs.FEW
    operands = 40, 10, halves, 40, 50 * 40, *place(w), *place_of_sums
    carry_out(instructions.linear_half, dtype, operands, 45, 2)
    operands = 10, CODE["tanh"], *place_of_sums, bias, *place(y)
    carry_out(instructions.linear_from_halves, dtype, operands, 45, threads)
    assert_array_equal(y[:45], kernels.tanh(affine(x[:45], w, bias)))
    assert np.isnan(y[45:]).all()
    assert only_inside(y)


def test_linear_update(dtype, threads):
    x, g = block(normal((50, 20), dtype)), block(normal((50, 33), dtype, 1))
    gradient = kernels.matmul(x[:45].T, g[:45])
    sums = np.zeros(33, dtype)
    kernels.add_column_sums(g[:45], sums)
    settings = np.zeros(updates.SETTINGS)
    settings[updates.LEARNING_RATE], settings[updates.MOMENTUM] = 0.1, 0.9
    settings[updates.CLIP_VALUE], settings[updates.GRADIENT_SCALE] = np.inf, 1.0
    for done, tick in ((0, 0), (0, 3), (3, 0), (2, 2)):
        w, bias = block(normal((20, 33), dtype, 2)), normal(33, dtype, 3)
        velocity, speed = block(normal((20, 33), dtype, 4)), normal(33, dtype, 5)
        expected = [x.copy() for x in (w, velocity, bias, speed)]
        flat = updates.update_flat
        for p, d, v in ((expected[0], gradient, expected[1]), (expected[2], sums, expected[3])):
            flat(updates.SGD, done + tick, settings, p.ravel(), d.ravel(), v.ravel(), v.ravel())
        operands = (
            20, 33, *place(x), 0, *place(g), 0, *place(w), 0, bias, updates.SGD, updates.SGD, done,
            settings, velocity, velocity, speed, speed,
        )  # fmt: skip
        carry_out(instructions.linear_update, dtype, operands, 45, threads, tick=tick)
        for own, wanted in zip((w, velocity, bias, speed), expected, strict=True):
            assert_array_equal(own, wanted)
        assert only_inside(w)
        assert only_inside(velocity)


@pytest.mark.parametrize("name", CODE)
def test_activations(name, dtype, threads):
    x, g = block(normal((9, 21), dtype)), block(normal((9, 21), dtype, 1))
    y, out = nothing((9, 21), dtype), nothing((9, 21), dtype)
    carry_out(instructions.activation, dtype, (CODE[name], 21, *place(x), *place(y)), 8, threads)
    identity = name == "identity"
    assert_array_equal(y[:8], x[:8] if identity else getattr(kernels, name)(x[:8]))
    assert np.isnan(y[8:]).all()
    assert only_inside(y)
    operands = CODE[name], 21, *place(y), *place(g), *place(out)
    carry_out(instructions.activation_gradient, dtype, operands, 8, threads)
    gradient = (lambda y, g: g) if identity else getattr(kernels, f"{name}_gradient")
    expected = gradient(y[:8], g[:8])
    assert_array_equal(out[:8], expected)
    assert np.isnan(out[8:]).all()
    assert only_inside(out)
    carry_out(
        instructions.activation_gradient, dtype, (*operands[:4], *place(g), *place(g)), 8, threads
    )
    assert_array_equal(g[:8], expected, err_msg="in place")


def test_softmax_layer(dtype, threads):
    x, g = block(normal((9, 21), dtype)), block(normal((9, 21), dtype, 1))
    y, out = nothing((9, 21), dtype), nothing((9, 21), dtype)
    carry_out(layer_instructions.softmax_layer, dtype, (21, *place(x), *place(y)), 8, threads)
    assert_array_equal(y[:8], kernels.softmax(x[:8]))
    operands = 21, *place(y), *place(g), *place(out)
    carry_out(layer_instructions.softmax_gradient, dtype, operands, 8, threads)
    assert_array_equal(out[:8], kernels.softmax_gradient(y[:8], g[:8]))
    for view in (y, out):
        assert np.isnan(view[8:]).all()
        assert only_inside(view)


def test_dropout_layer(dtype, threads):
    p, seed, stream = 0.3, 2**40 + 5, 7
    x, g = block(normal((9, 70), dtype)), block(normal((9, 70), dtype, 1))
    for done, tick in ((0, 0), (5, 2)):
        y, out = nothing((9, 70), dtype), nothing((9, 70), dtype)
        mask = np.full((9, mask_columns(70)), 7, np.uint8)
        operands = (
            70, *place(x), *place(y), *place(mask), seed, done, stream, keep_halves(p),
            bits(keep_scale(p)),
        )  # fmt: skip
        carry_out(layer_instructions.dropout_layer, dtype, operands, 8, threads, tick=tick)
        expected, drawn = kernels.dropout(x[:8], p, seed=seed, step=done + tick, stream=stream)
        assert_array_equal(y[:8], expected)
        assert_array_equal(mask[:8], drawn)
        assert_array_equal(mask[8], 7)
        assert np.isnan(y[8:]).all()
        assert only_inside(y)
        operands = 70, *place(g), *place(mask), bits(keep_scale(p)), *place(out)
        carry_out(layer_instructions.dropout_gradient, dtype, operands, 8, threads)
        assert_array_equal(out[:8], kernels.dropout_gradient(g[:8], drawn, p))
        assert np.isnan(out[8:]).all()
        assert only_inside(out)


def test_log_softmax_layer(dtype, threads):
    x, g = block(normal((9, 21), dtype)), block(normal((9, 21), dtype, 1))
    y, out = nothing((9, 21), dtype), nothing((9, 21), dtype)
    operands = 21, *place(x), *place(y)
    carry_out(layer_instructions.log_softmax_layer, dtype, operands, 8, threads)
    assert_array_equal(y[:8], kernels.log_softmax(x[:8]))
    operands = 21, *place(y), *place(g), *place(out)
    carry_out(layer_instructions.log_softmax_gradient, dtype, operands, 8, threads)
    assert_array_equal(out[:8], kernels.log_softmax_gradient(y[:8], g[:8]))
    for view in (y, out):
        assert np.isnan(view[8:]).all()
        assert only_inside(view)


@pytest.mark.parametrize("name", RECTIFIERS)
def test_rectifiers(name, dtype, threads):
    x, g = block(normal((9, 21), dtype)), block(normal((9, 21), dtype, 1))
    y, out = nothing((9, 21), dtype), nothing((9, 21), dtype)
    a, b = 0.7, 1.5
    operands = 21, bits(a), bits(b), *place(x), *place(y)
    carry_out(layer_instructions.RECTIFY[name], dtype, operands, 8, threads)
    assert_array_equal(y[:8], rectify(name, x[:8], a, b))
    operands = 21, bits(a), bits(b), *place(x), *place(g), *place(out)
    carry_out(layer_instructions.RECTIFY_GRADIENT[name], dtype, operands, 8, threads)
    assert_array_equal(out[:8], rectify_gradient(name, x[:8], g[:8], a, b))
    for view in (y, out):
        assert np.isnan(view[8:]).all()
        assert only_inside(view)


def numbers_of(columns, dtype, count):
    """Lists as long as rows, the last number of which is not to be touched."""
    return [np.full(columns + 1, np.nan, dtype) for _ in range(count)]


@pytest.mark.parametrize("columns", [1, 21, 70])
def test_layer_norm(columns, dtype, threads):
    x, g = block(normal((9, columns), dtype)), block(normal((9, columns), dtype, 1))
    gain, shift = normal(columns, dtype, 2), normal(columns, dtype, 3)
    y, out = nothing((9, columns), dtype), nothing((9, columns), dtype)
    means, factors = numbers_of(8, dtype, 2)
    layer = fastnn_like_layer_norm(x[:8], g[:8], gain, shift)
    operands = columns, bits(1e-5), *place(x), gain, shift, *place(y), means, factors
    carry_out(layer_instructions.layer_norm, dtype, operands, 8, threads)
    operands = columns, *place(x), means, factors, gain, *place(g), *place(out)
    carry_out(layer_instructions.layer_norm_gradient, dtype, operands, 8, threads)
    of_gain, of_shift = numbers_of(columns, dtype, 2)
    operands = columns, *place(x), means, factors, *place(g), of_gain, of_shift
    carry_out(layer_instructions.layer_norm_parameters, dtype, operands, 8, threads)
    for found, expected in zip((y, out, of_gain, of_shift), layer, strict=True):
        assert_array_equal(found[: len(expected)], expected)
        assert np.isnan(found[len(expected) :]).all()
    for view in (y, out):
        assert only_inside(view)
    assert np.isnan([means[8], factors[8]]).all()


def fastnn_like_layer_norm(x, g, gain, shift):
    """Output, gradient, and those of gain and shift, by the functions for arrays."""
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    y, out, moments = np.empty_like(x), np.empty_like(x), np.empty((2, len(x)), x.dtype)
    learned = np.empty((2, x.shape[1]), x.dtype)
    normalization.layer_norm[x.dtype](x, 1e-5, gain, shift, y, *moments)
    normalization.layer_norm_gradient[x.dtype](x, *moments, gain, g, out, *learned)
    return y, out, *learned


@pytest.mark.parametrize("columns", [1, 21, 70])
def test_batch_norm(columns, dtype, threads):
    x, g = block(normal((9, columns), dtype)), block(normal((9, columns), dtype, 1))
    gain, shift = normal(columns, dtype, 2), normal(columns, dtype, 3)
    y, out = nothing((9, columns), dtype), nothing((9, columns), dtype)
    means, variances, of_gain, of_shift = numbers_of(columns, dtype, 4)
    carry_out(layer_instructions.moments, dtype, (columns, *place(x), means, variances), 8, threads)
    operands = columns, bits(1e-5), *place(x), means, variances, gain, shift, *place(y)
    carry_out(layer_instructions.batch_norm, dtype, operands, 8, threads)
    operands = (
        columns, bits(1e-5), *place(x), means, variances, gain, *place(g), *place(out), of_gain,
        of_shift,
    )  # fmt: skip
    carry_out(layer_instructions.batch_norm_gradient, dtype, operands, 8, threads)
    rows, gradient = np.ascontiguousarray(x[:8]), np.ascontiguousarray(g[:8])
    moments, learned = np.empty((2, columns), dtype), np.empty((2, columns), dtype)
    expected, slope = np.empty_like(rows), np.empty_like(rows)
    kind = np.dtype(dtype)
    normalization.moments[kind](rows, *moments)
    normalization.batch_norm[kind](rows, 1e-5, *moments, gain, shift, expected)
    normalization.batch_norm_gradient[kind](
        rows, 1e-5, 0, *moments, gain, gradient, slope, *learned
    )
    pairs = (y, expected), (out, slope), (means, moments[0]), (variances, moments[1])
    for found, wanted in (*pairs, (of_gain, learned[0]), (of_shift, learned[1])):
        assert_array_equal(found[: len(wanted)], wanted)
        assert np.isnan(found[len(wanted) :]).all()
    for view in (y, out):
        assert only_inside(view)
    for momentum, factor in ((0.3, 0.3), (-1.0, 1 / 8)):
        running = [np.full(columns + 1, each, dtype) for each in (0.5, 2.0)]
        operands = columns, bits(momentum), 5, means, variances, *running
        carry_out(layer_instructions.track_moments, dtype, operands, 8, threads, tick=2)
        by_hand = [np.full(columns, each, dtype) for each in (0.5, 2.0)]
        normalization.track[kind](8, factor, *moments, *by_hand)
        for found, wanted in zip(running, by_hand, strict=True):
            assert_array_equal(found[:-1], wanted)
        assert [found[-1] for found in running] == [0.5, 2.0]


# ------------------------------------------------------------------------------ losses


LOSSES = {
    "indices": (kernels.softmax_cross_entropy, loss_instructions.cross_entropy),
    "probabilities": (kernels.softmax_cross_entropy, loss_instructions.cross_entropy_probability),
    "squares": (kernels.mean_squared_error, loss_instructions.squared_error),
    "sizes": (kernels.mean_absolute_error, loss_instructions.absolute_error),
    "huber": (kernels.huber, loss_instructions.huber_error),
    "yes or no": (kernels.binary_cross_entropy, loss_instructions.binary_cross_entropy),
    "likelihood": (kernels.negative_log_likelihood, loss_instructions.log_likelihood),
}


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", LOSSES)
def test_losses(kind, weighted, dtype, threads):
    """As the functions for Python, for the rows that the batch has; in place as well."""
    random = np.random.default_rng(0)
    z, labels = normal((9, 21), dtype), random.integers(0, 21, 9)
    t, weights = block(random.random((9, 21)), dtype), random.random(9).astype(dtype)
    factors = random.random(21).astype(dtype)
    if not weighted:
        weights = np.ones(9, dtype)
    function, instruction = LOSSES[kind]
    by_label = kind in ("indices", "likelihood")
    targets = (labels,) if by_label else place(t)
    tables = {
        "probabilities": (factors, bits(0.1)), "yes or no": (factors,), "huber": (bits(0.7),),
        "squares": (0,), "sizes": (0,),
    }.get(kind, ())  # fmt: skip
    extra = {"probabilities": (factors, 0.1), "yes or no": (factors,), "huber": (0.7,)}
    arguments = z[:8], (labels if by_label else t)[:8], weights[:8], *extra.get(kind, ())
    expected = function(*arguments)
    masses = weights if weighted else 0
    for in_place in (False, True):
        x = block(z)
        g = x if in_place else nothing((9, 21), dtype)
        losses, hits = np.full(9, np.nan, dtype), np.full(9, 7, np.uint8)
        operands = 21, *place(x), *targets, *tables, weights, masses, *place(g), losses, hits
        carry_out(instruction, dtype, operands, 8, threads)
        assert_array_equal(losses[:8], expected.losses)
        assert hits[:8].sum() == expected.correct
        assert_array_equal(g[:8], expected.gradient)
        assert np.isnan(losses[8])
        assert hits[8] == 7
        assert_array_equal(g[8], z[8] if in_place else np.full(21, np.nan))
        assert only_inside(g)


def test_one_hot(dtype, threads):
    labels, t = np.random.default_rng(0).integers(0, 21, 9), nothing((9, 21), dtype)
    carry_out(loss_instructions.one_hot, dtype, (21, labels, *place(t)), 8, threads)
    assert_array_equal(t[:8], np.eye(21)[labels[:8]])
    assert np.isnan(t[8:]).all()
    assert only_inside(t)


@pytest.mark.parametrize("columns", [1, 2])
def test_follow(columns, dtype, threads):
    table = np.arange(20.0).reshape(10, 2)[:, :columns].copy()
    settings = np.full(updates.SETTINGS, -1.0)
    places = [updates.LEARNING_RATE, updates.MOMENTUM][:columns]
    for thread in reversed(range(threads)):
        operands = 8, columns, table, settings, *places
        carry_out(instructions.follow, dtype, operands, 8, threads, start=24, only=thread)
        assert (settings[places] == (table[3] if thread == 0 else -1)).all()
    assert (np.delete(settings, places) == -1).all()


def test_weights_of_nothing(dtype, threads):
    x, g = block(normal((4, 5), dtype)), nothing((4, 5), dtype)
    losses, hits, weights = np.full(4, np.nan, dtype), np.zeros(4, np.uint8), np.zeros(4, dtype)
    operands = 5, *place(x), np.zeros(4, int), weights, weights, *place(g), losses, hits
    carry_out(loss_instructions.cross_entropy, dtype, operands, 4, threads)
    assert_array_equal(g, np.zeros((4, 5)))
    assert_array_equal(losses, np.zeros(4))


def test_tally(dtype, threads):
    losses, hits = normal(9, dtype), np.array([1, 0, 1, 1, 0, 1, 0, 1, 1], np.uint8)
    totals = np.array([10.0, 20.0])
    for stops in (False, True):
        before = totals.copy()
        states = carry_out(
            loss_instructions.tally, dtype, (losses, hits, totals, stops), 8, threads
        )
        assert totals[0] - before[0] == pytest.approx(losses[:8].sum(dtype=np.float64), rel=1e-12)
        assert totals[1] - before[1] == 5
        assert not any(state[HALT] for state in states)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tally_stops_every_thread_at_a_loss_that_is_not_finite(value, dtype, threads):
    losses, hits, totals = normal(9, dtype), np.ones(9, np.uint8), np.array([1.0, 2.0])
    losses[5] = value
    states = carry_out(loss_instructions.tally, dtype, (losses, hits, totals, True), 8, threads)
    for state in states:
        assert state[HALT] == 1
        assert_array_equal(state[LOSS : LOSS + 1].view(np.float64), [value])
    assert_array_equal(totals, [1, 2])
    # Where nothing is learned, what is not finite is only counted; and so are rows to come.
    states = carry_out(loss_instructions.tally, dtype, (losses, hits, totals, False), 8, threads)
    assert not any(state[HALT] for state in states)
    assert_array_equal(totals, [value, 10])
    states = carry_out(loss_instructions.tally, dtype, (losses, hits, totals, True), 5, threads)
    assert not any(state[HALT] for state in states)


# ----------------------------------------------------------------------------- updates


@pytest.mark.parametrize("size", [1, 100, 4095, 4096, 4097, 10_001])
@pytest.mark.parametrize("bound", [0.5, 1e6])
def test_an_update_clipped_by_norm(size, bound, dtype, threads):
    p, g, velocity = normal(size, dtype), normal(size, dtype, 1), np.zeros(size, dtype)
    settings = np.zeros(updates.SETTINGS)
    settings[updates.LEARNING_RATE], settings[updates.MOMENTUM] = 0.1, 0.9
    settings[updates.CLIP_VALUE], settings[updates.CLIP_NORM] = np.inf, bound
    chunks = math.ceil(size / updates.CHUNK)
    sums = np.full(chunks + 1, np.nan)
    carry_out(instructions.gradient_squares, dtype, (size, g, sums), 1, threads)
    assert np.isfinite(sums[:chunks]).all()
    assert np.isnan(sums[chunks])
    carry_out(instructions.clip_norm, dtype, (chunks, sums, settings), 1, threads)
    norm = kernels.gradient_norm([g])
    assert settings[updates.GRADIENT_SCALE] == updates.clip_factor(norm, bound)
    expected, speed = p.copy(), velocity.copy()
    flat = updates.update_flat
    flat(updates.SGD, 4, settings, expected, g, speed, speed)
    operands = size, p, g, updates.SGD, 1, settings, velocity, velocity
    carry_out(instructions.update, dtype, operands, 1, threads, tick=3)
    assert_array_equal(p, expected)
    assert_array_equal(velocity, speed)


@pytest.mark.parametrize("size", [1, 5000, 9001])
def test_penalty(size, dtype, threads):
    w = normal(size, dtype)
    settings = np.zeros(updates.SETTINGS)
    settings[updates.WEIGHT_DECAY] = 0.3
    chunks = math.ceil(size / updates.CHUNK)
    sums = np.ones(chunks + 1)
    for _ in range(2):
        carry_out(instructions.penalty, dtype, (size, w, settings, sums), 7, threads)
    assert sums[chunks] == 1
    expected = 2 * 0.15 * 7 * np.square(w, dtype=np.float64).sum()
    assert sums[:chunks].sum() - chunks == pytest.approx(expected, rel=1e-5)


def test_a_norm_that_is_not_finite(dtype, threads):
    """Clipping gives what the function for Python gives, so both ways of training agree."""
    settings = np.zeros(updates.SETTINGS)
    settings[updates.CLIP_NORM] = 1.0
    for value in (np.inf, np.nan):
        sums = np.array([1.0, value])
        carry_out(instructions.clip_norm, dtype, (2, sums, settings), 1, threads)
        expected = updates.clip_factor(value, 1.0)
        assert_array_equal(settings[updates.GRADIENT_SCALE], expected)


def test_collect(dtype, threads):
    x, results = block(normal((9, 21), dtype)), np.full((20, 21), 7, dtype)
    operands = 21, *place(x), results
    carry_out(instructions.collect, dtype, operands, 8, threads, start=3)
    assert_array_equal(results[3:11], x[:8])
    assert_array_equal(results[:3], np.full((3, 21), 7))
    assert_array_equal(results[11:], np.full((9, 21), 7))


def test_every_row_is_written_by_one_thread(dtype, threads):
    x, order = block(normal((9, 21), dtype)), np.arange(9)
    source, labels = normal((9, 21), dtype, 1), np.arange(9) % 21
    weights = np.ones(9, dtype)
    for name in (
        "gather",
        "activation",
        "softmax_layer",
        "dropout_layer",
        "cross_entropy",
        "collect",
    ):
        written = np.zeros(9, int)
        for thread in range(threads):
            y, losses, hits = (
                nothing((9, 21), dtype),
                np.full(9, np.nan, dtype),
                np.zeros(9, np.uint8),
            )
            mask, results = (
                np.zeros((9, mask_columns(21)), np.uint8),
                np.full((9, 21), np.nan, dtype),
            )
            operands = {
                "gather": (21, source, order, 0, 0, 0, *place(y)),
                "activation": (CODE["exp"], 21, *place(x), *place(y)),
                "softmax_layer": (21, *place(x), *place(y)),
                "dropout_layer": (21, *place(x), *place(y), *place(mask), 1, 0, 0, 2**15, bits(2)),
                "cross_entropy": (21, *place(x), labels, weights, 0, *place(y), losses, hits),
                "collect": (21, *place(x), results),
            }[name]
            kind = next(
                getattr(home, name)
                for home in (instructions, layer_instructions, loss_instructions)
                if hasattr(home, name)
            )
            carry_out(kind, dtype, operands, 9, threads, only=thread)
            written += ~np.isnan((results if name == "collect" else y)[:, 0])
        assert_array_equal(written, np.ones(9), err_msg=name)
