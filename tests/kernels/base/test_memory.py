import numpy as np
import pytest
from kit import FLOATS

from kernels.base import memory


@pytest.mark.parametrize("dtype", [*FLOATS, np.int64, np.uint8])
def test_aligned_zeros_begin_at_a_cache_line(dtype):
    kept = []
    for size in (1, 7, 16, 100, 5000):
        array = memory.aligned_zeros(size, dtype)
        kept.append(array)
        assert array.shape == (size,)
        assert array.dtype == dtype
        assert memory.address(array) % 64 == 0
        assert not array.any()
        array[...] = 1  # all of it is writable, and nobody else's
    assert all(array.all() for array in kept)
    assert memory.aligned_zeros(0, dtype).shape == (0,)


@pytest.mark.parametrize("refcheck", [True, False])
def test_lasting_memory_is_not_moved(refcheck):
    """Not by whoever has a view alone, nor when all other views are gone."""
    array = memory.lasting_zeros(100, np.float32)
    place = array.ctypes.data
    with pytest.raises(ValueError, match="resize"):
        array.base.resize(10_000, refcheck=refcheck)
    copy = memory.lasting(np.arange(5, dtype=">f8"))
    assert copy.dtype == np.float64
    assert copy.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="resize"):
        copy.base.resize(0, refcheck=refcheck)
    assert array.ctypes.data == place
    assert memory.address(copy) % 64 == 0


def test_what_is_fixed_can_be_resized_afterwards():
    array = np.zeros(10)
    reference = memory.fixed(array[::2][1:])
    with pytest.raises(ValueError, match="resize"):
        array.resize(20, refcheck=False)
    assert reference() is array
    del reference
    array.resize(20, refcheck=False)


def test_address_is_that_of_the_first_element():
    x = np.arange(12.0).reshape(3, 4)
    assert memory.address(x) == x.ctypes.data
    assert memory.address(x[1:, 2:]) == x.ctypes.data + 6 * 8
    assert memory.address(x[::-1]) == x.ctypes.data + 8 * 8
    x.flags.writeable = False
    assert memory.address(x) == x.ctypes.data


@pytest.mark.parametrize("dtype", [*FLOATS, np.uint8, np.int64])
def test_padded_sizes_are_whole_cache_lines(dtype):
    line = 64 // np.dtype(dtype).itemsize
    for size in range(4 * line):
        padded = memory.padded(size, dtype)
        assert padded % line == 0
        assert size <= padded < size + line


@pytest.mark.parametrize("dtype", FLOATS)
def test_leading_dimensions_are_an_odd_number_of_cache_lines(dtype):
    line = 64 // np.dtype(dtype).itemsize
    for columns in range(1, 10 * line):
        ld = memory.leading_dimension(columns, dtype)
        assert ld % line == 0
        assert ld // line % 2 == 1
        assert columns <= ld < columns + 2 * line
