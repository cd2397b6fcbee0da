import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kernels.base import arrays

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def is_seen_in(view, array):
    """Return whether an array is the memory of another one, under a shape of its own."""
    same = view.ctypes.data == array.ctypes.data and view.strides == array.strides
    return same and view is not array and view.shape == array.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_arrays_are_given_as_they_are(dtype):
    x = X.astype(dtype)
    assert is_seen_in(arrays.floating("x", x), x)
    strided, fixed = x[:, ::-2], np.broadcast_to(x[0], (4, 3))
    assert is_seen_in(arrays.floating("x", strided), strided)
    assert is_seen_in(arrays.floating("x", fixed), fixed)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (bool, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (np.float16, np.float32),
        (">f2", np.float32),
        (">f4", np.float32),
        (">f8", np.float64),
    ],
)
def test_other_numbers_are_converted(dtype, expected):
    given = (X > 2).astype(dtype)
    result = arrays.floating("x", given)
    assert result.dtype == expected
    assert result.dtype.isnative
    assert_array_equal(result, X > 2)


def test_arrays_off_their_alignment_are_copied():
    memory = np.zeros(X.nbytes + 1, np.uint8)
    shifted = memory[1:].view(np.float32)
    shifted[:] = X.ravel()
    assert not shifted.flags.aligned
    result = arrays.floating("x", shifted)
    assert result.flags.aligned
    assert_array_equal(result, X.ravel())


@pytest.mark.parametrize(
    "value", [1j, "a", None, [[1], [None]], np.longdouble(1), np.array("2020", "M8[D]")]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=r"^weight has dtype .*; expected float32, float64"):
        arrays.floating("weight", value)


def test_matrix():
    result = arrays.matrix("x", np.asfortranarray(X))
    assert result.flags.c_contiguous
    assert_array_equal(result, X)
    assert is_seen_in(arrays.matrix("x", X), X)
    assert arrays.matrix("x", X, np.float64).dtype == np.float64
    assert arrays.matrix("x", [[1, 2]]).dtype == np.float64
    for shape in ((), (3,), (1, 2, 3)):
        with pytest.raises(ValueError, match=r"^x has shape .*; expected two dimensions"):
            arrays.matrix("x", np.zeros(shape))


def test_output():
    new = arrays.output("out", None, (2, 3), np.float32)
    assert new.shape == (2, 3)
    assert new.dtype == np.float32
    assert arrays.output("out", X, (2, 3), np.float32) is X
    locked = X.copy()
    locked.flags.writeable = False
    for out, error, told in (
        (X, ValueError, r"^out has shape \(2, 3\) and dtype float32; expected \(3, 2\) and float"),
        (X.T.astype(float), ValueError, r"^out has shape \(3, 2\) and dtype float64; expected"),
        (locked.T, ValueError, "^out is read-only"),
        ([[0.0]], TypeError, "^out is of type list"),
    ):
        with pytest.raises(error, match=told):
            arrays.output("out", out, (3, 2), np.dtype(np.float32))


def test_same_shape():
    arrays.same_shape("a", X, "b", X + 1)
    with pytest.raises(ValueError, match=r"^a has shape \(2, 3\) and b \(3, 2\)"):
        arrays.same_shape("a", X, "b", X.T)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64, ">i4"])
def test_class_indices(dtype):
    given = np.array([1, 0, 1, 1], dtype)
    result = arrays.class_indices("y", given, 4, 2)
    assert result.dtype == np.int64
    assert_array_equal(result, [1, 0, 1, 1])
    strided = arrays.class_indices("y", given[::-2], 2, 2)
    assert strided.flags.c_contiguous
    assert_array_equal(strided, [1, 0])


def test_no_class_indices():
    assert arrays.class_indices("y", np.zeros(0, int), 0, 3).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "error", "told"),
    [
        ([0, 1, 3], ValueError, r"^y ranges from 0 to 3; expected class indices from 0 to 2"),
        ([0, -1, 2], ValueError, r"^y ranges from -1 to 2; expected class indices from 0 to 2"),
        ([-5, -1, -2], ValueError, r"^y ranges from -5 to -1; expected"),
        (
            np.array([0, 2**63, 1], np.uint64),
            ValueError,
            r"^y ranges from 0 to 9223372036854775808",
        ),
        ([0, 1], ValueError, r"^y has shape \(2,\); expected \(3,\)"),
        ([[0, 1, 2]], ValueError, r"^y has shape \(1, 3\); expected \(3,\)"),
        ([0.0, 1.0, 2.0], TypeError, r"^y has dtype float64; expected integers"),
        (["0", "1", "2"], TypeError, r"^y has dtype .*; expected integers"),
        (None, TypeError, r"^y has dtype object; expected integers"),
    ],
)
def test_bad_class_indices_are_explained(labels, error, told):
    with pytest.raises(error, match=told):
        arrays.class_indices("y", labels, 3, 3)


def test_class_indices_are_copied():
    """Another thread may change those of the caller after they were checked."""
    labels = np.arange(3)
    found = arrays.class_indices("labels", labels, 3, 3)
    labels[:] = 10**9
    assert found.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0,), "a positive integer"),
        ((True,), "a positive integer"),
        ((np.float32(2),), "a positive integer"),
        ((2**63,), "a positive integer"),
        ((9, 1, 8), "a positive integer up to 8"),
        ((-1, 0), "an integer of 0 or more"),
        ((1, 2, 3), "an integer from 2 to 3"),
        (("1", -np.inf, np.inf), "an integer"),
        ((-1, 0, np.inf, ", or None"), "an integer of 0 or more, or None"),
    ],
)
def test_what_is_no_count(arguments, expected):
    message = re.escape(f"n is {arguments[0]!r}; expected {expected}") + "$"
    with pytest.raises(ValueError, match=message):
        arrays.count("n", *arguments)


@pytest.mark.parametrize("kind", [int, np.int8, np.uint8, np.uint64, np.array])
def test_a_count_is_an_integer_of_python(kind):
    for found in (arrays.count("n", kind(100)), arrays.integer("n", kind(100), 0, 100)):
        assert type(found) is int
        assert found == 100


def test_a_size_beyond_what_can_be_counted():
    arrays.check_size("x", (2**29, 2**30), np.float64)
    message = re.escape(f"x of shape ({2**30}, {2**31}) and float64 has {2**64} bytes")
    with pytest.raises(ValueError, match=message):
        arrays.check_size("x", (2**30, 2**31), np.float64)


@pytest.mark.parametrize("ignored", [-100, 0, 255])
def test_indices_to_ignore_become_negative(ignored):
    given = np.array([1, ignored, 2])
    labels, known = arrays.known_indices("y", given, 3, 3, ignored)
    np.testing.assert_array_equal(labels, [1, -1, 2])
    np.testing.assert_array_equal(known, [True, False, True])
    assert arrays.known_indices("y", [1, 2], 2, 3, ignored)[1] is None
    np.testing.assert_array_equal(given, [1, ignored, 2])
    weights, total = arrays.counted(known, np.array([2.0, 3.0, 4.0]), 9.0)
    assert (weights.tolist(), total) == ([2.0, 0.0, 4.0], 6.0)
    np.testing.assert_array_equal(arrays.one_hot(np.array([1, -1]), 2, float), [[0, 1], [0, 0]])


def test_numbers_beyond_int64_are_not_ignored():
    huge = np.array([2**64 - 100, 0], np.uint64)  # as int64 it is -100
    with pytest.raises(ValueError, match="or ignore_index, which is -100"):
        arrays.known_indices("y", huge, 2, 3, -100)
