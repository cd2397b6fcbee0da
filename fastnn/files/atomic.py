"""Atomic writing: files are replaced as a whole or not at all, and logs grow by whole lines."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file for writing, and let it replace `path` once it is on the disk.

    If writing fails, the file at `path` stays as it was, and the partial file is removed; a killed
    process leaves the partial file to `remove_partials`. The new file has the mode of the old one,
    and a symbolic link at `path` is kept. Raises OSError, naming `path`, where it cannot be
    written.
    """
    target = Path(os.path.realpath(path))
    # Not by tempfile, whose files only their owner can read, whatever the umask.
    partial = target.with_name(f"{_partial_prefix(target)}{secrets.token_hex(8)}")
    try:
        with partial.open("xb") as file:
            with suppress(FileNotFoundError):
                os.chmod(partial, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _naming(path, error) from error  # the error named the partial file
    finally:
        with suppress(OSError):  # it is gone after the replacement
            partial.unlink()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError, naming `path`, if no file can be written there."""
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise _naming(path, error) from error


def remove_partials(path: str | os.PathLike[str]) -> None:
    """Remove the partial files that killed processes left when they wrote `path`."""
    target = Path(os.path.realpath(path))
    for partial in target.parent.glob(f"{_partial_prefix(target)}*"):
        with suppress(OSError):
            partial.unlink()


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append a line to a file, and return when it is on the disk.

    A killed process leaves at most an incomplete last line. Raises OSError where the line cannot
    be written; the file then keeps the lines before it.
    """
    content = f"{line}\n".encode()
    with open(path, "ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            written = file.write(content)
            if written != len(content):  # the disk is almost full: the rest will raise the error
                file.write(content[written:])
            os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(start)
            raise _naming(path, error) from error
        if start == 0:
            _sync_folder(Path(os.path.realpath(path)).parent)


def _naming(path: str | os.PathLike[str], error: OSError) -> OSError:
    """Return the error with `path` as its file name."""
    if error.errno is None:  # no error of the operating system: keep its message
        return error
    return OSError(error.errno, error.strerror, os.fspath(path))


def _partial_prefix(target: Path) -> str:
    """Return the prefix of the names of partial files, which is short even for long file names."""
    return f".fastnn-{zlib.crc32(os.fsencode(target.name)):08x}-"


def _sync_folder(folder: Path) -> None:
    """Write a folder to the disk, where the system can, so that new names survive a power cut."""
    with suppress(OSError):  # Windows and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
