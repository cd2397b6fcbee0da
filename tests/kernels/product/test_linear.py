import ctypes
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types
from numpy.testing import assert_array_equal

import kernels
from kernels import matmul_update
from kernels.base import host
from kernels.base.jit import real_type
from kernels.base.memory import aligned_zeros, leading_dimension
from kernels.functions import updates
from kernels.product import linear
from kernels.product import panels as layout
from kernels.product.affine import affine
from kernels.product.few_outputs import FEW
from kernels.product.sharing import columns_of

FLOATS = (np.float32, np.float64)
ACTIVATIONS = kernels.ACTIVATIONS
FUNCTIONS = {
    "identity": lambda x: x,
    "relu": kernels.relu,
    "tanh": kernels.tanh,
    "sigmoid": kernels.sigmoid,
    "exp": kernels.exp,
}
GRADIENTS = {
    "identity": lambda y, g: g,
    "relu": kernels.relu_gradient,
    "tanh": kernels.tanh_gradient,
    "sigmoid": kernels.sigmoid_gradient,
    "exp": kernels.exp_gradient,
}
NONE = -1  # the rule that writes gradients
# Around vectors, tiles and what is packed at a time (see tests/kernels/test_matmul.py); the
# last has more rows than are packed.
DEEP = host.PANEL_DEPTH + 10
SHAPES = (
    (0, 3, 4),
    (1, 1, 1),
    (2, 5, 3),
    (13, 10, 2),
    (64, 10, 100),
    (20, 64, 10),
    (33, 31, 65),
    (255, 17, 33),
    (256, 40, 10),
    (257, 300, 7),
    (300, 257, 40),
    (129, 784, 35),
    (512, 15, 129),
    (513, 29, 64),
    (320, 9, 30),
    (321, 20, 9),
    (20, 330, 600),
    (20, 600, 330),
    (DEEP, 9, 30),
    (DEEP + 1, 20, 9),
    (20, DEEP, 600),
    (20, 600, DEEP),
    (20, 1024, 70),
    (20, 70, 1024),
    (641, 3, 10),
    (9001, 30, 20),
)


def call(routine, dtype, *arguments):
    """Call a routine's machine code; arrays are given by their addresses."""
    real = real_type(dtype)
    kinds = {types.int64: ctypes.c_int64, types.float32: ctypes.c_float}
    kinds[types.float64] = ctypes.c_double
    parameters = routine.arguments(real)
    values = []
    assert len(parameters) == len(arguments)
    for parameter, argument in zip(parameters, arguments, strict=True):
        if isinstance(parameter, types.CPointer):
            assert argument.dtype == np.dtype(str(parameter.dtype))
            values.append(argument.ctypes.data)
        else:
            values.append(argument)
    signature = [kinds.get(parameter, ctypes.c_void_p) for parameter in parameters]
    ctypes.CFUNCTYPE(None, *signature)(routine.address(real))(*values)


def dirty_scratch(dtype):
    """What a thread's scratch memory may hold: what is left in it must not matter."""
    scratch = aligned_zeros(linear.scratch_size(dtype, 2048), dtype)
    scratch[...] = np.nan
    return scratch


def padded(values):
    """Rows as the arena has them, an odd number of cache lines apart, with NaN between."""
    rows, columns = values.shape
    room = np.full((rows, leading_dimension(columns, values.dtype)), np.nan, values.dtype)
    room[:, :columns] = values
    return room[:, :columns]


def ld(array):
    return array.strides[0] // array.itemsize


def only_inside(view):
    """Whether everything between the rows of a padded array is still NaN."""
    between = view.base[:, view.shape[1] :]
    return bool(np.isnan(between).all())


def whole(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(dtype)


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def product_bound(a, b, start=0.0):
    """Bound of the rounding errors of start + A B; see tests/kernels/test_matmul.py."""
    magnitude = np.abs(np.float64(a)) @ np.abs(np.float64(b)) + np.abs(np.float64(start))
    return (a.shape[1] + 1) * np.finfo(a.dtype).eps * magnitude


def in_panels(w, threads=1):
    """A weight, or what is remembered of it, in panels: their memory, and the distances."""
    (inputs, outputs), dtype = w.shape, w.dtype
    count, elements = layout.sizes(inputs, outputs, dtype)
    memory = aligned_zeros(count * elements, dtype)
    for thread in range(threads):
        call(
            layout.copy_panels, dtype, inputs, outputs, w, ld(w), memory, elements,
            thread, threads, 0,
        )  # fmt: skip
    return memory, layout.span_of(dtype), elements


def from_panels(panels, w, threads=1):
    """Copy panels back to the matrix they were made from."""
    memory, _, elements = panels
    for thread in range(threads):
        call(layout.copy_panels, w.dtype, *w.shape, w, ld(w), memory, elements, thread, threads, 1)


def shares(threads, columns, dtype):
    """The columns of each thread."""
    line = 64 // np.dtype(dtype).itemsize
    return [slice(*columns_of.py_func(columns, line, t, threads)) for t in range(threads)]


def batch_in_panels(batch, threads):
    """A batch in panels of each thread's columns, with NaN beside them."""
    (rows, columns), dtype = batch.shape, batch.dtype
    wide = columns + layout.span_of(dtype)
    memory = np.full((threads, rows, wide), np.nan, dtype)
    for place, own in zip(memory, shares(threads, columns, dtype), strict=True):
        place[:, : own.stop - own.start] = batch[:, own]
    return memory, wide, rows * wide


def from_batch_panels(memory, columns):
    """A batch from its panels, and whether only its columns were written."""
    places = list(zip(memory, shares(len(memory), columns, memory.dtype), strict=True))
    batch = np.concatenate([place[:, : own.stop - own.start] for place, own in places], axis=1)
    return batch, all(np.isnan(place[:, own.stop - own.start :]).all() for place, own in places)


def forward(x, w, bias, activation, threads):
    """The output, which depends neither on how the weights lie nor on how it does itself."""
    (rows, inputs), outputs = x.shape, w.shape[1]
    nothing = np.full((rows, outputs), np.nan, x.dtype)

    def compute(weights, *y):
        for thread in range(threads):
            call(
                linear.linear_forward, x.dtype, rows, inputs, outputs, ACTIVATIONS[activation],
                x, ld(x), *weights, bias, *y, thread, threads, dirty_scratch(x.dtype),
            )  # fmt: skip

    plain = w, ld(w), 0
    first = padded(nothing)
    compute(plain, first, ld(first), 0)
    if outputs <= FEW:  # in one piece, and so is the output
        return first
    again = padded(nothing)
    compute(in_panels(w), again, ld(again), 0)
    assert_array_equal(again, first)
    assert only_inside(again)
    for weights in (plain, in_panels(w)):
        memory, *distances = batch_in_panels(nothing, threads)
        compute(weights, memory, *distances)
        found, inside = from_batch_panels(memory, outputs)
        assert_array_equal(found, first)
        assert inside
    return first


def input_gradient(g, w, y, activation, threads):
    """The gradient, which does not depend on how the weights, the input and itself lie."""
    (rows, outputs), inputs = g.shape, w.shape[0]
    nothing = padded(np.full((rows, inputs), np.nan, g.dtype))

    def compute(weights, before, out):
        for thread in range(threads):
            call(
                linear.linear_input_gradient, g.dtype, rows, inputs, outputs,
                ACTIVATIONS[activation], g, ld(g), *weights, *before, *out,
                thread, threads, dirty_scratch(g.dtype),
            )  # fmt: skip

    plain, before = (w, ld(w), 0), (y, ld(y), 0)
    first = padded(nothing)
    compute(plain, before, (first, ld(first), 0))
    for lie in itertools.product((plain, in_panels(w)), (before, batch_in_panels(y, threads))):
        again = padded(nothing)
        compute(*lie, (again, ld(again), 0))
        assert_array_equal(again, first)
        assert only_inside(again)
        memory, *distances = batch_in_panels(nothing, threads)
        compute(*lie, (memory, *distances))
        found, inside = from_batch_panels(memory, inputs)
        assert_array_equal(found, first)
        assert inside
    return first


def update(x, g, w, bias, rule, step, settings_, memories, threads):
    """Update, and see that it does not depend on how the weights, x and g lie."""
    (rows, inputs), outputs = x.shape, g.shape[1]
    first, second, *of_bias = memories
    remembers = [each for each in (first, second) if each.shape == w.shape and each is not w]
    panels = [in_panels(each, threads) for each in (w, *remembers)]
    places = [place for place, *_ in panels[1:]] + [panels[0][0]] * (2 - len(remembers))
    other = [np.array(each) for each in (bias, *of_bias)]
    one_x, one_g = (x, ld(x), 0), (g, ld(g), 0)
    copies = [padded(each) for each in (w, *remembers)]
    of_copies = copies[1:] + [copies[0]] * (2 - len(remembers))
    third = [np.array(each) for each in (bias, *of_bias)]
    kinds = [
        (one_x, one_g, (w, ld(w), 0), bias, memories),
        (
            one_x, one_g if outputs <= FEW else batch_in_panels(g, threads),
            panels[0], other[0], (*places, *other[1:]),
        ),
    ]  # fmt: skip
    if outputs <= FEW:
        weights = copies[0], ld(copies[0]), 0
        lie = (*of_copies, *third[1:])
        kinds.append((batch_in_panels(x, threads), one_g, weights, third[0], lie))
    for *operands, lie in kinds:
        for thread in range(threads):
            call(
                linear.linear_update, x.dtype, rows, inputs, outputs,
                *itertools.chain(*operands[:3]), operands[3], rule, rule, step, settings_, *lie,
                thread, threads, dirty_scratch(x.dtype),
            )  # fmt: skip
    if outputs <= FEW:
        for each, copy in zip((w, *remembers, bias), (*copies, third[0]), strict=True):
            assert_array_equal(copy, each)
    for each, panelled in zip((w, *remembers), panels, strict=True):
        again = padded(np.full(each.shape, np.nan, each.dtype))
        from_panels(panelled, again, threads)
        assert_array_equal(again, each)
        assert only_inside(again)


def sgd(lr=0.1, momentum=0.0):
    settings_ = np.zeros(updates.SETTINGS)
    settings_[updates.LEARNING_RATE], settings_[updates.MOMENTUM] = lr, momentum
    settings_[updates.CLIP_VALUE] = settings_[updates.CLIP_NORM] = np.inf
    settings_[updates.GRADIENT_SCALE] = 1.0
    return settings_


# --------------------------------------------------------------------------- forward


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(shape, dtype):
    rows, inputs, outputs = shape
    x, w, bias = normal((rows, inputs), dtype), normal((inputs, outputs), dtype, 1), None
    bias = normal(outputs, dtype, 2)
    expected = np.float64(x) @ np.float64(w) + np.float64(bias)
    y = forward(padded(x), padded(w), bias, "identity", 1)
    assert np.all(np.abs(y - expected) <= product_bound(x, w, bias))
    assert_array_equal(y, affine(x, w, bias))
    for threads in range(2, 6):
        parts = forward(padded(x), padded(w), bias, "identity", threads)
        assert_array_equal(parts, y, err_msg=f"{threads} threads")
        assert only_inside(parts)
    assert only_inside(y)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_with_activations(activation, dtype):
    shapes = (7, 5, 3), (64, 30, 100), (65, 257, 33), (33, 21, 1), (50, 100, 2), (700, 20, 70)
    for rows, inputs, outputs in shapes:
        x, w = (
            padded(normal((rows, inputs), dtype) / 8),
            padded(normal((inputs, outputs), dtype, 1)),
        )
        bias = normal(outputs, dtype, 2)
        expected = FUNCTIONS[activation](affine(np.ascontiguousarray(x), w, bias))
        for threads in range(1, 6):
            y = forward(x, w, bias, activation, threads)
            assert_array_equal(y, expected)
            assert only_inside(y)


def test_forward_is_torchs():
    x, w = torch.randn(50, 40, dtype=torch.float64), torch.randn(40, 30, dtype=torch.float64)
    bias = torch.randn(30, dtype=torch.float64)
    y = forward(padded(x.numpy()), padded(w.numpy()), bias.numpy(), "tanh", 2)
    expected = torch.tanh(torch.nn.functional.linear(x, w.T, bias))
    torch.testing.assert_close(torch.from_numpy(np.ascontiguousarray(y)), expected)


# ---------------------------------------------------------------------- input gradient


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_input_gradient(shape, dtype):
    rows, inputs, outputs = shape
    g, w = normal((rows, outputs), dtype), normal((inputs, outputs), dtype, 1)
    y = np.tanh(normal((rows, inputs), dtype, 2))
    out = input_gradient(padded(g), padded(w), padded(y), "identity", 1)
    expected = np.float64(g) @ np.float64(w).T
    assert np.all(np.abs(out - expected) <= product_bound(g, w.T))
    assert only_inside(out)
    for threads in range(2, 6):
        parts = input_gradient(padded(g), padded(w), padded(y), "identity", threads)
        assert_array_equal(parts, out, err_msg=f"{threads} threads")
        assert only_inside(parts)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_input_gradient_with_activations(activation, dtype):
    shapes = (7, 3, 5), (64, 100, 10), (65, 33, 257), (33, 21, 1), (50, 100, 2), (700, 70, 20)
    for rows, inputs, outputs in shapes:
        g, w = padded(normal((rows, outputs), dtype)), padded(normal((inputs, outputs), dtype, 1))
        y = padded(FUNCTIONS[activation](normal((rows, inputs), dtype, 2)))
        expected = GRADIENTS[activation](y, kernels.matmul(g, w.T))
        for threads in range(1, 6):
            out = input_gradient(g, w, y, activation, threads)
            assert_array_equal(out, expected)
            assert only_inside(out)


# ------------------------------------------------------------------------------ update


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_written_gradients(shape, dtype):
    rows, inputs, outputs = shape
    x, g = normal((rows, inputs), dtype), normal((rows, outputs), dtype, 1)
    expected = np.float64(x).T @ np.float64(g)
    sums = np.zeros(outputs, dtype)
    kernels.add_column_sums(g, sums)
    bits = None
    for threads in range(1, 6):
        w = padded(np.full((inputs, outputs), np.nan, dtype))
        bias = np.full(outputs, np.nan, dtype)
        update(padded(x), padded(g), w, bias, NONE, 0, sgd(), (w, w, bias, bias), threads)
        assert np.all(np.abs(w - expected) <= product_bound(np.ascontiguousarray(x.T), g))
        assert_array_equal(bias, sums)
        assert only_inside(w)
        bits = w if bits is None else bits
        assert_array_equal(w, bits, err_msg=f"{threads} threads")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rule", [updates.SGD, updates.ADAM], ids=["sgd", "adam"])
def test_updates_are_those_of_the_written_gradient(rule, dtype):
    """Three fused steps give the bits of writing gradients and updating flat arrays by them."""
    settings_ = sgd(lr=0.01, momentum=0.9)
    settings_[updates.WEIGHT_DECAY], settings_[updates.CLIP_VALUE] = 0.01, 3.0
    settings_[updates.BETA1], settings_[updates.BETA2], settings_[updates.EPSILON] = 0.9, 0.99, 1e-8
    for rows, inputs, outputs in ((5, 3, 2), (64, 100, 10), (100, 40, 70), (9001, 20, 33)):
        start, start_bias = normal((inputs, outputs), dtype), normal(outputs, dtype, 1)
        batches = [
            (
                padded(normal((rows, inputs), dtype, s)),
                padded(normal((rows, outputs), dtype, s + 9)),
            )
            for s in range(3)
        ]

        flat = [start.ravel().copy(), *np.zeros((2, start.size), dtype)]
        flat_bias = [start_bias.copy(), *np.zeros((2, outputs), dtype)]
        for step, (x, g) in enumerate(batches):
            gradient, sums = np.empty((inputs, outputs), dtype), np.empty(outputs, dtype)
            update(x, g, gradient, sums, NONE, 0, settings_, (gradient,) * 2 + (sums,) * 2, 1)
            for p, d in ((flat, gradient.ravel()), (flat_bias, sums)):
                updates.update_flat(rule, step, settings_, p[0], d, p[1], p[2])

        for threads in range(1, 6):
            w, first, second = (padded(x) for x in (start, 0 * start, 0 * start))
            bias, first_bias, second_bias = start_bias.copy(), *np.zeros((2, outputs), dtype)
            memories = first, second, first_bias, second_bias
            for step, (x, g) in enumerate(batches):
                update(x, g, w, bias, rule, step, settings_, memories, threads)
            for fused, reference in zip((w, first, second), flat, strict=True):
                if rule == updates.SGD and fused is second:
                    continue
                assert_array_equal(fused.ravel(), reference)
                assert only_inside(fused)
            assert_array_equal(bias, flat_bias[0])
            assert_array_equal(first_bias, flat_bias[1])


# -------------------------------------------------------------------------- guard pages


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_the_arrays_is_touched(guarded, before, dtype):
    def held(values):
        array = guarded(values.shape, values.dtype, before)
        array[...] = values
        return array

    random = np.random.default_rng(0)
    scratch = guarded((linear.scratch_size(dtype, DEEP),), dtype, before)
    edges = (1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 32, 33, 65)
    shapes = [
        *(tuple(random.choice(edges, 3)) for _ in range(25)),
        (257, 33, 17),
        (15, 330, 530),
        (15, DEEP, 530),
        (15, 1024, 70),
        (9001, 15, 3),
    ]
    for rows, inputs, outputs in shapes:
        x, w = held(whole((rows, inputs), dtype)), held(whole((inputs, outputs), dtype, 1))
        bias, g = held(whole(outputs, dtype, 2)), held(whole((rows, outputs), dtype, 3))
        y, out = held(np.empty((rows, outputs), dtype)), held(np.empty((rows, inputs), dtype))
        settings_ = held(sgd(lr=1.0, momentum=0.5))
        count, elements = layout.sizes(inputs, outputs, dtype)
        panels = held(np.zeros(count * elements, dtype))
        for threads, panelled in itertools.product((1, 3), (False, True)):
            weights = plain = w, outputs, 0
            if panelled:
                copy = inputs, outputs, w, outputs, panels, elements
                for back in (0, 1):
                    call(layout.copy_panels, dtype, *copy, 0, 1, back)
                weights = panels, layout.span_of(dtype), elements
            for thread in range(threads):
                call(
                    linear.linear_forward, dtype, rows, inputs, outputs, ACTIVATIONS["relu"],
                    x, inputs, *(weights if outputs > FEW else plain), bias, y, outputs, 0,
                    thread, threads, scratch,
                )  # fmt: skip
                call(
                    linear.linear_input_gradient, dtype, rows, inputs, outputs,
                    ACTIVATIONS["relu"], g, outputs, *weights, x, inputs, 0, out, inputs, 0,
                    thread, threads, scratch,
                )  # fmt: skip
            assert_array_equal(y, np.maximum(x @ w + bias, 0))
            assert_array_equal(out, np.where(x > 0, g @ w.T, 0))
            for rule in (NONE, updates.SGD):
                weight, slope = held(w), held(bias)
                first, first_bias = held(0 * weights[0]), held(0 * bias)
                own = (held(panels) if panelled else weight), *weights[1:]
                for thread in range(threads):
                    call(
                        linear.linear_update, dtype, rows, inputs, outputs, x, inputs, 0,
                        g, outputs, 0, *own, slope, rule, rule, 0, settings_, first, first,
                        first_bias, first_bias, thread, threads, scratch,
                    )  # fmt: skip
                if panelled:
                    copy = inputs, outputs, weight, outputs, own[0], elements
                    call(layout.copy_panels, dtype, *copy, 0, 1, 1)
                sign = 1 if rule == NONE else -1
                assert_array_equal(weight, sign * (x.T @ g) + (0 if rule == NONE else w))
                assert_array_equal(slope, sign * g.sum(0) + (0 if rule == NONE else bias))


# ------------------------------------------------------------------------- matmul_update


sizes = st.integers(1, 70)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.one_of(st.integers(0, 70), st.sampled_from((255, 257, 600))), sizes, sizes),
    dtype=st.sampled_from(FLOATS),
    transposed=st.booleans(),
    spare_columns=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_matmul_update_is_exact_on_whole_numbers(shape, dtype, transposed, spare_columns, seed):
    depth, rows, columns = shape
    a, b = whole((depth, rows), dtype, seed), whole((depth, columns), dtype, seed + 1)
    start = whole((rows, columns), dtype, seed + 2)
    room = np.full((rows, columns + spare_columns), 77, dtype)
    parameter = room[:, :columns]
    parameter[...] = start
    left = np.asfortranarray(a) if transposed else a
    matmul_update(left, b, parameter, updates.SGD, 0, sgd(lr=0.5))
    assert_array_equal(parameter, start - 0.5 * (a.T @ b))
    assert_array_equal(room[:, columns:], 77)


@pytest.mark.parametrize("dtype", FLOATS)
def test_matmul_update_remembers(dtype):
    a, b, parameter = whole((9, 20), dtype), whole((9, 33), dtype, 1), whole((20, 33), dtype, 2)
    expected, velocity, gradient = parameter.copy(), np.zeros_like(parameter), a.T @ b
    for step in range(3):
        matmul_update(a, b, parameter, updates.SGD, step, sgd(lr=1.0, momentum=0.5), velocity)
        expected = expected - (2 - 0.5**step) * gradient
        assert_array_equal(velocity, (2 - 0.5**step) * gradient)
        assert_array_equal(parameter, expected)
    tensor = torch.tensor(parameter, requires_grad=True)
    tensor.grad = torch.tensor(gradient)
    optimizer = torch.optim.Adam([tensor], lr=0.01)
    optimizer.step()
    settings_ = sgd(lr=0.01)
    settings_[updates.BETA1], settings_[updates.BETA2], settings_[updates.EPSILON] = (
        0.9,
        0.999,
        1e-8,
    )
    first, second = np.zeros((2, 20, 33), dtype)
    matmul_update(a, b, parameter, updates.ADAM, 0, settings_, first, second)
    torch.testing.assert_close(torch.from_numpy(parameter), tensor.detach())


def test_matmul_update_of_nothing():
    for rows, columns in ((0, 3), (3, 0), (0, 0)):
        parameter = np.empty((rows, columns), np.float32)
        matmul_update(np.ones((5, rows)), np.ones((5, columns)), parameter, 0, 0, sgd())


P = np.ones((3, 5), np.float32)
A, B = np.ones((4, 3), np.float32), np.ones((4, 5), np.float32)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"a": A[:3]}, ["a has shape (3, 3)", "b (4, 5)"]),
        ({"a": A[0]}, ["a has shape (3,)"]),
        ({"b": B[None]}, ["b has shape (1, 4, 5)"]),
        ({"a": A.astype(complex)}, ["a has dtype complex128"]),
        ({"parameter": P.T.copy()}, ["parameter has shape (5, 3)", "(3, 5)"]),
        ({"parameter": P.tolist()}, ["parameter", "list"]),
        ({"parameter": P.astype(int)}, ["parameter", "int64"]),
        ({"parameter": np.asfortranarray(P)}, ["parameter has strides"]),
        ({"parameter": np.broadcast_to(P[0], P.shape)}, ["parameter is read-only"]),
        ({"first": P.astype(float)}, ["first has", "float64"]),
        ({"first": P[:, :4]}, ["first has shape (3, 4)"]),
        ({"first": np.ones((3, 6), np.float32)[:, :5]}, ["first has strides"]),
        ({"second": P[:2]}, ["second has shape (2, 5)"]),
        ({"rule": 7}, ["rule", "7"]),
        ({"settings": sgd()[:4]}, ["settings", "(4,)"]),
        ({"settings": sgd().astype(np.float32)}, ["settings", "float32"]),
        ({"settings": None}, ["settings"]),
        ({"settings": sgd(momentum=0.9)}, ["first"]),
        ({"rule": updates.ADAM, "first": 0 * P}, ["second"]),
    ],
)
def test_matmul_update_explains_bad_arguments(changed, told):
    parameter = P.copy()
    given_ = {"a": A, "b": B, "parameter": parameter, "rule": updates.SGD, "step": 0}
    with pytest.raises((TypeError, ValueError)) as caught:
        matmul_update(**{**given_, "settings": sgd(), **changed})
    for part in told:
        assert part in str(caught.value)
    assert "No matching definition" not in str(caught.value)
    assert_array_equal(parameter, P)
