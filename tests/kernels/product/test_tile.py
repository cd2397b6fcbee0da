import numpy as np
import pytest
from kit import FLOATS, lanes
from numpy.testing import assert_array_equal

from kernels import matmul
from kernels.base import host
from kernels.product.choice import NARROW


def tile_sizes(dtype):
    """Rows and columns of every tile, of two tiles beside each other, and a little more."""
    columns = host.TILE_VECTORS * lanes(dtype)
    return range(1, 2 * host.TILE_ROWS + 3), range(1, 2 * columns + 2)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_tile_multiplies(dtype, depth):
    rows, columns = tile_sizes(dtype)
    random = np.random.default_rng(0)
    a = random.integers(-9, 10, (rows[-1], depth)).astype(dtype)
    b = random.integers(-9, 10, (depth, columns[-1])).astype(dtype)
    expected = a @ b
    packed = np.asfortranarray(b)
    room = np.empty((rows[-1] + 1, columns[-1] + 1), dtype)
    for i in rows:
        for j in columns:
            for right in (b, packed):
                room[...] = -1000.0
                matmul(a[:i], right[:, :j], room[:i, :j])
                assert_array_equal(room[:i, :j], expected[:i, :j])
                assert np.all(room[i:] == -1000.0), (i, j)
                assert np.all(room[:i, j:] == -1000.0), (i, j)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_tile_rounds_alike(dtype):
    """Bits of an element are the same in whatever tile, row and lane it is computed."""
    rows, columns = tile_sizes(dtype)
    random = np.random.default_rng(1)
    a = random.standard_normal((rows[-1], 40)).astype(dtype)
    b = random.standard_normal((40, columns[-1])).astype(dtype)
    product = matmul(a, b)
    for i in rows:
        for j in columns:
            first, last = np.zeros((2, i, j), dtype)  # added to which one column is not narrow
            assert_array_equal(matmul(a[:i], b[:, :j], first, accumulate=True), product[:i, :j])
            assert_array_equal(matmul(a[-i:], b[:, -j:], last, accumulate=True), product[-i:, -j:])


@pytest.mark.parametrize("dtype", FLOATS)
def test_an_element_is_one_sum_in_order_of_depth(dtype):
    """Any other order, several partial sums, or a wider one, would give another number."""
    large = dtype(1 / np.finfo(dtype).eps)
    # In order, quarters add up to 2 before the large term, which then swallows the others.
    terms = np.concatenate([[0.25] * 8, [large], [0.25] * 8, [-large]]).astype(dtype)
    expected = dtype(0)
    for term in terms:
        expected += term
    assert expected == 2.0
    for rows, columns in ((1, 1), (5, 3), (20, 70)):
        a = np.broadcast_to(terms, (rows, len(terms)))
        ones = np.ones((len(terms), columns), dtype)
        for left, right in ((a, ones), (ones.T, a.T)):
            shape = len(left), right.shape[1]
            added = matmul(left, right, np.zeros(shape, dtype), accumulate=True)
            assert_array_equal(added, np.full(shape, expected))
            if shape[1] > NARROW:
                assert_array_equal(matmul(left, right), added)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_floor_keeps_nan_and_drops_what_is_below(dtype):
    values = np.array([np.nan, -np.inf, np.inf, -1, -0.0, 0, 1e-30], dtype)
    for columns in (1, 7, 40):
        product = matmul(values[:, None], np.ones((1, columns), dtype), activation="relu")
        expected = np.array([np.nan, 0, np.inf, 0, 0, 0, 1e-30], dtype)
        assert_array_equal(product, np.repeat(expected[:, None], columns, 1))
