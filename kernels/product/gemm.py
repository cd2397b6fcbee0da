"""The matrix product: packing, blocking, and the activation of a block just computed.

The register tile (`kernels.product.tile`) is fastest with B in contiguous aligned rows, and with
an A whose rows do not share a set of the L1 cache. `gemm` walks the operands in blocks (Goto &
van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008) and packs them where they
are not like that. An activation or its gradient is applied to each row of tiles while it lies in
the L1 cache.
"""

from __future__ import annotations

import numpy as np

from kernels.base import host
from kernels.base.jit import inline, routine
from kernels.base.kinds import (
    INTEGER,
    MATRIX,
    PANELS,
    REAL,
    REALS,
    STRIDED,
    Matrix,
    Panels,
    Strided,
    below,
    beside,
    block_of,
    row_at,
)
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
from kernels.base.transpose import transpose
from kernels.functions.activations import IDENTITY, activate, activate_gradient
from kernels.product.choice import (
    BLOCK_PANELS,
    FAR_ROWS,
    LARGE,
    PANEL_DEPTH,
    SAME_SET,
    UNPACKED_DEPTH,
    UNPACKED_TILES,
    UNPACKED_TILES_OF_LARGE,
    WAYS,
    WIDE,
)
from kernels.product.tile import tile

TILE_ROWS, TILE_VECTORS = host.TILE_ROWS, host.TILE_VECTORS


@routine(INTEGER, INTEGER, STRIDED, MATRIX)
def pack(depth, columns, source, target):
    """Copy a `depth` x `columns` block with any strides to rows of whole vectors.

    Each target row is written to the end of its last vector; elements past `columns` do not
    belong to the block. If the source has no unit column stride, up to a vector of target rows
    past `depth` is written as well.
    """
    lanes = width(source)
    for j in range(0, columns, lanes):
        here = min(lanes, columns - j)
        corner = advance(source.pointer, j * source.column)
        place = beside(target, j)
        if source.column == 1:
            mask = first(here, source)
            for k in range(depth):
                store(row_at(place, k), 0, load_masked(corner, k * source.row, mask))
        elif source.row == 1:
            for k in range(0, depth, lanes):
                transpose(
                    here, depth - k, Matrix(advance(corner, k), source.column), below(place, k)
                )
        else:
            for k in range(depth):
                for i in range(here):
                    value = peek(corner, k * source.row + i * source.column)
                    poke(row_at(place, k), i, value)


@inline
def even_part(total, largest):
    """Return the size of nearly equal parts of `total`: even, and about `largest` at most."""
    parts = max((total + largest - 1) // largest, 1)
    return max(((total + parts - 1) // parts + 1) // 2 * 2, 1)


@inline
def row_tiles(rows):
    """Split rows into tiles of equal height, in pairs of rows.

    Returns the number of tiles, the height of the lower ones, and how many are two rows higher.
    The last tile may have one row less than that.
    """
    pairs = (rows + 1) // 2
    tiles = (2 * pairs + TILE_ROWS - 1) // TILE_ROWS
    low = pairs // max(tiles, 1)
    return tiles, 2 * low, pairs - tiles * low


@inline
def tile_columns(pointer):
    """Return the columns of the register tile, for the pointer's element type."""
    return TILE_VECTORS * width(pointer)


@inline
def zero_row(scratch):
    """Write a row of zeros, as wide as a tile, to scratch memory; return the memory behind it."""
    columns = tile_columns(scratch)
    for j in range(0, columns, width(scratch)):
        store(scratch, j, zeros(scratch))
    return advance(scratch, columns)


@routine(
    *(INTEGER,) * 3,
    STRIDED,
    PANELS,
    REALS,
    INTEGER,
    STRIDED,
    MATRIX,
    REAL,
    INTEGER,
    MATRIX,
)
def block(rows, columns, depth, a, b, packed, packed_panel, start, c, floor, after, y):
    """Compute C = max(start + A @ B, floor), then apply `after`, tile by tile along rows of C.

    A tile of A stays in the L1 cache for all panels of B. Panels of `packed` begin `packed_panel`
    elements apart. The first row of tiles copies B to `packed`, unless B's pointer equals `packed`.

    With `after` > 0, the activation of that code is applied to C. With `after` < 0, C is multiplied
    by the derivative of the activation with the code -`after`, in terms of its output y.
    """
    span = tile_columns(a)
    tiles, low, higher = row_tiles(rows)
    row = 0
    for t in range(tiles):
        height = min(low + 2 * (t < higher), rows - row)
        here = Strided(advance(a.pointer, row * a.row), a.row, a.column)
        source = Matrix(b.pointer, b.ld)
        place = packed
        for j in range(0, columns, span):
            begin = advance(start.pointer, row * start.row + j * start.column)
            tile(
                height,
                min(span, columns - j),
                depth,
                here,
                source,
                place,
                Matrix(begin, start.row),
                block_of(c, row, j),
                floor,
            )
            source, place = beside(source, b.panel), advance(place, packed_panel)
        if not same(b.pointer, packed):
            b = Panels(packed, span, packed_panel)
        done = below(c, row)
        if after > 0:
            activate(after, height, columns, done, done)
        elif after < 0:
            activate_gradient(-after, height, columns, below(y, row), done, done)
        row += height


@inline
def transposed_product(rows, columns, depth, a, b, packed, zero, c):
    """Compute C = A^T B for a C of at most one tile of rows, or one panel of columns.

    `zero` is a row of zeros as wide as a tile; `packed` has room for a panel of B.
    """
    span = tile_columns(packed)
    k, deep = 0, even_part(depth, PANEL_DEPTH)
    start = Strided(zero, 0, 0)
    while True:
        steps = min(deep, depth - k)
        left, right = Strided(row_at(a, k), 1, a.ld), Panels(row_at(b, k), b.ld, span)
        block(rows, columns, steps, left, right, packed, 0, start, c, -np.inf, IDENTITY, c)
        start = Strided(c.pointer, c.ld, 1)
        k += steps
        if k >= depth:
            return


@inline
def tile_stride(pointer):
    """Return the leading dimension of a packed tile of A, whose rows are depths."""
    lanes = width(pointer)
    return (TILE_ROWS + lanes - 1) // lanes * lanes


@inline
def scratch_elements(lanes, depth, columns):
    """Return the elements of aligned scratch memory that `gemm` needs, for a vector's lanes."""
    span = TILE_VECTORS * lanes
    panels = min((columns + span - 1) // span, BLOCK_PANELS)
    stride = (TILE_ROWS + lanes - 1) // lanes * lanes
    return (min(depth + 1, PANEL_DEPTH) + lanes) * (panels * span + stride)


@routine(
    *(INTEGER,) * 3,
    STRIDED,
    STRIDED,
    INTEGER,
    STRIDED,
    MATRIX,
    REAL,
    INTEGER,
    MATRIX,
    INTEGER,
    INTEGER,
    REALS,
)
def gemm(rows, columns, depth, a, b, b_panel, start, c, floor, after, y, pack_a, pack_b, scratch):
    """Compute C = max(start + A @ B, floor), then apply `after` as in `block`.

    A and B have any strides; B needs unit column stride unless `pack_b` is true. C must not
    overlap A or B. `start` is C itself; or, with row stride 0, one row that is repeated; or, with
    both strides 0, one row as wide as a tile that is repeated for every tile. With `depth` 0, C is
    `start` bounded by the floor.

    With `b_panel` other than 0, B lies in panels that begin `b_panel` elements apart, each padded
    to the width of a tile, and is not packed. With `pack_b`, B is the transpose of such a matrix.
    """
    span, stride = tile_columns(a), tile_stride(a)
    wide = BLOCK_PANELS * span
    deep = even_part(depth, PANEL_DEPTH)
    if not pack_b and b_panel == 0 and _lies_far_apart(rows, depth * min(columns, wide), b):
        deep = even_part(depth, UNPACKED_DEPTH)
    packed_panel = (deep + width(a)) * span
    packed_b = advance(scratch, (deep + width(a)) * stride)
    k = 0
    while True:
        steps = min(deep, depth - k)
        bound, then = (floor, after) if k + steps == depth else (-np.inf, 0)
        if k > 0:
            start = Strided(c.pointer, c.ld, 1)
        left = Strided(advance(a.pointer, k * a.column), a.row, a.column)
        done = 0
        while done < columns:
            j, here = done, min(wide, columns - done)
            source = Panels(advance(b.pointer, k * b.row + j * b.column), b.row, span)
            packed, to_next = packed_b, packed_panel
            if pack_b:
                right = Strided(advance(b.pointer, j * b.column), b.row, b.column)
                pack_panels(k, steps, here, right, b_panel, packed, to_next)
                source = Panels(packed, span, to_next)
            elif b_panel != 0:
                packed, to_next = advance(b.pointer, k * span + j // span * b_panel), b_panel
                source = Panels(packed, span, b_panel)
            elif rows <= _unpacked_rows(steps * here) and here >= span:
                here -= here % span  # the tile reads whole vectors of a panel that is not packed
                packed, to_next = source.pointer, span
            done += here
            begin = Strided(advance(start.pointer, j * start.column), start.row, start.column)
            target, output = beside(c, j), beside(y, j)
            if not pack_a:
                block(
                    rows,
                    here,
                    steps,
                    left,
                    source,
                    packed,
                    to_next,
                    begin,
                    target,
                    bound,
                    then,
                    output,
                )
                continue
            tiles, low, higher = row_tiles(rows)
            row = 0
            for t in range(tiles):
                height = min(low + 2 * (t < higher), rows - row)
                turned = Strided(advance(left.pointer, row * a.row), a.column, a.row)
                pack(steps, height, turned, Matrix(scratch, stride))
                from_row = advance(begin.pointer, row * begin.row)
                block(
                    height,
                    here,
                    steps,
                    Strided(scratch, 1, stride),
                    source,
                    packed,
                    to_next,
                    Strided(from_row, begin.row, begin.column),
                    below(target, row),
                    bound,
                    then,
                    below(output, row),
                )
                if not same(source.pointer, packed):
                    source = Panels(packed, span, to_next)
                row += height
        k += steps
        if k >= depth:
            return


@inline
def _unpacked_rows(elements):
    """Return the most rows of A for which a B of `elements` elements is not packed."""
    return TILE_ROWS * (UNPACKED_TILES_OF_LARGE if elements > LARGE else UNPACKED_TILES)


@inline
def _lies_far_apart(rows, elements, b):
    """Return True if several tiles read a B that is not packed and takes many pages of memory."""
    several = TILE_ROWS < rows <= _unpacked_rows(elements)
    return several and b.row * element_bytes(b) >= FAR_ROWS


@inline
def packing_pays(rows, columns, a):
    """Return True if `gemm` is faster with A packed."""
    # Otherwise the rows of a tile share one set of the L1 cache and evict each other.
    if rows > WAYS and a.row != 1 and (a.row * element_bytes(a)) % SAME_SET == 0:
        return columns >= 2 * tile_columns(a)
    wide = rows > TILE_ROWS and columns >= WIDE * tile_columns(a)
    return wide and (a.row == 1 or a.column != 1)


@inline
def pack_panels(k, depth, columns, b, b_panel, packed, packed_panel):
    """Pack `depth` rows of B from row `k` on, panel by panel; see `gemm` for `b_panel`."""
    span = tile_columns(b)
    for j in range(0, columns, span):
        right, place = advance(b.pointer, j * b.column), advance(packed, j // span * packed_panel)
        here, done = min(span, columns - j), 0
        while done < depth:
            row = k + done
            steps, begin = depth - done, row * b.row
            if b_panel != 0:
                steps = min(steps, span - row % span)
                begin = row // span * b_panel + row % span
            source = Strided(advance(right, begin), b.row, b.column)
            pack(steps, here, source, Matrix(advance(place, done * span), span))
            done += steps
