"""Losses and their gradients; cross-entropy of logits is in `kernels.functions.softmax`.

Rows may be weighted, and then the mean is: the sum is divided by that of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernels.base import vectormath
from kernels.base.arrays import class_indices, matrix, row_weights, same_shape, vector
from kernels.base.jit import Entry, Routine, entry, inline, routine
from kernels.base.kinds import (
    BYTES,
    DOUBLE,
    HITS,
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
from kernels.base.reductions import largest_place
from kernels.base.simd import (
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

ERROR_KINDS = INTEGER, INTEGER, MATRIX, MATRIX, REALS, REALS, DOUBLE, MATRIX, REALS, BYTES
"""Parameters of a routine that compares rows of numbers.

Rows and columns of the targets, predictions x, targets t, factors (one a column of x), weights of
rows, scale, gradient g (which may be x), losses of rows, and whether each row is right.
"""


class ErrorLoss(NamedTuple):
    """A loss of rows of numbers, for blocks inside kernels and for arrays."""

    rows: Routine
    of_arrays: Entry
    outputs: int
    """Predictions for each target."""


# ----------------------------------------------------------------- errors, one a number


def _on_errors(measure):
    """Return a loop over rows for a cost of predictions and its slope, which `measure` gives.

    A row is right where the largest of x and of t are at the same place, for targets that are
    one-hot classes.
    """

    def rows_of(rows, columns, x, t, factors, weights, scale, g, losses, hits):
        for i in range(rows):
            row, target, gradient = row_at(x, i), row_at(t, i), row_at(g, i)
            hits[i] = largest_place(row, columns) == largest_place(target, columns)
            weight = peek(weights, i)
            total = zeros(x)
            for j in range(0, columns, width(x)):
                count = columns - j
                value, truth = load_first(row, j, count), load_first(target, j, count)
                cost, slope = measure(value, truth, load_first(factors, j, count))
                total = total + select(first(count, x), cost, 0.0)
                store_first(gradient, j, slope * (scale * weight), count)
            poke(losses, i, weight * reduce_add(total))

    return rows_of


@inline
def _squared(value, truth, factor):
    """(x - t)^2."""
    error = value - truth
    return error * error, error + error


@inline
def _absolute(value, truth, factor):
    """|x - t|, whose slope at 0 is 0."""
    error = value - truth
    slope = select(error > 0.0, splat(1.0, error), select(error < 0.0, -1.0, error))
    return fabs(error), slope


@inline
def _huber(value, truth, delta):
    """e^2 / 2 for errors up to delta, then a line."""
    error = value - truth
    size = fabs(error)
    near = size <= delta
    cost = select(near, error * error * 0.5, (size - delta * 0.5) * delta)
    return cost, maximum(minimum(error, delta), 0.0 - delta)


@inline
def _poisson(value, truth, factor):
    """exp(x) - t x, x the logarithm of the rate at which events are counted."""
    rate = vectormath.exp(value)
    return rate - select(truth == 0.0, 0.0, truth * value), rate - truth


@inline
def _pinball(value, truth, quantile):
    """Return max(q e, (q - 1) e) with e = t - x, whose slope at 0 lies midway: 1/2 - q."""
    error = truth - value
    below = 1.0 - quantile
    slope = select(error > 0.0, 0.0 - quantile, select(error < 0.0, below, error + below - 0.5))
    return maximum(error * quantile, 0.0 - error * below), slope


# --------------------------------------------------------------- means and variances


def _gaussian(rows, columns, x, t, factors, weights, scale, g, losses, hits):
    """Compute losses = w sum ((log v + (t - m)^2 / v) / 2 + c), one a row.

    A row of x holds the means m, then the variances v; one of factors the least that v counts as,
    then c. The gradient of v is that of what it counts as. No row is right.
    """
    for i in range(rows):
        target, weight, total = row_at(t, i), peek(weights, i), zeros(x)
        for j in range(0, columns, width(x)):
            count, k = columns - j, columns + j
            mean, variance = load_first(row_at(x, i), j, count), load_first(row_at(x, i), k, count)
            least, constant = load_first(factors, j, count), load_first(factors, k, count)
            error, counted = mean - load_first(target, j, count), maximum(variance, least)
            inverse = 1.0 / counted
            ratio = error * inverse
            cost = (vectormath.log(counted) + error * ratio) * 0.5 + constant
            total = total + select(first(count, x), cost, 0.0)
            slope = (inverse - ratio * ratio) * 0.5
            store_first(row_at(g, i), j, ratio * (scale * weight), count)
            store_first(row_at(g, i), k, slope * (scale * weight), count)
        hits[i] = 0
        poke(losses, i, weight * reduce_add(total))


# ---------------------------------------------------------------------- classes, yes or no


def _yes_or_no(rows, columns, x, t, factors, weights, scale, g, losses, hits):
    """losses = -w sum (f t log s(x) + (1 - t) log s(-x)) with the sigmoid s, one a row.

    g = scale w ((1 - t) s(x) - f t s(-x)). A row is right where all x are on the side of 0 on
    which t is of 1/2. What has the factor 0 adds nothing, whatever the logit.
    """
    for i in range(rows):
        row, target, gradient = row_at(x, i), row_at(t, i), row_at(g, i)
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


@routine(INTEGER, INTEGER, MATRIX, WORDS, REALS, DOUBLE, MATRIX, REALS, BYTES)
def log_likelihood_rows(rows, classes, x, labels, weights, scale, g, losses, hits):
    """losses = -w x[label], one a row, for x that are logarithms of probabilities.

    g is -scale w at the label and 0 elsewhere; it may be x. `hits` says where the first of
    the largest x is the label's.
    """
    for i in range(rows):
        row, gradient = row_at(x, i), row_at(g, i)
        label, weight = labels[i], peek(weights, i)
        hits[i] = largest_place(row, classes) == label
        poke(losses, i, 0.0 - weight * peek(row, label))
        for j in range(0, classes, width(x)):
            store_first(gradient, j, zeros(x), classes - j)
        poke(gradient, label, 0.0 - scale * weight)


# ------------------------------------------------------------------ for use from Python


def _error_loss(name: str, rows_of: Callable, outputs: int = 1) -> ErrorLoss:
    """Return a loss whose machine code is kept under a name."""
    rows_of.__qualname__ = f"{name}_rows"
    compiled = routine(*ERROR_KINDS)(rows_of)

    def compare(x, t, factors, weights, scale, g, losses, hits):
        compiled(
            t.shape[0],
            t.shape[1],
            matrix_of(x),
            matrix_of(t),
            data(factors),
            data(weights),
            scale,
            matrix_of(g),
            data(losses),
            data(hits),
        )

    compare.__qualname__ = f"{name}_of_arrays"
    kinds = reads(2), reads(2), reads(1), reads(1), DOUBLE, writes(2), writes(1), HITS
    return ErrorLoss(compiled, entry(*kinds)(compare), outputs)


ERRORS = {
    "squared": _error_loss("squared", _on_errors(_squared)),
    "absolute": _error_loss("absolute", _on_errors(_absolute)),
    "huber": _error_loss("huber", _on_errors(_huber)),
    "poisson": _error_loss("poisson", _on_errors(_poisson)),
    "pinball": _error_loss("pinball", _on_errors(_pinball)),
    "gaussian": _error_loss("gaussian", _gaussian, outputs=2),
    "binary_cross_entropy": _error_loss("binary_cross_entropy", _yes_or_no),
}
"""Losses of rows of numbers, by name."""


@entry(reads(2), LABELS, reads(1), DOUBLE, writes(2), writes(1), HITS)
def _log_likelihood(x, labels, weights, scale, g, losses, hits):
    rows, columns = x.shape
    log_likelihood_rows(
        rows,
        columns,
        matrix_of(x),
        data(labels),
        data(weights),
        scale,
        matrix_of(g),
        data(losses),
        data(hits),
    )


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


def compare(
    name: str, predictions, targets, weights=None, factors=1.0, *, what: str = "predictions"
) -> LossResult:
    """Return the mean over all elements of one of `ERRORS`, by name, and its gradient.

    `predictions` and `targets` are arrays (rows, columns) of one shape, or with `outputs` columns
    of predictions for one of targets, called `what` and "targets" in errors; `factors` is a number
    for each column of predictions, or one for all. Raises TypeError or ValueError for other dtypes
    or shapes.
    """
    loss, y = ERRORS[name], matrix(what, predictions)
    t = matrix("targets", targets, y.dtype)
    if loss.outputs == 1:
        same_shape("targets", t, what, y)
    elif (len(t), t.shape[1] * loss.outputs) != y.shape:
        raise ValueError(
            f"targets has shape {t.shape} and {what} {y.shape}; expected {loss.outputs} columns "
            "of these for one of targets"
        )
    w, total = row_weights(weights, y.shape[0], y.dtype)
    with np.errstate(over="ignore"):
        factors = np.broadcast_to(np.asarray(factors, y.dtype), y.shape[1:])
    arguments = t, np.ascontiguousarray(factors)
    return _mean(loss.of_arrays, y, arguments, w, total * t.shape[1])


def mean_squared_error(predictions, targets, weights=None) -> LossResult:
    """Mean of (y - t)^2 over all elements, with its gradient 2 (y - t) / n.

    `predictions` y and `targets` t are arrays (rows, columns) of one shape; `weights`
    (rows,) default to 1, and the mean is weighted by them. Raises TypeError or ValueError
    for other dtypes or shapes.
    """
    return compare("squared", predictions, targets, weights)


def mean_absolute_error(predictions, targets, weights=None) -> LossResult:
    """Mean of |y - t| over all elements, with its gradient sign(y - t) / n.

    Arguments and errors are those of `mean_squared_error`.
    """
    return compare("absolute", predictions, targets, weights)


def huber(predictions, targets, weights=None, delta: float = 1.0) -> LossResult:
    """Mean of h(y - t) over all elements: h(e) = e^2 / 2 up to `delta`, delta (|e| - delta / 2).

    The second form is that beyond (P. J. Huber, "Robust estimation of a location parameter",
    1964). Other arguments and errors are those of `mean_squared_error`; raises ValueError
    unless `delta` is positive.
    """
    if not delta > 0:
        raise ValueError(f"delta is {delta!r}; expected a number above 0")
    return compare("huber", predictions, targets, weights, delta)


def poisson(log_rates, targets, weights=None) -> LossResult:
    """Mean of exp(z) - t z over all elements, with its gradient (exp(z) - t) / n.

    `log_rates` z and `targets` t, counts of events, are arrays (rows, columns) of one
    shape; `weights` and errors are those of `mean_squared_error`.
    """
    return compare("poisson", log_rates, targets, weights, what="log_rates")


def binary_cross_entropy(logits, targets, weights=None, positive=None) -> LossResult:
    """Mean of -(p t log s(z) + (1 - t) log s(-z)), s the sigmoid, with its gradient.

    `logits` z and `targets` t, from 0 to 1, are arrays (rows, columns) of one shape, each
    column a yes or no of its own. `weights` (rows,) weigh the mean; `positive` p (columns,)
    weighs what should be 1, torch's `pos_weight`. Both default to 1. Raises TypeError or
    ValueError for other dtypes or shapes.
    """
    z = matrix("logits", logits)
    factors = 1.0 if positive is None else vector("positive", positive, z.shape[1], z.dtype)
    return compare("binary_cross_entropy", z, targets, weights, factors, what="logits")


def negative_log_likelihood(log_probabilities, targets, weights=None) -> LossResult:
    """Mean of -x_i[t_i] over the rows, weighted, with its gradient.

    `log_probabilities` x are (rows, classes), `targets` t class indices (rows,), `weights`
    (rows,). Raises TypeError or ValueError for other dtypes, shapes, or indices out of range.
    """
    x = matrix("log_probabilities", log_probabilities)
    labels = class_indices("targets", targets, *x.shape)
    w, total = row_weights(weights, x.shape[0], x.dtype)
    return _mean(_log_likelihood, x, (labels,), w, total)
