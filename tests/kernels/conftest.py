"""Fixtures of the kernels' tests: forbidden pages, cache folders, threads, and errors in ulps."""

import ctypes
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

import kernels

sys.path.insert(0, str(Path(__file__).parent))  # where `kit` is

_FORBIDDEN = 0  # PROT_NONE


@pytest.fixture
def guarded():
    """Function that makes an array ending, or with `before` beginning, at a forbidden page.

    Touching a byte past that end of the array kills the process.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("protects memory as Linux does")
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

    def make(shape, dtype, before=False):
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(-1, room + mmap.PAGESIZE)
        begin = mmap.PAGESIZE if before else room - size
        array = np.frombuffer(memory, dtype, size // dtype.itemsize, begin).reshape(shape)
        first = np.frombuffer(memory, np.uint8).ctypes.data
        forbidden = first if before else first + room
        assert protect(forbidden, mmap.PAGESIZE, _FORBIDDEN) == 0, ctypes.get_errno()
        return array

    return make


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder: no code is found there that was compiled from a test's former text."""
    place = tmp_path / "cache"
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(place))
    return place


@pytest.fixture
def set_threads():
    """Function that sets the number of threads, which in the end is what it was."""
    before = kernels.get_num_threads()
    yield kernels.set_num_threads
    kernels.set_num_threads(before)


@pytest.fixture(scope="session")
def ulps():
    """Function giving the error of floating results in units in the last place.

    The exact values come in a wider type; the unit is that of the exact value in the
    results' type. Where the exact value rounds to inf, or is NaN, anything else counts
    as inf.
    """

    def error(got, exact):
        got, exact = np.atleast_1d(got, exact)
        info = np.finfo(got.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = exact.astype(got.dtype)
            power = np.abs(exact / (2 * np.frexp(exact)[0]))  # of two, at or below the value
            unit = np.fmax(power, info.smallest_normal) * info.eps
            distance = np.abs(got - exact) / unit
        special = ~(np.isfinite(rounded) & np.isfinite(got))
        if special.any():
            same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
            distance[special] = np.where(same, 0, np.inf)[special]
        return distance

    return error
