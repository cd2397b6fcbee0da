"""Gathering rows of a data set into a batch, in any order, converted and normalized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.base.arrays import FLOATING, matrix
from kernels.base.jit import entry, routine
from kernels.base.kinds import (
    BYTES,
    INTEGER,
    LABELS,
    MATRIX,
    REALS,
    WORDS,
    matrix_of,
    reads,
    row_at,
    writes,
)
from kernels.base.simd import (
    advance,
    data,
    first,
    load,
    load_bytes,
    load_masked,
    poke,
    store,
    store_masked,
    width,
    zeros,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@routine(INTEGER, INTEGER, REALS, WORDS, INTEGER, REALS, REALS, MATRIX)
def gather_rows(rows, columns, source, order, normalising, mean, factor, target):
    """Compute target[i] = source[order[i]], or (source[order[i]] - mean) factor if normalising."""
    lanes = width(source)
    whole = columns - columns % lanes
    mask = first(columns - whole, source)
    for i in range(rows):
        row, place = advance(source, order[i] * columns), row_at(target, i)
        for j in range(0, whole, lanes):
            value = load(row, j)
            if normalising:
                value = (value - load(mean, j)) * load(factor, j)
            store(place, j, value)
        if whole < columns:
            value = load_masked(row, whole, mask)
            if normalising:
                value = (value - load_masked(mean, whole, mask)) * load_masked(factor, whole, mask)
            store_masked(place, whole, value, mask)


@routine(INTEGER, INTEGER, BYTES, WORDS, INTEGER, REALS, REALS, MATRIX)
def gather_bytes(rows, columns, source, order, normalising, mean, factor, target):
    """Compute like `gather_rows` from rows of bytes."""
    lanes = width(target)
    like = zeros(target)
    whole = columns - columns % lanes
    mask = first(columns - whole, target)
    for i in range(rows):
        row, place = advance(source, order[i] * columns), row_at(target, i)
        for j in range(0, whole, lanes):
            value = load_bytes(row, j, like)
            if normalising:
                value = (value - load(mean, j)) * load(factor, j)
            store(place, j, value)
        for j in range(whole, columns):
            poke(place, j, row[j])
        if normalising and whole < columns:
            value = load_masked(place, whole, mask)
            value = (value - load_masked(mean, whole, mask)) * load_masked(factor, whole, mask)
            store_masked(place, whole, value, mask)


@entry(reads(2), LABELS, reads(1), reads(1), writes(2))
def _normalize(x, order, mean, factor, y):
    rows, columns = x.shape
    gather_rows(rows, columns, data(x), data(order), 1, data(mean), data(factor), matrix_of(y))


def normalize(x: ArrayLike, mean: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return (x - mean) factor, column by column.

    Parameters
    ----------
    x : array_like of shape (rows, columns)
        Floating or integer numbers.
    mean : ndarray of shape (columns,)
        Numbers to subtract, float32 or float64: the dtype of the result.
    factor : ndarray of shape (columns,)
        Factors, of the dtype of `mean`.

    Returns
    -------
    ndarray of shape (rows, columns)
        The result.

    Raises
    ------
    TypeError
        If `mean` or `factor` is no array of float32 or float64, or `x` is not of numbers.
    ValueError
        If shapes do not fit, or the dtypes of `mean` and `factor` differ.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels import normalize
    >>> normalize([[1.0, 10.0], [3.0, 30.0]], np.array([2.0, 20.0]), np.array([1.0, 0.1]))
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    for name, each in (("mean", mean), ("factor", factor)):
        if not isinstance(each, np.ndarray) or each.dtype not in FLOATING:
            kind = each.dtype if isinstance(each, np.ndarray) else type(each).__name__
            raise TypeError(f"{name} is of {kind}; expected an array of float32 or float64")
    if mean.ndim != 1:
        raise ValueError(f"mean has shape {mean.shape}; expected one dimension")
    if factor.shape != mean.shape or factor.dtype != mean.dtype:
        raise ValueError(
            f"factor has shape {factor.shape} and dtype {factor.dtype}; "
            f"expected {mean.shape} and {mean.dtype}"
        )
    given = matrix("x", x, mean.dtype)
    if given.shape[1] != mean.size:
        raise ValueError(f"x has shape {given.shape}; expected {mean.size} columns")
    y = np.empty_like(given)
    tables = np.ascontiguousarray(mean), np.ascontiguousarray(factor)
    _normalize[y.dtype](given, np.arange(given.shape[0]), *tables, y)
    return y
