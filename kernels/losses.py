"""Mean squared error and its gradient; cross-entropy is in `kernels.softmax`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types

from kernels.arrays import matrix, same_shape
from kernels.jit import array, const, entry, routine
from kernels.rows import largest_place
from kernels.simd import advance, data, fma, load_first, poke, reduce_add, store_first, width, zeros

_INTEGER = types.int64
_POINTER = types.CPointer


@routine(
    lambda real: (
        (_INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER) * 2
        + (real, _POINTER(real), _INTEGER, _POINTER(real), _POINTER(types.uint8))
    )
)
def squared_error_rows(rows, columns, x, ldx, t, ldt, scale, g, ldg, losses, hits):
    """losses = sum (x - t)^2, one a row, and g = 2 scale (x - t); g may be x.

    `hits` says where the largest of x and of t are at the same place, for targets
    that are one-hot classes.
    """
    for i in range(rows):
        row, target, gradient = advance(x, i * ldx), advance(t, i * ldt), advance(g, i * ldg)
        hits[i] = largest_place(row, columns) == largest_place(target, columns)
        total = zeros(x)
        for j in range(0, columns, width(x)):
            count = columns - j
            error = load_first(row, j, count) - load_first(target, j, count)
            total = fma(error, error, total)
            store_first(gradient, j, error * (2.0 * scale), count)
        poke(losses, i, reduce_add(total))


@entry(
    lambda real: (
        (const(real, 2), const(real, 2), types.float64)
        + (array(real, 2), array(real, 1), array(types.uint8, 1))
    )
)
def _squared_error(x, t, scale, g, losses, hits):
    columns = x.shape[1]
    squared_error_rows(
        x.shape[0], columns, data(x), columns, data(t), columns, scale,
        data(g), columns, data(losses), data(hits),
    )  # fmt: skip


class SquaredError(NamedTuple):
    """Result of `mean_squared_error`."""

    loss: float
    """Mean over all elements."""
    gradient: np.ndarray
    """Gradient of the loss with respect to the predictions; their shape and dtype."""
    losses: np.ndarray
    """Sum of squared errors of each row."""
    correct: int
    """Rows where prediction and target are largest at the same place."""


def mean_squared_error(predictions, targets) -> SquaredError:
    """Mean of (y - t)^2 over all elements, with its gradient 2 (y - t) / n.

    `predictions` y and `targets` t are arrays (rows, columns) of one shape. Raises
    TypeError or ValueError for other dtypes or shapes.
    """
    y = matrix("predictions", predictions)
    t = matrix("targets", targets, y.dtype)
    same_shape("targets", t, "predictions", y)
    gradient, losses = np.empty_like(y), np.empty(y.shape[0], y.dtype)
    hits = np.empty(y.shape[0], np.uint8)
    scale = 1.0 / y.size if y.size else np.nan
    _squared_error[y.dtype](y, t, scale, gradient, losses, hits)
    loss = float(losses.sum(dtype=np.float64)) * scale
    return SquaredError(loss, gradient, losses, int(hits.sum()))
