"""Matrices in panels: blocks of columns, each with contiguous rows.

In panels, the columns of a thread lie together. In ordinary rows they lie beside columns of another
thread, whose prefetcher then takes the cache lines that this thread writes. Panels of weights are
as wide as a tile, which reads them without packing; elements past the last column are zeros.
Panels of a batch have the columns of one thread each.
"""

from __future__ import annotations

from kernels.base import host
from kernels.base.jit import inline, real_type, routine
from kernels.base.kinds import INTEGER, MATRIX, REALS, beside, row_at
from kernels.base.memory import line_elements
from kernels.base.simd import advance, load, load_first, store, store_first, width
from kernels.product.choice import APART, FAR_APART
from kernels.product.gemm import TILE_VECTORS, tile_columns
from kernels.product.sharing import columns_of, line_columns, splits_columns


def span_of(dtype) -> int:
    """Return the columns of a panel of weights, which are those of a tile."""
    return TILE_VECTORS * host.lanes(real_type(dtype))


def sizes(rows: int, columns: int, dtype) -> tuple[int, int]:
    """Return the number of panels of a matrix, and the elements from one panel to the next.

    The panels of a matrix of one row, such as a bias, are contiguous.
    """
    span = span_of(dtype)
    apart = APART * line_elements(dtype) if rows > 1 else 0
    return -(-columns // span), rows * span + apart


def of_threads(rows: int, columns: int, dtype, threads: int) -> tuple[int, int, int]:
    """Return the number of panels of a batch, their columns, and elements from one to the next.

    There is one panel if threads split such a product by rows.
    """
    line = line_elements(dtype)
    if threads == 1 or not splits_columns.py_func(rows, columns, line, threads):
        return 1, columns, 0
    wide = -(-columns // (line * threads)) * line
    return threads, wide, rows * wide + FAR_APART * line


@inline
def panel_at(matrix, i, j):
    """Return a pointer to an element of a matrix that may lie in panels."""
    across = j if matrix.panel == 0 else j // matrix.ld * matrix.panel + j % matrix.ld
    return advance(matrix.pointer, i * matrix.ld + across)


@routine(INTEGER, INTEGER, MATRIX, REALS, *(INTEGER,) * 4)
def copy_panels(rows, columns, matrix, panels, to_next, thread, threads, back):
    """Copy this thread's columns of a matrix to panels `to_next` elements apart, or `back`."""
    span, lanes = tile_columns(matrix), width(matrix)
    begin, end = columns_of(columns, line_columns(matrix), thread, threads)
    for number in range(begin // span, (end + span - 1) // span):
        j = number * span
        left, panel = beside(matrix, j), advance(panels, number * to_next)
        for i in range(rows):
            row = row_at(left, i)
            for k in range(max(begin - j, 0), min(span, end - j), lanes):
                count = columns - j - k
                if back:
                    store_first(row, k, load(panel, i * span + k), count)
                else:
                    store(panel, i * span + k, load_first(row, k, count))
