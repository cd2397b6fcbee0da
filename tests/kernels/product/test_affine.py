import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS
from numpy.testing import assert_array_equal

import kernels
from crews import together
from kernels.base import host
from kernels.product.affine import affine
from kernels.product.choice import FEW, LARGE_PRODUCT


def layer(rows, inputs, outputs, dtype):
    """A batch, and weights and bias as layers have them, with NaN beside the weights."""
    random = np.random.default_rng(0)
    padded = np.full((inputs, outputs + 3), np.nan, dtype)
    padded[:, :outputs] = random.standard_normal((inputs, outputs))
    x = random.standard_normal((rows, inputs)).astype(dtype)
    return x, padded[:, :outputs], random.standard_normal(outputs).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None, max_examples=60)
@given(rows=st.integers(0, 130), inputs=st.integers(1, 150), outputs=st.integers(1, 40))
def test_rows_times_weights_and_bias(dtype, rows, inputs, outputs):
    x, w, bias = layer(rows, inputs, outputs, dtype)
    y = affine(x, w, bias)
    exact = np.asarray(x, np.float64) @ np.asarray(w, np.float64) + bias
    bound = (
        (inputs + 2)
        * np.finfo(dtype).eps
        * (np.abs(x) @ np.abs(np.asarray(w, np.float64)) + np.abs(bias))
    )
    assert y.dtype == dtype
    assert np.all(np.abs(y - exact) <= bound)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("outputs", [1, 2, 10, FEW])
def test_few_outputs_are_summed_in_two_halves(dtype, outputs):
    for inputs in (33, 64, 100, 784):
        x, w, bias = layer(33, inputs, outputs, dtype)
        line = host.CACHE_LINE // np.dtype(dtype).itemsize
        lines = -(-inputs // line)
        middle = (lines // 2 + (lines % 2 and lines // 2 % 2)) * line
        halves = kernels.matmul(x[:, :middle], w[:middle]) + kernels.matmul(
            x[:, middle:], w[middle:]
        )
        assert_array_equal(affine(x, w, bias), halves + bias)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_team_gives_the_same_bits(set_threads, dtype):
    rows = 4 * LARGE_PRODUCT // (100 * 10)
    x, w, bias = layer(rows, 100, 10, dtype)
    set_threads(1)
    alone = affine(x, w, bias)
    for threads in (2, 3):
        set_threads(threads)
        with together():
            for _ in range(5):
                assert_array_equal(affine(x, w, bias), alone)
    for i in range(0, rows, 97):
        assert_array_equal(affine(x[i : i + 1], w, bias), alone[i : i + 1])
