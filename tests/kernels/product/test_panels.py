import itertools

import numpy as np
import pytest
from kit import FLOATS, call, lanes
from numpy.testing import assert_array_equal

from kernels.base import host
from kernels.base.memory import aligned_zeros
from kernels.product import panels


def copy(matrix, memory, elements, threads, back):
    """Copy a matrix to its panels, or back, as so many threads do."""
    for thread in range(threads):
        sharing = thread, threads, back
        call(panels.copy_panels, matrix.dtype, *matrix.shape, matrix, memory, elements, *sharing)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_columns_to_panels_and_back(dtype, threads):
    span = host.TILE_VECTORS * lanes(dtype)
    for outputs in (1, span - 1, span, span + 1, 2 * span, 5 * span + 3):
        w = np.random.default_rng(0).normal(size=(7, outputs)).astype(dtype)
        count, elements = panels.sizes(7, outputs, dtype)
        apart = 16 * 64 // np.dtype(dtype).itemsize
        assert (count, elements) == (-(-outputs // span), 7 * span + apart)
        memory = aligned_zeros(count * elements, dtype)
        copy(w, memory, elements, threads, 0)
        written = memory.reshape(count, elements)[:, : 7 * span]
        side_by_side = np.concatenate([*written.reshape(count, 7, span)], axis=1)
        assert_array_equal(side_by_side[:, :outputs], w)
        assert not side_by_side[:, outputs:].any()
        again = np.full((7, outputs + 2), np.nan, dtype)
        copy(again[:, :outputs], memory, elements, threads, 1)
        assert_array_equal(again[:, :outputs], w)
        assert np.isnan(again[:, outputs:]).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_batch_is_in_panels_of_threads_where_its_columns_are_split(dtype):
    line = 64 // np.dtype(dtype).itemsize
    for threads in (1, 2, 3, 16):
        for lines in (1, 2, 4, 9, 64):
            for rows, columns in itertools.product(
                (1, 20, 100, 5000), (lines * line - 3, lines * line)
            ):
                count, wide, to_next = panels.of_threads(rows, columns, dtype, threads)
                assert count in (1, threads)
                assert columns <= count * wide
                assert count == 1 or wide % line == 0
                assert to_next == (rows * wide + 512 * line if count > 1 else 0)
    assert panels.of_threads(20, 16 * line, dtype, 2)[:2] == (2, 8 * line)
    assert panels.of_threads(20, 11 * line - 1, dtype, 2)[:2] == (2, 6 * line)
    assert panels.of_threads(20, 16 * line, dtype, 1)[:2] == (1, 16 * line)
    assert panels.of_threads(20, 3 * line, dtype, 2)[0] == 1
    assert panels.of_threads(5000, 16 * line, dtype, 2)[:2] == (1, 16 * line)
