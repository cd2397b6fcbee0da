"""Products too narrow for the register tile: of one output or two, or of a batch of few rows.

Layers that tell one class from another have so few outputs, and those of most regressions.
Gradients are summed in order of depth, as by the tile, and have the bits of
`kernels.product.gemm`'s.
"""

from __future__ import annotations

from kernels.base.jit import inline
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
from kernels.functions.activations import RELU, activate_gradient, relu_gradient_of
from kernels.product.tile import lane_sums, transpose

NARROW = 2
"""Most outputs that these products take."""

_DEEP = 2048  # most inputs of `narrow_forward`
_ROW = _DEEP + 16  # elements from one output's weights to the next one's: zeros follow the last

_SQUARE = 16  # vectors at most in a square of them, of which four are written at a time

SCRATCH = 2 * _ROW + 2 * _SQUARE * _SQUARE
"""Elements of scratch memory that `narrow_forward` needs."""

THIN = 4
"""Most rows of a batch that `thin_weight_gradient` takes."""


@inline
def is_narrow(inputs, outputs):
    """Whether `narrow_forward` takes a product."""
    return outputs <= NARROW and inputs <= _DEEP


@inline
def narrow_forward(rows, inputs, outputs, x, ldx, w, ldw, bias, y, ldy, scratch):
    """y = x w + bias.

    Lane by lane of a vector of inputs, and then the sum of the lanes. `scratch` has room for
    `SCRATCH` elements.
    """
    lanes = width(x)
    _turn(inputs, outputs, w, ldw, scratch)
    for i in range(0, rows, lanes):
        here = min(lanes, rows - i)
        one, two = _sums(here, inputs, outputs, advance(x, i * ldx), ldx, scratch, 0)
        one, two = one + splat(peek(bias, 0), one), two + splat(peek(bias, outputs - 1), two)
        _spread(here, outputs, one, two, advance(y, i * ldy), ldy, scratch)


@inline
def narrow_forward_in_halves(rows, inputs, middle, outputs, x, ldx, w, ldw, bias, y, ldy, scratch):
    """As `narrow_forward`: sums of the inputs before `middle`, those of the others, and bias.

    `middle` is a whole number of vectors.
    """
    lanes = width(x)
    _turn(inputs, outputs, w, ldw, scratch)
    for i in range(0, rows, lanes):
        here, left = min(lanes, rows - i), advance(x, i * ldx)
        one, two = _sums(here, middle, outputs, left, ldx, scratch, 0)
        left = advance(left, middle)
        more = _sums(here, inputs - middle, outputs, left, ldx, scratch, middle)
        one = one + more[0] + splat(peek(bias, 0), one)
        two = two + more[1] + splat(peek(bias, outputs - 1), two)
        _spread(here, outputs, one, two, advance(y, i * ldy), ldy, scratch)


@inline
def _turn(inputs, outputs, w, ldw, scratch):
    """Copy the weights of each output to rows of whole vectors, with zeros behind the last."""
    for k in range(inputs):
        poke(scratch, k, peek(w, k * ldw))
        poke(scratch, _ROW + k, peek(w, k * ldw + outputs - 1))
    for k in range(inputs, inputs + width(w)):
        poke(scratch, k, 0.0)
        poke(scratch, _ROW + k, 0.0)


@inline
def _sums(rows, inputs, outputs, x, ldx, scratch, begin):
    """The first and the second output of at most a vector of rows, from the `begin`-th weight."""
    lanes, last = width(x), rows - 1
    weights, more = advance(scratch, begin), advance(scratch, _ROW + begin)
    square = advance(scratch, 2 * _ROW)
    other = advance(square, _SQUARE * lanes)
    whole = inputs - inputs % lanes
    for r in range(0, rows, 4):
        x1, x2, x3 = min(r + 1, last) * ldx, min(r + 2, last) * ldx, min(r + 3, last) * ldx
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zeros(x)
        for k in range(0, inputs, lanes):
            column = advance(x, k)
            if k < whole:
                v0, v1 = load(column, r * ldx), load(column, x1)
                v2, v3 = load(column, x2), load(column, x3)
            else:
                mask = first(inputs - k, x)
                v0, v1 = load_masked(column, r * ldx, mask), load_masked(column, x1, mask)
                v2, v3 = load_masked(column, x2, mask), load_masked(column, x3, mask)
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
def _spread(rows, outputs, one, two, y, ldy, scratch):
    """Write outputs that lie in vectors of rows."""
    if outputs == 1 and ldy == 1:
        store_first(y, 0, one, rows)
        return
    square = advance(scratch, 2 * _ROW)
    lanes = width(y)
    store(square, 0, one)
    store(square, lanes, two)
    for r in range(rows):
        row = advance(y, r * ldy)
        poke(row, 0, peek(square, r))
        if outputs > 1:
            poke(row, 1, peek(square, lanes + r))


@inline
def narrow_input_gradient(
    rows, inputs, outputs, activation, g, ldg, w, ldw, y, ldy, out, ldo, scratch
):
    """out = (g w^T) f'(y): a tile would end as soon as it has begun.

    `scratch` has room for a square of vectors.
    """
    lanes = width(g)
    for j in range(0, inputs, lanes):
        here = min(lanes, inputs - j)
        transpose(here, outputs, advance(w, j * ldw), ldw, scratch, lanes)
        weights, others = load(scratch, 0), load(scratch, lanes)
        before, column = advance(y, j), advance(out, j)
        for i in range(rows):
            row = advance(g, i * ldg)
            total = fma(weights, splat(peek(row, 0), weights), zeros(g))
            if outputs > 1:
                total = fma(others, splat(peek(row, 1), others), total)
            if activation == RELU:  # here, as the two loops would otherwise take twice as long
                total = relu_gradient_of(load_first(before, i * ldy, here), total)
            store_first(column, i * ldo, total, here)
        if activation != RELU:
            activate_gradient(activation, rows, here, before, ldy, column, ldo, column, ldo)


@inline
def thin_weight_gradient(rows, inputs, outputs, x, ldx, g, ldg, out, ldo):
    """out = x^T g, of one row to four: a tile would end as soon as it has begun."""
    lanes = width(x)
    for j in range(0, outputs, lanes):
        here = outputs - j
        first = load_first(g, j, here)
        second = load_first(g, min(1, rows - 1) * ldg + j, here)
        third = load_first(g, min(2, rows - 1) * ldg + j, here)
        fourth = load_first(g, (rows - 1) * ldg + j, here)
        for i in range(inputs):
            total = fma(splat(peek(x, i), first), first, zeros(x))
            if rows > 1:
                total = fma(splat(peek(x, ldx + i), first), second, total)
            if rows > 2:
                total = fma(splat(peek(x, 2 * ldx + i), first), third, total)
            if rows > 3:
                total = fma(splat(peek(x, 3 * ldx + i), first), fourth, total)
            store_first(out, i * ldo + j, total, here)
