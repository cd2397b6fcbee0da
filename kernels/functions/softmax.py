"""Softmax and its logarithm, and softmax-cross-entropy with its gradient in one pass.

The largest logit of a row is subtracted first (P. Blanchard, D. J. Higham, N. J. Higham,
"Accurately computing the log-sum-exp and softmax functions", 2021), so logits of any size are
safe, and a logit of minus infinity is a probability of 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernels.base import host, vectormath
from kernels.base.arrays import (
    counted,
    floating,
    known_indices,
    matrix,
    number,
    one_hot,
    output,
    row_weights,
    same_shape,
    vector,
)
from kernels.base.jit import entry, inline, real_type, routine
from kernels.base.kinds import (
    BYTES,
    DOUBLE,
    HITS,
    INTEGER,
    LABELS,
    MATRIX,
    REAL,
    REALS,
    WORDS,
    Matrix,
    below,
    matrix_of,
    reads,
    row_at,
    writes,
)
from kernels.base.reductions import holds, larger, largest, place
from kernels.base.simd import (
    advance,
    data,
    first,
    fma,
    load,
    load_first,
    peek,
    poke,
    reduce_add,
    select,
    splat,
    store,
    store_first,
    width,
    zeros,
)
from kernels.base.transpose import transpose
from kernels.functions import rowwise
from kernels.functions.losses import mean_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@inline
def _exponentials(x, count, shift, y):
    """Compute y = exp(x - shift), and return the sum of y."""
    total = zeros(x)
    for j in range(0, count, width(x)):
        power = vectormath.exp(load_first(x, j, count - j) - shift)
        power = select(first(count - j, x), power, 0.0)
        store_first(y, j, power, count - j)
        total = total + power
    return reduce_add(total)


@inline
def _scale(y, count, factor):
    """Multiply y by a factor."""
    for j in range(0, count, width(y)):
        store_first(y, j, load_first(y, j, count - j) * factor, count - j)


@routine(INTEGER, INTEGER, MATRIX, MATRIX)
def softmax_rows(rows, columns, x, y):
    """Compute y = exp(x - max) / sum exp(x - max) for each row; y may be x."""
    for i in range(rows):
        row, result = row_at(x, i), row_at(y, i)
        total = _exponentials(row, columns, largest(row, columns), result)
        _scale(result, columns, 1.0 / total)


@routine(INTEGER, INTEGER, MATRIX, MATRIX)
def log_softmax_rows(rows, columns, x, y):
    """Compute y = x - max - log sum exp(x - max) for each row; y may be x."""
    lanes = width(x)
    for i in range(rows):
        row, result = row_at(x, i), row_at(y, i)
        shift = largest(row, columns)
        total = zeros(x)
        for j in range(0, columns, lanes):
            power = vectormath.exp(load_first(row, j, columns - j) - shift)
            total = total + select(first(columns - j, x), power, 0.0)
        logarithm = vectormath.log(splat(reduce_add(total), zeros(x)))
        for j in range(0, columns, lanes):
            value = load_first(row, j, columns - j) - shift - logarithm
            store_first(result, j, value, columns - j)


@routine(INTEGER, INTEGER, MATRIX, MATRIX, MATRIX)
def softmax_gradient_rows(rows, columns, y, g, out):
    """Compute softmax's gradient in terms of its output, out = y (g - sum g y); out may be g."""
    lanes = width(y)
    for i in range(rows):
        probability, gradient = row_at(y, i), row_at(g, i)
        total = zeros(y)
        for j in range(0, columns, lanes):
            count = columns - j
            total = fma(load_first(probability, j, count), load_first(gradient, j, count), total)
        mean = reduce_add(total)
        for j in range(0, columns, lanes):
            count = columns - j
            change = load_first(gradient, j, count) - mean
            store_first(row_at(out, i), j, load_first(probability, j, count) * change, count)


@routine(INTEGER, INTEGER, MATRIX, MATRIX, MATRIX)
def log_softmax_gradient_rows(rows, columns, y, g, out):
    """Compute log-softmax's gradient in terms of its output, out = g - exp(y) sum g.

    out may be g.
    """
    lanes = width(y)
    for i in range(rows):
        logarithm, gradient = row_at(y, i), row_at(g, i)
        total = zeros(y)
        for j in range(0, columns, lanes):
            total = total + load_first(gradient, j, columns - j)
        whole = reduce_add(total)
        for j in range(0, columns, lanes):
            count = columns - j
            share = vectormath.exp(load_first(logarithm, j, count)) * whole
            store_first(row_at(out, i), j, load_first(gradient, j, count) - share, count)


@routine(INTEGER, INTEGER, MATRIX, WORDS, REALS, REAL, MATRIX, REALS, REALS, BYTES)
def cross_entropy_rows(rows, classes, x, labels, weights, scale, g, losses, scratch, hits):
    """Compute the cross-entropy of class indices, w (log sum exp x - x[label]), of each row.

    g = scale w (softmax(x) - onehot(label)); `hits` is 1 where the label has the first largest
    logit. g may be x; `scratch` has `cross_entropy_scratch` elements. A row without a class has a
    negative label, and the weight 0; it is no hit.
    """
    if classes <= width(x):
        _cross_entropy_of_few(rows, classes, x, labels, weights, scale, g, losses, scratch, hits)
    else:
        _cross_entropy_of_many(rows, classes, x, labels, weights, scale, g, losses, scratch, hits)


def cross_entropy_scratch(rows: int, lanes: int) -> int:
    """Return the elements of scratch memory for `cross_entropy_rows`."""
    return max(rows, 2 * lanes * lanes)


@inline
def _cross_entropy_of_many(rows, classes, x, labels, weights, scale, g, losses, gaps, hits):
    """Compute `cross_entropy_rows` row by row, with classes in the lanes."""
    for i in range(rows):
        row, gradient = row_at(x, i), row_at(g, i)
        weight, label = peek(weights, i) * scale, max(labels[i], 0)
        shift = largest(row, classes)
        chosen = peek(row, label)
        hits[i] = labels[i] >= 0 and chosen == shift and not holds(row, label, shift)
        total = _exponentials(row, classes, shift, gradient)
        _scale(gradient, classes, weight / total)
        poke(gradient, label, peek(gradient, label) - weight)
        poke(losses, i, total)
        poke(gaps, i, shift - chosen)
    for i in range(0, rows, width(x)):
        count = rows - i
        loss = vectormath.log(load_first(losses, i, count)) + load_first(gaps, i, count)
        store_first(losses, i, loss * load_first(weights, i, count), count)


@inline
def _cross_entropy_of_few(rows, classes, x, labels, weights, scale, g, losses, scratch, hits):
    """Compute `cross_entropy_rows` with rows in the lanes: a third of the time for few classes."""
    lanes = width(x)
    turned, back = scratch, advance(scratch, lanes * lanes)
    for i in range(0, rows, lanes):
        count = min(lanes, rows - i)
        for r in range(count):
            poke(back, r, labels[i + r])
        label, weight = load_first(back, 0, count), load_first(weights, i, count)
        transpose(count, classes, below(x, i), Matrix(turned, lanes))
        shift = load(turned, 0)
        for j in range(1, classes):
            shift = larger(load(turned, j * lanes), shift)
        total, chosen, winner = zeros(x), zeros(x), zeros(x) - 1.0
        for k in range(classes):
            j = classes - 1 - k
            value = load(turned, j * lanes)
            winner = select(value == shift, 1.0 * j, winner)
            chosen = select(label == 1.0 * j, value, chosen)
            power = vectormath.exp(value - shift)
            store(turned, j * lanes, power)
            total = total + power
        share = weight * scale
        factor = share / total
        for j in range(classes):
            change = load(turned, j * lanes) * factor
            store(turned, j * lanes, change - select(label == 1.0 * j, share, 0.0))
        loss = (vectormath.log(total) + (shift - chosen)) * weight
        store_first(losses, i, loss, count)
        transpose(classes, lanes, Matrix(turned, lanes), Matrix(back, lanes))
        for r in range(count):
            store_first(row_at(g, i + r), 0, load(back, r * lanes), classes)
        store(turned, 0, select(winner == label, 1.0, zeros(x)))
        for r in range(count):
            hits[i + r] = peek(turned, r) != 0.0


@inline
def _smoothed(target, factors, keep, floor, j, count):
    """Return the smoothed and weighted probabilities, factor (keep t + floor)."""
    return (load_first(target, j, count) * keep + floor) * load_first(factors, j, count)


@routine(INTEGER, INTEGER, MATRIX, MATRIX, REALS, DOUBLE, REALS, REAL, MATRIX, REALS, BYTES)
def cross_entropy_probability_rows(
    rows, classes, x, t, factors, smoothing, weights, scale, g, losses, hits
):
    """Compute the cross-entropy of probabilities t, w sum q (log sum exp x - x), of each row.

    q = f ((1 - smoothing) t + smoothing / classes), with a factor f for each class.
    g = scale w (softmax(x) sum q - q); `hits` is 1 where the first largest logit and the first
    largest probability, if it is above 0, belong to the same class. g may be x. A class with q = 0
    adds 0, whatever its logit.
    """
    lanes = width(x)
    keep, floor = 1.0 - smoothing, smoothing / classes
    for i in range(rows):
        row, target, gradient = row_at(x, i), row_at(t, i), row_at(g, i)
        shift, most = largest(row, classes), largest(target, classes)
        hits[i] = most > 0.0 and place(row, classes, shift) == place(target, classes, most)
        weight = peek(weights, i)
        sums, masses = zeros(x), zeros(x)
        for j in range(0, classes, lanes):
            count = classes - j
            power = vectormath.exp(load_first(row, j, count) - shift)
            sums = sums + select(first(count, x), power, 0.0)
            masses = masses + _smoothed(target, factors, keep, floor, j, count)
        total, mass = reduce_add(sums), reduce_add(masses)
        logarithm = vectormath.log(splat(total, sums))
        loss = zeros(x)
        for j in range(0, classes, lanes):
            count = classes - j
            value = load_first(row, j, count)
            share = _smoothed(target, factors, keep, floor, j, count)
            loss = loss + select(share == 0.0, 0.0, share * (logarithm + (shift - value)))
            change = vectormath.exp(value - shift) * (mass / total) - share
            store_first(gradient, j, change * (scale * weight), count)
        poke(losses, i, weight * reduce_add(loss))


# ------------------------------------------------------------------ for use from Python


_softmax = rowwise.of_one("softmax", softmax_rows)
_log_softmax = rowwise.of_one("log_softmax", log_softmax_rows)
_softmax_gradient = rowwise.of_two("softmax_gradient", softmax_gradient_rows)
_log_softmax_gradient = rowwise.of_two("log_softmax_gradient", log_softmax_gradient_rows)


@entry(reads(2), LABELS, writes(1), reads(1), DOUBLE, writes(2), writes(1), HITS)
def _cross_entropy(x, labels, scratch, weights, scale, g, losses, hits):
    cross_entropy_rows(
        x.shape[0],
        x.shape[1],
        matrix_of(x),
        data(labels),
        data(weights),
        scale,
        matrix_of(g),
        data(losses),
        data(scratch),
        data(hits),
    )


@entry(reads(2), reads(2), reads(1), DOUBLE, reads(1), DOUBLE, writes(2), writes(1), HITS)
def _cross_entropy_probability(x, t, factors, smoothing, weights, scale, g, losses, hits):
    rows, columns = x.shape
    cross_entropy_probability_rows(
        rows,
        columns,
        matrix_of(x),
        matrix_of(t),
        data(factors),
        smoothing,
        data(weights),
        scale,
        matrix_of(g),
        data(losses),
        data(hits),
    )


def _rowwise(kernel, x, out):
    given = floating("x", x)
    if given.ndim == 0 or given.shape[-1] == 0:
        raise ValueError(f"x has shape {given.shape}; expected at least one class in the last axis")
    result = output("out", out, given.shape, given.dtype)
    rows = np.ascontiguousarray(given).reshape(-1, given.shape[-1])
    if result.flags.carray and (result is x or not _collide(result, rows)):
        kernel(rows, result.reshape(rows.shape))
    else:
        written = np.empty_like(rows)
        kernel(rows, written)
        result[...] = written.reshape(result.shape)
    return result


def softmax(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Return the softmax exp(x_i) / sum_j exp(x_j) over the last axis.

    Parameters
    ----------
    x : array_like of shape (..., classes)
        Logits of any size. float32 and float64 keep their dtype, integers become float64.
    out : ndarray of shape (..., classes), optional
        Array for the result, of its dtype; it may be `x`.

    Returns
    -------
    ndarray of shape (..., classes)
        Probabilities, which are in `out` if given.

    Raises
    ------
    TypeError
        If `x` is not of numbers, or `out` is no array.
    ValueError
        If there is no class, or `out` cannot hold the result.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
    functions", IMA Journal of Numerical Analysis 41, 2021.

    Examples
    --------
    >>> from kernels import softmax
    >>> softmax([[0.0, 0.0], [1000.0, 0.0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return _rowwise(_softmax, x, out)


def log_softmax(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Return the logarithm of the softmax, x_i - log sum_j exp(x_j), over the last axis.

    Parameters
    ----------
    x : array_like of shape (..., classes)
        Logits of any size. float32 and float64 keep their dtype, integers become float64.
    out : ndarray of shape (..., classes), optional
        Array for the result, of its dtype; it may be `x`.

    Returns
    -------
    ndarray of shape (..., classes)
        Logarithms of probabilities, which are in `out` if given.

    Raises
    ------
    TypeError
        If `x` is not of numbers, or `out` is no array.
    ValueError
        If there is no class, or `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import log_softmax
    >>> log_softmax([[1000.0, 0.0]])
    array([[    0., -1000.]])
    """
    return _rowwise(_log_softmax, x, out)


def softmax_gradient(
    output_: ArrayLike, gradient: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of softmax's input, y (g - sum_j g_j y_j), from its output y.

    Parameters
    ----------
    output_ : array_like of shape (rows, classes)
        Output y of `softmax`, float32 or float64.
    gradient : array_like of shape (rows, classes)
        Gradient g with respect to y; converted to its dtype.
    out : ndarray of shape (rows, classes), optional
        Array for the result, of the dtype of y.

    Returns
    -------
    ndarray of shape (rows, classes)
        Gradient with respect to the logits, which is `out` if given.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or `out` is no array.
    ValueError
        If the shapes differ or are not 2-d, or `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import softmax_gradient
    >>> softmax_gradient([[0.5, 0.5]], [[1.0, 0.0]])
    array([[ 0.25, -0.25]])
    """
    return _gradient(_softmax_gradient, output_, gradient, out)


def log_softmax_gradient(
    output_: ArrayLike, gradient: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of log-softmax's input, g - exp(y) sum_j g_j, from its output y.

    Parameters
    ----------
    output_ : array_like of shape (rows, classes)
        Output y of `log_softmax`, float32 or float64.
    gradient : array_like of shape (rows, classes)
        Gradient g with respect to y; converted to its dtype.
    out : ndarray of shape (rows, classes), optional
        Array for the result, of the dtype of y.

    Returns
    -------
    ndarray of shape (rows, classes)
        Gradient with respect to the logits, which is `out` if given.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or `out` is no array.
    ValueError
        If the shapes differ or are not 2-d, or `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import log_softmax_gradient
    >>> log_softmax_gradient([[0.0, -1000.0]], [[1.0, 2.0]])
    array([[-2.,  2.]])
    """
    return _gradient(_log_softmax_gradient, output_, gradient, out)


def _gradient(kernel, output_, gradient, out) -> np.ndarray:
    y = matrix("output", output_)
    g = matrix("gradient", gradient, y.dtype)
    same_shape("gradient", g, "output", y)
    result = output("out", out, y.shape, y.dtype)
    written = result if result.flags.carray and not _collide(result, y, g) else np.empty_like(y)
    kernel(y, g, written)
    if written is not result:
        result[...] = written
    return result


def _collide(out: np.ndarray, *arrays: np.ndarray) -> bool:
    """Return whether `out` may share memory with another array of these."""
    return any(out is not each and np.may_share_memory(out, each) for each in arrays)


class CrossEntropy(NamedTuple):
    """The result of `softmax_cross_entropy`.

    Parameters
    ----------
    loss : float
        Weighted mean over the rows.
    gradient : ndarray of shape (rows, classes)
        Gradient of the loss with respect to the logits, of their dtype.
    losses : ndarray of shape (rows,)
        Loss of each row, times its weight.
    correct : int
        Number of rows whose largest logit is that of the most probable class.

    Examples
    --------
    >>> from kernels import softmax_cross_entropy
    >>> softmax_cross_entropy([[0.0, 3.0], [2.0, 1.0]], [1, 1]).correct
    1
    """

    loss: float
    gradient: np.ndarray
    losses: np.ndarray
    correct: int


def softmax_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    weights: ArrayLike | None = None,
    class_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> CrossEntropy:
    """Return the cross-entropy of the softmax of logits, with its gradient.

    The loss of row i is w_i sum_j q_ij (log sum_k exp z_ik - z_ij), with logits z, weights w and
    q_ij = c_j ((1 - e) t_ij + e / classes), for probabilities t (one-hot for class indices), class
    weights c and label smoothing e. The sum of the losses is divided by the sum of w_i, for class
    indices by the sum of w_i times the weight of the row's class, as in torch.

    Parameters
    ----------
    logits : array_like of shape (rows, classes)
        Logits z, float32 or float64.
    targets : array_like of shape (rows,) or (rows, classes)
        Class indices, integers, or probabilities t.
    weights : array_like of shape (rows,), optional
        Weights w of rows; all 1 by default.
    class_weights : array_like of shape (classes,), optional
        Weights c of classes; all 1 by default.
    label_smoothing : float, default 0.0
        Share e of probability that is spread evenly over the classes, from 0 to 1.
    ignore_index : int, optional
        Class index of rows that do not count: their weight is 0, and none is correct.

    Returns
    -------
    CrossEntropy
        Loss, gradient with respect to the logits, losses of rows, and number of correct rows.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or class indices are no integers.
    ValueError
        If shapes do not fit, there is no class, or a class index or `label_smoothing` is out of
        range.

    Examples
    --------
    >>> from kernels import softmax_cross_entropy
    >>> result = softmax_cross_entropy([[0.0, 0.0]], [0])
    >>> round(result.loss, 4)
    0.6931
    >>> result.gradient
    array([[-0.5,  0.5]])
    """
    z = matrix("logits", logits)
    rows, classes = z.shape
    if classes == 0:
        raise ValueError(f"logits have shape {z.shape}; expected at least one class")
    number("label_smoothing", label_smoothing, 0.0, 1.0)
    w, total = row_weights(weights, rows, z.dtype)
    factors = None
    if class_weights is not None:
        factors = vector("class_weights", class_weights, classes, z.dtype)
    by_label = np.ndim(targets) != 2
    if by_label:
        labels, known = known_indices("targets", targets, rows, classes, ignore_index)
        masses, total = counted(known, w, total)
        w = masses
        if factors is not None:
            masses, total = row_weights(w * factors[labels], rows, z.dtype)
    if by_label and not label_smoothing:
        scratch = np.empty(cross_entropy_scratch(rows, host.lanes(real_type(z.dtype))), z.dtype)
        return CrossEntropy(*mean_of(_cross_entropy, z, (labels, scratch), masses, total))
    t = one_hot(labels, classes, z.dtype) if by_label else matrix("targets", targets, z.dtype)
    same_shape("targets", t, "logits", z)
    arguments = t, np.ones(classes, z.dtype) if factors is None else factors, label_smoothing
    return CrossEntropy(*mean_of(_cross_entropy_probability, z, arguments, w, total))
