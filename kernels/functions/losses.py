"""Losses and their gradients; cross-entropy of logits is in `kernels.softmax`.

Rows may be weighted, and then the mean is: the sum is divided by that of the weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types

from kernels.base import vectormath
from kernels.base.arrays import class_indices, matrix, row_weights, same_shape, vector
from kernels.base.jit import array, const, entry, inline, routine
from kernels.base.reductions import largest_place
from kernels.base.simd import (
    advance,
    data,
    fabs,
    first,
    load_first,
    maximum,
    minimum,
    peek,
    poke,
    reduce_add,
    select,
    splat,
    store_first,
    width,
    zeros,
)

_INTEGER = types.int64
_POINTER = types.CPointer


# ----------------------------------------------------------------- errors, one a number


def _on_errors(measure):
    """Compiled loop over rows for a cost of predictions and its slope, which `measure` gives."""

    @inline
    def on_errors(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits):
        for i in range(rows):
            row, target, gradient = advance(x, i * ldx), advance(t, i * ldt), advance(g, i * ldg)
            hits[i] = largest_place(row, columns) == largest_place(target, columns)
            weight = peek(weights, i)
            total = zeros(x)
            for j in range(0, columns, width(x)):
                count = columns - j
                value, truth = load_first(row, j, count), load_first(target, j, count)
                cost, slope = measure(value, truth, delta)
                total = total + select(first(count, x), cost, 0.0)
                store_first(gradient, j, slope * (scale * weight), count)
            poke(losses, i, weight * reduce_add(total))

    return on_errors


@inline
def _squared(value, truth, delta):
    error = value - truth
    return error * error, error + error


@inline
def _absolute(value, truth, delta):
    error = value - truth
    slope = select(error > 0.0, splat(1.0, error), select(error < 0.0, -1.0, error))
    return fabs(error), slope


@inline
def _huber(value, truth, delta):
    error = value - truth
    size = fabs(error)
    near = size <= delta
    cost = select(near, error * error * 0.5, (size - 0.5 * delta) * delta)
    return cost, maximum(minimum(error, delta), 0.0 - delta)


@inline
def _events(value, truth, delta):
    rate = vectormath.exp(value)
    return rate - select(truth == 0.0, 0.0, truth * value), rate - truth


_squared_rows, _absolute_rows = _on_errors(_squared), _on_errors(_absolute)
_huber_rows, _poisson_rows = _on_errors(_huber), _on_errors(_events)


def _error_arguments(real):
    return (
        (_INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER) * 2
        + (types.float64, _POINTER(real), types.float64, _POINTER(real), _INTEGER)
        + (_POINTER(real), _POINTER(types.uint8))
    )


@routine(_error_arguments)
def squared_error_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits):
    """losses = w sum (x - t)^2, one a row, and g = 2 scale w (x - t); g may be x.

    `hits` says where the largest of x and of t are at the same place, for targets
    that are one-hot classes. `delta` is not used.
    """
    _squared_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits)


@routine(_error_arguments)
def absolute_error_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits):
    """losses = w sum |x - t|, one a row, and g = scale w sign(x - t), otherwise as squares."""
    _absolute_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits)


@routine(_error_arguments)
def huber_error_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits):
    """losses = w sum h(x - t), one a row: h(e) = e^2 / 2 up to `delta`, then a line.

    g = scale w (x - t), of at most `delta` either way; otherwise as squares.
    """
    _huber_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits)


@routine(_error_arguments)
def poisson_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits):
    """losses = w sum (exp(x) - t x), one a row, and g = scale w (exp(x) - t).

    x is the logarithm of the rate at which events are counted; otherwise as squares.
    """
    _poisson_rows(rows, columns, x, ldx, t, ldt, delta, weights, scale, g, ldg, losses, hits)


# ---------------------------------------------------------------------- classes, yes or no


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, _POINTER(real), _INTEGER)
        + (_POINTER(types.int64), _POINTER(real), types.float64)
        + (_POINTER(real), _INTEGER, _POINTER(real), _POINTER(types.uint8))
    )
)
def log_likelihood_rows(rows, classes, x, ldx, labels, weights, scale, g, ldg, losses, hits):
    """losses = -w x[label], one a row, for x that are logarithms of probabilities.

    g is -scale w at the label and 0 elsewhere; it may be x. `hits` says where the first of
    the largest x is the label's.
    """
    for i in range(rows):
        row, gradient = advance(x, i * ldx), advance(g, i * ldg)
        label, weight = labels[i], peek(weights, i)
        hits[i] = largest_place(row, classes) == label
        poke(losses, i, 0.0 - weight * peek(row, label))
        for j in range(0, classes, width(x)):
            store_first(gradient, j, zeros(x), classes - j)
        poke(gradient, label, 0.0 - scale * weight)


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


def _error_entry(rows_of):
    """Python's way to a routine that compares rows."""

    def compare(x, t, delta, weights, scale, g, losses, hits):
        columns = x.shape[1]
        rows_of(
            x.shape[0], columns, data(x), columns, data(t), columns, delta, data(weights), scale,
            data(g), columns, data(losses), data(hits),
        )  # fmt: skip

    compare.__qualname__ = f"_{rows_of.function.__name__}"  # entries are cached by their names
    return entry(
        lambda real: (
            (const(real, 2), const(real, 2), types.float64, const(real, 1), types.float64)
            + (array(real, 2), array(real, 1), array(types.uint8, 1))
        )
    )(compare)


_squared_error = _error_entry(squared_error_rows)
_absolute_error = _error_entry(absolute_error_rows)
_huber_error = _error_entry(huber_error_rows)
_poisson = _error_entry(poisson_rows)


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


@entry(
    lambda real: (
        (const(real, 2), const(types.int64, 1), const(real, 1), types.float64)
        + (array(real, 2), array(real, 1), array(types.uint8, 1))
    )
)
def _log_likelihood(x, labels, weights, scale, g, losses, hits):
    columns = x.shape[1]
    log_likelihood_rows(
        x.shape[0], columns, data(x), columns, data(labels), data(weights), scale,
        data(g), columns, data(losses), data(hits),
    )  # fmt: skip


class LossResult(NamedTuple):
    """What a loss gives."""

    loss: float
    """Mean, weighted by rows."""
    gradient: np.ndarray
    """Gradient of the loss with respect to the predictions; their shape and dtype."""
    losses: np.ndarray
    """Sum of each row, times its weight."""
    correct: int
    """Rows that are right: largest at the same place, or on the right side in each column."""


def _mean(kernel, y: np.ndarray, arguments: tuple, weights: np.ndarray, mass: float) -> LossResult:
    """Have a kernel compute the losses of rows, to be divided by `mass`, and the gradient."""
    rows = y.shape[0]
    gradient, losses, hits = np.empty_like(y), np.empty(rows, y.dtype), np.empty(rows, np.uint8)
    scale = 1.0 / mass if mass else 0.0
    kernel[y.dtype](y, *arguments, weights, scale, gradient, losses, hits)
    loss = float(losses.sum(dtype=np.float64)) * scale if mass else np.nan
    return LossResult(loss, gradient, losses, int(hits.sum()))


def _compared(kernel, name: str, predictions, targets, weights, extra=lambda y: 0.0) -> LossResult:
    """Mean over all elements of what a kernel finds between predictions and targets."""
    y = matrix(name, predictions)
    t = matrix("targets", targets, y.dtype)
    same_shape("targets", t, name, y)
    w, total = row_weights(weights, y.shape[0], y.dtype)
    return _mean(kernel, y, (t, extra(y)), w, total * y.shape[1])


def mean_squared_error(predictions, targets, weights=None) -> LossResult:
    """Mean of (y - t)^2 over all elements, with its gradient 2 (y - t) / n.

    `predictions` y and `targets` t are arrays (rows, columns) of one shape; `weights`
    (rows,) default to 1, and the mean is weighted by them. Raises TypeError or ValueError
    for other dtypes or shapes.
    """
    return _compared(_squared_error, "predictions", predictions, targets, weights)


def mean_absolute_error(predictions, targets, weights=None) -> LossResult:
    """Mean of |y - t| over all elements, with its gradient sign(y - t) / n.

    Arguments and errors are those of `mean_squared_error`.
    """
    return _compared(_absolute_error, "predictions", predictions, targets, weights)


def huber(predictions, targets, weights=None, delta: float = 1.0) -> LossResult:
    """Mean of h(y - t) over all elements: h(e) = e^2 / 2 up to `delta`, delta (|e| - delta / 2).

    The second form is that beyond (P. J. Huber, "Robust estimation of a location parameter",
    1964). Other arguments and errors are those of `mean_squared_error`; raises ValueError
    unless `delta` is positive.
    """
    if not delta > 0:
        raise ValueError(f"delta is {delta!r}; expected a number above 0")
    return _compared(
        _huber_error, "predictions", predictions, targets, weights, lambda y: float(delta)
    )


def poisson(log_rates, targets, weights=None) -> LossResult:
    """Mean of exp(z) - t z over all elements, with its gradient (exp(z) - t) / n.

    `log_rates` z and `targets` t, counts of events, are arrays (rows, columns) of one
    shape; `weights` and errors are those of `mean_squared_error`.
    """
    return _compared(_poisson, "log_rates", log_rates, targets, weights)


def binary_cross_entropy(logits, targets, weights=None, positive=None) -> LossResult:
    """Mean of -(p t log s(z) + (1 - t) log s(-z)), s the sigmoid, with its gradient.

    `logits` z and `targets` t, from 0 to 1, are arrays (rows, columns) of one shape, each
    column a yes or no of its own. `weights` (rows,) weigh the mean; `positive` p (columns,)
    weighs what should be 1, torch's `pos_weight`. Both default to 1. Raises TypeError or
    ValueError for other dtypes or shapes.
    """

    def factors(z):
        columns = z.shape[1]
        given = np.ones(columns) if positive is None else positive
        return vector("positive", given, columns, z.dtype)

    return _compared(_binary_cross_entropy, "logits", logits, targets, weights, factors)


def negative_log_likelihood(log_probabilities, targets, weights=None) -> LossResult:
    """Mean of -x_i[t_i] over the rows, weighted, with its gradient.

    `log_probabilities` x are (rows, classes), `targets` t class indices (rows,), `weights`
    (rows,). Raises TypeError or ValueError for other dtypes, shapes, or indices out of range.
    """
    x = matrix("log_probabilities", log_probabilities)
    labels = class_indices("targets", targets, *x.shape)
    w, total = row_weights(weights, x.shape[0], x.dtype)
    return _mean(_log_likelihood, x, (labels,), w, total)
