"""How threads split a product: each computes one part, some of its rows or of its columns.

Columns are shared out in panels, which are as wide as the register tile. Where not all threads can
have as many, the last ones have one more, of which the very last may be a narrow one.
"""

from __future__ import annotations

from kernels.gemm import tile_columns
from kernels.jit import inline
from kernels.simd import element_bytes
from kernels.threads import share

_MANY_ROWS = 128  # for a thread: packing B for them is little beside the product
_FEW_ROWS = 4  # for a thread: a tile of less is mostly loading B
_FAR = 512  # bytes of a row from which a thread's prefetcher leaves another one's part alone


@inline
def panels_of(columns, span, thread, threads):
    """The range of panels, `span` columns wide, that are this thread's."""
    return share((columns + span - 1) // span, thread, threads)


@inline
def columns_of(columns, span, thread, threads):
    """First of this thread's columns, and their number."""
    begin, end = panels_of(columns, span, thread, threads)
    return begin * span, min(end * span, columns) - begin * span


@inline
def splits_columns(rows, columns, span, threads):
    """Whether threads split a product by its columns, with at most 9/8 of an even share for each.

    Many rows are split instead: what a thread writes then lies together, and where the next
    instructions of that thread look.
    """
    panels = (columns + span - 1) // span
    most = 0
    for thread in range(threads):
        begin, end = panels * thread // threads, panels * (thread + 1) // threads
        most = max(most, min(end * span, columns) - begin * span)
    return rows < _MANY_ROWS * threads and 8 * most * threads <= 9 * columns


@inline
def part(rows, columns, depth, like, thread, threads):
    """This thread's part: its first row, its rows, its first column and its columns.

    Where columns are split each thread reads its own part of B only, and writes to all rows of C,
    whose elements are `like` what a pointer points at.
    """
    span = tile_columns(like)
    apart = depth >= rows or columns * element_bytes(like) >= _FAR * threads
    if rows < _FEW_ROWS * threads or (apart and splits_columns(rows, columns, span, threads)):
        first, wide = columns_of(columns, span, thread, threads)
        return 0, rows, first, wide
    begin, end = share((rows + 1) // 2, thread, threads)
    return 2 * begin, min(2 * end, rows) - 2 * begin, 0, columns
