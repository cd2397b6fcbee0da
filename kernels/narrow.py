"""Products too narrow for the register tile: of one output or two, or of a batch of few rows.

Layers that tell one class from another have so few outputs, and those of most regressions. Sums
are in order of depth, as those of the tile: the result has the bits of `kernels.gemm`'s.
"""

from __future__ import annotations

from kernels.activations import RELU, activate_gradient, relu_gradient_of
from kernels.jit import inline
from kernels.simd import (
    advance,
    fma,
    load,
    load_first,
    peek,
    poke,
    splat,
    store,
    store_first,
    width,
    zeros,
)
from kernels.tile import transpose

NARROW = 2
"""Most outputs that these products take."""

THIN = 4
"""Most rows of a batch that `thin_weight_gradient` takes."""


@inline
def narrow_forward(rows, inputs, outputs, x, ldx, w, ldw, bias, y, ldy, scratch):
    """y = x w + bias: vectors hold a column of x, not a row of w.

    `scratch` has room for a square of vectors, of two at least.
    """
    lanes = width(x)
    for i in range(0, rows, lanes):
        here = min(lanes, rows - i)
        first = splat(peek(bias, 0), zeros(x))
        second = splat(peek(bias, outputs - 1), first)
        first, second = _sums(
            here, inputs, outputs, advance(x, i * ldx), ldx, w, ldw, first, second, scratch
        )
        _spread(here, outputs, first, second, advance(y, i * ldy), ldy, scratch)


@inline
def narrow_forward_in_halves(rows, inputs, middle, outputs, x, ldx, w, ldw, bias, y, ldy, scratch):
    """As `narrow_forward`: sums of the inputs before `middle`, those of the others, and bias."""
    lanes = width(x)
    for i in range(0, rows, lanes):
        here, left, nothing = min(lanes, rows - i), advance(x, i * ldx), zeros(x)
        first, second = _sums(here, middle, outputs, left, ldx, w, ldw, nothing, nothing, scratch)
        others, more = _sums(
            here, inputs - middle, outputs, advance(left, middle), ldx, advance(w, middle * ldw),
            ldw, nothing, nothing, scratch,
        )  # fmt: skip
        first = first + others + splat(peek(bias, 0), first)
        second = second + more + splat(peek(bias, outputs - 1), first)
        _spread(here, outputs, first, second, advance(y, i * ldy), ldy, scratch)


@inline
def _sums(rows, inputs, outputs, x, ldx, w, ldw, first, second, scratch):
    """The first and the second output of a vector of rows, added to what they begin with."""
    lanes = width(x)
    for k in range(0, inputs, lanes):
        deep = min(lanes, inputs - k)
        transpose(rows, deep, advance(x, k), ldx, scratch, lanes)
        for d in range(deep):
            column, row = load(scratch, d * lanes), advance(w, (k + d) * ldw)
            first = fma(column, splat(peek(row, 0), column), first)
            if outputs > 1:
                second = fma(column, splat(peek(row, 1), column), second)
    return first, second


@inline
def _spread(rows, outputs, first, second, y, ldy, scratch):
    """Write outputs that lie in vectors of rows."""
    lanes = width(y)
    store(scratch, 0, first)
    store(scratch, lanes, second)
    for r in range(rows):
        row = advance(y, r * ldy)
        poke(row, 0, peek(scratch, r))
        if outputs > 1:
            poke(row, 1, peek(scratch, lanes + r))


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
