import numba
import numpy as np
import pytest
from kit import FLOATS, lanes, normal
from numpy.testing import assert_array_equal

from kernels import matmul
from kernels.base.kinds import Matrix
from kernels.base.simd import data, store
from kernels.base.transpose import lane_sums, transpose


@numba.njit
def turn(rows, columns, source, ld, target, ld_target):
    transpose(rows, columns, Matrix(data(source), ld), Matrix(data(target), ld_target))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_block_of_every_size_up_to_a_square(guarded, dtype):
    """Only the block is read; whole vectors are written, with the last row and zeros beyond it."""
    wide = lanes(dtype)
    for rows in range(1, wide + 1):
        for columns in range(1, wide + 1):
            source = guarded((rows, columns), dtype)
            source[...] = normal((rows, columns), dtype)
            target = guarded((wide, wide), dtype)
            turn(rows, columns, source, columns, target, wide)
            repeated = source[np.minimum(np.arange(wide), rows - 1)]
            assert_array_equal(target[:columns], repeated.T)
            assert_array_equal(target[columns:], np.zeros((wide - columns, wide)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_may_be_apart(dtype):
    wide = lanes(dtype)
    source, target = normal((wide, wide + 3), dtype), np.full((wide, wide + 1), np.nan, dtype)
    turn(wide, wide, source, wide + 3, target, wide + 1)
    assert_array_equal(target[:, :wide], source[:, :wide].T)
    assert np.isnan(target[:, wide]).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_transposing_blocks_of_every_size(dtype):
    """Blocks of every size up to two vectors either way, in each place of the product."""
    wide = lanes(dtype)
    random = np.random.default_rng(2)
    for depth in range(1, 2 * wide + 2):
        for columns in (1, 2, wide - 1, wide, wide + 1, 2 * wide + 1):
            b = random.standard_normal((columns, depth)).astype(dtype).T
            selecting = np.eye(depth, dtype=dtype)
            assert_array_equal(matmul(selecting, b), b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_lane_sums(dtype):
    """Neighbours first, then the sums of neighbours: the bits of numpy's sums of two."""

    @numba.njit
    def compiled(rows, out):
        store(data(out), 0, lane_sums(data(rows)))

    wide = lanes(dtype)
    rows = np.random.default_rng(0).normal(size=(wide, wide)).astype(dtype)
    rows[0, 0], rows[1, 1] = np.inf, np.nan
    out, expected = np.empty(wide, dtype), rows
    while expected.shape[1] > 1:
        expected = expected[:, ::2] + expected[:, 1::2]
    compiled(rows, out)
    assert_array_equal(out, expected[:, 0])
