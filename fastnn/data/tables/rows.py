"""Rows of a table as a network takes them, in memory or in a mapped file, and their moments."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fastnn.data.tables.schema import Schema
from fastnn.data.tables.summary import blocks

IN_MEMORY = 128 << 20
"""Bytes of rows that are kept in memory; more are kept in a file that is mapped."""

_MANY_COLUMNS = 64


def encoded_rows(
    schema: Schema, columns: Sequence[np.ndarray], used: np.ndarray, dtype=np.float32
) -> np.ndarray:
    """Return rows `used` of columns that `schema.read` returned, in that order, for a network.

    They are (rows, width) of `dtype`, or bytes where all columns are; many are mapped, not loaded.
    """
    if all(values.dtype == np.uint8 for values in columns):
        dtype = np.dtype(np.uint8)
    x = _memory((len(used), schema.width), np.dtype(dtype))
    place = np.full(len(columns[0]), -1)
    place[used] = np.arange(len(used))
    for rows in blocks(columns):  # in the order of the file, which is read once
        places = place[rows]
        wanted = np.flatnonzero(places >= 0)
        block = np.empty((len(wanted), schema.width), dtype)
        schema.write(columns, wanted + rows.start, block)
        x[places[wanted]] = block
    return x


def _memory(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Return memory for rows; where that is much, a mapped file that is gone with the array.

    Raises OSError where the disk has no room for it.
    """
    if shape[0] * shape[1] * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("fastnn"))  # not /tmp, which may be memory
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, a crash in a mapped page
            os.posix_fallocate(file.fileno(), 0, shape[0] * shape[1] * dtype.itemsize)
        return np.memmap(file, dtype, "w+", shape=shape)


def moments(schema: Schema, x: np.ndarray) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Return mean and standard deviation of inputs that are numbers; 0 and 1 of categories.

    Blocks of rows are joined by the formula of Chan, Golub and LeVeque (1979). The standard
    deviation of a column that does not vary is 1. Many columns of one scale, as pixels are, keep
    it: then the mean is 0 and the deviation the greatest value, for all of them. Otherwise a pixel
    that is ink in one row of thousands would become hundreds there.
    """
    count, mean, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    for block in _float_blocks(x):
        more = len(block)
        block_mean = block.mean(axis=0)
        apart = block_mean - mean
        squares += ((block - block_mean) ** 2).sum(axis=0)
        squares += apart**2 * (count * more / (count + more))
        mean += apart * (more / (count + more))
        count += more
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    std = np.sqrt(squares / count)
    is_number = np.repeat(
        [column.categories is None for column in schema.columns],
        [column.width for column in schema.columns],
    )
    if is_number.all() and _one_scale(low, high):
        return 0.0, float(high.max())
    # What rounding leaves of a constant is no spread.
    varies = is_number & (std > np.finfo(np.float64).eps * np.abs(mean) * 8)
    return np.where(is_number, mean, 0.0), np.where(varies, std, 1.0)


def _one_scale(low: np.ndarray, high: np.ndarray) -> bool:
    """Return whether columns are many, begin at 0, and a tenth end at the same greatest value."""
    top = high.max()
    return bool(
        len(high) >= _MANY_COLUMNS and top > 0 and low.min() == 0 and (high == top).mean() >= 0.1
    )


def _float_blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, (1 << 19) // x.shape[1])
    return (x[i : i + step].astype(np.float64) for i in range(0, len(x), step))
