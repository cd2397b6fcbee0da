"""The three products of a linear layer, each split into blocks of its output.

A block is computed, and what follows (activation, its gradient, the update of the
parameters) is done to it at once, while it lies in the L1 cache. Threads take
contiguous ranges of blocks; a block's value does not depend on who computes it.
Weights lie as (inputs, outputs), so that outputs fill vectors, or in panels of a tile's
outputs (`kernels.product.panels`): a thread's columns of the weights are then on cache lines of
their own.
"""

from __future__ import annotations

import numpy as np
from numba import types

from kernels.base import host
from kernels.base.arrays import FLOATING, matrix, output
from kernels.base.jit import array, const, entry, inline, real_type, routine
from kernels.base.memory import aligned_zeros
from kernels.base.reductions import sum_columns
from kernels.base.simd import advance, data, width
from kernels.functions import updates
from kernels.functions.activations import IDENTITY, RELU, activate
from kernels.functions.updates import update
from kernels.machine.barrier import share
from kernels.product import few_outputs
from kernels.product.gemm import (
    PANEL_DEPTH,
    TILE_ROWS,
    TILE_VECTORS,
    WIDE,
    even_part,
    gemm,
    pack_tiles,
    packing_pays,
    row_tiles,
    scratch_elements,
    tile_columns,
    tile_stride,
    zero_row,
)
from kernels.product.gemm import block as tiles_of
from kernels.product.narrow import (
    NARROW,
    THIN,
    is_narrow,
    narrow_forward,
    narrow_input_gradient,
    thin_weight_gradient,
)
from kernels.product.panels import panel_at
from kernels.product.sharing import columns_of, line_columns, own_columns, part, splits_columns

_INTEGER = types.int64
_POINTER = types.CPointer
_SHARE = (_INTEGER, _INTEGER)

_BLOCK_ROWS = 9 * TILE_ROWS  # of a weight gradient's block: with a panel's width, half an L1 cache
_PACKED = 65536  # elements of A packed for a weight gradient's block, a quarter of an L2 cache
_BLOCKS_PER_THREAD = 4  # of a weight gradient: a narrower last panel is then little


def scratch_size(dtype, widest: int) -> int:
    """Elements of aligned scratch memory that a thread needs for any of these products.

    No layer has more than `widest` inputs or outputs.
    """
    lanes = host.lanes(real_type(dtype))
    span = TILE_VECTORS * lanes
    block = _BLOCK_ROWS * span
    update = _PACKED + (PANEL_DEPTH + lanes) * span + block
    product = scratch_elements.py_func(lanes, widest, widest)
    return 2 * span + max(few_outputs.scratch_size(lanes), product, update)


@routine(
    lambda real: (
        (_INTEGER,) * 4
        + (_POINTER(real), _INTEGER)
        + (_POINTER(real), _INTEGER, _INTEGER)
        + (_POINTER(real), _POINTER(real), _INTEGER, _INTEGER)
        + _SHARE
        + (_POINTER(real),)
    )
)
def linear_forward(
    rows, inputs, outputs, activation, x, ldx, w, ldw, w_panel, bias, y, ldy, y_panel,
    thread, threads, scratch,
):  # fmt: skip
    """y = f(x w + bias), this thread's blocks of it.

    The weights' panels begin `w_panel` elements apart, and those of y, one for each thread's
    columns, `y_panel`; 0 where they are one matrix. Few outputs (`kernels.product.few_outputs`)
    are in one matrix, and their weights in one panel at most.
    """
    if few_outputs.in_halves(inputs, outputs, line_columns(x)):
        begin, end = share(rows, thread, threads)
        few_outputs.forward(
            end - begin, inputs, outputs, activation, advance(x, begin * ldx), ldx, w, ldw, bias,
            advance(y, begin * ldy), ldy, scratch,
        )  # fmt: skip
        return
    if is_narrow(inputs, outputs):
        begin, end = share(rows, thread, threads)
        here = advance(y, begin * ldy)
        narrow_forward(
            end - begin, inputs, outputs, advance(x, begin * ldx), ldx, w, ldw, bias, here, ldy,
            scratch,
        )  # fmt: skip
        activate(activation, end - begin, outputs, here, ldy, here, ldy)
        return
    i, height, j, columns = part(rows, outputs, inputs, x, thread, threads)
    if y_panel != 0:  # its columns are where they would be if all were there
        i, height, j, columns = own_columns(rows, outputs, x, thread, threads)
        y = advance(y, thread * y_panel - j)
    floor, after = (0.0, IDENTITY) if activation == RELU else (-np.inf, activation)
    left, end = advance(x, i * ldx), j + columns
    while j < end:
        columns = end - j
        if w_panel != 0 and j % ldw != 0:  # up to where a panel begins
            columns = min(columns, ldw - j % ldw)
        here = advance(y, i * ldy + j)
        packs = packing_pays(height, columns, left, ldx, 1)
        gemm(
            height, columns, inputs, left, ldx, 1,
            panel_at(w, 0, j, ldw, w_panel), ldw, 1, w_panel, advance(bias, j), 0, 1,
            here, ldy, floor, after, here, ldy, packs, 0, scratch,
        )  # fmt: skip
        j += columns


@routine(
    lambda real: (
        (_INTEGER,) * 4
        + (_POINTER(real), _INTEGER)
        + (_POINTER(real), _INTEGER, _INTEGER) * 3
        + _SHARE
        + (_POINTER(real),)
    )
)
def linear_input_gradient(
    rows, inputs, outputs, activation, g, ldg, w, ldw, w_panel, y, ldy, y_panel,
    out, ldo, out_panel, thread, threads, scratch,
):  # fmt: skip
    """out = (g w^T) f'(y), this thread's blocks; y = f(.) is the layer's input.

    The weights' panels begin `w_panel` elements apart, and those of y and `out`, one for each
    thread's columns, `y_panel` and `out_panel`; 0 for one matrix.
    """
    i, height, j, columns = part(rows, inputs, outputs, g, thread, threads)
    if y_panel != 0 or out_panel != 0:
        i, height, j, columns = own_columns(rows, inputs, g, thread, threads)
        y = advance(y, thread * y_panel - (j if y_panel != 0 else 0))
        out = advance(out, thread * out_panel - (j if out_panel != 0 else 0))
    here = advance(out, i * ldo + j)
    left, weights, before = advance(g, i * ldg), advance(w, j * ldw), advance(y, i * ldy + j)
    if outputs <= NARROW:
        narrow_input_gradient(
            height, columns, outputs, activation, left, ldg, weights, ldw, before, ldy, here, ldo,
            scratch,
        )  # fmt: skip
        return
    gemm(
        height, columns, outputs, left, ldg, 1, weights, 1, ldw, w_panel,
        scratch, 0, 0, here, ldo, -np.inf, -activation, before, ldy,
        packing_pays(height, columns, left, ldg, 1), 1, zero_row(scratch),
    )  # fmt: skip


@inline
def _weight_block(inputs, panels, threads):
    """Rows of a weight gradient's block: as equal as can be, as threads share them."""
    blocks = (inputs + _BLOCK_ROWS - 1) // _BLOCK_ROWS
    if threads > 1:
        wanted = (_BLOCKS_PER_THREAD * threads + panels - 1) // panels
        blocks = max(blocks, min(wanted, (inputs + TILE_ROWS - 1) // TILE_ROWS))
    return even_part(inputs, (inputs + blocks - 1) // max(blocks, 1))


@routine(
    lambda real: (
        (_INTEGER,) * 3
        + (_POINTER(real), _INTEGER, _INTEGER) * 3
        + (_POINTER(real),)
        + (_INTEGER, _INTEGER, _INTEGER, _POINTER(types.float64))
        + (_POINTER(real),) * 4
        + _SHARE
        + (_POINTER(real),)
    )
)
def linear_update(
    rows, inputs, outputs, x, ldx, x_panel, g, ldg, g_panel, w, ldw, w_panel,
    bias, rule, bias_rule, step, settings, first_w, second_w, first_bias, second_bias,
    thread, threads, scratch,
):  # fmt: skip
    """Update weights by x^T g and bias by the column sums of g, this thread's blocks.

    The gradient is never written: each block of it is used as it is made. With
    `rule` below 0 it is written instead, to `w` and `bias`; `bias_rule` is then below 0 too.
    What the rule remembers of the weights lies as they do; `x`, or `g`, may lie in panels of each
    thread's columns, x where the outputs are few, g where they are more than a tile has rows.
    """
    memory, span = zero_row(scratch), tile_columns(x)
    begin, end = columns_of(outputs, line_columns(x), thread, threads)
    if g_panel != 0:  # this thread's columns are where they would be if all were there
        g = advance(g, thread * g_panel - begin)
    number, of = thread, threads
    if x_panel != 0:  # this thread's rows of the weights are all there are for it
        first, last = columns_of(inputs, line_columns(x), thread, threads)
        x, inputs, number, of = advance(x, thread * x_panel), last - first, 0, 1
        w, first_w = advance(w, first * ldw), advance(first_w, first * ldw)
        second_w = advance(second_w, first * ldw)
    if outputs <= min(TILE_ROWS, width(x)):
        few_outputs.update_weights(
            rows, inputs, outputs, x, ldx, g, ldg, w, ldw, rule, step, settings,
            first_w, second_w, number, of, scratch, memory,
        )  # fmt: skip
    else:
        _update_blocks(
            rows, inputs, outputs, x, ldx, g, ldg, g_panel, w, ldw, w_panel, rule, step, settings,
            first_w, second_w, number, of, scratch, memory,
        )  # fmt: skip
    for j in range(begin, end, span):
        columns = min(span, end - j)
        if bias_rule < 0:
            sum_columns(rows, columns, advance(g, j), ldg, advance(bias, j))
            continue
        sum_columns(rows, columns, advance(g, j), ldg, memory)
        update(
            bias_rule, step, settings, 1, columns, advance(bias, j), span, memory, span,
            advance(first_bias, j), advance(second_bias, j),
        )  # fmt: skip


@inline
def _update_blocks(
    rows, inputs, outputs, x, ldx, g, ldg, g_panel, w, ldw, w_panel, rule, step, settings,
    first_w, second_w, thread, threads, zero, memory,
):  # fmt: skip
    """The weights' part of `linear_update`: blocks a tile wide, x packed where it pays.

    With a `g_panel` other than 0, `g` is this thread's columns only.
    """
    span, stride = tile_columns(x), tile_stride(x)
    panels = (outputs + span - 1) // span
    line = line_columns(x)
    own = g_panel != 0 or (w_panel != 0 and splits_columns(0, outputs, line, threads))
    block = _weight_block(inputs, panels, 1 if own else threads)
    tiles, _, _ = row_tiles(block)
    thin = 0 < rows <= THIN
    packing = not thin and panels >= WIDE and tiles * (rows + stride) * stride <= _PACKED
    blocks = (inputs + block - 1) // block
    gradient = memory
    packed_b = advance(gradient, block * span)
    packed_a = advance(packed_b, (PANEL_DEPTH + width(x)) * span)
    a_tile = (rows + width(x)) * stride
    own_begin, own_end, across = 0, outputs, panels
    begin, end = share(blocks * panels, thread, threads)
    if own:
        own_begin, own_end = columns_of(outputs, line, thread, threads)
        across = (own_end + span - 1) // span - own_begin // span
        begin, end = 0, blocks * across
    packed = -1
    for unit in range(begin, end):
        i, panel = unit // across * block, own_begin // span + unit % across
        j = max(panel * span, own_begin)
        height, columns = min(block, inputs - i), min((panel + 1) * span, own_end) - j
        if packing and packed != i:
            pack_tiles(height, rows, advance(x, i), 1, ldx, packed_a, stride, a_tile)
            packed = i
        left, right = advance(x, i), advance(g, j)
        target, ldt = (panel_at(w, i, j, ldw, w_panel), ldw) if rule < 0 else (gradient, span)
        if thin:
            thin_weight_gradient(rows, height, columns, left, ldx, right, ldg, target, ldt)
        else:
            _weight_gradient(
                rows, height, columns, packed_a if packing else left, stride if packing else ldx,
                a_tile if packing else 0, right, ldg, packed_b, zero, target, ldt,
            )  # fmt: skip
        if rule >= 0:
            update(
                rule, step, settings, height, columns,
                panel_at(w, i, j, ldw, w_panel), ldw, gradient, span,
                panel_at(first_w, i, j, ldw, w_panel),
                panel_at(second_w, i, j, ldw, w_panel),
            )  # fmt: skip


@inline
def _weight_gradient(
    rows, inputs, outputs, x, ldx, x_tile, g, ldg, packed, zero, out, ldo
):  # fmt: skip
    """out = x^T g of a block, by some rows at a time; x is in no tiles where `x_tile` is 0."""
    k, deep = 0, even_part(rows, PANEL_DEPTH)
    while True:
        steps = min(deep, rows - k)
        tiles_of(
            inputs, outputs, steps, advance(x, k * ldx), 1, ldx, x_tile,
            advance(g, k * ldg), ldg, 0, packed, 0, out if k > 0 else zero, ldo if k > 0 else 0, 0,
            out, ldo, -np.inf, IDENTITY, out, ldo,
        )  # fmt: skip
        k += steps
        if k >= rows:
            return


# ------------------------------------------------------------------ for use from Python


@entry(
    lambda real: (
        (const(real, 2), const(real, 2), array(real, 2, "A"), array(real, 1))
        + (_INTEGER, _INTEGER, const(types.float64, 1))
        + (array(real, 2, "A"),) * 2
        + (array(real, 1), array(real, 1))
    )
)
def _matmul_update(x, g, w, bias, rule, step, settings, first, second, spare, scratch):
    linear_update(
        x.shape[0], x.shape[1], g.shape[1], data(x), x.shape[1], 0, data(g), g.shape[1], 0,
        data(w), w.strides[0] // w.itemsize, 0, data(bias), rule, rule, step, data(settings),
        data(first), data(second), data(spare), data(spare), 0, 1, data(scratch),
    )  # fmt: skip


def matmul_update(a, b, parameter, rule, step, settings, first=None, second=None) -> None:
    """Update `parameter` by the gradient A^T B, the `step`-th time (from 0), without writing it.

    `a` is (depth, rows), `b` (depth, columns), `parameter` and what the rule remembers of
    it, `first` and `second`, are (rows, columns) of one dtype with unit column stride and
    one row stride. `rule` and `settings` are those of `kernels.functions.updates`. Raises TypeError
    or ValueError for other dtypes or shapes.
    """
    x, g = matrix("a", a), matrix("b", b)
    if x.shape[0] != g.shape[0]:
        raise ValueError(f"a has shape {x.shape} and b {g.shape}; expected the same first length")
    dtype = getattr(parameter, "dtype", None)
    if dtype not in FLOATING:
        found = dtype or type(parameter).__name__
        raise TypeError(f"parameter is of {found}; expected an array of float32 or float64")
    x, g = matrix("a", x, dtype), matrix("b", g, dtype)
    remembered = {"first": first, "second": second}
    for name in updates.remembered(rule, settings):
        if remembered[name] is None:
            raise ValueError(f"{name} is None; rule {rule} remembers it in an array")
    given = {"parameter": parameter, **remembered}
    for name, each in given.items():
        if each is None:
            continue
        output(name, each, (x.shape[1], g.shape[1]), dtype)
        if each.size and (each.strides != parameter.strides or each.strides[1] != each.itemsize):
            raise ValueError(f"{name} has strides {each.strides}; expected rows of the same kind")
    if parameter.size == 0:
        return
    first = parameter if first is None else first
    second = parameter if second is None else second
    # The bias that a linear layer would have is updated too, and forgotten.
    bias, spare = (np.zeros(g.shape[1], parameter.dtype) for _ in range(2))
    scratch = aligned_zeros(scratch_size(parameter.dtype, max(parameter.shape)), parameter.dtype)
    _matmul_update[parameter.dtype](
        x, g, parameter, bias, rule, step, settings, first, second, spare, scratch
    )
