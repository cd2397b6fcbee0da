"""Layers of few outputs: products summed in two halves of their inputs.

The products of each half are summed in order, however many threads there are, and then the two
sums added. So two threads can each sum what the hidden units of their own give, and only these sums
pass from one to the other, with the bits that one thread gets.
"""

from __future__ import annotations

import numpy as np
from numba import types

from kernels import host
from kernels.activations import IDENTITY, activate
from kernels.gemm import even_part, gemm, scratch_elements, tile_columns, zero_row
from kernels.jit import inline, routine
from kernels.narrow import is_narrow, narrow_forward, narrow_forward_in_halves
from kernels.parts import columns_of, line_columns
from kernels.simd import advance, load, load_first, store_first, width

_INTEGER = types.int64
_POINTER = types.CPointer

FEW = 16
"""Most outputs that are summed so, and elements of a row of sums."""

_ROWS = 112  # of a batch at a time: the sums of both halves are then a quarter of an L1 cache


@inline
def in_halves(inputs, outputs, line):
    """Whether a layer sums its products in halves, of more than a cache line of `line` elements."""
    return outputs <= FEW and inputs > 2 * line


def shared_in_halves(inputs: int, outputs: int, dtype, threads: int) -> bool:
    """Whether threads can each sum one half of a layer's products."""
    line = host.CACHE_LINE // np.dtype(dtype).itemsize
    return threads == 2 and bool(in_halves.py_func(inputs, outputs, line))


def scratch_size(lanes: int) -> int:
    """Elements of aligned scratch memory that `forward` needs, for vectors of so many lanes."""
    return 2 * _ROWS * FEW + host.TILE_VECTORS * lanes + scratch_elements.py_func(lanes)


@routine(
    lambda real: (_INTEGER,) * 4 + (_POINTER(real), _INTEGER) * 2 + (_POINTER(real), _POINTER(real))
)
def sum_half(half, rows, inputs, outputs, x, ldx, w, ldw, sums, scratch):
    """Sums of x w over a half of the inputs, the first being 0; x begins with that half's."""
    begin, end = columns_of(inputs, line_columns(x), half, 2)
    w, memory = advance(w, begin * ldw), zero_row(scratch)
    if is_narrow(inputs, outputs):
        narrow_forward(rows, end - begin, outputs, x, ldx, w, ldw, scratch, sums, FEW, memory)
        return
    gemm(
        rows, outputs, end - begin, x, ldx, 1, w, ldw, 1, 0, scratch, 0, 0, sums, FEW,
        -np.inf, IDENTITY, sums, FEW, 0, 0, memory,
    )  # fmt: skip


@routine(lambda real: (_INTEGER,) * 3 + (_POINTER(real),) * 3 + (_POINTER(real), _INTEGER))
def add_halves(rows, outputs, activation, first, second, bias, y, ldy):
    """y = f(first + second + bias), from the sums of both halves."""
    for j in range(0, outputs, width(y)):
        here = outputs - j
        offset = load_first(bias, j, here)
        for i in range(rows):
            total = load(first, i * FEW + j) + load(second, i * FEW + j)
            store_first(y, i * ldy + j, total + offset, here)
    activate(activation, rows, outputs, y, ldy, y, ldy)


@routine(
    lambda real: (
        (_INTEGER,) * 4
        + (_POINTER(real), _INTEGER) * 2
        + (_POINTER(real), _POINTER(real), _INTEGER, _POINTER(real))
    )
)
def forward(rows, inputs, outputs, activation, x, ldx, w, ldw, bias, y, ldy, scratch):
    """y = f(x w + bias), summed in halves."""
    high = even_part(rows, _ROWS)
    middle, _ = columns_of(inputs, line_columns(x), 1, 2)
    if is_narrow(inputs, outputs):
        narrow_forward_in_halves(
            rows, inputs, middle, outputs, x, ldx, w, ldw, bias, y, ldy, scratch
        )
        activate(activation, rows, outputs, y, ldy, y, ldy)
        return
    # Behind what the products work in, which is in the L1 cache from others.
    first = advance(scratch, tile_columns(x) + scratch_elements(width(x)))
    second = advance(first, _ROWS * FEW)
    for i in range(0, rows, high):
        here, left = min(high, rows - i), advance(x, i * ldx)
        for half in range(2):
            sum_half(
                half, here, inputs, outputs, advance(left, half * middle), ldx, w, ldw,
                advance(first, half * _ROWS * FEW), scratch,
            )  # fmt: skip
        add_halves(here, outputs, activation, first, second, bias, advance(y, i * ldy), ldy)
