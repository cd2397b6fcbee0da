"""Reading of tables from CSV, .npy, .npz and Parquet files."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections import Counter
from pathlib import Path
from typing import IO

import numpy as np

from fastnn.data.tables.table import Table, TableError

SUFFIXES = (".csv", ".tsv", ".txt", ".npy", ".npz", ".parquet")
"""File name endings of tables; the format is found from the contents."""

MISSING = frozenset(
    ("", "?", "#N/A", "<NA>", "N/A", "NA", "NaN", "None", "NULL", "n/a", "nan", "null")
)
"""Texts that mark a missing value."""

_NPY, _ZIP, _PARQUET = b"\x93NUMPY", b"PK", b"PAR1"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")
_DELIMITERS = ",;\t|"


def read_table(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Table:
    """Return the table in a file, or in the bytes of a file; the contents decide the format.

    A .npy file is mapped to memory, not loaded; pickled objects are refused. `name` is used in
    error messages, by default the path. Raises `TableError` if the contents are not a table,
    OSError if a file cannot be read, and ImportError if the package to read Parquet is missing.
    """
    name = name or ("the data" if isinstance(source, bytes) else os.fspath(source))
    try:
        table = _read(source, name)
    except TableError as error:
        raise TableError(f"{name}: {error}") from error.__cause__
    if not table.columns or len(table) == 0:
        raise TableError(f"{name}: found no rows; expected at least one")
    return table


def is_picture(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a picture."""
    return head.startswith(_PICTURES)


def _read(source: str | os.PathLike[str] | bytes, name: str) -> Table:
    head = source[:8] if isinstance(source, bytes) else _head(Path(source))
    if head.startswith(_NPY):
        return _read_npy(source, name)
    if head.startswith(_ZIP):
        return _read_npz(source, name)
    if head.startswith(_PARQUET):
        return _read_parquet(source, name)
    return _read_csv(source if isinstance(source, bytes) else Path(source).read_bytes(), name)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


# ------------------------------------------------------------------------- NumPy's files


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


def _read_npy(source: str | os.PathLike[str] | bytes, name: str) -> Table:
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
        return Table(name, {key: _column(key, array[key]) for key in array.dtype.names})
    if array.ndim < 2:
        raise TableError(f"found an array of shape {array.shape}; expected (rows, columns)")
    return Table(name, _matrix_columns(array), named=False)


def _read_npz(source: str | os.PathLike[str] | bytes, name: str) -> Table:
    """Return a table of arrays of one length; 1-d arrays are columns, others hold many columns."""
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
            columns[key] = _column(key, array)
        else:
            columns |= _matrix_columns(array, "" if len(matrices) == 1 else f"{key}.")
    return Table(name, columns, named=not matrices)


def _matrix_columns(array: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the columns of an array (rows, ...), as views if it is contiguous."""
    if array.dtype.kind not in "biuf":
        raise TableError(f"found an array of {array.dtype}; expected numbers")
    if array.size == 0:
        raise TableError(f"found an array of shape {array.shape}; expected rows and columns")
    rows = array.reshape(len(array), -1)
    return {f"{prefix}{place}": column for place, column in enumerate(rows.T)}


def _column(name: str, values: np.ndarray) -> np.ndarray:
    """Return an array as a column: numbers, or texts with None for missing values."""
    if values.ndim != 1:
        raise TableError(f"column {name!r} has shape {values.shape}; expected one dimension")
    if values.dtype.kind in "biuf":
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
    return _texts(each if isinstance(each, str) else "" for each in cells)


def _is_unicode(values: np.ndarray) -> bool:
    """Return whether all characters of texts are Unicode's; NumPy does not check what it reads."""
    if values.dtype.itemsize == 0:
        return True
    characters = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("=")).view(np.uint32)
    return not ((characters > sys.maxunicode) | (characters & ~np.uint32(0x7FF) == 0xD800)).any()


def _texts(cells) -> np.ndarray:
    stripped = (each.strip() for each in cells)
    return np.array([None if each in MISSING else each for each in stripped], object)


# ------------------------------------------------------------------------------- Parquet


def _read_parquet(source: str | os.PathLike[str] | bytes, name: str) -> Table:
    file = io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source)
    try:
        from pyarrow import parquet
    except ImportError:
        columns = _read_by_pandas(file, name)
    else:
        try:
            table = parquet.read_table(file)
        except Exception as error:  # pyarrow's errors have no common base
            raise TableError(f"found a Parquet file that cannot be read: {error}") from error
        _check_unique(table.column_names)
        columns = {
            key: table.column(key).to_numpy(zero_copy_only=False) for key in table.column_names
        }
    return Table(name, {key: _column(key, values) for key, values in columns.items()})


def _read_by_pandas(file, name: str) -> dict[str, np.ndarray]:
    try:
        import pandas

        frame = pandas.read_parquet(file)
    except ImportError:
        raise ImportError(
            f'{name}: reading Parquet needs pyarrow; pip install "fastnn[data]"'
        ) from None
    return {str(key): frame[key].astype(object).to_numpy() for key in frame}


# ----------------------------------------------------------------------------------- CSV


def _read_csv(content: bytes, name: str) -> Table:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            f"found neither a table nor text in UTF-8 (byte {error.start} is "
            f"{content[error.start]:#04x}); expected CSV, .npy, .npz or Parquet"
        ) from error
    if "\0" in text:
        raise TableError("found bytes of 0; expected CSV, .npy, .npz or Parquet")
    rows, lines = _split_rows(text)
    if not rows:
        raise TableError("found nothing; expected a line of names, and rows")
    named = not all(_is_number(cell) for cell in rows[0])
    width = len(rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise TableError(f"line {line} has {len(row)} fields; expected {width}, as in line 1")
    names = [str(place) for place in range(width)]
    if named:
        header = rows.pop(0)
        names = [each.strip() or f"Unnamed: {place}" for place, each in enumerate(header)]
        _check_unique(names)
    columns = zip(*rows, strict=True) if rows else ((),) * width
    return Table(name, dict(zip(names, map(_texts, columns), strict=True)), named)


def _split_rows(text: str) -> tuple[list[list[str]], list[int]]:
    """Return the non-empty rows of cells, and the number of the line in which each one ends."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    outside = "".join(first.split('"')[::2])
    delimiter = max(_DELIMITERS, key=outside.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise TableError(f"line {reader.line_num} cannot be read: {error}") from error
    return rows, lines


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() in MISSING - {""}
    return True


def _check_unique(names: list[str]) -> None:
    twice = [each for each, count in Counter(names).items() if count > 1]
    if twice:
        raise TableError(f"found {', '.join(map(repr, twice))} twice among the columns' names")
