import numpy as np
import pytest
from kit import block, carry_out, normal, nothing, only_inside
from numpy.testing import assert_array_equal

from kernels.instructions import samples as instructions
from kernels.machine.state import HALT


@pytest.mark.parametrize("kind", ["numbers", "bytes"])
@pytest.mark.parametrize("normalising", [False, True])
def test_gather(kind, normalising, dtype, threads):
    random = np.random.default_rng(0)
    source = random.integers(0, 256, (30, 21)).astype(np.uint8 if kind == "bytes" else dtype)
    order = random.permutation(30)
    mean, factor = normal(21, dtype, 1), normal(21, dtype, 2)
    tables = {"mean": mean, "factor": factor} if normalising else {"mean": 0, "factor": 0}
    instruction = instructions.gather_bytes if kind == "bytes" else instructions.gather
    for start, rows in ((0, 8), (16, 8), (24, 6), (5, 1)):
        y = nothing((8, 21), dtype)
        carry_out(
            instruction,
            dtype,
            rows,
            threads,
            start=start,
            columns=21,
            source=source,
            order=order,
            normalising=normalising,
            y=y,
            **tables,
        )
        expected = source[order[start : start + rows]].astype(dtype)
        assert_array_equal(y[:rows], (expected - mean) * factor if normalising else expected)
        assert np.isnan(y[rows:]).all()
        assert only_inside(y)


def test_gather_labels(dtype, threads):
    source, order = np.arange(100, 130), np.random.default_rng(0).permutation(30)
    labels = np.full(8, -1)
    operands = {"source": source, "order": order, "labels": labels}
    carry_out(instructions.gather_labels, dtype, 6, threads, start=24, **operands)
    assert_array_equal(labels, [*source[order[24:]], -1, -1])


def test_gather_numbers(dtype, threads):
    source, order = normal(30, dtype), np.random.default_rng(0).permutation(30)
    numbers = np.full(8, np.nan, dtype)
    operands = {"source": source, "order": order, "numbers": numbers}
    carry_out(instructions.gather_numbers, dtype, 6, threads, start=24, **operands)
    assert_array_equal(numbers, [*source[order[24:]], np.nan, np.nan])


def test_collect(dtype, threads):
    x, results = block(normal((9, 21), dtype)), np.full((20, 21), 7, dtype)
    carry_out(instructions.collect, dtype, 8, threads, start=3, columns=21, x=x, results=results)
    assert_array_equal(results[3:11], x[:8])
    assert_array_equal(results[:3], np.full((3, 21), 7))
    assert_array_equal(results[11:], np.full((9, 21), 7))


def halts(x, rows, dtype):
    """Return whether `check_finite` halts at the first rows of a block."""
    kind, columns = instructions.check_finite, x.shape[1]
    (state,) = carry_out(kind, dtype, rows, 1, columns=columns, x=x)
    return bool(state[HALT])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_check_finite(value, dtype):
    for columns in (1, 7, 16, 37):
        x = block(normal((9, columns), dtype))  # with NaN between the rows
        assert not halts(x, 9, dtype)
        for row, column in ((0, 0), (8, columns - 1), (4, columns // 2)):
            worse = block(x)
            worse[row, column] = value
            assert halts(worse, 9, dtype)
            assert not halts(worse, row, dtype)
    assert not halts(block(np.full((3, 5), np.finfo(dtype).max)), 3, dtype)


def test_classify(dtype, threads):
    x = block(np.random.default_rng(0).integers(0, 4, (40, 5)).astype(dtype))
    x[3, 2], x[3, 4] = np.nan, np.nan
    labels = np.full(41, -1)
    carry_out(instructions.classify, dtype, 40, threads, columns=5, above=0.0, x=x, labels=labels)
    assert_array_equal(labels, [*x.argmax(axis=1), -1])


@pytest.mark.parametrize("above", [0.0, 0.5])
def test_classify_one_column(above, dtype, threads):
    x = block(np.array([[0.4], [0.5], [0.6], [-1], [0], [np.nan]], dtype))
    labels = np.full(7, -1)
    carry_out(instructions.classify, dtype, 6, threads, columns=1, above=above, x=x, labels=labels)
    assert_array_equal(labels, [*(x[:, 0] > above), -1])
