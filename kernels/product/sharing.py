"""How threads split a product: each computes one part, some of its rows or of its columns.

Columns are shared out in whole cache lines of a row, of which the very last may not be full.
"""

from __future__ import annotations

from kernels.base.host import CACHE_LINE
from kernels.base.jit import inline
from kernels.base.simd import element_bytes
from kernels.machine.barrier import share
from kernels.product.choice import FAR, FEW_ROWS, MANY_ROWS


@inline
def line_columns(like):
    """Columns of a cache line, whose elements are `like` what a pointer points at."""
    return CACHE_LINE // element_bytes(like)


@inline
def columns_of(columns, line, thread, threads):
    """First of this thread's columns, and the one after its last; `line` of them are a line.

    Where not all have as many lines, the last threads have one more, or the first ones if the
    second thread's columns then begin with a tile that is two lines wide.
    """
    lines = (columns + line - 1) // line
    ahead = lines // threads % 2 * (threads - 1)
    begin, end = (lines * thread + ahead) // threads, (lines * (thread + 1) + ahead) // threads
    return min(begin * line, columns), min(end * line, columns)


@inline
def splits_columns(rows, columns, line, threads):
    """Whether threads split a product by its columns, with at most 6/5 of an even share for each.

    Many rows are split instead: what a thread writes then lies together, and where the next
    instructions of that thread look.
    """
    lines = (columns + line - 1) // line
    most = (lines + threads - 1) // threads
    return rows < MANY_ROWS * threads and 5 * most * threads <= 6 * lines


@inline
def own_columns(rows, columns, like, thread, threads):
    """This thread's part where columns are split, as `part` gives it."""
    begin, end = columns_of(columns, line_columns(like), thread, threads)
    return 0, rows, begin, end - begin


@inline
def part(rows, columns, depth, like, thread, threads):
    """This thread's part: its first row, its rows, its first column and its columns.

    Where columns are split each thread reads its own part of B only, and writes to all rows of C,
    whose elements are `like` what a pointer points at.
    """
    line = line_columns(like)
    apart = depth >= rows or columns * element_bytes(like) >= FAR * threads
    if rows < FEW_ROWS * threads or (apart and splits_columns(rows, columns, line, threads)):
        return own_columns(rows, columns, like, thread, threads)
    begin, end = share((rows + 1) // 2, thread, threads)
    return 2 * begin, min(2 * end, rows) - 2 * begin, 0, columns
