"""Matrices in panels of columns, each with its rows one behind the other.

So a thread's columns lie together, not beside those of another one within each row, whose
prefetcher would take lines that this one writes. Weights are in panels of a tile's columns, which
the register tile reads where they are; elements past the last column are zeros. A batch is in
panels of a thread's columns.
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
    """Columns of a panel of weights: a tile's."""
    return TILE_VECTORS * host.lanes(real_type(dtype))


def sizes(rows: int, columns: int, dtype) -> tuple[int, int]:
    """Number of a matrix's panels, and elements from one to the next.

    Numbers in a row are a matrix of one row, whose panels follow each other at once.
    """
    span = span_of(dtype)
    apart = APART * line_elements(dtype) if rows > 1 else 0
    return -(-columns // span), rows * span + apart


def of_threads(rows: int, columns: int, dtype, threads: int) -> tuple[int, int, int]:
    """Number of panels of a batch, columns of each, and elements from one to the next.

    There is one panel where threads split such a product by its rows.
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
