"""The matrix product: packing, blocking, and what is done to a block just computed.

The register tile (`kernels.product.tile`) wants B in contiguous aligned rows, and A where
successive elements do not fight for the same cache lines. `gemm` walks the operands
in blocks (Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication",
2008) and packs those that are not so. What is to be done to the product, an activation
or its gradient, is done to each row of tiles while it lies in the L1 cache.
"""

from __future__ import annotations

import numpy as np
from numba import types

from kernels.base import host
from kernels.base.jit import inline, routine
from kernels.base.simd import (
    advance,
    element_bytes,
    first,
    load_masked,
    peek,
    poke,
    same,
    store,
    width,
    zeros,
)
from kernels.functions.activations import activate, activate_gradient
from kernels.product.tile import tile, transpose

PANEL_DEPTH = host.PANEL_DEPTH
BLOCK_PANELS = host.BLOCK_PANELS
TILE_ROWS = host.TILE_ROWS
TILE_VECTORS = host.TILE_VECTORS

WIDE = 8
"""Tiles in a row of C from which packing A pays for itself."""

_SAME_SET = 4096  # bytes from one line to the next of the same set, in an L1 cache
_WAYS = 8  # lines of a set
_UNPACKED_TILES = 3  # of rows, for which B is not worth being packed
_UNPACKED_TILES_OF_LARGE = 10  # and where B comes from a far cache or memory, with so much of it:
_LARGE = 32768  # elements
_INTEGER = types.int64
_POINTER = types.CPointer


@routine(
    lambda real: (_INTEGER,) * 2 + (_POINTER(real), _INTEGER, _INTEGER, _POINTER(real), _INTEGER)
)
def pack(depth, columns, source, row_stride, column_stride, target, ld_target):
    """Copy a `depth` x `columns` block with any strides to rows of whole vectors.

    Each target row is written up to a whole number of vectors; what lies past
    `columns` is not part of the block. When `column_stride` is not 1, up to a
    vector of target rows past `depth` is written as well.
    """
    lanes = width(source)
    for j in range(0, columns, lanes):
        here = min(lanes, columns - j)
        corner = advance(source, j * column_stride)
        place = advance(target, j)
        if column_stride == 1:
            mask = first(here, source)
            for k in range(depth):
                store(place, k * ld_target, load_masked(corner, k * row_stride, mask))
        elif row_stride == 1:
            for k in range(0, depth, lanes):
                transpose(
                    here, depth - k, advance(corner, k), column_stride,
                    advance(place, k * ld_target), ld_target,
                )  # fmt: skip
        else:
            for k in range(depth):
                for i in range(here):
                    value = peek(corner, k * row_stride + i * column_stride)
                    poke(place, k * ld_target + i, value)


@inline
def even_part(total, largest):
    """Size of the parts, an even number, that `total` is split into: as equal as can be."""
    parts = max((total + largest - 1) // largest, 1)
    return max(((total + parts - 1) // parts + 1) // 2 * 2, 1)


@inline
def row_tiles(rows):
    """How `rows` rows are split into tiles of pairs of rows, as equal as can be.

    Gives the number of tiles, the rows of the lower ones, and how many have two
    rows more. The last tile may have one row less than that.
    """
    pairs = (rows + 1) // 2
    tiles = (2 * pairs + TILE_ROWS - 1) // TILE_ROWS
    low = pairs // max(tiles, 1)
    return tiles, 2 * low, pairs - tiles * low


@inline
def tile_columns(pointer):
    """Columns of the register tile, for what the pointer points at."""
    return TILE_VECTORS * width(pointer)


@inline
def zero_row(scratch):
    """Write a row of zeros as wide as a tile to scratch memory; give the memory behind it."""
    columns = tile_columns(scratch)
    for j in range(0, columns, width(scratch)):
        store(scratch, j, zeros(scratch))
    return advance(scratch, columns)


@routine(
    lambda real: (
        (_INTEGER,) * 3
        + (_POINTER(real), _INTEGER, _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER)
        + (_POINTER(real), _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER)
        + (real, _INTEGER, _POINTER(real), _INTEGER)
    )
)
def block(
    rows, columns, depth, a, a_row, a_step, a_tile, b, ldb, b_panel, packed, packed_panel,
    start, start_row, start_column, c, ldc, floor, after, y, ldy,
):  # fmt: skip
    """C = max(start + A @ B, floor), and what comes after, tile by tile along the rows of C.

    A tile of A stays in a near cache while the panels of B pass by. Successive tiles of A
    begin `a_tile` elements apart (packed), or `a_row` times their height when `a_tile` is 0;
    panels of B `b_panel` elements, and of `packed` `packed_panel`. The first row of tiles
    copies B to `packed`, unless that is B itself. `after` is the code of an activation that is
    applied to C then, or less than 0: C is multiplied by the derivative of the one with the
    code -`after`, taken from its output y.
    """
    span = tile_columns(a)
    tiles, low, higher = row_tiles(rows)
    row = 0
    for t in range(tiles):
        height = min(low + 2 * (t < higher), rows - row)
        here = advance(a, t * a_tile + (0 if a_tile else row * a_row))
        source = b
        place = packed
        for j in range(0, columns, span):
            tile(
                height, min(span, columns - j), depth, here, a_row, a_step, source, ldb, place,
                advance(start, row * start_row + j * start_column), start_row,
                advance(c, row * ldc + j), ldc, floor,
            )  # fmt: skip
            source, place = advance(source, b_panel), advance(place, packed_panel)
        if not same(b, packed):
            b, ldb, b_panel = packed, span, packed_panel
        done = advance(c, row * ldc)
        if after > 0:
            activate(after, height, columns, done, ldc, done, ldc)
        elif after < 0:
            output = advance(y, row * ldy)
            activate_gradient(-after, height, columns, output, ldy, done, ldc, done, ldc)
        row += height


@inline
def tile_stride(pointer):
    """Elements between successive depths of a packed tile of A."""
    lanes = width(pointer)
    return (TILE_ROWS + lanes - 1) // lanes * lanes


@inline
def scratch_elements(lanes, depth, columns):
    """Elements of aligned scratch memory that `gemm` needs, for vectors of so many lanes."""
    span = TILE_VECTORS * lanes
    panels = min((columns + span - 1) // span, BLOCK_PANELS)
    stride = (TILE_ROWS + lanes - 1) // lanes * lanes
    return (min(depth + 1, PANEL_DEPTH) + lanes) * (panels * span + stride)


@routine(
    lambda real: (
        (_INTEGER,) * 3
        + (_POINTER(real), _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER, _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER)
        + (real, _INTEGER, _POINTER(real), _INTEGER)
        + (_INTEGER, _INTEGER, _POINTER(real))
    )
)
def gemm(
    rows, columns, depth, a, a_row, a_column, b, b_row, b_column, b_panel,
    start, start_row, start_column, c, ldc, floor, after, y, ldy, pack_a, pack_b, scratch,
):  # fmt: skip
    """C = max(start + A @ B, floor), and what comes `after` (see `block`); A, B of any strides.

    C has unit column stride and must not overlap A or B. `start` is C itself or, with
    `start_row` 0, a row to repeat; with `start_column` 0 as well, a row as wide as a
    tile. B has unit column stride, or is packed with `pack_b`. Nothing is computed for
    empty C; for `depth` 0, C is `start` bounded by the floor.

    With `b_panel` other than 0, B lies in panels that begin so many elements apart: panels of
    a tile's columns, each padded to that width, and read where they lie; or, with `pack_b`,
    B is the transpose of a matrix that lies so.
    """
    span = tile_columns(a)
    deep, wide = even_part(depth, PANEL_DEPTH), BLOCK_PANELS * span
    packed_panel = (deep + width(a)) * span
    packed_b = advance(scratch, (deep + width(a)) * tile_stride(a))
    k = 0
    while True:
        steps = min(deep, depth - k)
        bound, then = (floor, after) if k + steps == depth else (-np.inf, 0)
        if k > 0:
            start, start_row, start_column = c, ldc, 1
        done = 0
        while done < columns:
            j, here = done, min(wide, columns - done)
            source, ldb, panel = advance(b, k * b_row + j * b_column), b_row, span
            packed, to_next = packed_b, packed_panel
            if pack_b:
                right = advance(b, j * b_column)
                pack_panels(k, steps, here, right, b_row, b_column, b_panel, packed, to_next)
                source, ldb, panel = packed, span, to_next
            elif b_panel != 0:
                source = advance(b, k * span + j // span * b_panel)
                packed, ldb, panel, to_next = source, span, b_panel, b_panel
            elif rows <= _unpacked_rows(steps * here) and here >= span:
                here -= here % span  # a panel that is not packed is read to its end
                packed, to_next = source, span
            done += here
            first, target = advance(start, j * start_column), advance(c, j)
            output = advance(y, j)
            left = advance(a, k * a_column)
            if not pack_a:
                block(
                    rows, here, steps, left, a_row, a_column, 0, source, ldb, panel,
                    packed, to_next, first, start_row, start_column, target, ldc, bound,
                    then, output, ldy,
                )  # fmt: skip
                continue
            tiles, low, higher = row_tiles(rows)
            row = 0
            for t in range(tiles):
                height = min(low + 2 * (t < higher), rows - row)
                stride = tile_stride(a)
                pack(steps, height, advance(left, row * a_row), a_column, a_row, scratch, stride)
                block(
                    height, here, steps, scratch, 1, stride, 0, source, ldb, panel,
                    packed, to_next, advance(first, row * start_row), start_row,
                    start_column, advance(target, row * ldc), ldc, bound,
                    then, advance(output, row * ldy), ldy,
                )  # fmt: skip
                if not same(source, packed):
                    source, ldb, panel = packed, span, to_next
                row += height
        k += steps
        if k >= depth:
            return


@inline
def _unpacked_rows(elements):
    """Rows of A up to which so many elements of B are read where they lie."""
    return TILE_ROWS * (_UNPACKED_TILES_OF_LARGE if elements > _LARGE else _UNPACKED_TILES)


@inline
def packing_pays(rows, columns, a, a_row, a_column):
    """Whether `gemm` is the faster for packing A, and not just B."""
    # The rows of a tile share one set of a small cache, and push each other out of it.
    if rows > _WAYS and a_row != 1 and (a_row * element_bytes(a)) % _SAME_SET == 0:
        return columns >= 2 * tile_columns(a)
    return rows > TILE_ROWS and columns >= WIDE * tile_columns(a) and (a_row == 1 or a_column != 1)


@inline
def pack_panels(k, depth, columns, b, b_row, b_column, b_panel, packed, packed_panel):
    """Pack `depth` rows of B from the `k`-th on panel by panel; see `gemm` for `b_panel`."""
    span = tile_columns(b)
    for j in range(0, columns, span):
        right, place = advance(b, j * b_column), advance(packed, j // span * packed_panel)
        here, done = min(span, columns - j), 0
        while done < depth:
            row = k + done
            steps, begin = depth - done, row * b_row
            if b_panel != 0:
                steps = min(steps, span - row % span)
                begin = row // span * b_panel + row % span
            pack(
                steps, here, advance(right, begin), b_row, b_column,
                advance(place, done * span), span,
            )  # fmt: skip
            done += steps


@inline
def pack_tiles(rows, depth, a, a_row, a_column, packed, stride, tile_elements):
    """Pack a block of A tile by tile: within a tile, the rows of one depth are contiguous."""
    tiles, low, higher = row_tiles(rows)
    row = 0
    for t in range(tiles):
        height = min(low + 2 * (t < higher), rows - row)
        place = advance(packed, t * tile_elements)
        pack(depth, height, advance(a, row * a_row), a_column, a_row, place, stride)
        row += height
