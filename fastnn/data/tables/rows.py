"""Encoded rows of a table, in memory or in a mapped file, and their moments."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import numpy as np

from fastnn.data.tables.columns import Column, write_columns
from fastnn.data.tables.scratch import folder
from fastnn.data.tables.table import Table

IN_MEMORY = 128 << 20
"""Largest size of rows, in bytes, that is kept in memory; larger ones go to a mapped file."""

_RESIDENT = 200 << 20  # bytes of a mapped file that are in memory at a time
_BLOCK = 1 << 20  # bytes
_MANY_COLUMNS = 64
_PIECE = 1 << 13  # rows
_MOMENTS = 1 << 19  # numbers of a block whose moments are combined
_THREADS = 2  # which wait for memory


def encoded_rows(
    columns: Sequence[Column],
    table: Table,
    names: Sequence[str],
    used: np.ndarray,
    dtype=np.float32,
) -> np.ndarray:
    """Return the rows `used`, in this order, of a table as network inputs.

    `names` are those of the table's columns that `columns` describe. The result is (rows, width)
    of `dtype`, or of bytes if all columns are bytes. A large one is mapped to a file, and written
    part by part, so that little of it is in memory at a time: the table is read for each part.
    """
    width = sum(column.width for column in columns)
    if all(
        not column.of_texts and not table.is_text(name) and table.is_bytes(name)
        for column, name in zip(columns, names, strict=True)
    ):
        dtype = np.dtype(np.uint8)
    x = _memory((len(used), width), np.dtype(dtype))
    place: np.ndarray = np.full(len(table), -1, np.int32 if len(table) < 2**31 else np.int64)
    place[used] = np.arange(len(used), dtype=place.dtype)
    parts = max(1, -(-x.nbytes // _RESIDENT))
    for part in range(parts):
        low, high = (len(used) * each // parts for each in (part, part + 1))
        for rows, values in table.blocks(columns, names):  # in the order of the file
            places = place[rows]
            for begin in range(0, len(places), _PIECE):  # pieces that fit a cache
                piece = slice(begin, begin + _PIECE)
                wanted = (places[piece] >= low) & (places[piece] < high)
                some = slice(None) if wanted.all() else np.flatnonzero(wanted)
                rows_of_x = places[piece][some]
                block = np.empty((len(rows_of_x), width), dtype, order="F")  # columns are written
                write_columns(columns, [each[piece][some] for each in values], block)
                x[rows_of_x] = block
        let_go(x)
    return x


def _memory(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Return an empty array; a large one is mapped to a file, which is deleted with the array.

    Raises OSError if the disk has too little space.
    """
    if shape[0] * shape[1] * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(buffering=0, dir=folder()) as file:
        _take(file, shape[0] * shape[1] * dtype.itemsize)
        return np.memmap(file, dtype, "w+", shape=shape)


def _take(file: IO[bytes], size: int) -> None:
    """Let a file take space; raise OSError that says what for.

    Without space, a mapped page would crash.
    """
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:  # macOS and Windows have no such call
            while (left := size - file.tell()) > 0:
                file.write(bytes(min(_BLOCK, left)))
    except OSError as error:
        reason = f"{error.strerror}: the rows take {size:,} bytes in {folder()}"
        raise OSError(error.errno, reason) from error


def let_go(x: np.ndarray) -> None:
    """Free the memory of rows in a mapped file, which keeps them."""
    file = getattr(x, "_mmap", None)
    if file is not None and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def moments(
    columns: Sequence[Column], x: np.ndarray
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Return the mean and standard deviation of each input; 0 and 1 for categories.

    Blocks of rows are combined by the formula of Chan, Golub and LeVeque (1979). The deviation of
    a constant column is 1. Many columns of one scale, such as pixels, get one common scale: mean 0
    and the greatest value as deviation. With its own deviation, a pixel that is inked in one row
    of thousands would be scaled to hundreds in this row.
    """
    count, mean, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    step = max(1, _MOMENTS // x.shape[1])
    blocks = (x[begin : begin + step] for begin in range(0, len(x), step))
    with ThreadPoolExecutor(_THREADS) as pool:
        for more, block_mean, block_squares in pool.map(_block_moments, blocks):
            apart = block_mean - mean
            squares += block_squares
            squares += apart**2 * (count * more / (count + more))
            mean += apart * (more / (count + more))
            count += more
    std = np.sqrt(squares / count)
    scaled = np.repeat(
        [column.scaled for column in columns],
        [column.width for column in columns],
    )
    if scaled.all() and _one_scale(x):
        return 0.0, float(x.max())
    # A deviation of the size of rounding errors belongs to a constant column.
    varies = scaled & (std > np.finfo(np.float64).eps * np.abs(mean) * 8)
    return np.where(scaled, mean, 0.0), np.where(varies, std, 1.0)


def _one_scale(x: np.ndarray) -> bool:
    """Return whether there are many columns, from 0, and a tenth reach the common maximum."""
    if x.shape[1] < _MANY_COLUMNS or x.min() != 0:
        return False
    high = x.max(axis=0)
    return bool(high.max() > 0 and (high == high.max()).mean() >= 0.1)


def _block_moments(rows: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the number of rows, and the mean and the sum of squared deviations of each input."""
    block = rows.astype(np.float64)
    mean = block.mean(axis=0)
    block -= mean
    block *= block
    let_go(rows)
    return len(rows), mean, block.sum(axis=0)
