"""Compressed tables, which are unpacked before they are read."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from fastnn.data.tables.scratch import Scratch, ScratchError
from fastnn.data.tables.table import TableError, few

ZIP = b"PK\x03\x04", b"PK\x05\x06"
"""The first bytes of zip files, also without a file in them."""

_LIBRARIES = {
    b"\x1f\x8b": ("gzip",),
    b"BZh": ("bz2",),
    b"\xfd7zXZ\0": ("lzma",),
    b"\x28\xb5\x2f\xfd": ("compression.zstd", "backports.zstd"),
}
"""Modules that read compressed files, by their first bytes.

DuckDB reads two of the kinds, but takes a damaged file for a whole one.
"""

_PIECE = 1 << 20  # bytes


def unpacked(path: Path, head: bytes, name: str) -> Scratch | None:
    """Return the contents of a compressed file that begins with `head`; None for other files.

    Raises TableError for a damaged file and for several files in one, ScratchError without space.
    """
    for mark, modules in _LIBRARIES.items():
        if head.startswith(mark):
            return _copied(partial(_opened, path, modules, name), name)
    if head.startswith(ZIP) and (member := _member(path, name)) is not None:
        return _copied(partial(zipfile.ZipFile(path).open, member), name)
    return None


def _opened(path: Path, modules: Sequence[str], name: str) -> IO[bytes]:
    """Open a file by the first of the modules that is there; raise TableError without any."""
    for each in modules:
        with suppress(ImportError):
            return importlib.import_module(each).open(path)
    raise TableError(
        f"{name}: found a compressed file; pip install {modules[-1]}, or unpack it first"
    )


def _copied(opened: Callable[[], IO[bytes]], name: str) -> Scratch:
    copy = Scratch(name)
    try:
        with opened() as file:
            while piece := file.read(_PIECE):
                if is_tar(piece):  # of the first file: a table has no such bytes
                    raise TableError(f"{name}: found an archive (tar); unpack it")
                copy.write(piece)
    except (TableError, ScratchError):
        raise
    except Exception as error:  # errors of bz2, lzma, zlib and zipfile have no common base
        raise TableError(
            f"{name}: found a compressed file that cannot be unpacked: {error}"[:400]
        ) from error
    copy.flush()
    return copy


def is_tar(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a tar archive."""
    return head[257:262] == b"ustar"


def _member(path: Path, name: str) -> str | None:
    """Return the name of the only file in a zip file; None for workbooks and arrays of NumPy."""
    try:
        with zipfile.ZipFile(path) as file:
            names = [each for each in file.namelist() if _is_file(each)]
    except Exception:  # errors of zipfile have no common base, and NumPy tells of them
        return None
    if "mimetype" in names and "content.xml" in names:
        raise TableError(f"{name}: found a spreadsheet of OpenDocument; save it as .xlsx or CSV")
    if any(each.startswith("xl/") or each.endswith(".npy") for each in names):
        return None
    if len(names) != 1:
        shown = f": {few(names)}" if names else ""
        raise TableError(
            f"{name}: found a zip file of {len(names):,} files{shown}; expected one, or unpack it "
            "and name one or several, such as 'data/*.csv'"[:400]
        )
    return names[0]


def _is_file(name: str) -> bool:
    """Return whether a name in a zip file is of a file of the user's, not of the system's."""
    return not name.endswith(("/", ".DS_Store", "Thumbs.db")) and not name.startswith("__MACOSX/")
