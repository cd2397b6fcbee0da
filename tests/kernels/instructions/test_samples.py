import numpy as np
import pytest
from kit import block, carry_out, normal, nothing, only_inside
from numpy.testing import assert_array_equal

from kernels.instructions import samples as instructions


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
