"""Memory for kernels: aligned to cache lines, with rows an odd number of cache lines apart."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np

from kernels.base.host import CACHE_LINE


def address(array: np.ndarray) -> int:
    """Return the address of an array's first element."""
    try:
        # This takes a quarter of the time of the array interface.
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # the array is read-only, not contiguous or empty
        return array.__array_interface__["data"][0]


def aligned_zeros(size: int, dtype) -> np.ndarray:
    """Return a flat array of `size` zeros, aligned to a cache line."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -address(raw) % CACHE_LINE
    return raw[start : start + size * dtype.itemsize].view(dtype)


def fixed(array: np.ndarray) -> weakref.ref:
    """Return a reference to the owner of an array's memory.

    NumPy does not resize, which moves the memory, what a weak reference refers to.
    """
    while isinstance(array.base, np.ndarray):
        array = array.base
    return weakref.ref(array)


_OWNERS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def lasting_zeros(size: int, dtype) -> np.ndarray:
    """Return `aligned_zeros` to hand out: whoever has them cannot move their memory."""
    zeros = aligned_zeros(size, dtype)
    _OWNERS[id(zeros.base)] = zeros.base
    return zeros


def lasting(values: np.ndarray) -> np.ndarray:
    """Return a flat copy of a flat array, in native byte order, in memory of `lasting_zeros`."""
    copy = lasting_zeros(values.size, values.dtype.newbyteorder("="))
    copy[:] = values
    return copy


def line_elements(dtype) -> int:
    """Return the number of elements in a cache line."""
    return CACHE_LINE // np.dtype(dtype).itemsize


def padded(size: int, dtype) -> int:
    """Return `size` elements rounded up to whole cache lines."""
    line = line_elements(dtype)
    return -(-size // line) * line


def leading_dimension(columns: int, dtype) -> int:
    """Return a leading dimension in elements: an odd number of cache lines.

    Rows an even number of lines apart, above all a power of two, fall into few sets of a cache
    and evict each other.
    """
    line = line_elements(dtype)
    return (-(-columns // line) | 1) * line
