import copy
import pickle

import numpy as np
import pytest

from fastnn.nn.parameters import Parameter, place_together


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def transposed(block):
    return block[:, :3].T


@pytest.fixture
def padded_parameter(dtype):
    """Of shape (3, 5), in memory of shape (5, 16)."""
    return Parameter(np.arange(15, dtype=dtype).reshape(3, 5), (5, 16), transposed)


def test_holds_the_values_and_a_gradient_of_zeros(dtype):
    value = np.arange(6, dtype=dtype).reshape(2, 3)
    parameter = Parameter(value)
    assert (parameter.shape, parameter.size, parameter.dtype) == ((2, 3), 6, dtype)
    np.testing.assert_array_equal(parameter.data, value)
    np.testing.assert_array_equal(parameter.grad, np.zeros((2, 3)))
    assert parameter.grad.dtype == dtype
    value[:] = 0
    assert parameter.data.any()


def test_views_read_and_write_the_memory(padded_parameter):
    parameter = padded_parameter
    assert (parameter.shape, parameter.size) == ((3, 5), 15)
    assert np.shares_memory(parameter.data, parameter.memory)
    assert np.shares_memory(parameter.grad, parameter.gradient_memory)
    assert not np.shares_memory(parameter.data, parameter.grad)
    parameter.data[...] = 1
    parameter.grad[...] = 2
    assert parameter.memory.sum() == 15
    assert parameter.gradient_memory.sum() == 30
    assert parameter.memory.size == parameter.span == 80


def test_memory_begins_at_cache_lines_and_fills_them(dtype):
    for size in (1, 7, 16, 17, 100):
        parameter = Parameter(np.ones(size, dtype))
        assert parameter.memory.ctypes.data % 64 == 0
        assert parameter.memory.nbytes % 64 == 0
        assert parameter.memory.sum() == size


def test_reads_and_writes_like_an_array(padded_parameter):
    parameter = padded_parameter
    parameter[1] = 7
    assert parameter[1].tolist() == [7] * 5
    assert parameter[0, 2] == 2
    copied = np.asarray(parameter)
    np.testing.assert_array_equal(copied, parameter.data)
    copied[:] = 0
    assert parameter.data.any()
    assert np.asarray(parameter, np.float16).dtype == np.float16
    assert repr(parameter) == f"Parameter(shape=(3, 5), dtype={parameter.dtype})"


def test_assign_copies_or_refuses(padded_parameter):
    padded_parameter.assign(np.ones((3, 5)).tolist())
    assert (padded_parameter.data == 1).all()
    with pytest.raises(ValueError, match=r"mine has shape \(3, 5\); it was given \(5, 3\)"):
        padded_parameter.assign(np.zeros((5, 3)), "mine")
    for wrong in (np.ones((3, 5), complex), [["a"] * 5] * 3, None):
        with pytest.raises(TypeError, match=r"mine was given .*; expected numbers"):
            padded_parameter.assign(wrong, "mine")
    with pytest.raises(ValueError, match=r"parameter has shape \(3, 5\); it was given \(\)"):
        padded_parameter.assign(0)
    assert (padded_parameter.data == 1).all()


def test_seen_in_another_array(padded_parameter):
    memory = np.arange(80.0)
    seen = padded_parameter.seen_in(memory)
    assert seen.shape == (3, 5)
    assert np.shares_memory(seen, memory)
    np.testing.assert_array_equal(seen, memory.reshape(5, 16)[:, :3].T)


def test_placed_together_they_lie_one_after_another(padded_parameter, dtype):
    others = [Parameter(np.full(9, 5, dtype)), Parameter(np.full((2, 2), 6, dtype))]
    parameters = [others[0], padded_parameter, others[1]]
    padded_parameter.grad[...] = 3
    views = [p.data for p in parameters]
    place_together(iter(parameters))
    assert all(p.block is parameters[0].block for p in parameters)
    assert all(p.gradient_block is parameters[0].gradient_block for p in parameters)
    starts = [p.start for p in parameters]
    assert starts == [0, parameters[0].span, parameters[0].span + 80]
    assert parameters[0].block.size == sum(p.span for p in parameters)
    for parameter, view in zip(parameters, views, strict=True):
        np.testing.assert_array_equal(parameter.data, view)
        assert not np.shares_memory(parameter.data, view)
    assert (padded_parameter.grad == 3).all()
    assert parameters[0].block.sum() == 9 * 5 + np.arange(15).sum() + 24


def test_two_dtypes_are_placed_in_a_block_each():
    parameters = [Parameter(np.ones(3, dtype)) for dtype in ("f4", "f8", "f4")]
    place_together(parameters)
    assert parameters[0].block is parameters[2].block
    assert parameters[1].block.dtype == np.float64
    assert [p.data.tolist() for p in parameters] == [[1, 1, 1]] * 3


def test_nothing_to_place():
    place_together([])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_stand_alone(padded_parameter, copied):
    other = copied(padded_parameter)
    np.testing.assert_array_equal(other.data, padded_parameter.data)
    other.data[...] = -1
    other.grad[...] = -2
    assert (other.memory == -1).sum() == 15
    np.testing.assert_array_equal(padded_parameter.data.ravel(), np.arange(15))
    assert not padded_parameter.grad.any()
