"""Reductions: the largest element of a row and where that is, sums over rows."""

from __future__ import annotations

import numpy as np

from kernels.base.jit import inline
from kernels.base.kinds import row_at
from kernels.base.simd import (
    first,
    load_first,
    maximum,
    peek,
    reduce_max,
    select,
    splat,
    store_first,
    width,
    zeros,
)

_FEW = 4  # elements that are looked at one by one sooner than as a vector


@inline
def larger(a, b):
    """Lanewise maximum that is NaN when either is."""
    return select(b != b, b, maximum(a, b))


@inline
def largest(x, count):
    """Largest of `count` elements; NaN if one is."""
    best = splat(-np.inf, zeros(x))
    for j in range(0, count, width(x)):
        here = load_first(x, j, count - j)
        best = larger(select(first(count - j, x), here, -np.inf), best)
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
    if count > _FEW:
        return place(x, count, largest(x, count))
    best, found = peek(x, 0), 0
    for j in range(1, count):
        here = peek(x, j)
        if here > best or here != here:
            best, found = here, j
    return found if best == best else count


@inline
def sum_columns(rows, columns, x, out):
    """The sums over the rows: every fourth row by itself, and those four then added in pairs."""
    for j in range(0, columns, width(x)):
        count, whole = columns - j, rows - rows % 4
        a, b, c, d = zeros(x), zeros(x), zeros(x), zeros(x)
        for i in range(0, whole, 4):
            a = a + load_first(row_at(x, i), j, count)
            b = b + load_first(row_at(x, i + 1), j, count)
            c = c + load_first(row_at(x, i + 2), j, count)
            d = d + load_first(row_at(x, i + 3), j, count)
        for i in range(whole, rows):
            a = a + load_first(row_at(x, i), j, count)
        store_first(out, j, (a + b) + (c + d), count)
