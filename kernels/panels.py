"""Matrices in panels of columns, each with its rows one behind the other.

So a thread's columns lie together, not beside those of another one within each row, whose
prefetcher would take lines that this one writes. Weights are in panels of a tile's columns, which
the register tile reads where they are; elements past the last column are zeros. A batch is in
panels of a thread's columns.
"""

from __future__ import annotations

from numba import types

from kernels import host
from kernels.gemm import TILE_VECTORS, tile_columns
from kernels.jit import inline, real_type, routine
from kernels.parts import panels_of, splits_columns
from kernels.simd import advance, load, load_first, store, store_first, width

_INTEGER = types.int64
_POINTER = types.CPointer


def sizes(rows: int, columns: int, dtype) -> tuple[int, int]:
    """Number of a matrix's panels as wide as a tile, and elements of each, also of the last one."""
    span = TILE_VECTORS * host.lanes(real_type(dtype))
    return -(-columns // span), rows * span


def of_threads(rows: int, columns: int, dtype, threads: int) -> tuple[int, int]:
    """Number of panels of a batch, one for each thread's columns, and columns of each at most.

    There is one panel where threads split such a product by its rows.
    """
    span = TILE_VECTORS * host.lanes(real_type(dtype))
    if threads == 1 or not splits_columns.py_func(rows, columns, span, threads):
        return 1, columns
    return threads, -(-columns // (span * threads)) * span


@inline
def panel_at(pointer, i, j, ld, panel):
    """Pointer to an element of panels of `ld` columns, or, with `panel` 0, of one matrix."""
    return advance(pointer, i * ld + (j if panel == 0 else j // ld * panel + j % ld))


@routine(lambda real: (_INTEGER,) * 2 + (_POINTER(real), _INTEGER) * 2 + (_INTEGER,) * 3)
def copy_panels(rows, columns, matrix, ld, panels, to_next, thread, threads, back):
    """Copy this thread's columns of a matrix to panels `to_next` elements apart, or `back`."""
    span, lanes = tile_columns(matrix), width(matrix)
    begin, end = panels_of(columns, span, thread, threads)
    for number in range(begin, end):
        j = number * span
        left, panel = advance(matrix, j), advance(panels, number * to_next)
        for i in range(rows):
            for k in range(0, min(span, columns - j), lanes):
                count = columns - j - k
                if back:
                    store_first(left, i * ld + k, load(panel, i * span + k), count)
                else:
                    store(panel, i * span + k, load_first(left, i * ld + k, count))
