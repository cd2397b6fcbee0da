import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kit import FLOATS, call, lanes

from kernels.base.kinds import Matrix
from kernels.functions import activations as acts

FUNCTIONS = {"relu": acts.relu, "tanh": acts.tanh, "sigmoid": acts.sigmoid, "exp": acts.exp}
GRADIENTS = {
    "relu": acts.relu_gradient,
    "tanh": acts.tanh_gradient,
    "sigmoid": acts.sigmoid_gradient,
    "exp": acts.exp_gradient,
}
NAMES = sorted(FUNCTIONS)
CODES = sorted(acts.ACTIVATIONS)
ULPS = 2  # the loosest of the docstrings' bounds, for float64 compared with float64


def exact(name, x):
    """The function in the widest type there is."""
    x = np.asarray(x).astype(np.longdouble)
    with np.errstate(over="ignore", invalid="ignore"):
        if name == "relu":
            return np.maximum(x, 0)
        if name == "sigmoid":
            power = np.exp(-np.abs(x))
            return np.where(x < 0, power, 1) / (1 + power)
        return getattr(np, name)(x)


def sample(shape, dtype, seed=0):
    return np.asarray(np.random.default_rng(seed).normal(size=shape) * 3, dtype)


# ------------------------------------------------------------------------ values


def same_bits(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)  # the first call compiles
@given(data=st.data())
def test_value_of_arrays_of_any_shape(name, data, ulps):
    dtype = data.draw(st.sampled_from(FLOATS))
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40)
    bits = 8 * np.dtype(dtype).itemsize
    x = data.draw(hnp.arrays(dtype, shapes, elements=st.floats(width=bits)))
    got = FUNCTIONS[name](x)
    assert isinstance(got, np.ndarray)
    assert got.shape == x.shape
    assert got.dtype == x.dtype
    assert (ulps(got, exact(name, x)) <= ULPS).all()


LAYOUTS = {
    "steps": lambda a: a[::2],
    "backwards": lambda a: a[::-1],
    "transposed": lambda a: a.T,
    "column-major": np.asfortranarray,
    "columns": lambda a: a[:, 1:-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": lambda a: misaligned(a),
    "foreign byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: read_only(a),
}


def misaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    moved = raw.view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_input_of_any_layout(name, layout, dtype):
    x = LAYOUTS[layout](sample((9, 14), dtype))
    plain = np.array(x, dtype, order="C")
    same_bits(FUNCTIONS[name](x), FUNCTIONS[name](plain))
    same_bits(GRADIENTS[name](x, x), GRADIENTS[name](plain, plain))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["steps", "backwards", "transposed", "columns", "unaligned"])
@pytest.mark.parametrize("name", NAMES)
def test_out_of_any_layout(name, layout, dtype):
    out = LAYOUTS[layout](sample((9, 14), dtype))
    x = sample(out.shape, dtype, 1)
    assert FUNCTIONS[name](x, out) is out
    same_bits(np.array(out, order="C"), FUNCTIONS[name](x))
    assert GRADIENTS[name](x, x, out) is out
    same_bits(np.array(out, order="C"), GRADIENTS[name](x, x))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (1,), (5, 0), (131,), (7, 33)])
@pytest.mark.parametrize("name", NAMES)
def test_in_place(name, shape, dtype):
    x, g = sample(shape, dtype), sample(shape, dtype, 1)
    expected, expected_gradient = FUNCTIONS[name](x), GRADIENTS[name](x, g)
    y = x.copy()
    assert FUNCTIONS[name](y, y) is y
    same_bits(y, expected)
    for place in (0, 1):
        both = [x.copy(), g.copy()]
        out = both[place]
        assert GRADIENTS[name](*both, out) is out
        same_bits(out, expected_gradient)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shift", [-70, -17, -1, 1, 17, 70])
@pytest.mark.parametrize("name", NAMES)
def test_out_that_overlaps_the_input(name, shift, dtype):
    memory = sample(400, dtype)
    x, out = memory[100:300], memory[100 + shift : 300 + shift]
    g = sample(x.shape, dtype, 1)
    expected, expected_gradient = FUNCTIONS[name](x), GRADIENTS[name](x, g)
    before = x.copy()
    same_bits(FUNCTIONS[name](x, out), expected)
    x[...] = before
    same_bits(GRADIENTS[name](x, g, out), expected_gradient)
    x[...] = g
    same_bits(GRADIENTS[name](before, x, out), expected_gradient)


@pytest.mark.parametrize("name", NAMES)
def test_out_that_is_the_transposed_input(name):
    x = sample((40, 40), np.float32)
    expected = FUNCTIONS[name](x)
    FUNCTIONS[name](x, x.T)
    same_bits(np.ascontiguousarray(x.T), expected)


# ------------------------------------------------------------------ types and errors


@pytest.mark.parametrize("value", [[1, -2], (True, False), 3, np.arange(4), np.uint8([1, 255])])
@pytest.mark.parametrize("name", NAMES)
def test_integers_become_float64(name, value):
    same_bits(FUNCTIONS[name](value), FUNCTIONS[name](np.array(value, np.float64)))
    same_bits(GRADIENTS[name](value, value), GRADIENTS[name](*[np.array(value, np.float64)] * 2))


def test_half_precision_becomes_single():
    x = np.float16([0.5, -1, 3])
    same_bits(acts.tanh(x), acts.tanh(x.astype(np.float32)))


def test_mixed_dtypes_of_output_and_gradient_give_the_larger():
    y, g = sample(20, np.float32), sample(20, np.float64)
    same_bits(acts.tanh_gradient(y, g), acts.tanh_gradient(y.astype(np.float64), g))


@pytest.mark.parametrize("value", [1j, "text", np.array([None]), np.longdouble([1])])
@pytest.mark.parametrize("name", NAMES)
def test_other_types_are_named_in_a_type_error(name, value):
    dtype = str(np.asarray(value).dtype)
    with pytest.raises(TypeError, match=f"^x has dtype {dtype}"):
        FUNCTIONS[name](value)
    with pytest.raises(TypeError, match=f"^output has dtype {dtype}"):
        GRADIENTS[name](value, np.ones(1))
    with pytest.raises(TypeError, match=f"^gradient has dtype {dtype}"):
        GRADIENTS[name](np.ones(np.shape(value)), value)


WRONG_OUTPUTS = {
    "shape": (np.empty(4), ValueError, r"out has shape \(4,\) .* expected \(3,\) and float64"),
    "dimensions": (np.empty((3, 1)), ValueError, r"out has shape \(3, 1\) .* expected \(3,\)"),
    "dtype": (np.empty(3, np.float32), ValueError, "dtype float32; expected .* float64"),
    "byte order": (np.empty(3, ">f8"), ValueError, "dtype >f8; expected .* float64"),
    "read-only": (read_only(np.empty(3)), ValueError, "out is read-only"),
    "list": ([0.0, 0.0, 0.0], TypeError, "out is of type list"),
}


@pytest.mark.parametrize("what", WRONG_OUTPUTS)
@pytest.mark.parametrize("name", NAMES)
def test_out_that_cannot_hold_the_result(name, what):
    out, error, message = WRONG_OUTPUTS[what]
    with pytest.raises(error, match=message):
        FUNCTIONS[name](np.ones(3), out)
    with pytest.raises(error, match=message):
        GRADIENTS[name](np.ones(3), np.ones(3), out)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (3, 1)])
def test_gradient_of_another_shape(name, shape):
    with pytest.raises(ValueError, match=r"gradient has shape .* output \(1, 3\)"):
        GRADIENTS[name](np.ones((1, 3)), np.ones(shape))


# ---------------------------------------------------------------------- special values


@pytest.mark.parametrize("dtype", FLOATS)
def test_relu_of_special_values(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, -1e-40, 1e-40], dtype)
    np.testing.assert_array_equal(acts.relu(x), np.maximum(x, 0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_relu_gradient_selects_as_torch_does(dtype):
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 2.0]
    x, g = (a.ravel().astype(dtype) for a in np.meshgrid(special, special))
    tensor = torch.tensor(x, requires_grad=True)
    torch.relu(tensor).backward(torch.tensor(g))
    np.testing.assert_array_equal(acts.relu_gradient(acts.relu(x), g), tensor.grad.numpy())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_nan_gives_nan(name, dtype):
    x = np.full(lanes(dtype) + 3, np.nan, dtype)
    assert np.isnan(FUNCTIONS[name](x)).all()


# -------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_torchs(name, dtype):
    x, g = sample((23, 17), dtype), sample((23, 17), dtype, 1)
    tensor = torch.tensor(x, requires_grad=True)
    value = getattr(torch, name)(tensor)
    value.backward(torch.tensor(g))
    y = FUNCTIONS[name](x)
    torch.testing.assert_close(torch.from_numpy(y), value.detach())
    torch.testing.assert_close(torch.from_numpy(GRADIENTS[name](y, g)), tensor.grad)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)  # the first call compiles
@given(x=hnp.arrays(np.float64, (11,), elements=st.floats(-4, 4)))
def test_gradient_is_the_central_difference(name, x):
    x = np.where(abs(x) < 1e-3, 0.5, x)  # away from the kink of relu
    eps = 1e-6
    above, below = FUNCTIONS[name](x + eps), FUNCTIONS[name](x - eps)
    gradient = GRADIENTS[name](FUNCTIONS[name](x), np.ones_like(x))
    np.testing.assert_allclose(gradient, (above - below) / (2 * eps), rtol=1e-7, atol=1e-8)


def test_tanh_gradient_keeps_its_digits_near_saturation():
    y = np.float32([1 - 2**-24, 1 - 2**-20, -1 + 2**-22])
    expected = 1 - y.astype(np.float64) ** 2
    np.testing.assert_allclose(acts.tanh_gradient(y, np.ones_like(y)), expected, rtol=3e-7)


# ---------------------------------------------------------------------------- blocks


def expected_of(code, x):
    return x.copy() if code == "identity" else FUNCTIONS[code](x)


def expected_gradient_of(code, y, g):
    return g.copy() if code == "identity" else GRADIENTS[code](y, g)


@pytest.mark.parametrize("code", CODES)
@settings(deadline=None)  # the first call compiles
@given(
    dtype=st.sampled_from(FLOATS),
    rows=st.integers(0, 4),
    columns=st.integers(0, 150),
    gaps=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    in_place=st.booleans(),
)
def test_block_of_rows_and_nothing_beside_it(code, dtype, rows, columns, gaps, in_place):
    arrays = [sample((rows, columns + gap), dtype, seed) for seed, gap in enumerate(gaps)]
    x, g, out = arrays
    inside = np.s_[:, :columns]
    value = expected_of(code, np.ascontiguousarray(x[inside]))
    gradient = expected_gradient_of(code, *(np.ascontiguousarray(a[inside]) for a in (x, g)))

    sizes = acts.ACTIVATIONS[code], rows, columns
    after = out.copy()
    after[inside] = value
    call(acts.activate, dtype, *sizes, x, out)
    same_bits(out, after)

    target = g if in_place else out
    after = target.copy()
    after[inside] = gradient
    call(acts.activate_gradient, dtype, *sizes, x, g, target)
    same_bits(target, after)

    after = x.copy()
    after[inside] = value
    call(acts.activate, dtype, *sizes, x, x)
    same_bits(x, after)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("code", CODES)
def test_value_does_not_depend_on_the_place_in_a_vector(code, dtype):
    values = sample(9, dtype)
    for value in values:
        n = 6 * lanes(dtype) + 1
        got = expected_of(code, np.full(n, value, dtype))
        assert (got == got[0]).all()


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("code", CODES)
def test_no_byte_outside_an_array_is_touched(code, dtype, before, guarded):
    w = lanes(dtype)
    for n in sorted({1, 2, w - 1, w, w + 1, 2 * w + 3, 4 * w, 4 * w + 1, 5 * w - 1}):
        x, g, out = (guarded(n, dtype, before) for _ in range(3))
        x[:], g[:] = sample(n, dtype), sample(n, dtype, 1)
        acts.apply(acts.ACTIVATIONS[code], x, out)
        same_bits(out, expected_of(code, x))
        acts.apply_gradient(acts.ACTIVATIONS[code], x, g, out)
        same_bits(out, expected_gradient_of(code, x, g))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("code", CODES)
def test_no_byte_beyond_the_last_row_of_a_block_is_touched(code, dtype, guarded):
    rows, ld = 3, 4 * lanes(dtype) + 7
    for columns in (1, lanes(dtype), ld - 3):
        x, g, out = (guarded((rows - 1) * ld + columns, dtype) for _ in range(3))
        x[:], g[:] = sample(x.size, dtype), sample(x.size, dtype, 1)
        blocks = [Matrix(each, ld) for each in (x, g, out)]
        sizes = acts.ACTIVATIONS[code], rows, columns
        call(acts.activate, dtype, *sizes, blocks[0], blocks[2])
        call(acts.activate_gradient, dtype, *sizes, *blocks)
        last = np.s_[(rows - 1) * ld :]
        same_bits(out[last], expected_gradient_of(code, x[last], g[last]))


# ---------------------------------------------------------------------- every input


@pytest.mark.slow
def test_relu_of_every_float32_input():
    chunk = 1 << 15
    for start in range(0, 1 << 32, chunk):
        x = np.arange(start, start + chunk, dtype=np.uint32).view(np.float32)
        np.testing.assert_array_equal(acts.relu(x), np.maximum(x, 0))
