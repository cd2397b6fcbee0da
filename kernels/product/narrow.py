"""Products too narrow for the register tile: of one or two outputs, or of a batch of few rows.

Binary classification and most regressions have so few outputs. Gradients are summed in order of
depth, as by the tile, and have the bits of `kernels.product.gemm`.
"""

from __future__ import annotations

from kernels.base.jit import inline
from kernels.base.kinds import Matrix, below, beside, row_at
from kernels.base.simd import (
    advance,
    first,
    fma,
    load,
    load_first,
    load_masked,
    peek,
    poke,
    splat,
    store,
    store_first,
    width,
    zeros,
)
from kernels.base.transpose import lane_sums, transpose
from kernels.functions.activations import RELU, activate_gradient, relu_gradient_of
from kernels.product.choice import DEEP, NARROW

_ROW = DEEP + 16  # leading dimension of the weights of each output, with zeros behind the last

_SQUARE = 16  # most vectors in a square of vectors

SCRATCH = 2 * _ROW + 2 * _SQUARE * _SQUARE
"""Elements of scratch memory that `narrow_forward` needs."""


@inline
def is_narrow(inputs, outputs):
    """Return whether a product is summed lane by lane, by `narrow_forward`."""
    return outputs <= NARROW and inputs <= DEEP


@inline
def narrow_forward(rows, inputs, outputs, x, w, bias, y, scratch):
    """Compute y = x w + bias for one or two outputs.

    A vector of inputs is summed lane by lane, and then its lanes. `scratch` has room for `SCRATCH`
    elements.
    """
    lanes = width(x)
    _turn(inputs, outputs, w, scratch)
    for i in range(0, rows, lanes):
        here = min(lanes, rows - i)
        one, two = _sums(here, inputs, outputs, below(x, i), scratch, 0)
        one, two = one + splat(peek(bias, 0), one), two + splat(peek(bias, outputs - 1), two)
        _spread(here, outputs, one, two, below(y, i), scratch)


@inline
def narrow_forward_in_halves(rows, inputs, middle, outputs, x, w, bias, y, scratch):
    """Compute y like `narrow_forward`: sums of inputs before `middle`, of those from it on, bias.

    `middle` is a whole number of vectors.
    """
    lanes = width(x)
    _turn(inputs, outputs, w, scratch)
    for i in range(0, rows, lanes):
        here, left = min(lanes, rows - i), below(x, i)
        one, two = _sums(here, middle, outputs, left, scratch, 0)
        left = beside(left, middle)
        more = _sums(here, inputs - middle, outputs, left, scratch, middle)
        one = one + more[0] + splat(peek(bias, 0), one)
        two = two + more[1] + splat(peek(bias, outputs - 1), two)
        _spread(here, outputs, one, two, below(y, i), scratch)


@inline
def _turn(inputs, outputs, w, scratch):
    """Copy the weights of each output to a row, padded with a vector of zeros."""
    for k in range(inputs):
        poke(scratch, k, peek(row_at(w, k), 0))
        poke(scratch, _ROW + k, peek(row_at(w, k), outputs - 1))
    for k in range(inputs, inputs + width(w)):
        poke(scratch, k, 0.0)
        poke(scratch, _ROW + k, 0.0)


@inline
def _sums(rows, inputs, outputs, x, scratch, begin):
    """Return vectors of both outputs, a row of x a lane, with the weights from `begin` on."""
    lanes, last = width(x), rows - 1
    weights, more = advance(scratch, begin), advance(scratch, _ROW + begin)
    square = advance(scratch, 2 * _ROW)
    other = advance(square, _SQUARE * lanes)
    whole = inputs - inputs % lanes
    for r in range(0, rows, 4):
        x0, x1 = row_at(x, r), row_at(x, min(r + 1, last))
        x2, x3 = row_at(x, min(r + 2, last)), row_at(x, min(r + 3, last))
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zeros(x)
        for k in range(0, inputs, lanes):
            if k < whole:
                v0, v1, v2, v3 = load(x0, k), load(x1, k), load(x2, k), load(x3, k)
            else:
                mask = first(inputs - k, x)
                v0, v1 = load_masked(x0, k, mask), load_masked(x1, k, mask)
                v2, v3 = load_masked(x2, k, mask), load_masked(x3, k, mask)
            weight = load(weights, k)
            a0, a1 = fma(v0, weight, a0), fma(v1, weight, a1)
            a2, a3 = fma(v2, weight, a2), fma(v3, weight, a3)
            if outputs > 1:
                weight = load(more, k)
                b0, b1 = fma(v0, weight, b0), fma(v1, weight, b1)
                b2, b3 = fma(v2, weight, b2), fma(v3, weight, b3)
        _store_rows(square, r, a0, a1, a2, a3)
        if outputs > 1:
            _store_rows(other, r, b0, b1, b2, b3)
    sums = lane_sums(square)
    return sums, lane_sums(other) if outputs > 1 else sums


@inline
def _store_rows(square, r, v0, v1, v2, v3):
    lanes = width(square)
    store(square, r * lanes, v0)
    store(square, (r + 1) * lanes, v1)
    store(square, (r + 2) * lanes, v2)
    store(square, (r + 3) * lanes, v3)


@inline
def _spread(rows, outputs, one, two, y, scratch):
    """Write vectors of both outputs, a row a lane, to rows of y."""
    if outputs == 1 and y.ld == 1:
        store_first(y.pointer, 0, one, rows)
        return
    square = advance(scratch, 2 * _ROW)
    lanes = width(y)
    store(square, 0, one)
    store(square, lanes, two)
    for r in range(rows):
        row = row_at(y, r)
        poke(row, 0, peek(square, r))
        if outputs > 1:
            poke(row, 1, peek(square, lanes + r))


@inline
def narrow_input_gradient(rows, inputs, outputs, activation, g, w, y, out, scratch):
    """Compute out = (g w^T) f'(y) without a tile, whose loop would have one or two steps.

    `scratch` has room for a square of vectors.
    """
    lanes = width(g)
    for j in range(0, inputs, lanes):
        here = min(lanes, inputs - j)
        transpose(here, outputs, below(w, j), Matrix(scratch, lanes))
        weights, others = load(scratch, 0), load(scratch, lanes)
        before, column = beside(y, j), beside(out, j)
        for i in range(rows):
            row = row_at(g, i)
            total = fma(weights, splat(peek(row, 0), weights), zeros(g))
            if outputs > 1:
                total = fma(others, splat(peek(row, 1), others), total)
            if activation == RELU:  # in this loop: a loop of its own would double the time
                total = relu_gradient_of(load_first(row_at(before, i), 0, here), total)
            store_first(row_at(column, i), 0, total, here)
        if activation != RELU:
            activate_gradient(activation, rows, here, before, column, column)


@inline
def thin_weight_gradient(rows, inputs, outputs, x, g, out):
    """Compute out = x^T g of one to four rows without a tile, whose loop would have few steps."""
    for j in range(0, outputs, width(x)):
        here = outputs - j
        first = load_first(g.pointer, j, here)
        second = load_first(row_at(g, min(1, rows - 1)), j, here)
        third = load_first(row_at(g, min(2, rows - 1)), j, here)
        fourth = load_first(row_at(g, rows - 1), j, here)
        for i in range(inputs):
            total = fma(splat(peek(x.pointer, i), first), first, zeros(x))
            if rows > 1:
                total = fma(splat(peek(row_at(x, 1), i), first), second, total)
            if rows > 2:
                total = fma(splat(peek(row_at(x, 2), i), first), third, total)
            if rows > 3:
                total = fma(splat(peek(row_at(x, 3), i), first), fourth, total)
            store_first(row_at(out, i), j, total, here)
