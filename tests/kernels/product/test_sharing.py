import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS

from kernels.base.simd import data
from kernels.product.sharing import columns_of, part, splits_columns


def line_of(dtype):
    return 64 // np.dtype(dtype).itemsize


@pytest.fixture(scope="module")
def parts():
    @numba.njit
    def compiled(rows, columns, depth, like, thread, threads):
        return part(rows, columns, depth, data(like), thread, threads)

    return lambda rows, columns, depth, dtype, threads: [
        compiled(rows, columns, depth, np.empty(0, dtype), thread, threads)
        for thread in range(threads)
    ]


@pytest.fixture(scope="module")
def columns_of_each():
    @numba.njit
    def compiled(columns, line, thread, threads):
        return columns_of(columns, line, thread, threads)

    return lambda columns, line, threads: [
        compiled(columns, line, thread, threads) for thread in range(threads)
    ]


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None)
@given(
    rows=st.integers(0, 300), columns=st.integers(0, 300), depth=st.sampled_from((0, 10, 1000)),
    threads=st.integers(1, 17),
)  # fmt: skip
def test_each_element_is_in_one_part(parts, dtype, rows, columns, depth, threads):
    times = np.zeros((rows, columns), int)
    for i, height, j, wide in parts(rows, columns, depth, dtype, threads):
        assert min(i, height, j, wide) >= 0
        assert i % 2 == j % line_of(dtype) == 0
        assert (i, height) == (0, rows) or (j, wide) == (0, columns)
        times[i : i + height, j : j + wide] += 1
    assert (times == 1).all()


@settings(deadline=None)  # the first call compiles
@given(columns=st.integers(0, 2000), line=st.sampled_from((8, 16)), threads=st.integers(1, 17))
def test_columns_are_split_where_no_thread_has_many_more(columns_of_each, columns, line, threads):
    lines = -(-columns // line)
    most = max(end - begin for begin, end in columns_of_each(lines * line, line, threads))
    splits = splits_columns.py_func(4, columns, line, threads)
    assert splits == (5 * most * threads <= 6 * lines * line)
    assert not splits_columns.py_func(5000, columns, line, threads)


@settings(deadline=None)
@given(lines=st.integers(0, 99), last=st.integers(1, 16), threads=st.integers(1, 17))
def test_no_thread_has_two_lines_more_than_another(columns_of_each, lines, last, threads):
    columns = lines * 16 + last
    shares = columns_of_each(columns, 16, threads)
    ends = [0, *(end for _, end in shares)]
    assert ends[-1] == columns
    assert [begin for begin, _ in shares] == ends[:-1]
    counts = [-(-end // 16) - begin // 16 for begin, end in shares]
    assert max(counts) - min(counts) <= 1


def test_a_line_is_left_over_where_panels_begin_with_the_second_thread(columns_of_each):
    begins = [columns_of_each(lines * 16, 16, 2)[1][0] // 16 for lines in range(2, 14)]
    assert begins == [1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 6]


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_or_columns(parts, dtype):
    def by_rows(rows, lines, depth, threads=2):
        columns = lines * line_of(dtype)
        found = parts(rows, columns, depth, dtype, threads)
        return all(part[2:] == (0, columns) for part in found)

    assert not by_rows(64, 2, 784)  # weights would be read by both
    assert by_rows(64, 2, 10)  # lines of the output would be written by both
    assert not by_rows(64, 128, 10)
    assert by_rows(64, 3, 784)  # columns could not be shared out evenly
    assert not by_rows(6, 3, 784)  # too few rows
    assert by_rows(2000, 2, 4000)
