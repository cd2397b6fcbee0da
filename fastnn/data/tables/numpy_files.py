"""Tables in NumPy's files, .npy and .npz."""

from __future__ import annotations

import io
import math
import os
import sys
from typing import IO

import numpy as np

from fastnn.data.tables.table import TableError


def _load(source: str | os.PathLike[str] | bytes):
    """Return the result of np.load, memory-mapped if the source is a .npy file."""
    try:
        if isinstance(source, bytes):
            return np.load(io.BytesIO(source), allow_pickle=False)
        return np.load(source, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # errors of zipfile, tokenize and NumPy have no common base
        raise TableError(f"found a file that NumPy cannot read: {error}") from error


def _check_size(stream: IO[bytes], size: int) -> None:
    """Raise TableError unless a stream of so many bytes is an array that they can hold.

    NumPy takes the memory that the header names before it reads.
    """
    first = np.lib.format.read_magic(stream) == (1, 0)
    read = "read_array_header_1_0" if first else "read_array_header_2_0"
    shape, _, dtype = getattr(np.lib.format, read)(stream)
    if (needed := math.prod(shape) * dtype.itemsize) > size and not dtype.hasobject:
        raise TableError(f"found an array of {shape} and {dtype}, {needed:,} bytes, in {size:,}")


def read_npy(source: str | os.PathLike[str] | bytes) -> tuple[dict[str, np.ndarray], bool]:
    """Return the columns in a .npy file, which is mapped to memory, and whether they have names."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            _check_size(stream, size)
    except TableError:
        raise
    except Exception as error:  # errors of tokenize and NumPy have no common base
        raise TableError(f"found a file that NumPy cannot read: {error}") from error
    array = _load(source)
    if array.dtype.names:
        return {key: column_of(key, array[key]) for key in array.dtype.names}, True
    if array.ndim < 2:
        raise TableError(f"found an array of shape {array.shape}; expected (rows, columns)")
    return matrix_columns(array), False


def read_npz(source: str | os.PathLike[str] | bytes) -> tuple[dict[str, np.ndarray], bool]:
    """Return arrays of one length as columns, and whether all have names.

    1-d arrays are columns, others hold many.
    """
    try:
        with _load(source) as file:
            for each in file.zip.infolist():
                with file.zip.open(each) as member:
                    _check_size(member, each.file_size)
            arrays = {key: np.asarray(file[key]) for key in file.files}
    except TableError:
        raise
    except Exception as error:  # errors of zipfile, zlib and NumPy have no common base
        raise TableError(f"found a file that NumPy cannot read: {error}") from error
    shapes = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
    if len({array.shape[:1] for array in arrays.values()} - {()}) != 1 or any(
        array.ndim == 0 for array in arrays.values()
    ):
        raise TableError(f"found arrays {shapes or 'of no name'}; expected arrays of one length")
    matrices = [key for key, array in arrays.items() if array.ndim > 1]
    columns: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        if array.ndim == 1:
            columns[key] = column_of(key, array)
        else:
            columns |= matrix_columns(array, "" if len(matrices) == 1 else f"{key}.")
    return columns, not matrices


def matrix_columns(array: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the columns of an array (rows, ...), as views if it is contiguous."""
    if array.dtype.kind not in "biuf":
        raise TableError(f"found an array of {array.dtype}; expected numbers")
    if array.size == 0:
        raise TableError(f"found an array of shape {array.shape}; expected rows and columns")
    rows = array.reshape(len(array), -1)
    return {f"{prefix}{place}": column for place, column in enumerate(rows.T)}


def column_of(name: str, values: np.ndarray) -> np.ndarray:
    """Return an array as a column: numbers, or texts with None for missing values."""
    if values.ndim != 1:
        raise TableError(f"column {name!r} has shape {values.shape}; expected one dimension")
    if values.dtype.kind in "biufM":
        return values
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind not in "UO":
        raise TableError(f"column {name!r} holds {values.dtype}; expected numbers or texts")
    if values.dtype.kind == "U" and not _is_unicode(values):
        raise TableError(f"column {name!r} holds characters that Unicode lacks; expected texts")
    cells = values.tolist()
    if all(isinstance(each, (bool, int, float)) or each is None for each in cells):
        return np.array([np.nan if each is None else each for each in cells], np.float64)
    odd = next((each for each in cells if not isinstance(each, str) and each == each and each), 0)
    if odd:
        raise TableError(
            f"column {name!r} holds {odd!r}, a {type(odd).__name__}; expected numbers or texts"
        )
    return np.array([each if isinstance(each, str) else None for each in cells], object)


def _is_unicode(values: np.ndarray) -> bool:
    """Return whether all characters of texts are Unicode's; NumPy does not check what it reads."""
    if values.dtype.itemsize == 0:
        return True
    characters = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("=")).view(np.uint32)
    return not ((characters > sys.maxunicode) | (characters & ~np.uint32(0x7FF) == 0xD800)).any()
