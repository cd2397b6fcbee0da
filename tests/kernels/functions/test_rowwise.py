import numpy as np
import pytest
from kit import FLOATS, normal
from numpy.testing import assert_array_equal

from crews import together
from kernels.functions import rowwise
from kernels.functions.softmax import softmax_gradient_rows, softmax_rows
from kernels.machine import team
from kernels.machine.team import LARGE

SHAPES = [(0, 3), (1, 1), (5, 7), (LARGE // 8, 8), (1, LARGE), (3, LARGE), (333, 131)]

of_one = rowwise.of_one("softmax_again", softmax_rows)
of_two = rowwise.of_two("softmax_gradient_again", softmax_gradient_rows)


@pytest.fixture
def threads(monkeypatch, set_threads):
    monkeypatch.setattr(team, "_LONG", 0)  # threads are waited for
    with together():
        yield set_threads


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_one_matrix(threads, shape, dtype):
    x = normal(shape, dtype)
    exponentials = np.exp(x.astype(np.float64))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    results = []
    for count in (1, 2, 3):
        threads(count)
        y = np.full_like(x, np.nan)
        assert of_one(x, y) is None
        results.append(y)
    np.testing.assert_allclose(results[0], expected, rtol=2e-5)
    assert_array_equal(results[1], results[0])
    assert_array_equal(results[2], results[0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_two_matrices(threads, shape, dtype):
    y, g = np.abs(normal(shape, dtype)), normal(shape, dtype, 1)
    y /= max(1, shape[1])
    expected = y * (g - (g * y).sum(axis=1, keepdims=True, dtype=np.float64))
    results = []
    for count in (1, 2, 3):
        threads(count)
        out = np.full_like(y, np.nan)
        assert of_two(y, g, out) is None
        results.append(out)
    np.testing.assert_allclose(results[0], expected, rtol=1e-4, atol=1e-6)
    assert_array_equal(results[1], results[0])
    assert_array_equal(results[2], results[0])
