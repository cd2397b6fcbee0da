"""Memory laid out as kernels like it: aligned to cache lines, rows an odd number of lines apart."""

from __future__ import annotations

import ctypes

import numpy as np

from kernels.base.host import CACHE_LINE


def address(array: np.ndarray) -> int:
    """Address of an array's first element."""
    try:
        # Takes a quarter of the time of the array interface.
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # what is read-only, not contiguous or empty
        return array.__array_interface__["data"][0]


def aligned_zeros(size: int, dtype) -> np.ndarray:
    """Flat array of `size` zeros that begins at a cache line."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -address(raw) % CACHE_LINE
    return raw[start : start + size * dtype.itemsize].view(dtype)


def line_elements(dtype) -> int:
    """Elements of a cache line."""
    return CACHE_LINE // np.dtype(dtype).itemsize


def padded(size: int, dtype) -> int:
    """`size` elements rounded up to whole cache lines."""
    line = line_elements(dtype)
    return -(-size // line) * line


def leading_dimension(columns: int, dtype) -> int:
    """Elements from one row to the next: an odd number of cache lines.

    Rows an even number of lines apart, and above all a power of two, fall into few
    sets of a cache, and push each other out of it.
    """
    line = line_elements(dtype)
    return (-(-columns // line) | 1) * line
