import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS
from numpy.testing import assert_array_equal

import kernels
from crews import together
from kernels.base import subnormals
from kernels.base.jit import real_type
from kernels.base.memory import address, aligned_zeros
from kernels.functions.activations import ACTIVATIONS
from kernels.instructions import linear, samples
from kernels.machine import forward, team
from kernels.machine.interpreter import OPERANDS, table_of
from kernels.machine.state import ROOM, THREADS
from kernels.machine.team import ALONE, shared

COLUMNS, X, Y = 5, 111, 222  # the last two stand for addresses


class Plan:
    """A plan of one or more copies of a program that checks rows and applies ReLU, by hand."""

    def __init__(self, dtype, batch=3, copies=1):
        self.dtype, real = np.dtype(dtype), real_type(dtype)
        check, relu = samples.check_finite, linear.activation
        rows = [
            [check.address(real), 1, COLUMNS, X, COLUMNS],
            [relu.address(real), 1, ACTIVATIONS["relu"], COLUMNS, X, COLUMNS, Y, COLUMNS],
        ]
        self.tables = [table_of(rows) for _ in range(copies)]
        self.states = [aligned_zeros(ROOM, np.int64) for _ in range(copies)]
        for state in self.states:
            state[THREADS] = 1
        table, step = self.tables[0], COLUMNS * self.dtype.itemsize
        inputs, outputs = (np.flatnonzero(table.ravel() == each).tolist() for each in (X, Y))
        assert len(inputs) == 2
        assert outputs == [table.shape[1] + OPERANDS + 4]
        fields = batch, len(table), table.shape[1], step, step, len(inputs), len(outputs), copies
        assert len(fields) == forward.FIELDS
        copied = [
            address(each) for pair in zip(self.tables, self.states, strict=True) for each in pair
        ]
        self.words = np.array([*fields, *inputs, *outputs, *copied])
        self.scratch = aligned_zeros(forward.SCRATCH, np.float32)

    def arguments(self, x, y, most=1, flushes=True):
        return (
            address(self.words),
            address(x),
            address(y),
            len(x),
            most,
            address(self.scratch),
            flushes,
        )


@pytest.fixture(params=FLOATS)
def dtype(request):
    return request.param


def rows_of(count, dtype):
    return np.random.default_rng(count).standard_normal((count, COLUMNS)).astype(dtype)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 10])
def test_rows_are_computed_block_by_block(rows, dtype):
    plan, x, y = Plan(dtype), rows_of(rows, dtype), np.full((rows + 1, COLUMNS), 7, dtype)
    for _ in range(2):  # the places keep no address of the last call that the next one needs
        y[:rows] = np.nan
        assert forward.forward["float32"](*plan.arguments(x, y), ALONE) == 1
        assert_array_equal(y[:rows], np.maximum(x, 0))
        assert_array_equal(y[rows], np.full(COLUMNS, 7))
        x = rows_of(rows, dtype)[::-1].copy()


def test_arrays_instead_of_addresses(dtype):
    plan, x = Plan(dtype), rows_of(10, dtype)
    y = np.empty_like(x)
    call = forward.forward_alone[dtype]
    assert call(address(plan.words), x, y, address(plan.scratch), True) == 1
    assert_array_equal(y, np.maximum(x, 0))


@pytest.mark.parametrize("row", [0, 4, 9])
def test_an_instruction_may_halt_a_call_but_not_the_next(row, dtype):
    plan, x, y = Plan(dtype), rows_of(10, dtype), np.empty((10, COLUMNS), dtype)
    worse = x.copy()
    worse[row, 2] = np.inf
    run = forward.forward["float32"]
    assert run(*plan.arguments(worse, y), ALONE) == 0
    assert run(*plan.arguments(x, y), ALONE) == 1
    assert_array_equal(y, np.maximum(x, 0))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 40), threads=st.integers(2, 5), copies=st.integers(1, 5),
    most=st.integers(1, 6), bad=st.none() | st.integers(0, 39),
)  # fmt: skip
def test_threads_share_rows_at_most_one_a_copy(rows, threads, copies, most, bad):
    plan, x = Plan(np.float32, batch=4, copies=copies), rows_of(rows, np.float32)
    if bad is not None and bad < rows:
        x[bad, 0] = np.nan
    y, before = np.empty_like(x), team.get_num_threads()
    try:
        kernels.set_num_threads(threads)
        with together():
            done = shared(forward.forward["float32"], plan.arguments(x, y, most), 1.0)
    finally:
        kernels.set_num_threads(before)
    assert done == np.isfinite(x).all()
    if done:
        assert_array_equal(y, np.maximum(x, 0))


@pytest.mark.skipif(not subnormals.FLUSH, reason="not x86 or Arm: nothing is flushed")
@pytest.mark.parametrize("value", [1.0, np.nan])
def test_subnormal_numbers_are_kept_afterwards(value):
    plan, x = Plan(np.float32), np.full((2, COLUMNS), value, np.float32)
    forward.forward["float32"](*plan.arguments(x, np.empty_like(x)), ALONE)
    assert np.float32(1e-40) * np.float32(0.5) > 0
    with subnormals.Flushed():
        forward.forward["float32"](*plan.arguments(x, np.empty_like(x), flushes=False), ALONE)
        assert np.float32(1e-40) * np.ones(1, np.float32) == 0
