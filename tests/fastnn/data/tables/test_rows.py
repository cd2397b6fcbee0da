import errno
import os
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables import rows
from fastnn.data.tables.columns import Category, Number
from fastnn.data.tables.rows import encoded_rows, moments
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.sources import open_source


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30_000), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_moments_over_blocks_are_those_of_the_whole(n, mean, std):
    x = np.random.default_rng(n).normal(mean, std, (n, 40))
    schema = Schema.of_numbers(40)
    found = moments(schema.columns, x)
    np.testing.assert_allclose(found[0], x.mean(axis=0), rtol=1e-9, atol=1e-9 * std)
    expected = np.where(x.std(axis=0) > 0, x.std(axis=0), 1) if n > 1 else np.ones(40)
    np.testing.assert_allclose(found[1], expected, rtol=1e-6)


@pytest.fixture
def as_file(monkeypatch):
    """Rows of a column, which go to a file."""
    monkeypatch.setattr(rows, "IN_MEMORY", 100)
    table = open_source({"a": np.arange(100.0)}).table()
    return lambda: rows.encoded_rows([Number("a")], table, ["a"], np.arange(100))


def test_a_full_disk_is_one_error(as_file, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"No space left on device: the rows take 400 bytes in "):
        as_file()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full")
def test_a_full_disk_is_one_error_where_space_cannot_be_asked_for(as_file, monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    full = partial(open, "/dev/full", "wb")
    monkeypatch.setattr(rows.tempfile, "TemporaryFile", lambda buffering, dir: full(buffering))
    with pytest.raises(OSError, match=r"No space left on device: the rows take 400 bytes in "):
        as_file()


def test_all_space_is_taken_before_rows_are_written(as_file, monkeypatch):
    expected = as_file()
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(rows, "_BLOCK", 64)
    taken = []
    memmap = np.memmap

    def look(file, *arguments, **options):
        taken.append(os.fstat(file.fileno()).st_size)
        return memmap(file, *arguments, **options)

    monkeypatch.setattr(np, "memmap", look)
    np.testing.assert_array_equal(as_file(), expected)
    assert taken == [400]


def test_rows_written_part_by_part_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    frame = {"a": rng.normal(size=5000), "t": rng.choice(["p", "q"], 5000)}
    found = open_source(frame).table()
    columns = [Number("a"), Category("t", None, ("p", "q"))]
    used = rng.permutation(5000)[:4000]
    whole = encoded_rows(columns, found, ["a", "t"], used)
    monkeypatch.setattr(rows, "IN_MEMORY", 0)
    monkeypatch.setattr(rows, "_RESIDENT", 10_000)  # bytes
    parts = encoded_rows(columns, found, ["a", "t"], used)
    assert isinstance(parts, np.memmap)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(whole[:, 0], frame["a"][used].astype(np.float32))
    np.testing.assert_array_equal(whole[:, 1:], np.eye(2)[(frame["t"][used] == "q").astype(int)])
    assert [each.tolist() for each in moments(columns, parts)] == [
        each.tolist() for each in moments(columns, whole)
    ]
