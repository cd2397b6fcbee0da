"""Losses that compare number by number, with their gradients: means over all elements.

Rows may be weighted, and then the mean is. Cross-entropy is in `kernels.softmax`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types

from kernels import vectormath
from kernels.arrays import matrix, row_weights, same_shape, vector
from kernels.jit import array, const, entry, routine
from kernels.rows import largest_place
from kernels.simd import (
    advance,
    data,
    fabs,
    first,
    fma,
    load_first,
    maximum,
    peek,
    poke,
    reduce_add,
    select,
    store_first,
    width,
    zeros,
)

_INTEGER = types.int64
_POINTER = types.CPointer


@routine(
    lambda real: (
        (_INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER) * 2
        + (_POINTER(real), types.float64, _POINTER(real), _INTEGER)
        + (_POINTER(real), _POINTER(types.uint8))
    )
)
def squared_error_rows(rows, columns, x, ldx, t, ldt, weights, scale, g, ldg, losses, hits):
    """losses = w sum (x - t)^2, one a row, and g = 2 scale w (x - t); g may be x.

    `hits` says where the largest of x and of t are at the same place, for targets
    that are one-hot classes.
    """
    for i in range(rows):
        row, target, gradient = advance(x, i * ldx), advance(t, i * ldt), advance(g, i * ldg)
        hits[i] = largest_place(row, columns) == largest_place(target, columns)
        weight = peek(weights, i)
        total = zeros(x)
        for j in range(0, columns, width(x)):
            count = columns - j
            error = load_first(row, j, count) - load_first(target, j, count)
            total = fma(error, error, total)
            store_first(gradient, j, error * (2.0 * scale * weight), count)
        poke(losses, i, weight * reduce_add(total))


@routine(
    lambda real: (
        (_INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER) * 2
        + (_POINTER(real), _POINTER(real), types.float64, _POINTER(real), _INTEGER)
        + (_POINTER(real), _POINTER(types.uint8))
    )
)
def binary_cross_entropy_rows(
    rows, columns, x, ldx, t, ldt, factors, weights, scale, g, ldg, losses, hits
):
    """losses = -w sum (f t log s(x) + (1 - t) log s(-x)) with the sigmoid s, one a row.

    g = scale w ((1 - t) s(x) - f t s(-x)), which may be x; `factors` f are one a column.
    `hits` says where all x are on the side of 0 on which t is of 1/2. What has the
    factor 0 adds nothing, whatever the logit.
    """
    for i in range(rows):
        row, target, gradient = advance(x, i * ldx), advance(t, i * ldt), advance(g, i * ldg)
        weight = peek(weights, i)
        total, wrong = zeros(x), zeros(x)
        for j in range(0, columns, width(x)):
            count = columns - j
            z, share = load_first(row, j, count), load_first(target, j, count)
            yes, no = share * load_first(factors, j, count), 1.0 - share
            power = vectormath.exp(0.0 - fabs(z))
            inverse = 1.0 / (power + 1.0)
            smaller, rest = power * inverse, vectormath.log1p(power)
            likely = select(z < 0.0, smaller, inverse)
            unlikely = select(z < 0.0, inverse, smaller)
            loss = select(yes == 0.0, 0.0, yes * (maximum(0.0 - z, 0.0) + rest))
            loss = loss + select(no == 0.0, 0.0, no * (maximum(z, 0.0) + rest))
            total = total + select(first(count, x), loss, 0.0)
            store_first(gradient, j, (no * likely - yes * unlikely) * (scale * weight), count)
            right = ((z > 0.0) & (share > 0.5)) | ((z <= 0.0) & (share <= 0.5))
            wrong = select(right, wrong, wrong + 1.0)
        hits[i] = reduce_add(wrong) == 0.0
        poke(losses, i, weight * reduce_add(total))


# ------------------------------------------------------------------ for use from Python


@entry(
    lambda real: (
        (const(real, 2), const(real, 2), const(real, 1), types.float64)
        + (array(real, 2), array(real, 1), array(types.uint8, 1))
    )
)
def _squared_error(x, t, weights, scale, g, losses, hits):
    columns = x.shape[1]
    squared_error_rows(
        x.shape[0], columns, data(x), columns, data(t), columns, data(weights), scale,
        data(g), columns, data(losses), data(hits),
    )  # fmt: skip


@entry(
    lambda real: (
        (const(real, 2), const(real, 2), const(real, 1), const(real, 1), types.float64)
        + (array(real, 2), array(real, 1), array(types.uint8, 1))
    )
)
def _binary_cross_entropy(x, t, factors, weights, scale, g, losses, hits):
    columns = x.shape[1]
    binary_cross_entropy_rows(
        x.shape[0], columns, data(x), columns, data(t), columns, data(factors), data(weights),
        scale, data(g), columns, data(losses), data(hits),
    )  # fmt: skip


class ElementLoss(NamedTuple):
    """Result of a loss that compares number by number."""

    loss: float
    """Mean over all elements, weighted by rows."""
    gradient: np.ndarray
    """Gradient of the loss with respect to the predictions; their shape and dtype."""
    losses: np.ndarray
    """Sum of each row, times its weight."""
    correct: int
    """Rows that are right: largest at the same place, or on the right side in each column."""


def _element_loss(kernel, name: str, predictions, targets, weights, tables=()) -> ElementLoss:
    """Have a kernel compare predictions and targets; `tables` are columns' numbers by name."""
    y = matrix(name, predictions)
    t = matrix("targets", targets, y.dtype)
    same_shape("targets", t, name, y)
    rows, columns = y.shape
    numbers = [vector(each, table, columns, y.dtype) for each, table in tables]
    w, total = row_weights(weights, rows, y.dtype)
    gradient, losses, hits = np.empty_like(y), np.empty(rows, y.dtype), np.empty(rows, np.uint8)
    mass = total * columns
    kernel[y.dtype](y, t, *numbers, w, 1.0 / mass if mass else 0.0, gradient, losses, hits)
    loss = float(losses.sum(dtype=np.float64)) / mass if mass else np.nan
    return ElementLoss(loss, gradient, losses, int(hits.sum()))


def mean_squared_error(predictions, targets, weights=None) -> ElementLoss:
    """Mean of (y - t)^2 over all elements, with its gradient 2 (y - t) / n.

    `predictions` y and `targets` t are arrays (rows, columns) of one shape; `weights`
    (rows,) default to 1, and the mean is weighted by them. Raises TypeError or ValueError
    for other dtypes or shapes.
    """
    return _element_loss(_squared_error, "predictions", predictions, targets, weights)


def binary_cross_entropy(logits, targets, weights=None, positive=None) -> ElementLoss:
    """Mean of -(p t log s(z) + (1 - t) log s(-z)), s the sigmoid, with its gradient.

    `logits` z and `targets` t, from 0 to 1, are arrays (rows, columns) of one shape, each
    column a yes or no of its own. `weights` (rows,) weigh the mean; `positive` p (columns,)
    weighs what should be 1, torch's `pos_weight`. Both default to 1. Raises TypeError or
    ValueError for other dtypes or shapes.
    """
    if positive is None:
        positive = np.ones(np.shape(logits)[-1:])
    return _element_loss(
        _binary_cross_entropy, "logits", logits, targets, weights, [("positive", positive)]
    )
