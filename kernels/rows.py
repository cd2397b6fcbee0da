"""Questions about one row: its largest element, and where that is."""

from __future__ import annotations

import numpy as np

from kernels.jit import inline
from kernels.simd import first, load_first, maximum, peek, reduce_max, select, splat, width, zeros


@inline
def _with_nan(a, b):
    """Lanewise maximum that is NaN when either is."""
    return select(b != b, b, maximum(a, b))


@inline
def largest(x, count):
    """Largest of `count` elements; NaN if one is."""
    best = splat(-np.inf, zeros(x))
    for j in range(0, count, width(x)):
        here = load_first(x, j, count - j)
        best = _with_nan(select(first(count - j, x), here, -np.inf), best)
    return reduce_max(best)


@inline
def holds(x, count, value):
    """Whether one of `count` elements equals `value`."""
    for j in range(count):
        if peek(x, j) == value:
            return True
    return False


@inline
def place(x, count, value):
    """Number of the first element equal to `value`, or `count` where there is none."""
    for j in range(count):
        if peek(x, j) == value:
            return j
    return count


@inline
def largest_place(x, count):
    """Number of the first of the largest elements; `count` where one is NaN."""
    return place(x, count, largest(x, count))
