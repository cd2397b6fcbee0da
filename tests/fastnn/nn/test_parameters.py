import copy
import pickle

import numpy as np
import pytest

from fastnn import LayerNorm, Linear
from fastnn.nn.parameters import Parameter


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


def test_memory_stays_where_it_is(padded_parameter):
    parameter = padded_parameter
    places = parameter.memory.ctypes.data, parameter.gradient_memory.ctypes.data
    parameter.data = np.full((3, 5), 2.0)
    parameter.grad = np.full((3, 5), 3.0)
    assert (parameter.data == 2).all()
    assert (parameter.grad == 3).all()
    for name in ("memory", "gradient_memory", "span", "memory_shape"):
        with pytest.raises(AttributeError):
            setattr(parameter, name, getattr(parameter, name))
    for view in (parameter.memory, parameter.data, parameter.grad):
        view.flags.writeable = False
        with pytest.raises(ValueError, match=r"resize"):
            view.resize(3, refcheck=False)
    parameter.memory.shape = (16, 5)
    assert parameter.memory.shape == (80,)
    assert places == (parameter.memory.ctypes.data, parameter.gradient_memory.ctypes.data)
    with pytest.raises(ValueError, match=r"data has shape \(3, 5\); it was given \(5, 3\)"):
        parameter.data = np.ones((5, 3))
    with pytest.raises(TypeError, match=r"grad was given object; expected numbers"):
        parameter.grad = None


def test_unpickled_memory_is_writable_and_aligned(padded_parameter):
    """Joblib maps arrays from files read-only, at addresses of its own."""
    state = padded_parameter.__getstate__()
    for name in ("_memory", "_gradient"):
        mapped = np.zeros(81, state[name].dtype)[1:]
        mapped[:] = state[name]
        mapped.flags.writeable = False
        state[name] = mapped
    other = Parameter.__new__(Parameter)
    other.__setstate__(state)
    assert other.memory.ctypes.data % 64 == 0
    assert other.gradient_memory.ctypes.data % 64 == 0
    np.testing.assert_array_equal(other.data, padded_parameter.data)
    other.data[...] = 1


def test_pickles_of_common_blocks_are_read(padded_parameter):
    state = padded_parameter.__getstate__()
    values, gradient = state.pop("_memory"), state.pop("_gradient")
    block = np.concatenate([np.ones_like(values), values])
    gradients = np.concatenate([gradient, gradient + 5])
    old = {name.removeprefix("_"): value for name, value in state.items() if name != "_view"}
    old |= {"_view": state["_view"], "start": 80, "span": 80}
    other = Parameter.__new__(Parameter)
    other.__setstate__({**old, "block": block, "gradient_block": gradients})
    np.testing.assert_array_equal(other.data, padded_parameter.data)
    assert (other.gradient_memory == 5).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_stand_alone(padded_parameter, copied):
    other = copied(padded_parameter)
    np.testing.assert_array_equal(other.data, padded_parameter.data)
    other.data[...] = -1
    other.grad[...] = -2
    assert (other.memory == -1).sum() == 15
    np.testing.assert_array_equal(padded_parameter.data.ravel(), np.arange(15))
    assert not padded_parameter.grad.any()


@pytest.mark.parametrize("dtype", ["f2", "i4", "i8", "?", "c16", "g", "O", "S3", "M8[s]"])
def test_other_dtypes_than_those_of_kernels_are_refused(dtype):
    with pytest.raises(TypeError, match=r"Parameter: value is of .*; expected float32 or float64"):
        Parameter(np.zeros(3, dtype))


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_other_byte_orders_are_converted(dtype):
    parameter = Parameter(np.arange(3, dtype=dtype))
    assert parameter.dtype.isnative
    assert parameter.data.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", [lambda: Linear(3, 3), lambda: LayerNorm(3)])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_layers_do_not_copy_one_anothers_parameters_in_silence(kind, name):
    layer, other = kind(), kind()
    theirs = getattr(other, name)
    theirs.data = np.arange(theirs.size).reshape(theirs.shape)
    before = getattr(layer, name).data.copy()
    with pytest.raises(TypeError, match=f"to copy .*: layer.{name} = other.{name}.data"):
        setattr(layer, name, theirs)
    np.testing.assert_array_equal(getattr(layer, name).data, before)
    setattr(layer, name, getattr(layer, name))  # its own
    setattr(layer, name, theirs.data)
    np.testing.assert_array_equal(getattr(layer, name).data, theirs.data)
    assert getattr(layer, name) is not theirs
