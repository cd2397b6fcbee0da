"""The matrix product: packing, blocking, and what is done to a block just computed.

The register tile (`kernels.tile`) wants B in contiguous aligned rows that stay in
the L1 cache, and A where successive elements do not fight for the same cache
lines. `gemm` walks the operands in blocks (Goto & van de Geijn, "Anatomy of
High-Performance Matrix Multiplication", 2008) and packs those that are not so.
"""

from __future__ import annotations

import numpy as np
from numba import types

from kernels import host
from kernels.jit import inline, routine
from kernels.simd import (
    advance,
    first,
    load_masked,
    peek,
    poke,
    store,
    width,
)
from kernels.tile import tile, transpose

PANEL_DEPTH = host.PANEL_DEPTH
BLOCK_ROWS = host.BLOCK_ROWS
TILE_ROWS = host.TILE_ROWS
TILE_VECTORS = host.TILE_VECTORS

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
    """Size of the parts, as equal as can be, that `total` is split into; even, for pairs of rows."""
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


@routine(
    lambda real: (
        (_INTEGER,) * 3
        + (_POINTER(real), _INTEGER, _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER, _POINTER(real))
        + (_POINTER(real), _INTEGER) * 2
        + (real,)
    )
)
def panel(
    rows, columns, depth, a, a_row, a_step, a_tile, b, ldb, packed, start, ld_start, c, ldc, floor
):
    """C = max(start + A @ B, floor) for a column panel of C, no wider than a tile.

    Successive tiles of A begin `a_tile` elements apart (packed), or `a_row` times
    their height when `a_tile` is 0. The first tile copies B to `packed`, unless
    it lies there already.
    """
    tiles, low, higher = row_tiles(rows)
    row = 0
    for t in range(tiles):
        height = min(low + 2 * (t < higher), rows - row)
        here = advance(a, t * a_tile + (0 if a_tile else row * a_row))
        tile(
            height, columns, depth, here, a_row, a_step, b if t == 0 else packed, ldb, packed,
            advance(start, row * ld_start), ld_start, advance(c, row * ldc), ldc, floor,
        )  # fmt: skip
        ldb = tile_columns(a)
        row += height


@inline
def tile_stride(pointer):
    """Elements between successive depths of a packed tile of A."""
    lanes = width(pointer)
    return (TILE_ROWS + lanes - 1) // lanes * lanes


@inline
def scratch_elements(lanes):
    """Elements of aligned scratch memory that `gemm` needs, for vectors of so many lanes."""
    deep = PANEL_DEPTH + lanes
    stride = (TILE_ROWS + lanes - 1) // lanes * lanes
    return deep * (BLOCK_ROWS // TILE_ROWS * stride + TILE_VECTORS * lanes)


@routine(
    lambda real: (
        (_INTEGER,) * 3
        + (_POINTER(real), _INTEGER, _INTEGER) * 2
        + (_POINTER(real), _INTEGER, _INTEGER)
        + (_POINTER(real), _INTEGER)
        + (real, _INTEGER, _INTEGER, _POINTER(real))
    )
)
def gemm(
    rows, columns, depth, a, a_row, a_column, b, b_row, b_column,
    start, start_row, start_column, c, ldc, floor, pack_a, pack_b, scratch,
):  # fmt: skip
    """C = max(start + A @ B, floor), with A and B of any strides.

    C has unit column stride and must not overlap A or B. `start` is C itself or, with
    `start_row` 0, a row to repeat; with `start_column` 0 as well, a row as wide as a
    tile. Nothing is computed for empty C; for `depth` 0, C is `start` bounded by the
    floor.
    """
    packed_b = scratch
    packed_a = advance(scratch, (PANEL_DEPTH + width(a)) * tile_columns(a))
    a_stride = tile_stride(a)
    a_tile = (PANEL_DEPTH + width(a)) * a_stride
    panel_columns = tile_columns(a)
    deep, block = even_part(depth, PANEL_DEPTH), even_part(rows, BLOCK_ROWS)
    k = 0
    while True:
        steps = min(deep, depth - k)
        bound = floor if k + steps == depth else -np.inf
        for i in range(0, rows, block):
            height = min(block, rows - i)
            a_block = advance(a, i * a_row + k * a_column)
            if pack_a:
                pack_tiles(height, steps, a_block, a_row, a_column, packed_a, a_stride, a_tile)
            for j in range(0, columns, panel_columns):
                span = min(panel_columns, columns - j)
                b_panel = advance(b, k * b_row + j * b_column)
                if pack_b:
                    pack(steps, span, b_panel, b_row, b_column, packed_b, panel_columns)
                c_panel = advance(c, i * ldc + j)
                start_panel = c_panel if k > 0 else advance(start, i * start_row + j * start_column)
                panel(
                    height, span, steps,
                    packed_a if pack_a else a_block,
                    1 if pack_a else a_row,
                    a_stride if pack_a else a_column,
                    a_tile if pack_a else 0,
                    packed_b if pack_b else b_panel,
                    panel_columns if pack_b else b_row,
                    packed_b,
                    start_panel, ldc if k > 0 else start_row, c_panel, ldc, bound,
                )  # fmt: skip
        k += steps
        if k >= depth:
            return


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
