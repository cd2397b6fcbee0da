"""Losses and their gradients; cross-entropy of logits is in `kernels.functions.softmax`.

Rows may have weights: the weighted sum is then divided by the sum of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernels.base import vectormath
from kernels.base.arrays import counted, known_indices, matrix, row_weights, same_shape, vector
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

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
    """Return a loop over rows for `measure`, which returns a prediction's cost and its slope.

    A row is right if its largest prediction and its largest target are in the same column, which
    is the class of one-hot targets.
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
    """Return (x - t)^2, and its slope."""
    error = value - truth
    return error * error, error + error


@inline
def _absolute(value, truth, factor):
    """Return |x - t|, and its slope, which is 0 at 0."""
    error = value - truth
    slope = select(error > 0.0, splat(1.0, error), select(error < 0.0, -1.0, error))
    return fabs(error), slope


@inline
def _huber(value, truth, delta):
    """Return e^2 / 2 for errors up to delta, a line beyond, and its slope."""
    error = value - truth
    size = fabs(error)
    near = size <= delta
    cost = select(near, error * error * 0.5, (size - delta * 0.5) * delta)
    return cost, maximum(minimum(error, delta), 0.0 - delta)


@inline
def _poisson(value, truth, factor):
    """Return exp(x) - t x, and its slope; x is the logarithm of a rate of events."""
    rate = vectormath.exp(value)
    return rate - select(truth == 0.0, 0.0, truth * value), rate - truth


@inline
def _pinball(value, truth, quantile):
    """Return max(q e, (q - 1) e) with e = t - x, and its slope, which is 1/2 - q at 0."""
    error = truth - value
    below = 1.0 - quantile
    slope = select(error > 0.0, 0.0 - quantile, select(error < 0.0, below, error + below - 0.5))
    return maximum(error * quantile, 0.0 - error * below), slope


# --------------------------------------------------------------- means and variances


def _gaussian(rows, columns, x, t, factors, weights, scale, g, losses, hits):
    """Compute the loss w sum ((log v + (t - m)^2 / v) / 2 + c) of each row.

    A row of x holds the means m, then the variances v. `factors` holds the lower bounds of v, then
    c. The gradient of a v below its bound is that at the bound. No row is right.
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


# ------------------------------------------------------------------------ binary classes


def _yes_or_no(rows, columns, x, t, factors, weights, scale, g, losses, hits):
    """Compute the loss -w sum (f t log s(x) + (1 - t) log s(-x)) of each row, s the sigmoid.

    g = scale w ((1 - t) s(x) - f t s(-x)). A row is right if each x > 0 where t > 1/2, and x <= 0
    elsewhere. A term with the factor 0 adds 0, whatever the logit.
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
    """Compute the loss -w x[label] of each row, where x are logarithms of probabilities.

    g is -scale w at the label and 0 elsewhere; it may be x. `hits` is 1 where the label has the
    first largest x. A row without a class has a negative label, and the weight 0; it is no hit.
    """
    for i in range(rows):
        row, gradient = row_at(x, i), row_at(g, i)
        label, weight = max(labels[i], 0), peek(weights, i)
        hits[i] = largest_place(row, classes) == labels[i]
        poke(losses, i, 0.0 - weight * peek(row, label))
        for j in range(0, classes, width(x)):
            store_first(gradient, j, zeros(x), classes - j)
        poke(gradient, label, 0.0 - scale * weight)


# ------------------------------------------------------------------ for use from Python


def _error_loss(name: str, rows_of: Callable, outputs: int = 1) -> ErrorLoss:
    """Return the loss of a routine; `name` names its machine code."""
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
    """The result of a loss function.

    Parameters
    ----------
    loss : float
        Mean over all elements, weighted by rows.
    gradient : ndarray of shape (rows, columns)
        Gradient of the loss with respect to the predictions, of their dtype.
    losses : ndarray of shape (rows,)
        Sum over each row, times its weight.
    correct : int
        Number of correct rows: those whose largest prediction and largest target are in the same
        column, or, for `binary_cross_entropy`, those with every logit on the right side of 0.

    Examples
    --------
    >>> from kernels import mean_squared_error
    >>> mean_squared_error([[1.0, 3.0]], [[0.0, 1.0]]).correct
    1
    """

    loss: float
    gradient: np.ndarray
    losses: np.ndarray
    correct: int


def mean_of(
    kernel, y: np.ndarray, arguments: tuple, weights: np.ndarray, mass: float
) -> LossResult:
    """Return the result of a kernel of losses, whose sum is divided by `mass`."""
    rows = y.shape[0]
    gradient, losses, hits = np.empty_like(y), np.empty(rows, y.dtype), np.empty(rows, np.uint8)
    scale = 1.0 / mass if mass else 0.0
    kernel[y.dtype](y, *arguments, weights, scale, gradient, losses, hits)
    loss = float(np.add.reduce(losses, dtype=np.float64)) * scale if mass else np.nan
    return LossResult(loss, gradient, losses, int(np.count_nonzero(hits)))


def compare(
    name: str, predictions, targets, weights=None, factors=1.0, *, what: str = "predictions"
) -> LossResult:
    """Return the mean over all elements of the loss of this name in `ERRORS`, and its gradient.

    `predictions` and `targets` are arrays (rows, columns) of one shape, or with `outputs` columns
    of predictions for each column of targets. `what` names the predictions in errors. `factors` is
    a number for each column of predictions, or one for all. Raises TypeError or ValueError for
    other dtypes or shapes.
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
    return mean_of(loss.of_arrays, y, arguments, w, total * t.shape[1])


def mean_squared_error(
    predictions: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
) -> LossResult:
    """Return the mean of (y - t)^2 over all n elements, with its gradient 2 (y - t) / n.

    Parameters
    ----------
    predictions : array_like of shape (rows, columns)
        Predictions y, float32 or float64.
    targets : array_like of shape (rows, columns)
        Targets t; converted to the dtype of `predictions`.
    weights : array_like of shape (rows,), optional
        Weights of rows; all 1 by default. The mean is the weighted one.

    Returns
    -------
    LossResult
        Loss, gradient, losses of rows, and number of correct rows.

    Raises
    ------
    TypeError
        If an argument is not of numbers.
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> from kernels import mean_squared_error
    >>> result = mean_squared_error([[1.0, 2.0]], [[0.0, 4.0]])
    >>> result.loss
    2.5
    >>> result.gradient
    array([[ 1., -2.]])
    """
    return compare("squared", predictions, targets, weights)


def mean_absolute_error(
    predictions: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
) -> LossResult:
    """Return the mean of |y - t| over all n elements, with its gradient sign(y - t) / n.

    Parameters
    ----------
    predictions : array_like of shape (rows, columns)
        Predictions y, float32 or float64.
    targets : array_like of shape (rows, columns)
        Targets t; converted to the dtype of `predictions`.
    weights : array_like of shape (rows,), optional
        Weights of rows; all 1 by default. The mean is the weighted one.

    Returns
    -------
    LossResult
        Loss, gradient, losses of rows, and number of correct rows.

    Raises
    ------
    TypeError
        If an argument is not of numbers.
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> from kernels import mean_absolute_error
    >>> mean_absolute_error([[1.0, 2.0]], [[0.0, 4.0]]).loss
    1.5
    """
    return compare("absolute", predictions, targets, weights)


def huber(
    predictions: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None, delta: float = 1.0
) -> LossResult:
    """Return the mean of h(y - t) over all elements, with its gradient.

    h(e) = e^2 / 2 where |e| <= delta, and delta (|e| - delta / 2) elsewhere.

    Parameters
    ----------
    predictions : array_like of shape (rows, columns)
        Predictions y, float32 or float64.
    targets : array_like of shape (rows, columns)
        Targets t; converted to the dtype of `predictions`.
    weights : array_like of shape (rows,), optional
        Weights of rows; all 1 by default. The mean is the weighted one.
    delta : float, default 1.0
        Error from which the loss is linear, above 0.

    Returns
    -------
    LossResult
        Loss, gradient, losses of rows, and number of correct rows.

    Raises
    ------
    TypeError
        If an argument is not of numbers.
    ValueError
        If shapes do not fit, or `delta` is not positive.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> from kernels import huber
    >>> huber([[1.0, 2.0]], [[0.0, 4.0]], delta=1.0).loss
    1.0
    """
    if not delta > 0:
        raise ValueError(f"delta is {delta!r}; expected a number above 0")
    return compare("huber", predictions, targets, weights, delta)


def poisson(
    log_rates: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
) -> LossResult:
    """Return the mean of exp(z) - t z over all n elements, with its gradient (exp(z) - t) / n.

    Parameters
    ----------
    log_rates : array_like of shape (rows, columns)
        Logarithms z of rates of events, float32 or float64.
    targets : array_like of shape (rows, columns)
        Counts t of events; converted to the dtype of `log_rates`.
    weights : array_like of shape (rows,), optional
        Weights of rows; all 1 by default. The mean is the weighted one.

    Returns
    -------
    LossResult
        Loss, gradient, losses of rows, and number of correct rows.

    Raises
    ------
    TypeError
        If an argument is not of numbers.
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> from kernels import poisson
    >>> poisson([[0.0]], [[1.0]]).loss
    1.0
    """
    return compare("poisson", log_rates, targets, weights, what="log_rates")


def binary_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    weights: ArrayLike | None = None,
    positive: ArrayLike | None = None,
) -> LossResult:
    """Return the mean of -(p t log s(z) + (1 - t) log s(-z)), s the sigmoid, with its gradient.

    Each column is a binary classification of its own.

    Parameters
    ----------
    logits : array_like of shape (rows, columns)
        Logits z, float32 or float64.
    targets : array_like of shape (rows, columns)
        Probabilities t, from 0 to 1; converted to the dtype of `logits`.
    weights : array_like of shape (rows,), optional
        Weights of rows; all 1 by default. The mean is the weighted one.
    positive : array_like of shape (columns,), optional
        Weights p of the positive class, torch's `pos_weight`; all 1 by default.

    Returns
    -------
    LossResult
        Loss, gradient, losses of rows, and number of correct rows.

    Raises
    ------
    TypeError
        If an argument is not of numbers.
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> from kernels import binary_cross_entropy
    >>> result = binary_cross_entropy([[0.0]], [[1.0]])
    >>> round(result.loss, 4)
    0.6931
    >>> result.gradient
    array([[-0.5]])
    """
    z = matrix("logits", logits)
    factors = 1.0 if positive is None else vector("positive", positive, z.shape[1], z.dtype)
    return compare("binary_cross_entropy", z, targets, weights, factors, what="logits")


def negative_log_likelihood(
    log_probabilities: ArrayLike,
    targets: ArrayLike,
    weights: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> LossResult:
    """Return the mean of -x_i[t_i] over the rows i, with its gradient.

    Parameters
    ----------
    log_probabilities : array_like of shape (rows, classes)
        Logarithms x of probabilities, float32 or float64.
    targets : array_like of shape (rows,)
        Class indices t, integers.
    weights : array_like of shape (rows,), optional
        Weights of rows; all 1 by default. The mean is the weighted one.
    ignore_index : int, optional
        Class index of rows that do not count: their weight is 0, and none is correct.

    Returns
    -------
    LossResult
        Loss, gradient, losses of rows, and number of correct rows.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or class indices are no integers.
    ValueError
        If shapes do not fit, or a class index is out of range.

    Examples
    --------
    >>> from kernels import negative_log_likelihood
    >>> result = negative_log_likelihood([[-1.0, -2.0]], [0])
    >>> result.loss
    1.0
    >>> result.gradient
    array([[-1.,  0.]])
    """
    x = matrix("log_probabilities", log_probabilities)
    rows, classes = x.shape
    labels, known = known_indices("targets", targets, rows, classes, ignore_index)
    w, total = counted(known, *row_weights(weights, rows, x.dtype))
    return mean_of(_log_likelihood, x, (labels,), w, total)
