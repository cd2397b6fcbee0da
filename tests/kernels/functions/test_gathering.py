import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS, call
from numpy.testing import assert_array_equal

from kernels import normalize
from kernels.functions import gathering as samples

sizes = st.one_of(st.integers(0, 40), st.sampled_from((63, 64, 65, 130)))


def gather(source, order, target, mean=None, factor=None):
    """Put rows of `source` into `target` by the routine for its dtype."""
    routine = samples.gather_bytes if source.dtype == np.uint8 else samples.gather_rows
    tables = (0, 0, 0) if mean is None else (1, mean, factor)
    sizes = len(order), source.shape[1]
    call(routine, target.dtype, *sizes, source, order, *tables, target)


def samples_of(kind, shape, seed=0):
    random = np.random.default_rng(seed)
    if kind == np.uint8:
        return random.integers(0, 256, shape).astype(np.uint8)
    return random.standard_normal(shape).astype(kind)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("from_bytes", [False, True], ids=["numbers", "bytes"])
@settings(deadline=None, max_examples=50)
@given(
    rows=st.integers(1, 30),
    columns=sizes,
    count=sizes,
    normalising=st.booleans(),
    spare=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_gathering(rows, columns, count, normalising, spare, seed, from_bytes, dtype):
    source = samples_of(np.uint8 if from_bytes else dtype, (rows, columns), seed)
    order = np.random.default_rng(seed).integers(0, rows, count)
    room = np.full((count, columns + spare), -7, dtype)
    target = room[:, :columns]
    expected = source[order].astype(dtype)
    tables = ()
    if normalising:
        mean, factor = samples_of(dtype, columns, seed + 1), samples_of(dtype, columns, seed + 2)
        expected = (expected - mean) * factor
        tables = mean, factor
    gather(source, order, target, *tables)
    assert_array_equal(target, expected)
    assert_array_equal(room[:, columns:], -7)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_byte_is_converted(dtype):
    source = np.arange(256, dtype=np.uint8)[None]
    target = np.empty((1, 256), dtype)
    gather(source, np.zeros(1, np.int64), target)
    assert_array_equal(target, np.arange(256)[None])


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_not_finite_is_gathered(dtype):
    source = np.array([[np.nan, np.inf, -np.inf, -0.0] * 9], dtype)
    target = np.empty((2, 36), dtype)
    gather(source, np.zeros(2, np.int64), target)
    assert_array_equal(target, np.repeat(source, 2, 0))
    assert np.signbit(target[:, 3::4]).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["numbers", "bytes"])
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_the_arrays_is_touched(guarded, before, kind, dtype):
    for columns in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65):
        source = guarded((3, columns), np.uint8 if kind == "bytes" else dtype, before)
        source[...] = samples_of(source.dtype.type, source.shape)
        order = guarded((4,), np.int64, before)
        order[...] = 2, 0, 1, 2
        target = guarded((4, columns), dtype, before)
        mean, factor = (guarded((columns,), dtype, before) for _ in range(2))
        mean[...], factor[...] = 1, 2
        gather(source, order, target)
        assert_array_equal(target, source[order])
        gather(source, order, target, mean, factor)
        assert_array_equal(target, (source[order].astype(dtype) - 1) * 2)


# ------------------------------------------------------------------------------ normalize


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_normalize(kind, dtype):
    for rows, columns in ((0, 3), (1, 1), (7, 5), (20, 33), (3, 130)):
        x = (samples_of(np.float64, (rows, columns)) * 9).astype(kind)
        mean, factor = samples_of(dtype, columns, 1), samples_of(dtype, columns, 2)
        y = normalize(x, mean, factor)
        assert y.dtype == dtype
        assert_array_equal(y, (x.astype(dtype) - mean) * factor)
        for layout in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
            assert_array_equal(normalize(layout, mean, factor), y)


def test_normalize_takes_what_numpy_takes():
    expected = [[0.0, 8.0], [4.0, 24.0]]
    strided = np.array([1.0, 9.0, 2.0, 9.0])[::2]
    assert_array_equal(normalize([[1, 4], [3, 8]], strided, np.array([2.0, 4.0])), expected)


X, MEAN = np.ones((4, 3)), np.ones(3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((X, MEAN[:2], MEAN[:2]), ["(4, 3)", "2 columns"]),
        ((X, MEAN, MEAN[:2]), ["factor"]),
        ((X, MEAN[None], MEAN[None]), ["(1, 3)"]),
        ((X[0], MEAN, MEAN), ["x has shape (3,)"]),
        ((X.astype(complex), MEAN, MEAN), ["x has dtype complex128"]),
        ((X, MEAN.astype(int), MEAN.astype(int)), ["mean", "int64"]),
        ((X, MEAN.astype(complex), MEAN.astype(complex)), ["mean", "complex128"]),
        ((X, MEAN, MEAN.astype(np.float32)), ["factor", "float32"]),
        ((X, [1.0] * 3, [1.0] * 3), ["mean"]),
    ],
)
def test_normalize_explains_bad_arguments(arguments, told):
    with pytest.raises((TypeError, ValueError)) as caught:
        normalize(*arguments)
    for part in told:
        assert part in str(caught.value)
    assert "No matching definition" not in str(caught.value)
