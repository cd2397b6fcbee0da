"""Dropout with masks from a counter-based random generator.

Philox-4x32 with seven rounds (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
2011; seven is the fewest that pass BigCrush) turns a counter and a key into four random words. The
key is the seed; the counter consists of the element's column and row, the step, and the stream of
the layer. So one seed gives one mask on every host, with any number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import types

from kernels.base.arrays import integer, matrix, number
from kernels.base.jit import entry, inline, routine
from kernels.base.kinds import DOUBLE, INTEGER, MASK, MATRIX, REAL, matrix_of, reads, row_at, writes
from kernels.base.simd import (
    convert,
    lane_numbers,
    load_first,
    load_mask,
    select,
    store_first,
    store_mask,
    width,
    words,
    zeros,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


GROUP = 128
"""Elements of a row drawn together: 16 counters with 8 half-words each.

A mask's rows are whole groups.
"""

_COUNTERS = 16
_ROUNDS = 7
_LOW, _HALF = 0xFFFFFFFF, 0xFFFF


@inline
def _high(x, factor):
    """Return the high word of the 64-bit product of each lane with a constant."""
    return convert((convert(x, np.uint64) * factor) >> 32, np.uint32)


@inline
def philox(place, row, step, stream, seed):
    """Return four vectors of random words from a vector of counters and three more words.

    `seed` is a key of 64 bits; the other numbers count modulo 2^32.
    """
    a, b, c, d = place, row, step, stream
    key, other = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(_ROUNDS):
        high_a, low_a = _high(a, 0xD2511F53), a * 0xD2511F53
        high_c, low_c = _high(c, 0xCD9E8D57), c * 0xCD9E8D57
        a, b, c, d = high_c ^ b ^ key, low_c, high_a ^ d ^ other, low_a
        key, other = (key + 0x9E3779B9) & _LOW, (other + 0xBB67AE85) & _LOW
    return a, b, c, d


@routine(*(INTEGER,) * 3, MATRIX, MATRIX, MASK, *(INTEGER,) * 4, REAL)
def dropout_rows(rows, columns, row, x, y, mask, seed, step, stream, keep, scale):
    """Compute y = scale x where a random half-word is below `keep`, and 0 elsewhere.

    The first row of the block is number `row` of the batch. `mask` receives a byte for each
    element, in rows of whole groups. y may be x.
    """
    like = zeros(x)
    lanes = width(x)
    for i in range(rows):
        for group in range(0, columns, GROUP):
            for part in range(0, _COUNTERS, lanes):
                counter = words(group // 8 + part, like) + lane_numbers(words(0, like))
                drawn = philox(
                    counter, words(row + i, like), words(step, like), words(stream, like), seed
                )
                for half in range(8):
                    j = group + half * _COUNTERS + part
                    word = drawn[half // 2]
                    kept = (word & _HALF if half % 2 == 0 else word >> 16) < keep
                    store_mask(row_at(mask, i), j, kept)
                    count = columns - j
                    if count > 0:
                        value = select(kept, load_first(row_at(x, i), j, count) * scale, 0.0)
                        store_first(row_at(y, i), j, value, count)


@routine(INTEGER, INTEGER, MATRIX, MASK, REAL, MATRIX)
def dropout_gradient_rows(rows, columns, g, mask, scale, out):
    """Compute out = scale g where the mask is set, and 0 elsewhere; out may be g."""
    like = zeros(g)
    for i in range(rows):
        for j in range(0, columns, width(g)):
            count = columns - j
            kept = load_mask(row_at(mask, i), j, like)
            value = select(kept, load_first(row_at(g, i), j, count) * scale, 0.0)
            store_first(row_at(out, i), j, value, count)


# ------------------------------------------------------------------ for use from Python


@entry(reads(2), writes(2), writes(2, types.uint8), *(INTEGER,) * 4, DOUBLE)
def _dropout(x, y, mask, seed, step, stream, keep, scale):
    rows, columns = x.shape
    dropout_rows(
        rows,
        columns,
        0,
        matrix_of(x),
        matrix_of(y),
        matrix_of(mask),
        seed,
        step,
        stream,
        keep,
        scale,
    )


@entry(reads(2), reads(2, types.uint8), DOUBLE, writes(2))
def _dropout_gradient(g, mask, scale, out):
    rows, columns = g.shape
    dropout_gradient_rows(rows, columns, matrix_of(g), matrix_of(mask), scale, matrix_of(out))


def keep_halves(p: float) -> int:
    """Return the number of half-words, of all 2^16, that keep an element for probability `p`."""
    return round((1.0 - p) * 2.0**16)


def keep_scale(p: float) -> float:
    """Return 1 / (1 - p), the factor of kept elements, or 0 for p = 1."""
    return 1.0 / (1.0 - p) if p < 1.0 else 0.0


def mask_columns(columns: int) -> int:
    """Return the columns of a mask for rows of `columns` elements."""
    return -(-columns // GROUP) * GROUP


def dropout(
    x: ArrayLike, p: float = 0.5, *, seed: int = 0, step: int = 0, stream: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return x / (1 - p) where an element is kept, and 0 where it is dropped with probability p.

    The mask follows from `seed`, `step`, `stream` and the indices of an element alone, by
    Philox-4x32 with seven rounds [1]_. The probability is rounded to a multiple of 2^-16.

    Parameters
    ----------
    x : array_like of shape (rows, columns)
        Input, float32 or float64.
    p : float, default 0.5
        Probability that an element is dropped, from 0 to 1.
    seed : int, default 0
        Key of the random generator, of 64 bits, signed or unsigned.
    step : int, default 0
        Number of the mask in a sequence of masks, at least 0.
    stream : int, default 0
        Number of an independent sequence of masks, at least 0.

    Returns
    -------
    y : ndarray of shape (rows, columns)
        The result.
    mask : ndarray of uint8 of shape (rows, columns rounded up to 128)
        1 where an element is kept, 0 where it is dropped.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or `seed`, `step` or `stream` is no integer.
    ValueError
        If `x` is not 2-d, or a number is out of its range.

    References
    ----------
    .. [1] J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.

    Examples
    --------
    >>> from kernels import dropout
    >>> y, mask = dropout([[1.0, 2.0, 3.0]], p=0.5, seed=1)
    >>> bool((y[0] == 2 * mask[0, :3] * [1.0, 2.0, 3.0]).all())
    True
    """
    number("p", p, 0.0, 1.0)
    # The kernel reads the 64 bits of the key as a signed number.
    key = integer("seed", seed, -(2**63), 2**64 - 1)
    key -= 2**64 if key >= 2**63 else 0
    step, stream = integer("step", step, 0, 2**63 - 1), integer("stream", stream, 0, 2**63 - 1)
    given = matrix("x", x)
    if p == 0.0:
        return given.copy(), np.ones((given.shape[0], mask_columns(given.shape[1])), np.uint8)
    y = np.empty_like(given)
    mask = np.empty((given.shape[0], mask_columns(given.shape[1])), np.uint8)
    _dropout[given.dtype](given, y, mask, key, step, stream, keep_halves(p), keep_scale(p))
    return y, mask


def dropout_gradient(gradient: ArrayLike, mask: ArrayLike, p: float = 0.5) -> np.ndarray:
    """Return the gradient of the input of dropout: g / (1 - p) where the mask is set, else 0.

    Parameters
    ----------
    gradient : array_like of shape (rows, columns)
        Gradient g with respect to the output of `dropout`.
    mask : ndarray of uint8
        Mask that `dropout` returned.
    p : float, default 0.5
        Probability that was given to `dropout`.

    Returns
    -------
    ndarray of shape (rows, columns)
        The gradient with respect to the input.

    Raises
    ------
    TypeError
        If `gradient` is not of numbers, or `mask` is not of uint8.
    ValueError
        If shapes do not fit, or `p` is not from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels import dropout, dropout_gradient
    >>> y, mask = dropout(np.ones((1, 3)), p=0.5)
    >>> bool((dropout_gradient(np.ones((1, 3)), mask, p=0.5) == y).all())
    True
    """
    number("p", p, 0.0, 1.0)
    g = matrix("gradient", gradient)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8:
        found = getattr(mask, "dtype", type(mask).__name__)
        raise TypeError(f"mask has dtype {found}; expected an array of uint8")
    mask = np.ascontiguousarray(mask)[...]  # a view of its own, as in `arrays`
    if mask.shape != (g.shape[0], mask_columns(g.shape[1])):
        raise ValueError(f"mask has shape {mask.shape}; expected one of {g.shape} in whole groups")
    out = np.empty_like(g)
    _dropout_gradient[g.dtype](g, mask, keep_scale(p), out)
    return out
