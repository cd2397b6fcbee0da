"""Sources of tables: files of all kinds, frames and arrays."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.data.tables.arrays import ArraySource
from fastnn.data.tables.reading import Reading
from fastnn.data.tables.table import Source, TableError

SUFFIXES = (
    ".csv", ".tsv", ".txt", ".npy", ".npz", ".parquet", ".json", ".jsonl", ".ndjson", ".gz",
    ".zst", ".xlsx", ".xls",
)  # fmt: skip
"""File name endings of tables; the format is found from the contents."""

_NPY, _ZIP, _PARQUET, _GZIP = b"\x93NUMPY", b"PK", b"PAR1", b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")
_EXPECTED = "expected CSV, .npy, .npz, Parquet, JSON or a spreadsheet"


def is_picture(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a picture."""
    return head.startswith(_PICTURES)


def is_pattern(path: str) -> bool:
    """Return whether a path stands for several files: `data/*.csv`."""
    return glob.has_magic(path) and not os.path.exists(path)


def open_source(source: Any, name: str | None = None, reading: Reading | None = None) -> Source:
    """Return the source of a table: a path or pattern, the bytes of a file, a frame or arrays.

    `name` is used in error messages. The contents decide the format of a file. Raises `TableError`
    if the contents are not a table, OSError if a file cannot be read, and TypeError for other
    sources.
    """
    reading = reading or Reading()
    if isinstance(source, bytes):
        return _of_bytes(source, name or "the data", reading)
    if isinstance(source, (str, os.PathLike)):
        opened = _of_path(os.fspath(source), name or os.fspath(source), reading)
    else:
        opened = _of_frame(source, name or "the table")
    if not opened.names:
        raise TableError(f"{opened.name}: found no columns; expected at least one")
    return opened


def _of_bytes(content: bytes, name: str, reading: Reading) -> Source:
    """Return the source of the bytes of a file, which DuckDB reads from a file only."""
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115
    file.write(content)
    file.flush()
    opened = open_source(Path(file.name), name, reading)
    opened.file = file  # type: ignore[attr-defined]  # it is deleted with the source
    return opened


def _of_path(path: str, name: str, reading: Reading) -> Source:
    paths = [Path(path)]
    if is_pattern(path):
        paths = [Path(each) for each in sorted(glob.glob(path))]
        if not paths:
            raise FileNotFoundError(f"no file is called {path}")
    head = _head(paths[0])
    if any(_format(_head(each)) != _format(head) for each in paths[1:]):
        raise TableError(f"{name}: found files of several formats; expected one")
    if head.startswith((_NPY, _ZIP)) and len(paths) > 1:
        raise TableError(
            f"{name}: found {len(paths)} files; only texts, Parquet and JSON are joined"
        )
    if head.startswith(_NPY):
        return _of_numpy("read_npy", paths[0], name)
    if head.startswith(_ZIP):
        from fastnn.data.tables.spreadsheets import is_spreadsheet, read_spreadsheet

        if is_spreadsheet(paths[0]):
            return read_spreadsheet(paths[0], name)
        return _of_numpy("read_npz", paths[0], name)
    return _of_duckdb(paths, head, name, reading)


def _of_numpy(reader: str, path: Path, name: str) -> Source:
    from fastnn.data.tables import numpy_files

    try:
        return getattr(numpy_files, reader)(path, name)
    except TableError as error:
        raise TableError(f"{name}: {error}") from error.__cause__


def _of_duckdb(paths: list[Path], head: bytes, name: str, reading: Reading) -> Source:
    from fastnn.data.tables.delimited import DelimitedSource
    from fastnn.data.tables.relation import RelationSource, connect
    from fastnn.data.tables.spreadsheets import OLD
    from fastnn.data.tables.sql import listed

    if head.startswith(OLD):
        raise TableError(f"{name}: found an old spreadsheet (.xls); save it as .xlsx or CSV")
    if is_picture(head):
        raise TableError(f"{name}: found a picture; {_EXPECTED}")
    kind = _format(head)
    if kind in ("read_parquet", "read_json_auto"):
        return RelationSource(
            connect(), name, f"{kind}([{listed(glob.escape(str(each)) for each in paths)}])"
        )
    if not head:
        raise TableError(f"{name}: found nothing; expected a line of names, and rows")
    compressions = {_GZIP: "gzip", _ZSTD: "zstd"}
    packed = next((way for mark, way in compressions.items() if head.startswith(mark)), "none")
    return DelimitedSource(name, paths, reading, packed)


def _format(head: bytes) -> str:
    """Return DuckDB's reader for a file that begins so, or "" for texts."""
    if head.startswith(_PARQUET):
        return "read_parquet"
    return "read_json_auto" if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"{", b"[")) else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _of_frame(source: Any, name: str) -> Source:
    """Return the source of a frame of pandas or polars, an Arrow table, a relation or arrays."""
    from fastnn.data.tables.numpy_files import column_of, matrix_columns

    if isinstance(source, np.ndarray):
        if source.dtype.names:
            return ArraySource(
                name, {key: column_of(key, source[key]) for key in source.dtype.names}
            )
        if source.ndim < 2:
            raise TableError(
                f"{name}: found an array of shape {source.shape}; expected (rows, columns)"
            )
        return ArraySource(name, matrix_columns(source), named=False)
    if isinstance(source, Mapping):
        return _of_columns(source, name)
    if hasattr(source, "fetchnumpy"):  # a relation belongs to a connection of its own
        return _of_columns(source.fetchnumpy(), name)
    from fastnn.data.tables.relation import RelationSource, connect

    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        connection = connect()
        connection.register("frame", source)
        return RelationSource(connection, name, "frame", keep=source)
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        return _of_columns({str(key): source[key] for key in source.columns}, name)
    raise TypeError(
        f"{name} is a {type(source).__name__}; expected a path, a frame of pandas or polars, an "
        "Arrow table, a DuckDB relation or a dict of columns"
    )


def _as_array(values: Any) -> np.ndarray:
    """Return values as an array, in which what is masked is None."""
    if isinstance(values, np.ma.MaskedArray):
        if not values.mask.any():
            return values.data
        found = values.data.astype(object)
        found[values.mask] = None
        return found
    return np.asarray(values)


def _of_columns(given: Mapping[Any, Any], name: str) -> ArraySource:
    from fastnn.data.tables.numpy_files import column_of

    columns = {key: _as_array(each) for key, each in given.items()}
    lengths = {key: len(each) if each.ndim else None for key, each in columns.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        raise TableError(f"{name}: found columns of lengths {lengths}; expected one length"[:400])
    return ArraySource(name, {str(key): column_of(key, each) for key, each in columns.items()})
