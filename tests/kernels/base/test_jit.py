import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
from kit import FLOATS, assert_doubles, call, doubling
from numba import types
from numpy.testing import assert_array_equal

from kernels.base.jit import entry, inline, real_type, routine
from kernels.base.kinds import INTEGER, MATRIX, REALS, WORDS, matrix_of, reads, row_at, writes
from kernels.base.simd import data, peek, poke


def test_numba_that_is_told_not_to_compile():
    done = subprocess.run(
        [sys.executable, "-c", "import kernels"], capture_output=True, text=True, timeout=300,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: NUMBA_DISABLE_JIT is set: ")


def test_compiled_before(folder, tmp_path, monkeypatch):
    double = doubling()
    assert not double.is_compiled(np.float32)
    assert_doubles(double)
    assert double.is_compiled(np.float32)
    assert not double.is_compiled(np.float64)
    assert doubling().is_compiled(np.float32), "not found in the cache folder"
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "other"))
    assert double.is_compiled(np.float32)
    assert not doubling().is_compiled(np.float32)


# ------------------------------------------------------------------- routines and entries


@routine(INTEGER, REALS)
def _increase(count, x):
    for i in range(count):
        poke(x, i, peek(x, i) + 1)


@inline
def _increase_twice(count, x):
    _increase(count, x)
    _increase(count, x)


@routine(INTEGER, WORDS, REALS)
def _increase_and_count(count, counter, x):
    _increase_twice(count, x)
    counter[0] += count


@routine(INTEGER, INTEGER, MATRIX)
def _increase_rows(rows, columns, x):
    for i in range(rows):
        _increase(columns, row_at(x, i))


@entry(writes(2))
def increase_rows(x):
    _increase_rows(x.shape[0], x.shape[1], matrix_of(x))


@entry(writes(1), writes(1, types.int64), result=types.int64)
def increase(x, counter):
    _increase_and_count(x.size, data(counter), data(x))
    return x.size


@pytest.mark.parametrize("dtype", FLOATS)
def test_routines_call_each_other_through_inlined_functions(folder, dtype):
    x, counter = np.zeros(5, dtype), np.zeros(1, np.int64)
    assert increase[np.dtype(dtype)](x, counter) == 5
    assert_array_equal(x, np.full(5, 2))
    assert counter[0] == 5


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_matrix_is_one_argument_and_tells_the_version(folder, dtype):
    x = np.zeros((3, 5), dtype)
    increase_rows[np.dtype(dtype)](x)
    assert_array_equal(x, np.ones((3, 5)))
    call(_increase_rows, dtype, 3, 2, x)
    assert_array_equal(x, [[2, 2, 1, 1, 1]] * 3)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_routine_has_an_address_for_each_dtype(folder, dtype):
    real, x = real_type(dtype), np.zeros(3, dtype)
    address = _increase.address(real)
    assert address == _increase.address(real)
    assert len({_increase.address(real_type(each)) for each in FLOATS}) == 2
    call(_increase, dtype, 3, x)
    assert_array_equal(x, np.ones(3))


def test_a_routine_is_compiled_once_and_called_by_name(folder):
    real = real_type(np.float32)
    new = routine(*_increase_and_count.kinds)(_increase_and_count.function)
    assembly = new.assembly(real)
    assert _increase.symbol(real) in assembly
    assert _increase.symbol(real) != _increase.symbol(real_type(np.float64))


def test_kernels_cannot_allocate(folder):
    """The code that a step calls has no run-time library to take memory from."""

    @routine(REALS)
    def allocating(x):
        poke(x, 0, np.ones(3)[1])

    with pytest.raises(numba.core.errors.NumbaError):
        allocating.address(real_type(np.float32))


def test_entries_take_what_their_types_say_and_compile_no_other_version(folder):
    double = doubling()
    x, y = np.arange(6.0), np.zeros(6)
    locked = x.copy()
    locked.flags.writeable = False
    double[y.dtype](locked, y)
    assert_array_equal(y, 2 * x)
    kept = set(folder.iterdir())
    for bad in (
        (x, locked),
        (x[::2], y),
        (x, y[::2]),
        (x.astype(np.float32), y),
        (x.astype(int), y),
        (x.reshape(2, 3), y),
        (x.tolist(), y),
        (x,),
    ):
        with pytest.raises(TypeError):
            double[y.dtype](*bad)
    assert_array_equal(y, 2 * x)
    assert set(folder.iterdir()) == kept


def test_strided_types_take_every_layout(folder):
    @entry(reads(2, layout="A"), writes(2, layout="A"))
    def copy(x, y):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                y[i, j] = x[i, j]

    x = np.arange(12.0).reshape(3, 4)
    for source in (
        x,
        np.asfortranarray(x),
        np.repeat(x, 2, 1)[:, ::2],
        np.broadcast_to(x[0], (3, 4)),
    ):
        for out in (np.empty((3, 4)), np.empty((4, 3)).T, np.empty((3, 4))[::-1]):
            copy[x.dtype](source, out)
            assert_array_equal(out, source)


def test_division_by_zero_is_that_of_numpy(folder):
    @entry(writes(1), result=types.float64)
    def divide(x):
        return x[0] / x[1]

    for dtype in FLOATS:
        assert divide[np.dtype(dtype)](np.array([1, 0], dtype)) == np.inf
        assert np.isnan(divide[np.dtype(dtype)](np.array([0, 0], dtype)))


def test_threads_may_ask_for_the_same_entry_at_once(folder):
    new = entry(*increase.kinds, result=increase.result)(increase.function)
    ready, results = threading.Barrier(4), []

    def work():
        x, counter = np.zeros(5, np.float32), np.zeros(1, np.int64)
        ready.wait()
        new[x.dtype](x, counter)
        results.append((x.tolist(), counter[0]))

    team = [threading.Thread(target=work) for _ in range(4)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert results == [([2.0] * 5, 5)] * 4
