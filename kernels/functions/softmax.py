"""Softmax and its logarithm, and softmax-cross-entropy with its gradient in one pass.

The largest logit of a row is subtracted first (N. J. Higham et al., "Accurately
computing the log-sum-exp and softmax functions", 2021), so logits of any size are
safe, and one of minus infinity is a probability of zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.base import host, vectormath
from kernels.base.arrays import (
    class_indices,
    floating,
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
from kernels.base.reductions import holds, larger, largest, largest_place, place
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


@inline
def _exponentials(x, count, shift, y):
    """y = exp(x - shift), and the sum of it."""
    total = zeros(x)
    for j in range(0, count, width(x)):
        power = vectormath.exp(load_first(x, j, count - j) - shift)
        power = select(first(count - j, x), power, 0.0)
        store_first(y, j, power, count - j)
        total = total + power
    return reduce_add(total)


@inline
def _scale(y, count, factor):
    """y *= factor."""
    for j in range(0, count, width(y)):
        store_first(y, j, load_first(y, j, count - j) * factor, count - j)


@routine(INTEGER, INTEGER, MATRIX, MATRIX)
def softmax_rows(rows, columns, x, y):
    """y = exp(x - max) / sum exp(x - max), for each row; y may be x."""
    for i in range(rows):
        row, result = row_at(x, i), row_at(y, i)
        total = _exponentials(row, columns, largest(row, columns), result)
        _scale(result, columns, 1.0 / total)


@routine(INTEGER, INTEGER, MATRIX, MATRIX)
def log_softmax_rows(rows, columns, x, y):
    """y = x - max - log sum exp(x - max), for each row; y may be x."""
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
    """out = y (g - sum g y): softmax's gradient in terms of its output; out may be g."""
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
    """out = g - exp(y) sum g: log-softmax's gradient in terms of its output; out may be g."""
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
    """Cross-entropy of class indices: losses = w (log sum exp x - x[label]), one a row.

    g = scale w (softmax(x) - onehot(label)), and `hits` says where the first of the
    largest logits is the label's. g may be x; `scratch` is memory of `cross_entropy_scratch`
    elements.
    """
    if classes <= width(x):
        _cross_entropy_of_few(rows, classes, x, labels, weights, scale, g, losses, scratch, hits)
    else:
        _cross_entropy_of_many(rows, classes, x, labels, weights, scale, g, losses, scratch, hits)


def cross_entropy_scratch(rows: int, lanes: int) -> int:
    """Elements of scratch memory for the cross-entropy of so many rows."""
    return max(rows, 2 * lanes * lanes)


@inline
def _cross_entropy_of_many(rows, classes, x, labels, weights, scale, g, losses, gaps, hits):
    """One row after the other, its classes side by side in vectors."""
    for i in range(rows):
        row, gradient = row_at(x, i), row_at(g, i)
        label, weight = labels[i], peek(weights, i) * scale
        shift = largest(row, classes)
        chosen = peek(row, label)
        hits[i] = chosen == shift and not holds(row, label, shift)
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
    """A vector of rows at a time, which takes a third as long for a handful of classes."""
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
    """What of each class counts: factor (keep t + floor)."""
    return (load_first(target, j, count) * keep + floor) * load_first(factors, j, count)


@routine(INTEGER, INTEGER, MATRIX, MATRIX, REALS, DOUBLE, REALS, REAL, MATRIX, REALS, BYTES)
def cross_entropy_probability_rows(
    rows, classes, x, t, factors, smoothing, weights, scale, g, losses, hits
):
    """Cross-entropy of probabilities t: losses = w sum q (log sum exp x - x), one a row.

    q = f ((1 - smoothing) t + smoothing / classes), with `factors` f one a class.
    g = scale w (softmax(x) sum q - q), and `hits` says where the first largest
    logit and the first largest probability are of the same class. g may be x. A
    class of q = 0 adds nothing, whatever its logit.
    """
    lanes = width(x)
    keep, floor = 1.0 - smoothing, smoothing / classes
    for i in range(rows):
        row, target, gradient = row_at(x, i), row_at(t, i), row_at(g, i)
        shift = largest(row, classes)
        hits[i] = place(row, classes, shift) == largest_place(target, classes)
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


@entry(reads(2), LABELS, reads(1), DOUBLE, writes(2), writes(1), writes(1), HITS)
def _cross_entropy(x, labels, weights, scale, g, losses, scratch, hits):
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


def softmax(x, out=None) -> np.ndarray:
    """exp(x_i) / sum_j exp(x_j) over the last axis.

    `x` is a float32 or float64 array of shape (..., classes); `out` has the same
    shape and dtype and may be `x`. Raises ValueError or TypeError for others.
    """
    return _rowwise(_softmax, x, out)


def log_softmax(x, out=None) -> np.ndarray:
    """x_i - log sum_j exp(x_j) over the last axis; arrays as in `softmax`."""
    return _rowwise(_log_softmax, x, out)


def softmax_gradient(output_, gradient, out=None) -> np.ndarray:
    """y (g - sum_j g_j y_j) over the last axis: softmax's gradient in terms of its output y.

    `output_` and `gradient` are 2-d arrays of one shape and dtype. Raises ValueError
    for other shapes.
    """
    return _gradient(_softmax_gradient, output_, gradient, out)


def log_softmax_gradient(output_, gradient, out=None) -> np.ndarray:
    """g - exp(y) sum_j g_j over the last axis: log-softmax's gradient in terms of its output y.

    Arrays and errors are those of `softmax_gradient`.
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
    """Whether `out` shares memory with an array without being it."""
    return any(out is not each and np.may_share_memory(out, each) for each in arrays)


class CrossEntropy(NamedTuple):
    """Result of `softmax_cross_entropy`."""

    loss: float
    """Weighted mean over the rows."""
    gradient: np.ndarray
    """Gradient of the loss with respect to the logits; their shape and dtype."""
    losses: np.ndarray
    """Loss of each row, times its weight."""
    correct: int
    """Rows whose largest logit is that of the most probable class."""


def softmax_cross_entropy(
    logits, targets, weights=None, class_weights=None, label_smoothing: float = 0.0
) -> CrossEntropy:
    """Mean of w_i sum_j q_ij (log sum_k exp z_ik - z_ij), with its gradient, in one pass.

    `logits` z is a float32 or float64 array (rows, classes). `targets` are class
    indices (rows,) or probabilities t (rows, classes); q_ij = c_j ((1 - e) t_ij + e / classes)
    with `class_weights` c (classes,) and `label_smoothing` e. The sum is divided by that of
    `weights` w (rows,), for class indices times the weights of their classes, as in torch.
    Both weights default to 1. Raises TypeError or ValueError for other dtypes, shapes, or
    class indices out of range.
    """
    z = matrix("logits", logits)
    rows, classes = z.shape
    if classes == 0:
        raise ValueError(f"logits have shape {z.shape}; expected at least one class")
    number("label_smoothing", label_smoothing, 0.0, 1.0)
    w, total = row_weights(weights, rows, z.dtype)
    factors = np.ones(classes) if class_weights is None else class_weights
    factors = vector("class_weights", factors, classes, z.dtype)
    gradient, losses = np.empty_like(z), np.empty(rows, z.dtype)
    hits = np.empty(rows, np.uint8)
    by_label, masses = np.ndim(targets) != 2, w
    if by_label:
        targets = class_indices("targets", targets, rows, classes)
        if class_weights is not None:
            masses, total = row_weights(w * factors[targets], rows, z.dtype)
    scale = 1.0 / total if total else 0.0
    if by_label and not label_smoothing:
        scratch = np.empty(cross_entropy_scratch(rows, host.lanes(real_type(z.dtype))), z.dtype)
        _cross_entropy[z.dtype](z, targets, masses, scale, gradient, losses, scratch, hits)
    else:
        t = one_hot(targets, classes, z.dtype) if by_label else matrix("targets", targets, z.dtype)
        same_shape("targets", t, "logits", z)
        _cross_entropy_probability[z.dtype](
            z, t, factors, label_smoothing, w, scale, gradient, losses, hits
        )
    loss = float(losses.sum(dtype=np.float64)) * scale if total else np.nan
    return CrossEntropy(loss, gradient, losses, int(hits.sum()))
