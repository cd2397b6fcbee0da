"""Sources of tables: files of all kinds, frames and arrays."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.data.names import is_pattern
from fastnn.data.tables.arrays import Arrays
from fastnn.data.tables.packed import ZIP, is_tar, unpacked
from fastnn.data.tables.reading import Reading
from fastnn.data.tables.scratch import Scratch
from fastnn.data.tables.table import Source, Table, TableError, few

_NPY, _PARQUET = b"\x93NUMPY", b"PAR1"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*")
_NAMES = "column_names", "columns"
"""Attributes of Arrow tables and of frames that hold the names of columns."""

_EXPECTED = "expected CSV, .npy, .npz, Parquet, JSON or a spreadsheet"
_OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls); save it as .xlsx or CSV",
    b"ARROW1": "an Arrow file (Feather); save it as Parquet, or give fastnn.tables.fit the frame",
    b"7z\xbc\xaf": "an archive (7z); unpack it",
    b"Rar!": "an archive (rar); unpack it",
    b"\x04\x22\x4d\x18": "a file that lz4 compressed; unpack it",
    b"SQLite format 3": "a database of SQLite; save the table as CSV",
    b"\x89HDF": "a file of HDF5; save the table as CSV or Parquet",
    b"$FL2": "a file of SPSS; save it as CSV",
    b"<stata_dta>": "a file of Stata; save it as CSV",
    b"%PDF": f"a PDF; {_EXPECTED}",
}
"""What else people have, and what to do, by the first bytes."""

_JSON = re.compile(rb"(\xef\xbb\xbf)?\s*(\{|\[(?!\s*[A-Za-z]))")  # [Date] is the name of a column
_PAGES = b"<!doctype html", b"<html", b"<?xml", b"<table"
_MOST_LAYERS = 3  # of compression; some files hold themselves


def is_picture(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a picture."""
    is_bitmap = head.startswith(b"BM") and head[6:10] == bytes(4)  # BMI is the name of a column
    return head.startswith(_PICTURES) or is_bitmap


class ArraySource(Source):
    """Columns (rows,) of numbers or texts by name, in memory.

    Several columns may have one of the `names`, in the place of those in `columns`.
    """

    def __init__(
        self,
        name: str,
        columns: Mapping[Any, np.ndarray],
        named: bool = True,
        names: Sequence[str] | None = None,
        notes: Sequence[str] = (),
    ):
        super().__init__(name, list(columns) if names is None else names, named, notes)
        self.columns = dict(zip(self.names, columns.values(), strict=True))

    def spelled(self, names: Collection[str]) -> set[str]:
        """Return those columns that hold texts."""
        return {name for name in names if self.columns[name].dtype.kind not in "biuf"}

    def table(self, columns: Collection[str] | None = None, texts: Collection[str] = ()) -> Table:
        """Return the table: of NumPy where there are only numbers, else of DuckDB."""
        chosen = {
            name: values
            for name, values in self.columns.items()
            if columns is None or name in columns
        }
        if not texts and all(values.dtype.kind in "biuf" for values in chosen.values()):
            return Arrays(self.name, chosen, self.named)
        from fastnn.data.tables.relation import RelationSource

        source = RelationSource.of_arrays(self.name, chosen, self.named)
        source.missing = self.missing
        return source.table(None, texts)


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
        why = f" ({opened.notes[0]})" if opened.notes else ""
        raise TableError(
            f"{opened.name}: found no columns; expected some, in JSON those of a list of records, "
            f"or a record a line{why}"[:400]
        )
    opened.missing = reading.texts
    return opened


def _of_bytes(content: bytes, name: str, reading: Reading) -> Source:
    """Return the source of the bytes of a file, which DuckDB reads from a file only."""
    file = Scratch(name)
    file.write(content)
    file.flush()
    opened = open_source(file.path, name, reading)
    opened.keep = opened.keep, file  # which is deleted with the source
    return opened


def _of_path(path: str, name: str, reading: Reading) -> Source:
    paths = [Path(path)]
    if is_pattern(path):
        paths = [Path(each) for each in sorted(glob.glob(path))]
        if not paths:
            raise FileNotFoundError(f"no file is called {path}")
    return _of_files(paths, name, reading)


def _of_files(
    paths: list[Path],
    name: str,
    reading: Reading,
    titles: list[Path] | None = None,
    layers: int = 0,
) -> Source:
    """Return the source of files, of which compressed ones are unpacked first.

    `titles` are the paths of those that were, and `layers` counts how often.
    """
    heads = [_head(each) for each in paths]
    copies = [unpacked(*each, name) for each in zip(paths, heads, strict=True)]
    if any(copies):
        if layers == _MOST_LAYERS:
            raise TableError(f"{name}: found a file that was compressed again and again; unpack it")
        found = [copy.path if copy else path for copy, path in zip(copies, paths, strict=True)]
        opened = _of_files(found, name, reading, titles or paths, layers + 1)
        opened.keep = opened.keep, copies
        return opened
    head = heads[0]
    if any(_format(each) != _format(head) for each in heads[1:]):
        raise TableError(f"{name}: found files of several formats; expected one")
    if head.startswith((_NPY, *ZIP)) and len(paths) > 1:
        raise TableError(
            f"{name}: found {len(paths)} files; only texts, Parquet and JSON are joined"
        )
    if head.startswith(_NPY):
        return _of_numpy("read_npy", paths[0], name)
    if head.startswith(ZIP):
        from fastnn.data.tables.spreadsheets import is_spreadsheet, read_spreadsheet

        if is_spreadsheet(paths[0]):
            sheet = read_spreadsheet(paths[0], name)
            return ArraySource(name, dict(enumerate(sheet.columns)), True, sheet.names, sheet.notes)
        return _of_numpy("read_npz", paths[0], name)
    return _of_duckdb(paths, head, name, reading, titles)


def _of_numpy(reader: str, path: Path, name: str) -> Source:
    from fastnn.data.tables import numpy_files

    try:
        return ArraySource(name, *getattr(numpy_files, reader)(path))
    except TableError as error:
        raise TableError(f"{name}: {error}") from error.__cause__


def _of_duckdb(
    paths: list[Path], head: bytes, name: str, reading: Reading, titles: list[Path] | None
) -> Source:
    from fastnn.data.tables.delimited import DelimitedSource
    from fastnn.data.tables.relation import RelationSource, connect
    from fastnn.data.tables.sql import listed

    if (other := _other(head)) is not None:
        raise TableError(f"{name}: found {other}")
    kind = _format(head)
    if kind in ("read_parquet", "read_json_auto"):
        connection, files = connect(), [glob.escape(str(each)) for each in paths]
        names = _names_in_parquet(connection, files[0], name) if kind == "read_parquet" else None
        return RelationSource(connection, name, f"{kind}([{listed(files)}])", names=names)
    if not head:
        raise TableError(f"{name}: found nothing; expected a line of names, and rows")
    return DelimitedSource(name, paths, reading, titles)


def _other(head: bytes) -> str | None:
    """Return what a file is that begins so, and what to do with it; None for a table."""
    if is_picture(head):
        return f"a picture; {_EXPECTED}"
    if is_tar(head):
        return "an archive (tar); unpack it"
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_PAGES):
        return f"a page of HTML or XML; {_EXPECTED}"
    return next((what for mark, what in _OTHERS.items() if head.startswith(mark)), None)


def _names_in_parquet(connection: Any, path: str, name: str) -> list[str]:
    """Return the names of a Parquet file's columns, of which DuckDB would rename some."""
    from fastnn.data.tables.relation import reported
    from fastnn.data.tables.sql import quoted

    with reported(name):
        found = connection.execute(
            f"SELECT name, coalesce(num_children, 0) FROM parquet_schema({quoted(path)})"
        ).fetchall()
    names: list[str] = []
    inside: list[int] = []  # parts that are still to come, of each part that holds others
    for title, children in found[1:]:  # the first one is the whole
        if not inside:
            names.append(title)
        else:
            inside[-1] -= 1
        inside.append(children)
        while inside and inside[-1] == 0:
            inside.pop()
    return names


def _format(head: bytes) -> str:
    """Return DuckDB's reader for a file that begins so, or "" for texts."""
    if head.startswith(_PARQUET):
        return "read_parquet"
    return "read_json_auto" if _JSON.match(head) else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


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
        return _of_columns(source.fetchnumpy(), name, source.columns)
    if hasattr(source, "collect_schema") and hasattr(source, "collect"):  # a lazy frame
        source = source.collect()
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        return _of_arrow(source, name)
    if _has_columns(source):
        return _of_columns({str(key): source[key] for key in source.columns}, name)
    raise TypeError(
        f"{name} is a {type(source).__name__}; expected a path, a frame of pandas or polars, an "
        "Arrow table, a DuckDB relation or a dict of columns"
    )


def _of_arrow(source: Any, name: str) -> Source:
    """Return the source of a frame or an Arrow table, by DuckDB if it can read it.

    Without pyarrow it cannot read all of them.
    """
    import duckdb

    from fastnn.data.tables.relation import RelationSource, connect

    connection = connect()
    names = next((getattr(source, each) for each in _NAMES if hasattr(source, each)), None)
    given = None if names is None else list(map(str, names))
    frame = source
    if given and hasattr(source, "rename_columns"):  # DuckDB before 2.0 finds none of two namesakes
        frame = source.rename_columns([f"c{place}" for place in range(len(given))])
    try:
        connection.register("frame", frame)
        return RelationSource(connection, name, "frame", keep=frame, names=given)
    except (duckdb.Error, ImportError, TableError) as error:
        if _has_columns(source):
            return _of_columns({str(key): source[key] for key in source.columns}, name)
        raise TableError(f"{name}: found a table that cannot be read: {error}"[:400]) from error


def _has_columns(source: Any) -> bool:
    """Return whether a source gives its columns by their names."""
    return hasattr(source, "columns") and hasattr(source, "__getitem__")


def _as_array(values: Any) -> np.ndarray:
    """Return values as an array, in which what is masked is None."""
    if isinstance(values, np.ma.MaskedArray):
        if not values.mask.any():
            return values.data
        found = values.data.astype(object)
        found[values.mask] = None
        return found
    return np.asarray(values)


def _of_columns(
    given: Mapping[Any, Any], name: str, names: Sequence[str] | None = None
) -> ArraySource:
    from fastnn.data.tables.numpy_files import column_of

    columns = {key: _as_array(each) for key, each in given.items()}
    lengths = {key: len(each) if each.ndim else None for key, each in columns.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        raise TableError(f"{name}: found columns of lengths {lengths}; expected one length"[:400])
    titles = list(map(str, columns)) if names is None else names
    arrays = {key: column_of(str(key), each) for key, each in columns.items()}
    return ArraySource(name, arrays, names=titles)


# ---------------------------------------------------------------------------- target


class TargetError(TableError):
    """Error for a target that is not a column of the table."""


def find_target(source: Source, target: str | None) -> tuple[str, Source]:
    """Return the name of the target, and the source of its column.

    It is given by name, by index, or as a .npy file. Raises TargetError if the column does not
    exist, TableError if a file does not hold one number or text for each row, and OSError if the
    file cannot be read.
    """
    names = source.names
    if target is None:
        raise TargetError(
            f"{source.name}: no target is named; expected one of its columns: {few(names, 10)}"[
                :400
            ]
        )
    if target in source.repeated:
        raise TargetError(
            f"{source.name}: found several columns named {target!r}; expected one target"
        )
    if target in names:
        return target, source
    if not source.named and target.lstrip("-").isdigit() and -len(names) <= int(target) < 0:
        return names[int(target)], source
    if Path(target).suffix.lower() == ".npy":
        path = Path(target)
        return path.stem, ArraySource(str(path), {path.stem: _values_in(path)})
    raise TargetError(no_column(source, "target", target))


def _values_in(path: Path) -> np.ndarray:
    """Return the array (rows,) in a .npy file."""
    try:
        values = np.load(path, allow_pickle=False)
        shape = values.shape
    except OSError:
        raise
    except Exception as error:  # errors of tokenize and NumPy have no common base
        raise TableError(f"{path}: found a file that NumPy cannot read: {error}") from error
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or values.dtype.kind not in "biufU":
        raise TableError(
            f"{path}: found an array {shape} of {values.dtype}; expected a target for each row"
        )
    values = values.reshape(len(values))
    return values.astype(object) if values.dtype.kind == "U" else values


def no_column(source: Source, what: str, name: str) -> str:
    """Return the error message for a column that a table does not have."""
    names = source.names
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    if len(names) == 1:
        hint = "; --delimiter tells the sign between cells"
    return f"{source.name}: there is no {what} {name!r} among the columns {few(names, 10)}{hint}"
