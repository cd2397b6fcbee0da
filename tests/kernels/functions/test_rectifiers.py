import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS
from numpy.testing import assert_array_equal
from scipy.special import expit, ndtr

import kernels
from kernels.functions.rectifiers import RECTIFIERS, rectify, rectify_gradient

CHUNK = 1 << 14
f = torch.nn.functional
# Parameters of each function, and torch's function with them.
CASES = {
    "leaky_relu": ((0.2, 0.0), lambda x: f.leaky_relu(x, 0.2)),
    "elu": ((0.7, 0.0), lambda x: f.elu(x, 0.7)),
    "gelu": ((0.0, 0.0), f.gelu),
    "gelu_tanh": ((0.0, 0.0), lambda x: f.gelu(x, approximate="tanh")),
    "silu": ((0.0, 0.0), f.silu),
    "softplus": ((2.0, 15.0), lambda x: f.softplus(x, 2.0, 15.0)),
    "mish": ((0.0, 0.0), f.mish),
    "hardswish": ((0.0, 0.0), f.hardswish),
    "hardtanh": ((-0.5, 2.0), lambda x: f.hardtanh(x, -0.5, 2.0)),
    "smooth_clip": ((3.0, 0.0), lambda x: x / torch.sqrt(1 + (x / 3) ** 2)),
}
# Limits of those that have two.
BOUNDED = {"hardtanh": (-0.5, 2.0), "smooth_clip": (-3.0, 3.0)}
# What the docstrings promise, in ulps.
BOUNDS = {
    "leaky_relu": 0.5, "elu": 2.0, "gelu": 7.0, "silu": 2.5, "softplus": 3.0, "mish": 6.0,
    "hardswish": 2.0, "hardtanh": 0.5, "smooth_clip": 4.0,
}  # fmt: skip


def exact(name, x):
    """The function in float64, without cancellation on the way."""
    with np.errstate(over="ignore"):
        a, _ = (float(np.float32(each)) for each in CASES[name][0])
        half = {
            "leaky_relu": lambda: np.where(x > 0, x, x * a),
            "elu": lambda: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
            "gelu": lambda: x * ndtr(x),
            "silu": lambda: x * expit(x),
            "softplus": lambda: np.where(
                2 * x > 15, x, (np.maximum(2 * x, 0) + np.log1p(np.exp(-np.abs(2 * x)))) / 2
            ),
            "mish": lambda: x * np.tanh(np.log1p(np.exp(x))),
            "hardswish": lambda: x * np.clip(x + 3, 0, 6) / 6,
            "hardtanh": lambda: np.clip(x, -0.5, 2),
            "smooth_clip": lambda: x / np.sqrt(1 + (x / 3) ** 2),
        }
        return half[name]()


def test_there_is_a_case_for_each():
    assert CASES.keys() == RECTIFIERS.keys()


@pytest.mark.parametrize("name", BOUNDS)
def test_float32_on_inputs_of_every_size(name, ulps):
    everything = np.arange(0, 1 << 32, 1021, dtype=np.uint32)
    for i in range(0, everything.size, CHUNK):
        x = everything[i : i + CHUNK].view(np.float32)
        x = x[np.abs(x) < 1e30]
        if not x.size:
            continue
        error = ulps(rectify(name, x, *CASES[name][0]), exact(name, x.astype(np.float64)))
        assert error.max() <= BOUNDS[name], x[error.argmax()]


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_approximate_gelu_is_within_ulps_of_its_input(dtype):
    x = (np.random.default_rng(0).normal(size=10_000) * 4).astype(dtype)
    got = rectify("gelu_tanh", x)
    with mpmath.workdps(40):
        for value, found in zip(x[:2000], got[:2000], strict=True):
            v = mpmath.mpf(float(value))
            u = mpmath.sqrt(2 / mpmath.pi) * (v + mpmath.mpf("0.044715") * v**3)
            true = v * (1 + mpmath.tanh(u)) / 2
            assert abs(true - float(found)) <= 3 * abs(np.spacing(value))


@pytest.mark.parametrize("name", sorted(BOUNDS.keys() - {"leaky_relu"}))
@settings(deadline=None, max_examples=200)
@given(x=st.floats(-40, 40) | st.floats(-800, 1e6))
def test_float64_against_mpmath(name, x):
    got = float(rectify(name, np.array([x]), *CASES[name][0])[0])
    with mpmath.workprec(2400):
        v = mpmath.mpf(x)
        true = {
            "gelu": lambda: v * mpmath.erfc(-v / mpmath.sqrt(2)) / 2,
            "elu": lambda: v if v > 0 else mpmath.mpf(0.7) * mpmath.expm1(v),
            "silu": lambda: v / (1 + mpmath.exp(-v)),
            "softplus": lambda: v if 2 * v > 15 else mpmath.log1p(mpmath.exp(2 * v)) / 2,
            "mish": lambda: v * mpmath.tanh(mpmath.log1p(mpmath.exp(v))),
            "hardswish": lambda: v * min(max(v + 3, 0), 6) / 6,
            "hardtanh": lambda: min(max(v, mpmath.mpf(-0.5)), mpmath.mpf(2)),
            "smooth_clip": lambda: v / mpmath.sqrt(1 + (v / 3) ** 2),
        }[name]()
        if true == 0:
            assert got == 0
            return
        unit = mpmath.mpf(2) ** (max(mpmath.frexp(true)[1] - 1, -1022) - 52)
        assert abs(got - true) / unit <= BOUNDS[name]


@settings(deadline=None, max_examples=100)
@given(
    name=st.sampled_from(sorted(CASES)),
    shape=st.sampled_from([(), (1,), (17,), (3, 5), (2, 3, 4), (0,), (70, 33)]),
    dtype=st.sampled_from(FLOATS),
    scale=st.sampled_from((0.1, 1.0, 10.0)),
    seed=st.integers(0, 2**32 - 1),
)
def test_functions_and_gradients_are_torchs(name, shape, dtype, scale, seed):
    random = np.random.default_rng(seed)
    x = np.asarray(random.normal(size=shape) * scale, dtype)
    g = np.asarray(random.normal(size=shape), dtype)
    parameters, theirs = CASES[name]
    held = x.copy(), g.copy()
    y, out = rectify(name, x, *parameters), rectify_gradient(name, x, g, *parameters)
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor)
    expected.backward(torch.tensor(g))
    torch.testing.assert_close(torch.tensor(y), expected.detach())
    torch.testing.assert_close(torch.tensor(out), tensor.grad)
    assert y.dtype == out.dtype == dtype
    assert y.shape == out.shape == shape
    assert_array_equal(x, held[0])
    assert_array_equal(g, held[1])


@pytest.mark.parametrize("name", CASES)
def test_gradients_by_central_differences(name):
    x, step = np.random.default_rng(0).normal(size=200) * 3, 1e-6
    x[np.abs(x) < 1e-3] = 0.5  # away from corners
    parameters = CASES[name][0]
    above, below = (rectify(name, x + way, *parameters) for way in (step, -step))
    slope = rectify_gradient(name, x, np.ones(200), *parameters)
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CASES)
def test_slopes_keep_their_digits(name, dtype):
    """In float32 as float64 has them, and none is lost far from 0."""
    x = np.linspace(-30, 30, 4001).astype(dtype)
    parameters = CASES[name][0]
    slope = rectify_gradient(name, x, np.ones_like(x), *parameters)
    wide = rectify_gradient(name, x.astype(np.float64), np.ones(x.size), *parameters)
    np.testing.assert_allclose(slope, wide, rtol=0, atol=8 * np.finfo(dtype).eps)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values(dtype):
    x = np.array([np.nan, np.inf, 0.0, -1e4, 1e4], dtype)
    for name, (parameters, _) in CASES.items():
        if name in BOUNDED:
            continue
        y = rectify(name, x, *parameters)
        slope = rectify_gradient(name, x, np.ones_like(x), *parameters)
        assert np.isnan(y[0])
        assert y[1] == np.inf
        assert y[4] == x[4]
        assert slope[4] == 1
        assert y[2] == (0 if name != "softplus" else y[2])
        assert np.isfinite(slope[2:]).all()
        if name not in ("leaky_relu", "elu"):
            assert y[3] == 0
            assert slope[3] == 0
    assert rectify("elu", -x[1:2], 0.5) == -0.5
    assert rectify("gelu", -x[1:2]) == 0
    for name in ("mish", "hardswish"):  # as in torch
        assert np.isnan(rectify(name, -x[1:2]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BOUNDED)
def test_what_is_far_away_reaches_the_bound_with_slope_0(name, dtype):
    most = np.finfo(dtype).max
    x = np.array([-np.inf, -most, -1e12, 0.0, 1e12, most, np.inf, np.nan], dtype)
    parameters = CASES[name][0]
    low, high = BOUNDED[name]
    y = rectify(name, x, *parameters)
    assert_array_equal(y, np.array([low, low, low, 0, high, high, high, np.nan], dtype))
    slope = rectify_gradient(name, x[:-1], np.ones(7, dtype), *parameters)
    np.testing.assert_allclose(slope, [0, 0, 0, 1, 0, 0, 0], rtol=0, atol=1e-30)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nothing_overflows(dtype):
    most = np.finfo(dtype).max
    for name in ("mish", "hardswish"):
        assert_array_equal(rectify(name, np.array([most, -most], dtype)), [most, 0])
        slope = rectify_gradient(name, np.array([most, -most, np.inf], dtype), np.ones(3, dtype))
        assert_array_equal(slope, [1, 0, 1])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, 5])
def test_hardswish_bends_where_torch_s_does(dtype, size):
    for bend in (-3, 3):
        x = np.nextafter(np.full(size, bend, dtype), np.array([-9, bend, 9], dtype)[:, None])
        tensor = torch.tensor(x, requires_grad=True)
        f.hardswish(tensor).sum().backward()
        ours = torch.tensor(rectify_gradient("hardswish", x, np.ones_like(x)))
        torch.testing.assert_close(ours, tensor.grad)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CASES)
def test_no_byte_beside_an_array_is_touched(name, dtype, guarded):
    for size in (1, 7, 16, 33):
        x, g = guarded((size,), dtype), guarded((size,), dtype)
        x[...], g[...] = 0.3, 1.0
        plain = np.full(size, 0.3, dtype)
        assert_array_equal(rectify(name, x, 1.0, 1.0), rectify(name, plain, 1.0, 1.0))
        rectify_gradient(name, x, g, 1.0, 1.0)


def test_functions_by_their_names():
    x = np.linspace(-3, 3, 50)
    t = torch.tensor(x)
    for ours, theirs in (
        (kernels.leaky_relu(x), f.leaky_relu(t)), (kernels.elu(x, 2.0), f.elu(t, 2.0)),
        (kernels.gelu(x), f.gelu(t)), (kernels.gelu(x, "tanh"), f.gelu(t, approximate="tanh")),
        (kernels.silu(x), f.silu(t)), (kernels.softplus(x), f.softplus(t)),
    ):  # fmt: skip
        torch.testing.assert_close(torch.tensor(ours), theirs)
    assert kernels.silu([1, 2]).dtype == np.float64
    square = x.reshape(5, 10)
    assert_array_equal(kernels.elu(np.asfortranarray(square)), kernels.elu(square))


def test_bad_arguments():
    with pytest.raises(TypeError, match="x has dtype"):
        kernels.silu(["a"])
    with pytest.raises(ValueError, match="approximate is 'erf'; expected 'none' or 'tanh'"):
        kernels.gelu([1.0], "erf")
    with pytest.raises(ValueError, match="gradient has shape"):
        rectify_gradient("silu", np.ones(3), np.ones(2))
