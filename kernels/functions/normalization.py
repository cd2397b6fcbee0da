"""Layer and batch normalisation: y = gain (x - mean) / sqrt(variance + eps) + shift.

The formulas are those of J. L. Ba et al., "Layer normalization" (2016), and of S. Ioffe &
C. Szegedy, "Batch normalization" (2015), as torch has them. Variances are means of squared
differences from the mean, taken in a second pass. What sums over the rows is split among
threads by columns, so that no sum depends on how many there are.
"""

from __future__ import annotations

from numba import types

from kernels.base.jit import array, const, entry, inline, routine
from kernels.base.simd import (
    advance,
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

_INTEGER = types.int64
_POINTER = types.CPointer


@inline
def _columns(columns, thread, threads, x):
    """This thread's columns: whole vectors, but for the last."""
    lanes = width(x)
    begin, end = share((columns + lanes - 1) // lanes, thread, threads)
    return begin * lanes, min(end * lanes, columns)


# ------------------------------------------------------------------------- layer norm


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, types.float64, _POINTER(real), _INTEGER)
        + (_POINTER(real),) * 2
        + (_POINTER(real), _INTEGER)
        + (_POINTER(real),) * 2
    )
)
def layer_norm_rows(rows, columns, eps, x, ldx, gain, shift, y, ldy, means, factors):
    """Normalise each row by its own mean and variance; keeps means and 1 / sqrt(var + eps)."""
    lanes = width(x)
    share_of = 1.0 / columns
    for i in range(rows):
        row, result = advance(x, i * ldx), advance(y, i * ldy)
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


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, _POINTER(real), _INTEGER)
        + (_POINTER(real),) * 3
        + (_POINTER(real), _INTEGER) * 2
    )
)
def layer_norm_gradient_rows(rows, columns, x, ldx, means, factors, gain, g, ldg, out, ldo):
    """out = factor (d - mean d - z mean(d z)), d = gain g, z the normalised x; out may be g."""
    lanes = width(x)
    share_of = 1.0 / columns
    for i in range(rows):
        row, gradient = advance(x, i * ldx), advance(g, i * ldg)
        result = advance(out, i * ldo)
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


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, _POINTER(real), _INTEGER)
        + (_POINTER(real),) * 2
        + (_POINTER(real), _INTEGER)
        + (_POINTER(real),) * 2
        + (_INTEGER,) * 2
    )
)
def layer_norm_parameter_columns(
    rows, columns, x, ldx, means, factors, g, ldg, gain, shift, thread, threads
):
    """Gradients of gain, sum g z, and shift, sum g, over the rows: this thread's columns."""
    begin, end = _columns(columns, thread, threads, x)
    for j in range(begin, end, width(x)):
        count = end - j
        total, along = zeros(x), zeros(x)
        for i in range(rows):
            gradient = load_first(g, i * ldg + j, count)
            z = (load_first(x, i * ldx + j, count) - peek(means, i)) * peek(factors, i)
            total, along = total + gradient, fma(gradient, z, along)
        store_first(gain, j, along, count)
        store_first(shift, j, total, count)


# ------------------------------------------------------------------------- batch norm


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, _POINTER(real), _INTEGER) + (_POINTER(real),) * 2 + (_INTEGER,) * 2
    )
)
def column_moments(rows, columns, x, ldx, means, variances, thread, threads):
    """Mean and variance of each of this thread's columns."""
    begin, end = _columns(columns, thread, threads, x)
    share_of = 1.0 / rows
    for j in range(begin, end, width(x)):
        count = end - j
        total = zeros(x)
        for i in range(rows):
            total = total + load_first(x, i * ldx + j, count)
        mean = total * share_of
        squares = zeros(x)
        for i in range(rows):
            change = load_first(x, i * ldx + j, count) - mean
            squares = fma(change, change, squares)
        store_first(means, j, mean, count)
        store_first(variances, j, squares * share_of, count)


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, types.float64, _POINTER(real), _INTEGER)
        + (_POINTER(real),) * 4
        + (_POINTER(real), _INTEGER)
        + (_INTEGER,) * 2
    )
)
def batch_norm_columns(
    rows, columns, eps, x, ldx, means, variances, gain, shift, y, ldy, thread, threads
):
    """Normalise this thread's columns by their means and variances."""
    begin, end = _columns(columns, thread, threads, x)
    for j in range(begin, end, width(x)):
        count = end - j
        mean, factor = (
            load_first(means, j, count),
            1.0 / sqrt(load_first(variances, j, count) + eps),
        )
        slope, offset = load_first(gain, j, count), load_first(shift, j, count)
        for i in range(rows):
            z = (load_first(x, i * ldx + j, count) - mean) * factor
            store_first(y, i * ldy + j, fma(z, slope, offset), count)


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, types.float64, _INTEGER, _POINTER(real), _INTEGER)
        + (_POINTER(real),) * 3
        + (_POINTER(real), _INTEGER) * 2
        + (_POINTER(real),) * 2
        + (_INTEGER,) * 2
    )
)
def batch_norm_gradient_columns(
    rows, columns, eps, fixed, x, ldx, means, variances, gain, g, ldg, out, ldo,
    gain_gradient, shift_gradient, thread, threads,
):  # fmt: skip
    """out = gain factor (g - mean g - z mean(g z)), z the normalised x: this thread's columns.

    The means are left out where means and variances are `fixed`, not those of x. The sums of
    g z and of g are the gradients of gain and shift. out may be g.
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
            gradient = load_first(g, i * ldg + j, count)
            z = (load_first(x, i * ldx + j, count) - mean) * factor
            total, along = total + gradient, fma(gradient, z, along)
        store_first(gain_gradient, j, along, count)
        store_first(shift_gradient, j, total, count)
        middle, slope = total * share_of, along * share_of
        scale = load_first(gain, j, count) * factor
        for i in range(rows):
            z = (load_first(x, i * ldx + j, count) - mean) * factor
            change = load_first(g, i * ldg + j, count) - middle - z * slope
            store_first(out, i * ldo + j, change * scale, count)


@routine(lambda real: (_INTEGER, _INTEGER, types.float64) + (_POINTER(real),) * 4 + (_INTEGER,) * 2)
def track_moments(
    rows, columns, momentum, means, variances, running_means, running_variances, thread, threads
):
    """Move running moments towards those of a batch: running += momentum (moment - running).

    The running variance is that of the samples' source: times rows / (rows - 1).
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


@entry(
    lambda real: (
        (const(real, 2), types.float64, const(real, 1), const(real, 1), array(real, 2))
        + (array(real, 1),) * 2
    )
)
def layer_norm(x, eps, gain, shift, y, means, factors):
    """`layer_norm_rows` of arrays."""
    n = x.shape[1]
    layer_norm_rows(
        x.shape[0], n, eps, data(x), n, data(gain), data(shift), data(y), n, data(means),
        data(factors),
    )  # fmt: skip


@entry(
    lambda real: (
        (const(real, 2),)
        + (const(real, 1),) * 3
        + (const(real, 2), array(real, 2))
        + (array(real, 1),) * 2
    )
)
def layer_norm_gradient(x, means, factors, gain, g, out, gain_gradient, shift_gradient):
    """`layer_norm_gradient_rows` and `layer_norm_parameter_columns` of arrays."""
    rows, n = x.shape
    layer_norm_parameter_columns(
        rows, n, data(x), n, data(means), data(factors), data(g), n, data(gain_gradient),
        data(shift_gradient), 0, 1,
    )  # fmt: skip
    layer_norm_gradient_rows(
        rows, n, data(x), n, data(means), data(factors), data(gain), data(g), n, data(out), n
    )


@entry(lambda real: (const(real, 2), array(real, 1), array(real, 1)))
def moments(x, means, variances):
    """`column_moments` of an array."""
    column_moments(x.shape[0], x.shape[1], data(x), x.shape[1], data(means), data(variances), 0, 1)


@entry(lambda real: (const(real, 2), types.float64) + (const(real, 1),) * 4 + (array(real, 2),))
def batch_norm(x, eps, means, variances, gain, shift, y):
    """`batch_norm_columns` of arrays."""
    rows, n = x.shape
    batch_norm_columns(
        rows, n, eps, data(x), n, data(means), data(variances), data(gain), data(shift),
        data(y), n, 0, 1,
    )  # fmt: skip


@entry(
    lambda real: (
        (const(real, 2), types.float64, _INTEGER)
        + (const(real, 1),) * 3
        + (const(real, 2), array(real, 2))
        + (array(real, 1),) * 2
    )
)
def batch_norm_gradient(
    x, eps, fixed, means, variances, gain, g, out, gain_gradient, shift_gradient
):
    """`batch_norm_gradient_columns` of arrays."""
    rows, n = x.shape
    batch_norm_gradient_columns(
        rows, n, eps, fixed, data(x), n, data(means), data(variances), data(gain), data(g), n,
        data(out), n, data(gain_gradient), data(shift_gradient), 0, 1,
    )  # fmt: skip


@entry(lambda real: (_INTEGER, types.float64) + (const(real, 1),) * 2 + (array(real, 1),) * 2)
def track(rows, momentum, means, variances, running_means, running_variances):
    """`track_moments` of arrays."""
    track_moments(
        rows, means.size, momentum, data(means), data(variances), data(running_means),
        data(running_variances), 0, 1,
    )  # fmt: skip
