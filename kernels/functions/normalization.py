"""Layer and batch normalization: y = gain (x - mean) / sqrt(variance + eps) + shift.

The formulas are those of J. L. Ba et al., "Layer normalization" (2016), and of S. Ioffe &
C. Szegedy, "Batch normalization" (2015), as in torch. A second pass computes a variance as the
mean of squared differences from the mean. Threads share sums over the rows by columns, so that no
sum depends on the number of threads.
"""

from __future__ import annotations

from kernels.base.jit import entry, inline, routine
from kernels.base.kinds import DOUBLE, INTEGER, MATRIX, REALS, matrix_of, reads, row_at, writes
from kernels.base.simd import (
    data,
    first,
    fma,
    load_first,
    peek,
    poke,
    reduce_add,
    select,
    sqrt,
    store_first,
    width,
    zeros,
)
from kernels.machine.barrier import share


@inline
def _columns(columns, thread, threads, x):
    """Return this thread's first column and the one after its last; whole vectors but the last."""
    lanes = width(x)
    begin, end = share((columns + lanes - 1) // lanes, thread, threads)
    return begin * lanes, min(end * lanes, columns)


# ------------------------------------------------------------------------- layer norm


@routine(INTEGER, INTEGER, DOUBLE, MATRIX, REALS, REALS, MATRIX, REALS, REALS)
def layer_norm_rows(rows, columns, eps, x, gain, shift, y, means, factors):
    """Normalize each row by its mean and variance; store means, and factors 1 / sqrt(var + eps)."""
    lanes = width(x)
    share_of = 1.0 / columns
    for i in range(rows):
        row, result = row_at(x, i), row_at(y, i)
        total = zeros(x)
        for j in range(0, columns, lanes):
            total = total + load_first(row, j, columns - j)
        mean = reduce_add(total) * share_of
        squares = zeros(x)
        for j in range(0, columns, lanes):
            count = columns - j
            change = select(first(count, x), load_first(row, j, count) - mean, 0.0)
            squares = fma(change, change, squares)
        variance = zeros(x) + (reduce_add(squares) * share_of + eps)
        factor = 1.0 / sqrt(variance)
        for j in range(0, columns, lanes):
            count = columns - j
            value = (load_first(row, j, count) - mean) * factor
            value = fma(value, load_first(gain, j, count), load_first(shift, j, count))
            store_first(result, j, value, count)
        poke(means, i, mean)
        store_first(factors, i, factor, 1)


@routine(INTEGER, INTEGER, MATRIX, REALS, REALS, REALS, MATRIX, MATRIX)
def layer_norm_gradient_rows(rows, columns, x, means, factors, gain, g, out):
    """Compute out = factor (d - mean d - z mean(d z)) with d = gain g and the normalized x, z.

    out may be g.
    """
    lanes = width(x)
    share_of = 1.0 / columns
    for i in range(rows):
        row, gradient = row_at(x, i), row_at(g, i)
        result = row_at(out, i)
        mean, factor = peek(means, i), peek(factors, i)
        total, along = zeros(x), zeros(x)
        for j in range(0, columns, lanes):
            count = columns - j
            change = load_first(gradient, j, count) * load_first(gain, j, count)
            total = total + change
            along = fma(change, (load_first(row, j, count) - mean) * factor, along)
        middle, slope = reduce_add(total) * share_of, reduce_add(along) * share_of
        for j in range(0, columns, lanes):
            count = columns - j
            z = (load_first(row, j, count) - mean) * factor
            change = load_first(gradient, j, count) * load_first(gain, j, count)
            value = (change - middle - z * slope) * factor
            store_first(result, j, value, count)


@routine(INTEGER, INTEGER, MATRIX, REALS, REALS, MATRIX, REALS, REALS, INTEGER, INTEGER)
def layer_norm_parameter_columns(rows, columns, x, means, factors, g, gain, shift, thread, threads):
    """Compute gradients of gain, sum g z, and shift, sum g, for this thread's columns."""
    begin, end = _columns(columns, thread, threads, x)
    for j in range(begin, end, width(x)):
        count = end - j
        total, along = zeros(x), zeros(x)
        for i in range(rows):
            gradient = load_first(row_at(g, i), j, count)
            z = (load_first(row_at(x, i), j, count) - peek(means, i)) * peek(factors, i)
            total, along = total + gradient, fma(gradient, z, along)
        store_first(gain, j, along, count)
        store_first(shift, j, total, count)


# ------------------------------------------------------------------------- batch norm


@routine(INTEGER, INTEGER, MATRIX, REALS, REALS, INTEGER, INTEGER)
def column_moments(rows, columns, x, means, variances, thread, threads):
    """Compute mean and variance of each of this thread's columns."""
    begin, end = _columns(columns, thread, threads, x)
    share_of = 1.0 / rows
    for j in range(begin, end, width(x)):
        count = end - j
        total = zeros(x)
        for i in range(rows):
            total = total + load_first(row_at(x, i), j, count)
        mean = total * share_of
        squares = zeros(x)
        for i in range(rows):
            change = load_first(row_at(x, i), j, count) - mean
            squares = fma(change, change, squares)
        store_first(means, j, mean, count)
        store_first(variances, j, squares * share_of, count)


@routine(INTEGER, INTEGER, DOUBLE, MATRIX, *(REALS,) * 4, MATRIX, INTEGER, INTEGER)
def batch_norm_columns(rows, columns, eps, x, means, variances, gain, shift, y, thread, threads):
    """Normalize this thread's columns by their means and variances."""
    begin, end = _columns(columns, thread, threads, x)
    for j in range(begin, end, width(x)):
        count = end - j
        mean, factor = (
            load_first(means, j, count),
            1.0 / sqrt(load_first(variances, j, count) + eps),
        )
        slope, offset = load_first(gain, j, count), load_first(shift, j, count)
        for i in range(rows):
            z = (load_first(row_at(x, i), j, count) - mean) * factor
            store_first(row_at(y, i), j, fma(z, slope, offset), count)


@routine(
    INTEGER,
    INTEGER,
    DOUBLE,
    INTEGER,
    MATRIX,
    *(REALS,) * 3,
    MATRIX,
    MATRIX,
    *(REALS,) * 2,
    INTEGER,
    INTEGER,
)
def batch_norm_gradient_columns(
    rows, columns, eps, fixed, x, means, variances, gain, g, out, d_gain, d_shift, thread, threads
):
    """Compute out = gain factor (g - mean g - z mean(g z)) for this thread's columns.

    z is the normalized x. With `fixed`, means and variances are constants, not moments of x, and
    out = gain factor g. The gradients of gain and shift are the sums of g z and of g. out may be g.
    """
    begin, end = _columns(columns, thread, threads, x)
    share_of = 0.0 if fixed else 1.0 / rows
    for j in range(begin, end, width(x)):
        count = end - j
        mean, factor = (
            load_first(means, j, count),
            1.0 / sqrt(load_first(variances, j, count) + eps),
        )
        total, along = zeros(x), zeros(x)
        for i in range(rows):
            gradient = load_first(row_at(g, i), j, count)
            z = (load_first(row_at(x, i), j, count) - mean) * factor
            total, along = total + gradient, fma(gradient, z, along)
        store_first(d_gain, j, along, count)
        store_first(d_shift, j, total, count)
        middle, slope = total * share_of, along * share_of
        scale = load_first(gain, j, count) * factor
        for i in range(rows):
            z = (load_first(row_at(x, i), j, count) - mean) * factor
            change = load_first(row_at(g, i), j, count) - middle - z * slope
            store_first(row_at(out, i), j, change * scale, count)


@routine(INTEGER, INTEGER, DOUBLE, *(REALS,) * 4, INTEGER, INTEGER)
def track_moments(
    rows, columns, momentum, means, variances, running_means, running_variances, thread, threads
):
    """Move running moments towards those of a batch: running += momentum (moment - running).

    The running variance is unbiased: the batch's variance times rows / (rows - 1).
    """
    begin, end = _columns(columns, thread, threads, means)
    unbiased = rows / (rows - 1.0)
    for j in range(begin, end, width(means)):
        count = end - j
        mean, variance = (
            load_first(running_means, j, count),
            load_first(running_variances, j, count),
        )
        new_mean = load_first(means, j, count) * momentum
        new_variance = load_first(variances, j, count) * unbiased * momentum
        store_first(running_means, j, fma(mean, zeros(means) + (1.0 - momentum), new_mean), count)
        store_first(
            running_variances,
            j,
            fma(variance, zeros(means) + (1.0 - momentum), new_variance),
            count,
        )


# ------------------------------------------------------------------ for use from Python


@entry(reads(2), DOUBLE, reads(1), reads(1), writes(2), writes(1), writes(1))
def layer_norm(x, eps, gain, shift, y, means, factors):
    """Compute `layer_norm_rows` of arrays."""
    layer_norm_rows(
        x.shape[0],
        x.shape[1],
        eps,
        matrix_of(x),
        data(gain),
        data(shift),
        matrix_of(y),
        data(means),
        data(factors),
    )


@entry(reads(2), *(reads(1),) * 3, reads(2), writes(2), writes(1), writes(1))
def layer_norm_gradient(x, means, factors, gain, g, out, gain_gradient, shift_gradient):
    """Compute `layer_norm_gradient_rows` and `layer_norm_parameter_columns` of arrays."""
    (rows, n), x, g = x.shape, matrix_of(x), matrix_of(g)
    layer_norm_parameter_columns(
        rows, n, x, data(means), data(factors), g, data(gain_gradient), data(shift_gradient), 0, 1
    )
    layer_norm_gradient_rows(rows, n, x, data(means), data(factors), data(gain), g, matrix_of(out))


@entry(reads(2), writes(1), writes(1))
def moments(x, means, variances):
    """Compute `column_moments` of an array."""
    column_moments(x.shape[0], x.shape[1], matrix_of(x), data(means), data(variances), 0, 1)


@entry(reads(2), DOUBLE, *(reads(1),) * 4, writes(2))
def batch_norm(x, eps, means, variances, gain, shift, y):
    """Compute `batch_norm_columns` of arrays."""
    batch_norm_columns(
        x.shape[0],
        x.shape[1],
        eps,
        matrix_of(x),
        data(means),
        data(variances),
        data(gain),
        data(shift),
        matrix_of(y),
        0,
        1,
    )


@entry(reads(2), DOUBLE, INTEGER, *(reads(1),) * 3, reads(2), writes(2), writes(1), writes(1))
def batch_norm_gradient(
    x, eps, fixed, means, variances, gain, g, out, gain_gradient, shift_gradient
):
    """Compute `batch_norm_gradient_columns` of arrays."""
    batch_norm_gradient_columns(
        x.shape[0],
        x.shape[1],
        eps,
        fixed,
        matrix_of(x),
        data(means),
        data(variances),
        data(gain),
        matrix_of(g),
        matrix_of(out),
        data(gain_gradient),
        data(shift_gradient),
        0,
        1,
    )


@entry(INTEGER, DOUBLE, reads(1), reads(1), writes(1), writes(1))
def track(rows, momentum, means, variances, running_means, running_variances):
    """Compute `track_moments` of arrays."""
    track_moments(
        rows,
        means.size,
        momentum,
        data(means),
        data(variances),
        data(running_means),
        data(running_variances),
        0,
        1,
    )
