"""Reductions: the largest element of a row and its index, and sums over rows."""

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

_FEW = 4  # most elements for which a scalar loop is faster than vectors


@inline
def larger(a, b):
    """Return the lanewise maximum, NaN where either operand is NaN."""
    return select(b != b, b, maximum(a, b))


@inline
def largest(x, count):
    """Return the largest of `count` elements, NaN if any element is NaN."""
    best = splat(-np.inf, zeros(x))
    for j in range(0, count, width(x)):
        here = load_first(x, j, count - j)
        best = larger(select(first(count - j, x), here, -np.inf), best)
    return reduce_max(best)


@inline
def holds(x, count, value):
    """Return whether one of `count` elements equals `value`."""
    for j in range(count):
        if peek(x, j) == value:
            return True
    return False


@inline
def place(x, count, value):
    """Return the index of the first element equal to `value`, or `count` if there is none."""
    for j in range(count):
        if peek(x, j) == value:
            return j
    return count


@inline
def largest_place(x, count):
    """Return the index of the first largest element, or `count` if any element is NaN."""
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
    """Compute the sum of the rows: four sums of every fourth row, then added in pairs."""
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
