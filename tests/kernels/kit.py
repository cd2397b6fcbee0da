"""Helpers of the kernels' tests: numbers, rows as programs have them, and calls of machine code."""

import ctypes

import numpy as np
from numba import types
from numpy.testing import assert_array_equal

from kernels.base import host
from kernels.base.jit import entry, real_type
from kernels.base.kinds import reads, writes
from kernels.base.memory import aligned_zeros, leading_dimension
from kernels.functions import updates
from kernels.machine.instruction import Operands
from kernels.machine.state import ROWS, START, STATE, THREAD, THREADS, TICK
from kernels.product import linear

FLOATS = (np.float32, np.float64)

# ----------------------------------------------------------------------------- numbers


def normal(shape, dtype, seed=0, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def whole(shape, dtype, seed=0):
    """Return small whole numbers, whose products and their sums are exact in any order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(dtype)


def lanes(dtype):
    return host.lanes(real_type(dtype))


def assert_close(actual, expected, **tolerances):
    """Raise AssertionError unless two are close, as torch has it for the dtype of `actual`."""
    import torch  # which takes seconds, and not all who use the kit need it

    actual = torch.from_numpy(np.ascontiguousarray(actual))
    expected = torch.as_tensor(np.asarray(expected)).to(actual.dtype)
    torch.testing.assert_close(actual, expected, equal_nan=True, **tolerances)


def settings_of(**given):
    """Return an optimizer's settings, by their names in small letters; the rest do nothing."""
    values = np.zeros(updates.SETTINGS)
    values[updates.CLIP_VALUE] = values[updates.CLIP_NORM] = np.inf
    values[updates.GRADIENT_SCALE] = 1.0
    for name, value in given.items():
        values[getattr(updates, name.upper())] = value
    return values


# -------------------------------------------------------------------------------- rows


def block(values, dtype=None):
    """Return rows as a program has them, with NaN between; the base of the view is all of it."""
    values = np.asarray(values, dtype)
    rows, columns = values.shape
    room = np.full((rows, leading_dimension(columns, values.dtype)), np.nan, values.dtype)
    room[:, :columns] = values
    return room[:, :columns]


def nothing(shape, dtype):
    return block(np.full(shape, np.nan, dtype))


def only_inside(view):
    """Return whether everything between the rows of a block is still NaN."""
    return bool(np.isnan(view.base[:, view.shape[1] :]).all())


def distance(array):
    """Return the elements from one row of an array to the next, or from one memory to the next."""
    return array.strides[0] // array.itemsize


# ------------------------------------------------------------------------ machine code


def operand(kind, value):
    """Return an array as a kind has it, as an address or the rows at one; else the value."""
    if not isinstance(value, np.ndarray):
        return value
    pointer = kind.types[0] if isinstance(kind, types.BaseNamedTuple) else kind
    assert value.dtype == np.dtype(str(pointer.dtype))
    if kind is pointer:
        return value.ctypes.data
    return kind.instance_class(value.ctypes.data, distance(value), *[0] * (len(kind) - 2))


def _flat(kind, given):
    """Yield types and values for C of an argument, those of a tuple one by one."""
    value = operand(kind, given)
    if isinstance(kind, types.BaseNamedTuple):
        assert isinstance(value, kind.instance_class)
        for each, part in zip(kind.types, value, strict=True):
            yield from _flat(each, part)
    elif isinstance(kind, types.CPointer):
        yield ctypes.c_void_p, value
    else:
        numbers = {types.float32: ctypes.c_float, types.float64: ctypes.c_double}
        yield numbers.get(kind, ctypes.c_int64), value


def call(routine, dtype, *arguments):
    """Call a routine's machine code; arrays are given by their addresses."""
    real = real_type(dtype)
    pairs = zip(routine.arguments(real), arguments, strict=True)
    kinds, values = zip(*(each for pair in pairs for each in _flat(*pair)), strict=True)
    ctypes.CFUNCTYPE(None, *kinds)(routine.address(real))(*values)


def words_of(kind, dtype, **operands):
    """Return the operands of an instruction as the integers of a row."""
    fields = Operands(kind.declared, real_type(dtype)).fields
    return kind.row(
        {
            name: operand(fields[name][1], value) if name in fields else value
            for name, value in operands.items()
        }
    )


def row_of(kind, dtype, *, wait=True, **operands):
    """Return an instruction's row of a program, as integers."""
    return [kind.address(real_type(dtype)), int(wait), *words_of(kind, dtype, **operands)]


def dirty_scratch(dtype, widest=2048):
    """Return what a thread's scratch memory may hold: what is left in it must not matter."""
    scratch = aligned_zeros(linear.scratch_size(dtype, widest), dtype)
    scratch[...] = np.nan
    return scratch


def instruct(kind, dtype, state, **operands):
    """Carry out an instruction as the thread does that has this state."""
    words = np.array(words_of(kind, dtype, **operands), np.int64)
    pointer = ctypes.c_void_p
    run = ctypes.CFUNCTYPE(None, pointer, pointer, pointer)(kind.address(real_type(dtype)))
    scratch = dirty_scratch(dtype)  # a name keeps it while code works on it
    run(words.ctypes.data, state.ctypes.data, scratch.ctypes.data)


def carry_out(kind, dtype, rows, threads, /, *, start=0, tick=0, only=None, **operands):
    """Carry out an instruction as `threads` threads would, or one of them; give their states."""
    states = []
    for thread in range(threads) if only is None else [only]:
        state = np.zeros(STATE, np.int64)
        state[[ROWS, START, TICK, THREAD, THREADS]] = rows, start, tick, thread, threads
        instruct(kind, dtype, state, **operands)
        states.append(state)
    return states


# ----------------------------------------------------------------------------- entries


def doubling():
    """A new entry, with nothing compiled yet in this process."""

    @entry(reads(1), writes(1))
    def double(x, y):
        for i in range(x.size):
            y[i] = 2.0 * x[i]

    return double


def assert_doubles(double, dtype=np.float32):
    """Raise AssertionError unless such an entry works for a dtype."""
    x, y = np.arange(5, dtype=dtype), np.zeros(5, dtype)
    double[np.dtype(dtype)](x, y)
    assert_array_equal(y, 2 * x)
