from functools import partial

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS
from numpy.testing import assert_array_equal

import kernels
from kernels.base.kinds import matrix_of
from kernels.base.memory import aligned_zeros
from kernels.base.simd import data
from kernels.functions.activations import ACTIVATIONS, apply_gradient
from kernels.product.choice import NARROW, THIN
from kernels.product.narrow import (
    SCRATCH,
    narrow_forward,
    narrow_input_gradient,
    thin_weight_gradient,
)


@pytest.fixture(scope="module")
def forward():
    @numba.njit
    def compiled(x, w, bias, y, scratch):
        narrow_forward(
            x.shape[0],
            w.shape[0],
            w.shape[1],
            matrix_of(x),
            matrix_of(w),
            data(bias),
            matrix_of(y),
            data(scratch),
        )

    return lambda x, w, bias: run(compiled, (len(x), w.shape[1]), x, w, bias)


@pytest.fixture(scope="module")
def input_gradient():
    @numba.njit
    def compiled(code, g, w, y, out, scratch):
        narrow_input_gradient(
            g.shape[0],
            w.shape[0],
            w.shape[1],
            code,
            matrix_of(g),
            matrix_of(w),
            matrix_of(y),
            matrix_of(out),
            data(scratch),
        )

    def call(g, w, activation="identity", y=None):
        code = ACTIVATIONS[activation]
        y = np.zeros((len(g), len(w)), g.dtype) if y is None else y
        return run(partial(compiled, code), y.shape, g, w, y)

    return call


@pytest.fixture(scope="module")
def weight_gradient():
    @numba.njit
    def compiled(x, g, out, scratch):
        thin_weight_gradient(
            x.shape[0], x.shape[1], g.shape[1], matrix_of(x), matrix_of(g), matrix_of(out)
        )

    return lambda x, g: run(compiled, (x.shape[1], g.shape[1]), x, g)


def run(compiled, shape, *arrays):
    """Call with a result and scratch memory that hold NaN; gives the result."""
    dtype = arrays[0].dtype
    result, scratch = np.full(shape, np.nan, dtype), aligned_zeros(SCRATCH, dtype)
    scratch[...] = np.nan
    compiled(*arrays, result, scratch)
    return result


def bits(values):
    """Numbers as bytes, all NaN as one."""
    return np.where(np.isnan(values), values.dtype.type(np.nan), values).view(np.uint8)


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None, max_examples=60)
@given(
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    rows=st.integers(0, 70),
    inputs=st.integers(0, 70),
    outputs=st.integers(1, NARROW),
    seed=st.integers(0, 99),
)
def test_products(forward, input_gradient, dtype, activation, rows, inputs, outputs, seed):
    random = np.random.default_rng(seed)
    x, w = random.normal(size=(rows, inputs)), random.normal(size=(inputs, outputs))
    x, w = x.astype(dtype), w.astype(dtype)
    bias, g = random.normal(size=outputs).astype(dtype), random.normal(size=(rows, outputs))
    g = g.astype(dtype)
    y = forward(x, w, bias)
    exact = np.asarray(x, np.float64) @ np.asarray(w, np.float64) + bias
    bound = (
        (inputs + 2)
        * np.finfo(dtype).eps
        * (np.abs(x) @ np.abs(np.asarray(w, np.float64)) + np.abs(bias))
    )
    assert np.all(np.abs(y - exact) <= bound)
    assert_array_equal(y, kernels.matmul(x, w, bias=bias))
    for i in range(0, rows, 7):
        assert_array_equal(forward(x[i : i + 3], w, bias), y[i : i + 3])
    below = kernels.matmul(g, w.T, np.zeros_like(x), accumulate=True)
    expected = apply_gradient(ACTIVATIONS[activation], x, below)
    assert_array_equal(input_gradient(g, w, activation, x), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("outputs", range(1, NARROW + 1))
def test_signs_of_zero_and_what_is_not_finite(forward, input_gradient, outputs, dtype):
    random = np.random.default_rng(0)
    x, w = random.normal(size=(20, 5)).astype(dtype), random.normal(size=(5, outputs)).astype(dtype)
    x[3, 1], x[4, 0], x[5, 2], x[6], w[2] = np.nan, np.inf, -np.inf, 0.0, -0.0
    bias, g = np.full(outputs, -0.0, dtype), np.ascontiguousarray(x[:, :outputs])
    y = forward(x, w, bias)
    with np.errstate(invalid="ignore"):
        expected = x @ w + bias
    defined = ~np.isnan(expected)  # a NaN may have any sign
    for kind in (np.isposinf, np.isneginf, np.signbit):
        found, wanted = kind(y), kind(expected)
        assert_array_equal(found[defined], wanted[defined], err_msg=kind.__name__)
    assert_array_equal(np.isnan(y), np.isnan(expected))
    assert_array_equal(y == 0, expected == 0)
    below = kernels.matmul(g, w.T, np.zeros(x.shape, dtype), accumulate=True)
    assert_array_equal(bits(input_gradient(g, w)), bits(below))


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None)
@given(
    rows=st.integers(1, THIN), inputs=st.integers(0, 40), outputs=st.integers(1, 70),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_gradient_of_few_rows_has_the_bits_of_the_product_by_tiles(
    weight_gradient, dtype, rows, inputs, outputs, seed
):
    random = np.random.default_rng(seed)
    x, g = (random.normal(size=(rows, n)).astype(dtype) for n in (inputs, outputs))
    x[0, : inputs // 2], g[-1, : outputs // 3] = -0.0, 0.0
    x[-1, inputs - 1 :], g[0, :1] = np.nan, -np.inf
    expected = kernels.matmul(x.T, g, np.zeros((inputs, outputs), dtype), accumulate=True)
    assert_array_equal(bits(weight_gradient(x, g)), bits(expected))
