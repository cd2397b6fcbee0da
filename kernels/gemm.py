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
from kernels.activations import ACTIVATIONS, IDENTITY, RELU, activate, apply_gradient
from kernels.arrays import floating, output
from kernels.jit import array, const, entry, inline, routine
from kernels.simd import (
    advance,
    data,
    first,
    load_masked,
    peek,
    poke,
    store,
    width,
    zeros,
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
        + (_POINTER(real), _INTEGER) * 2
        + (real, _INTEGER, _INTEGER, _POINTER(real))
    )
)
def gemm(
    rows, columns, depth, a, a_row, a_column, b, b_row, b_column,
    start, ld_start, c, ldc, floor, pack_a, pack_b, scratch,
):  # fmt: skip
    """C = max(start + A @ B, floor), with A and B of any strides.

    C has unit column stride and must not overlap A or B; `start` is C itself, a
    row to repeat (`ld_start` = 0), or another matrix. Nothing is computed for
    empty C; for `depth` 0, C is `start` bounded by the floor.
    """
    packed_b = scratch
    packed_a = advance(scratch, (PANEL_DEPTH + width(a)) * tile_columns(a))
    a_stride = tile_stride(a)
    a_tile = (PANEL_DEPTH + width(a)) * a_stride
    panel_columns = tile_columns(a)
    k = 0
    while True:
        steps = min(PANEL_DEPTH, depth - k)
        bound = floor if k + steps == depth else -np.inf
        for i in range(0, rows, BLOCK_ROWS):
            height = min(BLOCK_ROWS, rows - i)
            a_block = advance(a, i * a_row + k * a_column)
            if pack_a:
                pack_tiles(height, steps, a_block, a_row, a_column, packed_a, a_stride, a_tile)
            for j in range(0, columns, panel_columns):
                span = min(panel_columns, columns - j)
                b_panel = advance(b, k * b_row + j * b_column)
                if pack_b:
                    pack(steps, span, b_panel, b_row, b_column, packed_b, panel_columns)
                c_panel = advance(c, i * ldc + j)
                start_panel = c_panel if k > 0 else advance(start, i * ld_start + j)
                panel(
                    height, span, steps,
                    packed_a if pack_a else a_block,
                    1 if pack_a else a_row,
                    a_stride if pack_a else a_column,
                    a_tile if pack_a else 0,
                    packed_b if pack_b else b_panel,
                    panel_columns if pack_b else b_row,
                    packed_b,
                    start_panel, ldc if k > 0 else ld_start, c_panel, ldc, bound,
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


# ------------------------------------------------------------------ for use from Python


@inline
def _bytes_between(x):
    """First byte of a 2-d array, and the one after its last."""
    low, high = 0, x.itemsize
    for axis in range(2):
        reach = (x.shape[axis] - 1) * x.strides[axis]
        low += min(reach, 0)
        high += max(reach, 0)
    return x.ctypes.data + low, x.ctypes.data + high


@inline
def _overlap(x, y):
    """Whether two 2-d arrays may share a byte."""
    x_begin, x_end = _bytes_between(x)
    y_begin, y_end = _bytes_between(y)
    return x.size > 0 and y.size > 0 and x_begin < y_end and y_begin < x_end


@inline
def _aligned(memory):
    """Pointer to the first element of scratch memory that begins a cache line."""
    skip = -memory.ctypes.data % host.CACHE_LINE // memory.itemsize
    return advance(data(memory), skip)


_WIDE = 8  # tiles in a row of C from which packing A pays for itself


@entry(
    lambda real: (
        (const(real, 2, "A"), const(real, 2, "A"), array(real, 2, "A"))
        + (const(real, 1, "A"), types.int64, types.int64)
    ),
    types.boolean,
)
def _matmul(a, b, c, bias, accumulate, activation):
    """C = f(A B + bias), or C += A B; False where the operands are not as this needs them."""
    rows, columns, depth = c.shape[0], c.shape[1], a.shape[1]
    size = a.itemsize
    fits = a.shape[0] == rows and b.shape[0] == depth and b.shape[1] == columns
    if not fits or _overlap(a, c) or _overlap(b, c):
        return False
    if rows == 0 or columns == 0:
        return True
    a_row, a_column = a.strides[0] // size, a.strides[1] // size
    b_row, b_column = b.strides[0] // size, b.strides[1] // size
    left, right, target = data(a), data(b), data(c)
    has_bias = bias.size > 0
    if columns > 1 and c.strides[1] != size:
        if has_bias or (rows > 1 and c.strides[0] != size):
            return False
        # The transpose of C has rows in memory, and is the product of the transposes.
        rows, columns, ldc = columns, rows, c.strides[1] // size
        left, right = right, left
        a_row, a_column, b_row, b_column = b_column, b_row, a_column, a_row
    else:
        ldc = c.strides[0] // size if rows > 1 else columns
    if has_bias and (bias.size != columns or (columns > 1 and bias.strides[0] != size)):
        return False
    span = tile_columns(left)
    wide = columns >= _WIDE * span and rows > TILE_ROWS
    # Rows an even number of cache lines apart push each other out of the cache.
    crowded = a_row != 1 and (a_row * size) % (2 * host.CACHE_LINE) == 0
    pack_a = wide and (a_row == 1 or a_column != 1 or crowded)
    pack_b = b_column != 1 and columns > 1
    packing = scratch_elements(width(left)) if pack_a else (PANEL_DEPTH + width(left)) * span
    zero_row = (columns + span - 1) // span * span
    memory = np.empty(zero_row + packing + host.CACHE_LINE // size, a.dtype)
    scratch = _aligned(memory)
    start, ld_start = scratch, 0
    if accumulate:
        start, ld_start = target, ldc
    elif has_bias:
        start = data(bias)
    else:
        for j in range(0, zero_row, width(left)):
            store(scratch, j, zeros(left))
    floor = 0.0 if activation == RELU else -np.inf
    gemm(
        rows, columns, depth, left, a_row, a_column, right, b_row, b_column,
        start, ld_start, target, ldc, floor, pack_a, pack_b, advance(scratch, zero_row),
    )  # fmt: skip
    if activation != IDENTITY and activation != RELU:
        activate(activation, rows, columns, target, ldc, target, ldc)
    return True


_NO_BIAS = {dtype: np.empty(0, dtype) for dtype in (np.dtype(np.float32), np.dtype(np.float64))}


def matmul(a, b, out=None, *, bias=None, activation="identity", accumulate=False) -> np.ndarray:
    """f(A B + bias), or out + A B with `accumulate`.

    `a` is (rows, depth), `b` (depth, columns), `out` (rows, columns), float32 or float64,
    contiguous or with any strides: a transposed operand is a view. One-dimensional
    operands are as in `numpy.matmul`. `bias` is (columns,), `activation` a name in
    `ACTIVATIONS`. Every element is summed in order of depth, so results do not depend on
    layout or blocking. Raises TypeError or ValueError for other dtypes or shapes.
    """
    if type(a) is np.ndarray and type(b) is np.ndarray and a.ndim == 2 == b.ndim:
        none = _NO_BIAS.get(a.dtype)
        if none is not None and a.dtype == b.dtype:
            if out is None and not accumulate:
                c = np.empty((a.shape[0], b.shape[1]), a.dtype)
            else:
                c = out
            try:
                done = _matmul[a.dtype](
                    a, b, c, none if bias is None else bias, accumulate, ACTIVATIONS[activation]
                )
            except (TypeError, KeyError):
                done = False
            if done:
                return c
    return _matmul_of_any(a, b, out, bias, activation, accumulate)


def _matmul_of_any(a, b, out, bias, activation, accumulate) -> np.ndarray:
    """As `matmul`, for operands that have to be converted first, or explained."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; expected one of {list(ACTIVATIONS)}")
    left, right = floating("a", a), floating("b", b)
    dtype = np.result_type(left, right)
    shape = _product_shape(left, right)
    if accumulate and (out is None or bias is not None or activation != "identity"):
        raise ValueError("accumulate adds to out: give out, and neither bias nor activation")
    result = output("out", out, shape, dtype)
    x = np.ascontiguousarray(left.reshape(1, -1) if left.ndim == 1 else left, dtype)
    y = np.ascontiguousarray(right.reshape(-1, 1) if right.ndim == 1 else right, dtype)
    z = np.empty((x.shape[0], y.shape[1]), dtype)
    if accumulate:
        z[...] = result.reshape(z.shape)
    offset = _NO_BIAS[dtype]
    if bias is not None:
        offset = np.ascontiguousarray(floating("bias", bias), dtype)
        if offset.shape != (z.shape[1],):
            raise ValueError(f"bias has shape {offset.shape}; expected ({z.shape[1]},)")
    _matmul[dtype](x, y, z, offset, accumulate, ACTIVATIONS[activation])
    result[...] = z.reshape(shape)
    return result


def _product_shape(a: np.ndarray, b: np.ndarray) -> tuple[int, ...]:
    """Shape of the product of vectors or matrices; raise ValueError if there is none."""
    if a.ndim not in (1, 2) or b.ndim not in (1, 2) or a.shape[-1] != b.shape[0]:
        raise ValueError(
            f"a has shape {a.shape} and b {b.shape}; expected matrices or vectors with as many "
            "columns in a as rows in b"
        )
    return a.shape[:-1] + b.shape[1:]


def matmul_gradient(a, b, output_, activation, out=None) -> np.ndarray:
    """(A B) f'(.), with f' in terms of the output of f: a product times an activation's gradient.

    `output_` is (rows, columns), of the dtype of the product. Raises as `matmul` does.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; expected one of {list(ACTIVATIONS)}")
    y = floating("output", output_)
    shape = _product_shape(np.asarray(a), np.asarray(b))
    if y.shape != shape:
        raise ValueError(f"output has shape {y.shape}; expected {shape}")
    product = matmul(a, b, out)
    return apply_gradient(ACTIVATIONS[activation], y, product, product)


@entry(lambda real: (const(real, 2, "A"), array(real, 1)))
def _add_column_sums(x, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[j] += x[i, j]


def add_column_sums(x, out) -> None:
    """out += the sum of the rows of a matrix, in order of the rows."""
    _add_column_sums[out.dtype](x, out)
