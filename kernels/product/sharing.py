"""The parts of a product that threads compute: some rows each, or some columns each.

Columns are shared in whole cache lines of a row; only the last line may be partly filled.
"""

from __future__ import annotations

from kernels.base.host import CACHE_LINE
from kernels.base.jit import inline
from kernels.base.simd import element_bytes
from kernels.machine.barrier import share
from kernels.product.choice import FAR, FEW_ROWS, MANY_ROWS


@inline
def line_columns(like):
    """Return the columns in a cache line, for the element type of the pointer `like`."""
    return CACHE_LINE // element_bytes(like)


@inline
def columns_of(columns, line, thread, threads):
    """Return this thread's first column and the one after its last; `line` columns are a line.

    If the lines do not divide evenly, the last threads have one more; or the first threads, if the
    second thread's columns then begin at the border of a tile, which is two lines wide.
    """
    lines = (columns + line - 1) // line
    ahead = lines // threads % 2 * (threads - 1)
    begin, end = (lines * thread + ahead) // threads, (lines * (thread + 1) + ahead) // threads
    return min(begin * line, columns), min(end * line, columns)


@inline
def splits_columns(rows, columns, line, threads):
    """Return whether threads split a product by columns, with at most 6/5 of an even share each.

    A product of many rows is split by rows instead: what a thread writes then lies together, and
    the next instructions of that thread read it.
    """
    lines = (columns + line - 1) // line
    most = (lines + threads - 1) // threads
    return rows < MANY_ROWS * threads and 5 * most * threads <= 6 * lines


@inline
def own_columns(rows, columns, like, thread, threads):
    """Return this thread's part, like `part`, if the columns are split."""
    begin, end = columns_of(columns, line_columns(like), thread, threads)
    return 0, rows, begin, end - begin


@inline
def part(rows, columns, depth, like, thread, threads):
    """Return this thread's part: its first row, its rows, its first column and its columns.

    If the columns are split, each thread reads only its own part of B, and writes to all rows of
    C. `like` is a pointer to elements of C's type.
    """
    line = line_columns(like)
    apart = depth >= rows or columns * element_bytes(like) >= FAR * threads
    if rows < FEW_ROWS * threads or (apart and splits_columns(rows, columns, line, threads)):
        return own_columns(rows, columns, like, thread, threads)
    begin, end = share((rows + 1) // 2, thread, threads)
    return 2 * begin, min(2 * end, rows) - 2 * begin, 0, columns
