"""Layers of few outputs: products summed in two halves of the inputs, and the weights' update.

The products of each half are summed in order, with any number of threads, and then the two sums
are added. So each of two threads can sum over the hidden units that it has computed, and they
exchange only sums. The result has the bits of one thread.
"""

from __future__ import annotations

import numpy as np

from kernels.base import host
from kernels.base.jit import inline, routine
from kernels.base.kinds import (
    INTEGER,
    MATRIX,
    PANELS,
    REALS,
    Matrix,
    Memory,
    Strided,
    below,
    beside,
    row_at,
)
from kernels.base.memory import line_elements
from kernels.base.simd import advance, load, load_first, peek, poke, store_first, width
from kernels.base.transpose import transpose
from kernels.functions.activations import IDENTITY, activate
from kernels.functions.updates import update
from kernels.machine.barrier import share
from kernels.product.choice import FEW, NARROW, PANEL_DEPTH, PART_ROWS, TURNED_PANELS
from kernels.product.gemm import (
    TILE_ROWS,
    even_part,
    gemm,
    scratch_elements,
    tile_columns,
    transposed_product,
    zero_row,
)
from kernels.product.narrow import is_narrow, narrow_forward, narrow_forward_in_halves
from kernels.product.sharing import columns_of, line_columns


@inline
def in_halves(inputs, outputs, line):
    """Return whether a layer sums its products in halves; a cache line has `line` elements."""
    return outputs <= FEW and inputs > 2 * line


def shared_in_halves(inputs: int, outputs: int, dtype, threads: int) -> bool:
    """Return whether threads can sum a layer's products from inputs in panels of each thread.

    One or two outputs are summed lane by lane, which needs each half in one panel.
    """
    if threads == 1 or not in_halves.py_func(inputs, outputs, line_elements(dtype)):
        return False
    return threads == 2 or outputs > NARROW


def scratch_size(lanes: int) -> int:
    """Return the elements of aligned scratch memory for these products, for a vector's lanes."""
    span = host.TILE_VECTORS * lanes
    halves = 2 * PART_ROWS * FEW + span + scratch_elements.py_func(lanes, PANEL_DEPTH, FEW)
    update = TURNED_PANELS * span * (TILE_ROWS + lanes) + (PANEL_DEPTH + lanes) * span
    return max(halves, update + lanes)


@routine(*(INTEGER,) * 5, MATRIX, MATRIX, MATRIX, REALS)
def _sum(rows, inputs, outputs, by_lanes, adding, x, w, sums, scratch):
    """Compute sums = x w, or add x w to sums if `adding`; sum in order of inputs or `by_lanes`."""
    memory = zero_row(scratch)
    if by_lanes:
        narrow_forward(rows, inputs, outputs, x, w, scratch, sums, memory)
        return
    start = Strided(sums.pointer, sums.ld, 1) if adding else Strided(scratch, 0, 0)
    left, right = Strided(x.pointer, x.ld, 1), Strided(w.pointer, w.ld, 1)
    gemm(rows, outputs, inputs, left, right, 0, start, sums, -np.inf, IDENTITY, sums, 0, 0, memory)


@inline
def _sum_half(half, first, rows, inputs, outputs, x, w, sums, threads, scratch):
    """Sum x w over one half of the inputs, for rows from `first` on; x lies in threads' panels."""
    line = line_columns(x)
    low, high = columns_of(inputs, line, half, 2)
    for owner in range(threads):
        begin, end = columns_of(inputs, line, owner, threads)
        here, stop = max(begin, low), min(end, high)
        if here < stop:
            panel = Matrix(advance(x.pointer, owner * x.panel + here - begin), x.ld)
            _sum(
                rows,
                stop - here,
                outputs,
                is_narrow(inputs, outputs),
                here > low,
                below(panel, first),
                below(w, here),
                below(sums, first),
                scratch,
            )


@routine(INTEGER, INTEGER, INTEGER, PANELS, MATRIX, REALS, *(INTEGER,) * 3, REALS)
def sum_panels(rows, inputs, outputs, x, w, sums, apart, thread, threads, scratch):
    """Compute this thread's share of the sums of both halves, which begin `apart` elements apart.

    With two threads, each sums the half of the inputs in its own panel.
    """
    begin, end = share(2 * rows, thread, threads)
    for half in range(2):
        first, last = max(begin - half * rows, 0), min(end - half * rows, rows)
        if first < last:
            target = Matrix(advance(sums, half * apart), FEW)
            _sum_half(half, first, last - first, inputs, outputs, x, w, target, threads, scratch)


@routine(*(INTEGER,) * 3, *(REALS,) * 3, MATRIX)
def add_halves(rows, outputs, activation, first, second, bias, y):
    """Compute y = f(first + second + bias) from the sums of both halves."""
    for j in range(0, outputs, width(y)):
        here = outputs - j
        offset = load_first(bias, j, here)
        for i in range(rows):
            total = load(first, i * FEW + j) + load(second, i * FEW + j)
            store_first(row_at(y, i), j, total + offset, here)
    activate(activation, rows, outputs, y, y)


@routine(*(INTEGER,) * 4, MATRIX, MATRIX, REALS, MATRIX, REALS)
def forward(rows, inputs, outputs, activation, x, w, bias, y, scratch):
    """Compute y = f(x w + bias), summed in halves."""
    high = even_part(rows, PART_ROWS)
    middle, _ = columns_of(inputs, line_columns(x), 1, 2)
    if is_narrow(inputs, outputs):
        narrow_forward_in_halves(rows, inputs, middle, outputs, x, w, bias, y, scratch)
        activate(activation, rows, outputs, y, y)
        return
    # The sums lie behind the scratch memory of the products, which is still in the L1 cache.
    first = advance(scratch, tile_columns(x) + scratch_elements(width(x), PANEL_DEPTH, FEW))
    second = advance(first, PART_ROWS * FEW)
    for i in range(0, rows, high):
        here, left = min(high, rows - i), below(x, i)
        sums = Matrix(first, FEW), Matrix(second, FEW)
        _sum(here, middle, outputs, 0, 0, left, w, sums[0], scratch)
        rest, weights = beside(left, middle), below(w, middle)
        _sum(here, inputs - middle, outputs, 0, 0, rest, weights, sums[1], scratch)
        add_halves(here, outputs, activation, first, second, bias, below(y, i))


@inline
def update_weights(rows, inputs, outputs, x, g, w, w_memory, how, thread, threads, zero, memory):
    """Update the weights of a layer of few outputs (see `kernels.product.linear.linear_update`).

    There are at most as many outputs as a tile has rows. The transpose g^T x of the gradient is
    computed, whose rows fill whole vectors with inputs, and then transposed.
    """
    span, lanes = tile_columns(x), width(x)
    panels = (inputs + span - 1) // span
    wide = min(TURNED_PANELS, max((panels + threads - 1) // threads, 1)) * span
    packed = advance(memory, wide * TILE_ROWS)
    gradient = advance(packed, (PANEL_DEPTH + lanes) * span)
    product = Matrix(memory, wide)
    begin, end = share((inputs + wide - 1) // wide, thread, threads)
    for unit in range(begin, end):
        i = unit * wide
        here = min(wide, inputs - i)
        transposed_product(outputs, here, rows, g, beside(x, i), packed, zero, product)
        turn(outputs, here, product, gradient)
        target = below(w, i)
        if how.rule == 0:
            copy_rows(here, outputs, gradient, target)
            continue
        remembered = Memory(advance(w_memory.pointer, i * w.ld), w_memory.apart)
        update(how, here, outputs, target, Matrix(gradient, outputs), remembered)


@inline
def turn(few, many, source, target):
    """Write the transpose of a `few` x `many` matrix, with contiguous rows, to `target`.

    `few` is at most the lanes of a vector. `target` has room for `many` rounded up to whole
    vectors, and for one vector more.
    """
    lanes = width(source)
    if few <= lanes // 2:  # faster than the shuffles of a square
        for j in range(many):
            for i in range(few):
                poke(target, j * few + i, peek(row_at(source, i), j))
        return
    for j in range(0, many, lanes):  # whole vectors: the next row overwrites the end of one
        transpose(few, many - j, beside(source, j), Matrix(advance(target, j * few), few))


@inline
def copy_rows(rows, columns, source, target):
    """Copy contiguous rows to a matrix with any leading dimension."""
    if target.ld == columns:
        rows, columns = 1, rows * columns
    for i in range(rows):
        here, place = advance(source, i * columns), row_at(target, i)
        for j in range(0, columns, width(source)):
            store_first(place, j, load_first(here, j, columns - j), columns - j)
