import itertools

import numba
import numpy as np
import pytest
from kit import FLOATS, lanes
from numba import types
from numpy.testing import assert_array_equal

from kernels.base import host, simd
from kernels.base.simd import advance, data

SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 3.5, 0.49999997, 1e-40, 1e30)


def special_pairs(dtype):
    """Pairs of special values in whole vectors: each value with each."""
    pairs = np.array([*itertools.product(SPECIAL, SPECIAL)], dtype)
    spare = -len(pairs) % lanes(dtype)
    return np.ascontiguousarray(np.concatenate([pairs, pairs[:spare]]).T)


def same_bits(actual, expected, told):
    """Equal including the sign of zero; all NaN are one."""
    assert_array_equal(actual, expected, err_msg=told)
    numbers = ~np.isnan(expected)
    assert_array_equal(np.signbit(actual)[numbers], np.signbit(expected)[numbers], err_msg=told)


# ------------------------------------------------------------------- arithmetic on lanes


@numba.njit
def arithmetic(x, y, out):
    for i in range(0, x.size, simd.width(data(x))):
        a, b = simd.load(data(x), i), simd.load(data(y), i)
        simd.store(data(out[0]), i, a + b)
        simd.store(data(out[1]), i, a - b)
        simd.store(data(out[2]), i, a * b)
        simd.store(data(out[3]), i, a / b)
        simd.store(data(out[4]), i, 1.0 - a)
        simd.store(data(out[5]), i, a * 3)
        simd.store(data(out[6]), i, simd.sqrt(a))
        simd.store(data(out[7]), i, simd.fabs(a))
        simd.store(data(out[8]), i, simd.floor(a))
        simd.store(data(out[9]), i, simd.maximum(a, b))
        simd.store(data(out[10]), i, simd.minimum(a, b))
        simd.store(data(out[11]), i, simd.maximum(a, 0.5))
        simd.store(data(out[12]), i, simd.splat(7, a))


@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_is_that_of_ieee_754(dtype):
    x, y = special_pairs(dtype)
    out = np.full((13, x.size), 99, dtype)
    arithmetic(x, y, out)
    with np.errstate(all="ignore"):
        expected = [
            x + y, x - y, x * y, x / y, 1 - x, x * 3, np.sqrt(x), np.abs(x), np.floor(x)
        ]  # fmt: skip
        # NaN where the first is NaN; a NaN in the bound does not count.
        expected += [np.where(y > x, y, x), np.where(y < x, y, x), np.where(x < 0.5, dtype(0.5), x)]
        expected += [np.full_like(x, 7)]
    for number, (own, wanted) in enumerate(zip(out, expected, strict=True)):
        same_bits(own, wanted, f"row {number}")


@numba.njit
def multiply_add(x, y, z, out):
    simd.store(data(out), 0, simd.fma(simd.load(data(x), 0), simd.load(data(y), 0), z))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_multiply_add_rounds_once_where_the_host_can(dtype):
    one = np.full(lanes(dtype), 1 + np.finfo(dtype).eps)
    out = np.empty_like(one)
    # (1 + eps)^2 - (1 + 2 eps) = eps^2, which a product rounded by itself loses.
    multiply_add(one, one, -(1 + 2 * np.finfo(dtype).eps), out)
    fused = "fma" in host.FEATURES or not host.IS_X86
    assert_array_equal(out, np.full_like(out, np.finfo(dtype).eps ** 2 if fused else 0))


@numba.njit
def comparisons(x, y, out):
    for i in range(0, x.size, simd.width(data(x))):
        a, b = simd.load(data(x), i), simd.load(data(y), i)
        one = simd.splat(1, a)
        simd.store(data(out[0]), i, simd.select(a < b, a, b))
        simd.store(data(out[1]), i, simd.select(a <= b, one, 0.0))
        simd.store(data(out[2]), i, simd.select(a > b, one, 0.0))
        simd.store(data(out[3]), i, simd.select(a >= b, one, 0.0))
        simd.store(data(out[4]), i, simd.select(a == b, one, 0.0))
        simd.store(data(out[5]), i, simd.select(a != b, one, 0.0))
        simd.store(data(out[6]), i, simd.select((a < b) | (a == 1), a, 5.0))
        simd.store(data(out[7]), i, simd.select((a < b) & (a < 0.0), a, 5.0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_comparisons_are_false_for_nan_but_for_inequality(dtype):
    x, y = special_pairs(dtype)
    out = np.full((8, x.size), 99, dtype)
    comparisons(x, y, out)
    expected = [np.where(x < y, x, y), x <= y, x > y, x >= y, x == y, x != y]
    expected += [np.where((x < y) | (x == 1), x, 5), np.where((x < y) & (x < 0), x, 5)]
    for number, (own, wanted) in enumerate(zip(out, expected, strict=True)):
        assert_array_equal(own, np.asarray(wanted, dtype), err_msg=f"row {number}")


@numba.njit
def reductions(x, out):
    out[0] = simd.reduce_add(simd.load(data(x), 0))
    out[1] = simd.reduce_max(simd.load(data(x), 0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_reductions(dtype):
    n, out = lanes(dtype), np.empty(2, dtype)
    for place in range(n):
        x = np.arange(n, dtype=dtype) - n
        x[place] = 3
        reductions(x, out)
        assert_array_equal(out, [x.sum(), 3])
        for value in (np.nan, np.inf, -np.inf):
            x[place] = value
            reductions(x, out)
            assert_array_equal(out[0], value)
            wanted = np.max(x[np.arange(n) != place]) if value == -np.inf else value
            assert_array_equal(out[1], wanted, err_msg=f"{value} at {place}")


# ------------------------------------------------------------------- integers and bytes


@numba.njit
def integers(like, bytes_in, bytes_out, numbers, wide):
    x = simd.load(data(like), 0)
    counted = simd.lane_numbers(simd.words(0, x))
    drawn = (simd.words(-1, x) - counted) * 3
    drawn = ((drawn >> 5) ^ (counted << 2) | 1) & 0xFFFF
    simd.store(data(numbers[0]), 0, counted)
    simd.store(data(numbers[1]), 0, drawn)
    simd.store(data(wide), 0, simd.convert(simd.words(-1, x), np.uint64) * 5 >> 32)
    mask = simd.load_mask(data(bytes_in), 0, x)
    simd.store_mask(data(bytes_out), 0, mask)
    simd.store(data(like), 0, simd.load_bytes(data(bytes_in), 0, x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_integers_and_bytes(dtype):
    n = lanes(dtype)
    like, numbers, wide = np.zeros(n, dtype), np.zeros((2, n), np.uint32), np.zeros(n, np.uint64)
    bytes_in = np.random.default_rng(0).integers(0, 256, n).astype(np.uint8)
    bytes_in[::3] = 0
    bytes_out = np.full(n + 1, 9, np.uint8)
    # Vectors of words have as many lanes as vectors of `dtype`, so rows of `n`.
    integers(like, bytes_in, bytes_out, numbers, wide)
    counted = np.arange(n, dtype=np.uint32)
    drawn = (np.uint32(0xFFFFFFFF) - counted) * np.uint32(3)
    assert_array_equal(numbers[0], counted)
    assert_array_equal(numbers[1], ((drawn >> 5) ^ (counted << 2) | 1) & 0xFFFF)
    assert_array_equal(wide, np.full(n, 0xFFFFFFFF * 5 >> 32))
    assert_array_equal(bytes_out, [*(bytes_in != 0), 9])
    assert_array_equal(like, bytes_in)


# --------------------------------------------------------------------- memory, pointers


@numba.njit
def copy_first(x, y, count):
    simd.store_first(data(y), 0, simd.load_first(data(x), 0, count), count)


@numba.njit
def read_first(x, y, count):
    simd.store(data(y), 0, simd.load_first(data(x), 0, count))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_first_lanes_and_no_others_are_read_and_written(guarded, dtype):
    n = lanes(dtype)
    for count in range(-1, n + 3):
        held = max(0, min(count, n))
        x, y = guarded((held,), dtype), guarded((held,), dtype)
        x[...] = np.arange(1, held + 1)
        copy_first(x, y, count)
        assert_array_equal(y, x)
        room = np.full(n + 1, 99, dtype)
        copy_first(x, room, count)
        assert_array_equal(room, [*x, *[99] * (n + 1 - held)])
        read_first(x, room, count)
        assert_array_equal(room, [*x, *[0] * (n - held), 99])


@numba.njit
def addresses(x, address):
    here = data(x)
    there = simd.pointer(address, here)
    byte = simd.pointer_to(address, types.uint8)
    simd.poke(here, 1, simd.peek(there, 2) + 1)
    simd.poke(advance(there, 3), -2, 5)
    return (
        simd.width(here),
        simd.same(here, there),
        simd.same(here, advance(there, 1)),
        byte[0],
        simd.as_bits(2.5),
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_pointers(dtype):
    x = np.array([3, 0, 7, 0], dtype)
    found = addresses(x, x.ctypes.data)
    bits = int(np.float64(2.5).view(np.int64))
    assert found == (lanes(dtype), True, False, x.view(np.uint8)[0], bits)
    assert_array_equal(x, [3, 5, 7, 0])
