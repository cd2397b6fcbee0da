import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import (
    FLOATS,
    block,
    call,
    dirty_scratch,
    distance,
    normal,
    nothing,
    only_inside,
    settings_of,
    whole,
)
from numpy.testing import assert_array_equal

import kernels
from kernels import matmul_update
from kernels.base.jit import real_type
from kernels.base.kinds import Memory, Panels, Update
from kernels.base.memory import aligned_zeros
from kernels.base.simd import advance, peek, poke
from kernels.functions import updates
from kernels.product import linear
from kernels.product import panels as layout
from kernels.product.affine import affine
from kernels.product.choice import FEW, PANEL_DEPTH
from kernels.product.sharing import columns_of

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
# Around vectors, tiles and what is packed at a time (see test_matmul.py); the
# last has more rows than are packed.
DEEP = PANEL_DEPTH + 10
SHAPES = (
    (0, 3, 4),
    (1, 1, 1),
    (1, 40, 300),
    (2, 5, 3),
    (2, 100, 129),
    (3, 33, 600),
    (4, 257, 70),
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


def product_bound(a, b, start=0.0):
    """Bound of the rounding errors of start + A B; see test_matmul.py."""
    magnitude = np.abs(np.asarray(a, np.float64)) @ np.abs(np.asarray(b, np.float64)) + np.abs(
        np.asarray(start, np.float64)
    )
    return (a.shape[1] + 1) * np.finfo(a.dtype).eps * magnitude


def in_panels(w, threads=1, place=None):
    """Return a weight, or what is remembered of it, in panels: at a place, or in fresh memory."""
    count, elements = layout.sizes(*w.shape, w.dtype)
    memory = aligned_zeros(count * elements, w.dtype) if place is None else place
    panels = Panels(memory, layout.span_of(w.dtype), elements)
    copy_panels(panels, w, threads, back=False)
    return panels


def copy_panels(panels, w, threads=1, *, back=True):
    """Copy panels back to the matrix they were made from, or the other way."""
    memory, _, elements = panels
    for thread in range(threads):
        sharing = thread, threads, int(back)
        call(layout.copy_panels, w.dtype, *w.shape, w, memory, elements, *sharing)


def shares(threads, columns, dtype):
    """The columns of each thread."""
    line = 64 // np.dtype(dtype).itemsize
    return [slice(*columns_of.py_func(columns, line, t, threads)) for t in range(threads)]


def batch_in_panels(batch, threads):
    """Return a batch in panels of each thread's columns, with NaN beside them."""
    (rows, columns), dtype = batch.shape, batch.dtype
    wide = columns + layout.span_of(dtype)
    memory = np.full((threads, rows, wide), np.nan, dtype)
    for place, own in zip(memory, shares(threads, columns, dtype), strict=True):
        place[:, : own.stop - own.start] = batch[:, own]
    return Panels(memory, wide, rows * wide)


def from_batch_panels(memory, columns):
    """A batch from its panels, and whether only its columns were written."""
    places = list(zip(memory, shares(len(memory), columns, memory.dtype), strict=True))
    batch = np.concatenate([place[:, : own.stop - own.start] for place, own in places], axis=1)
    return batch, all(np.isnan(place[:, own.stop - own.start :]).all() for place, own in places)


def forward(x, w, bias, activation, threads):
    """Return the output, which depends neither on how the weights lie nor on how it does itself."""
    (rows, inputs), outputs = x.shape, w.shape[1]

    def compute(weights, y):
        sizes = rows, inputs, outputs, ACTIVATIONS[activation]
        for thread in range(threads):
            sharing = thread, threads, dirty_scratch(x.dtype)
            call(linear.linear_forward, x.dtype, *sizes, x, weights, bias, y, *sharing)

    first = nothing((rows, outputs), x.dtype)
    compute(w, first)
    if outputs <= FEW:  # in one piece, and so is the output
        return first
    again = nothing((rows, outputs), x.dtype)
    compute(in_panels(w), again)
    assert_array_equal(again, first)
    assert only_inside(again)
    for weights in (w, in_panels(w)):
        panels = batch_in_panels(nothing((rows, outputs), x.dtype), threads)
        compute(weights, panels)
        found, inside = from_batch_panels(panels.pointer, outputs)
        assert_array_equal(found, first)
        assert inside
    return first


def input_gradient(g, w, y, activation, threads):
    """Return the gradient, which does not depend on how the weights, the input and itself lie."""
    (rows, outputs), inputs = g.shape, w.shape[0]

    def compute(weights, before, out):
        sizes = rows, inputs, outputs, ACTIVATIONS[activation]
        for thread in range(threads):
            operands = g, weights, before, out, thread, threads, dirty_scratch(g.dtype)
            call(linear.linear_input_gradient, g.dtype, *sizes, *operands)

    first = nothing((rows, inputs), g.dtype)
    compute(w, y, first)
    for lie in itertools.product((w, in_panels(w)), (y, batch_in_panels(y, threads))):
        again = nothing((rows, inputs), g.dtype)
        compute(*lie, again)
        assert_array_equal(again, first)
        assert only_inside(again)
        panels = batch_in_panels(nothing((rows, inputs), g.dtype), threads)
        compute(*lie, panels)
        found, inside = from_batch_panels(panels.pointer, inputs)
        assert_array_equal(found, first)
        assert inside
    return first


class Parameters:
    """Weights and bias, and what a rule remembers of each, evenly apart."""

    def __init__(self, weights, bias, memories=0):
        self.weights = block(weights)
        self.bias = np.array(bias)
        room = np.full((memories, *self.weights.base.shape), np.nan, self.weights.dtype)
        self.memory = room[:, :, : self.weights.shape[1]]
        self.memory[...] = 0
        self.bias_memory = np.zeros((memories, self.bias.size), self.bias.dtype)

    def copy(self):
        other = Parameters(self.weights, self.bias, len(self.memory))
        other.memory[...], other.bias_memory[...] = self.memory, self.bias_memory
        return other

    def arrays(self):
        return self.weights, *self.memory, self.bias, *self.bias_memory

    def only_inside(self):
        between = self.memory.base[:, :, self.weights.shape[1] :]
        return only_inside(self.weights) and bool(np.isnan(between).all())

    def in_panels(self, threads):
        """Return the weights and what is remembered of them in panels, one behind the other."""
        arrays, dtype = [self.weights, *self.memory], self.weights.dtype
        count, elements = layout.sizes(*self.weights.shape, dtype)
        memory = aligned_zeros(len(arrays) * count * elements, dtype).reshape(len(arrays), -1)
        for each, place in zip(arrays, memory, strict=True):
            yield in_panels(each, threads, place)


def remembered_of(arrays):
    """Return arrays that are evenly apart as a memory; there may be none."""
    return Memory(arrays.ctypes.data, distance(arrays) if len(arrays) else 0)


def how_to(rule, step, settings_, dtype):
    """Return how to update by a rule, or to write gradients where it is None."""
    address = 0 if rule is None else rule.routine.address(real_type(dtype))
    return Update(address, 1, step, settings_.ctypes.data)


def update(x, g, parameters, rule, step, settings_, threads):
    """Update, and see that it does not depend on how the weights, x and g lie."""
    (rows, inputs), outputs, dtype = x.shape, g.shape[1], x.dtype
    how = how_to(rule, step, settings_, dtype)

    def compute(x, g, w, memory, own):
        learning = w, memory, how, own.bias, remembered_of(own.bias_memory), how
        for thread in range(threads):
            sharing = thread, threads, dirty_scratch(dtype)
            call(linear.linear_update, dtype, rows, inputs, outputs, x, g, *learning, *sharing)

    panelled, other = parameters.copy(), parameters.copy()
    first, *others = places = list(panelled.in_panels(threads))
    memory = Memory(others[0].pointer if others else first.pointer, first.pointer.size)
    compute(x, g, parameters.weights, remembered_of(parameters.memory), parameters)
    compute(x, g if outputs <= FEW else batch_in_panels(g, threads), first, memory, panelled)
    for place, each in zip(places, (panelled.weights, *panelled.memory), strict=True):
        each[...] = np.nan
        copy_panels(place, each, threads)
    found = [panelled]
    if outputs <= FEW:
        own = other.weights, remembered_of(other.memory)
        compute(batch_in_panels(x, threads), g, *own, other)
        found.append(other)
    for each in found:
        for again, first in zip(each.arrays(), parameters.arrays(), strict=True):
            assert_array_equal(again, first)
        assert each.only_inside()


def sgd(lr=0.1, momentum=0.0, **given):
    return settings_of(learning_rate=lr, momentum=momentum, **given)


# --------------------------------------------------------------------------- forward


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(shape, dtype):
    rows, inputs, outputs = shape
    x, w, bias = normal((rows, inputs), dtype), normal((inputs, outputs), dtype, 1), None
    bias = normal(outputs, dtype, 2)
    expected = np.asarray(x, np.float64) @ np.asarray(w, np.float64) + np.asarray(bias, np.float64)
    y = forward(block(x), block(w), bias, "identity", 1)
    assert np.all(np.abs(y - expected) <= product_bound(x, w, bias))
    assert_array_equal(y, affine(x, w, bias))
    for threads in range(2, 6):
        parts = forward(block(x), block(w), bias, "identity", threads)
        assert_array_equal(parts, y, err_msg=f"{threads} threads")
        assert only_inside(parts)
    assert only_inside(y)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_with_activations(activation, dtype):
    shapes = (7, 5, 3), (64, 30, 100), (65, 257, 33), (33, 21, 1), (50, 100, 2), (700, 20, 70)
    shapes += (1, 20, 70), (3, 100, 40)
    for rows, inputs, outputs in shapes:
        x = block(normal((rows, inputs), dtype) / 8)
        w = block(normal((inputs, outputs), dtype, 1))
        bias = normal(outputs, dtype, 2)
        expected = FUNCTIONS[activation](affine(np.ascontiguousarray(x), w, bias))
        for threads in range(1, 6):
            y = forward(x, w, bias, activation, threads)
            assert_array_equal(y, expected)
            assert only_inside(y)


def test_forward_is_torchs():
    x, w = torch.randn(50, 40, dtype=torch.float64), torch.randn(40, 30, dtype=torch.float64)
    bias = torch.randn(30, dtype=torch.float64)
    y = forward(block(x.numpy()), block(w.numpy()), bias.numpy(), "tanh", 2)
    expected = torch.tanh(torch.nn.functional.linear(x, w.T, bias))
    torch.testing.assert_close(torch.from_numpy(np.ascontiguousarray(y)), expected)


# ---------------------------------------------------------------------- input gradient


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_input_gradient(shape, dtype):
    rows, inputs, outputs = shape
    g, w = normal((rows, outputs), dtype), normal((inputs, outputs), dtype, 1)
    y = np.tanh(normal((rows, inputs), dtype, 2))
    out = input_gradient(block(g), block(w), block(y), "identity", 1)
    expected = np.asarray(g, np.float64) @ np.asarray(w, np.float64).T
    assert np.all(np.abs(out - expected) <= product_bound(g, w.T))
    assert only_inside(out)
    for threads in range(2, 6):
        parts = input_gradient(block(g), block(w), block(y), "identity", threads)
        assert_array_equal(parts, out, err_msg=f"{threads} threads")
        assert only_inside(parts)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_input_gradient_with_activations(activation, dtype):
    shapes = (7, 3, 5), (64, 100, 10), (65, 33, 257), (33, 21, 1), (50, 100, 2), (700, 70, 20)
    for rows, inputs, outputs in shapes:
        g, w = block(normal((rows, outputs), dtype)), block(normal((inputs, outputs), dtype, 1))
        y = block(FUNCTIONS[activation](normal((rows, inputs), dtype, 2)))
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
    expected = np.asarray(x, np.float64).T @ np.asarray(g, np.float64)
    sums = np.zeros(outputs, dtype)
    kernels.add_column_sums(g, sums)
    bits = None
    for threads in range(1, 6):
        found = written_gradient(block(x), block(g), threads)
        assert np.all(np.abs(found.weights - expected) <= product_bound(x.T, g))
        assert_array_equal(found.bias, sums)
        assert found.only_inside()
        bits = found.weights if bits is None else bits
        assert_array_equal(found.weights, bits, err_msg=f"{threads} threads")


def written_gradient(x, g, threads):
    """Return the gradients of weights and bias as if they were these."""
    sizes = (x.shape[1], g.shape[1]), g.shape[1]
    found = Parameters(*(np.full(size, np.nan, x.dtype) for size in sizes))
    update(x, g, found, None, 0, sgd(), threads)
    return found


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rule", [updates.SGD, updates.ADAM], ids=["sgd", "adam"])
def test_updates_are_those_of_the_written_gradient(rule, dtype):
    """Three fused steps give the bits of writing gradients and updating flat arrays by them."""
    settings_ = sgd(0.01, 0.9, weight_decay=0.01, clip_value=3, beta1=0.9, beta2=0.99, epsilon=1e-8)
    for rows, inputs, outputs in ((5, 3, 2), (64, 100, 10), (100, 40, 70), (9001, 20, 33)):
        start, start_bias = normal((inputs, outputs), dtype), normal(outputs, dtype, 1)
        batches = [
            (block(normal((rows, inputs), dtype, s)), block(normal((rows, outputs), dtype, s + 9)))
            for s in range(3)
        ]

        flat, flat_bias = start.flatten(), start_bias.copy()
        memory, bias_memory = (np.zeros((rule.memories, p.size), dtype) for p in (flat, flat_bias))
        for step, (x, g) in enumerate(batches):
            gradient = written_gradient(x, g, 1)
            updates.update_flat(
                rule, True, step, settings_, flat, gradient.weights.flatten(), memory
            )
            updates.update_flat(rule, True, step, settings_, flat_bias, gradient.bias, bias_memory)

        for threads in range(1, 6):
            fused = Parameters(start, start_bias, rule.memories)
            for step, (x, g) in enumerate(batches):
                update(x, g, fused, rule, step, settings_, threads)
            expected = flat, *memory, flat_bias, *bias_memory
            for found, reference in zip(fused.arrays(), expected, strict=True):
                assert_array_equal(found.ravel(), reference)
            assert fused.only_inside()


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
        sizes, relu = (rows, inputs, outputs), ACTIVATIONS["relu"]
        count, elements = layout.sizes(inputs, outputs, dtype)
        panels = held(np.zeros(count * elements, dtype))
        for threads, panelled in itertools.product((1, 3), (False, True)):
            weights = plain = Panels(w, outputs, 0)
            if panelled:
                weights = in_panels(w, place=panels)
                copy_panels(weights, w)
            for thread in range(threads):
                sharing = thread, threads, scratch
                its = weights if outputs > FEW else plain
                call(linear.linear_forward, dtype, *sizes, relu, x, its, bias, y, *sharing)
                call(
                    linear.linear_input_gradient, dtype, *sizes, relu, g, weights, x, out, *sharing
                )
            assert_array_equal(y, np.maximum(x @ w + bias, 0))
            assert_array_equal(out, np.where(x > 0, g @ w.T, 0))
            for rule in (None, updates.SGD):
                weight, slope = held(w), held(bias)
                memory, bias_memory = (
                    Memory(held(0 * each), 0) for each in (weights.pointer, bias)
                )
                own = Panels(held(panels) if panelled else weight, *weights[1:])
                how = how_to(rule, 0, settings_, dtype)
                for thread in range(threads):
                    call(
                        linear.linear_update,
                        dtype,
                        *sizes,
                        x,
                        g,
                        own,
                        memory,
                        how,
                        slope,
                        bias_memory,
                        how,
                        thread,
                        threads,
                        scratch,
                    )
                if panelled:
                    copy_panels(own, weight)
                sign = -1 if rule else 1
                assert_array_equal(weight, sign * (x.T @ g) + (w if rule else 0))
                assert_array_equal(slope, sign * g.sum(0) + (bias if rule else 0))


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
    settings_ = sgd(lr=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8)
    first, second = np.zeros((2, 20, 33), dtype)
    matmul_update(a, b, parameter, updates.ADAM, 0, settings_, first, second)
    torch.testing.assert_close(torch.from_numpy(parameter), tensor.detach())


def misaligned(values):
    """Return an array that does not begin where an element may."""
    memory = np.zeros(values.nbytes + 1, np.uint8)
    array = memory[1:].view(values.dtype).reshape(values.shape)
    array[...] = values
    return array


@pytest.mark.parametrize("dtype", FLOATS)
def test_matmul_update_remembers_in_arrays_wherever_they_lie(dtype):
    a, b, start = normal((9, 20), dtype), normal((9, 33), dtype, 1), normal((20, 33), dtype, 2)
    settings_ = sgd(lr=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8)
    zeros = np.zeros_like(start)
    expected = start.copy(), zeros.copy(), zeros.copy()
    matmul_update(a, b, expected[0], updates.ADAM, 0, settings_, *expected[1:])
    for first, second in (
        (zeros.copy(), misaligned(zeros)),
        (misaligned(zeros), zeros.copy()),
        (misaligned(zeros), misaligned(zeros)),
        np.zeros((2, *start.shape), dtype)[::-1],
    ):
        found = start.copy(), first, second
        matmul_update(a, b, found[0], updates.ADAM, 0, settings_, first, second)
        for own, wanted in zip(found, expected, strict=True):
            assert_array_equal(own, wanted)


@updates.rule(memories=3)
def NUMBERING(step, settings, decay, rows, columns, p, g, memory):  # noqa: N802
    """Add g to the first memory, p to the second, and the step to the third; p -= g."""
    for i in range(rows):
        for j in range(columns):
            place, slope = i * p.ld + j, peek(g.pointer, i * g.ld + j)
            value = peek(p.pointer, place)
            for number in range(3):
                each = advance(memory.pointer, number * memory.apart)
                more = slope if number == 0 else value if number == 1 else float(step)
                poke(each, place, peek(each, place) + more)
            poke(p.pointer, place, value - slope)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [5, 33])
def test_matmul_update_by_a_rule_that_remembers_three_arrays(folder, dtype, columns):
    a, b = whole((9, 20), dtype), whole((9, columns), dtype, 1)
    room = np.full((4, 20, columns + 3), 77, dtype)
    p, *memories = room[:, :, :columns]
    p[...] = start = whole((20, columns), dtype, 2)
    for each in memories:
        each[...] = 0
    for step in (1, 2):
        matmul_update(a, b, p, NUMBERING, step, sgd(), *memories)
    gradient = a.T @ b
    for found, expected in zip(
        (p, *memories), (start - 2 * gradient, 2 * gradient, 2 * start - gradient, 3), strict=True
    ):
        assert_array_equal(found, np.broadcast_to(expected, p.shape))
    assert_array_equal(room[:, :, columns:], 77)
    with pytest.raises(ValueError, match=r"third is None; Rule\(NUMBERING\) remembers it"):
        matmul_update(a, b, p, NUMBERING, 0, sgd(), *memories[:2])


def test_matmul_update_of_nothing():
    for rows, columns in ((0, 3), (3, 0), (0, 0)):
        parameter = np.empty((rows, columns), np.float32)
        operands = np.ones((5, rows)), np.ones((5, columns)), parameter
        matmul_update(*operands, updates.SGD, 0, sgd())


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
