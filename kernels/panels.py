"""Matrices in panels of columns, each with its rows one behind the other.

So a thread's columns lie together, not beside those of another one within each row, whose
prefetcher would take lines that this one writes. Weights are in panels of a tile's columns, which
the register tile reads where they are; elements past the last column are zeros. A batch is in
panels of a thread's columns.
"""

from __future__ import annotations

from numba import types

from kernels import host
from kernels.gemm import TILE_VECTORS, splits_columns, tile_columns
from kernels.jit import inline, real_type, routine
from kernels.simd import advance, load, load_first, store, store_first, width
from kernels.threads import share

_INTEGER = types.int64
_POINTER = types.CPointer


def sizes(inputs: int, outputs: int, dtype) -> tuple[int, int]:
    """Number of a weight's panels and elements of each; the last one is as wide as the others.

    A weight of one panel need not be copied: it is one matrix.
    """
    span = TILE_VECTORS * host.lanes(real_type(dtype))
    return -(-outputs // span), inputs * span


def of_threads(rows: int, columns: int, dtype, threads: int) -> tuple[int, int]:
    """Number of panels of a batch, and columns of each: one for each thread's columns of a product.

    There is one panel where threads split such a product by its rows.
    """
    lanes = host.lanes(real_type(dtype))
    vectors = -(-columns // lanes)
    if threads == 1 or not splits_columns.py_func(rows, vectors, threads):
        return 1, columns
    span = TILE_VECTORS * lanes
    wide = -(-vectors // (threads * TILE_VECTORS)) * span
    return -(-columns // wide), wide


@inline
def whole_panels(columns, pointer):
    """Columns rounded up to whole panels, of what the pointer points at."""
    span = tile_columns(pointer)
    return (columns + span - 1) // span * span


@inline
def panel_at(pointer, i, j, ld, panel):
    """Pointer to an element of panels of `ld` columns, or, with `panel` 0, of one matrix."""
    return advance(pointer, i * ld + (j if panel == 0 else j // ld * panel + j % ld))


@routine(lambda real: (_INTEGER,) * 2 + (_POINTER(real), _INTEGER) * 2 + (_INTEGER,) * 3)
def copy_panels(inputs, outputs, w, ldw, panelled, w_panel, thread, threads, back):
    """Copy this thread's columns of a weight to its panels, or `back`."""
    span, lanes = tile_columns(w), width(w)
    begin, end = share((outputs + span - 1) // span, thread, threads)
    for panel in range(begin, end):
        j = panel * span
        matrix, place = advance(w, j), advance(panelled, panel * w_panel)
        for i in range(inputs):
            for k in range(0, min(span, outputs - j), lanes):
                count = outputs - j - k
                if back:
                    store_first(matrix, i * ldw + k, load(place, i * span + k), count)
                else:
                    store(place, i * span + k, load_first(matrix, i * ldw + k, count))
