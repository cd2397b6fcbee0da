"""Files that are written whole or not at all, and lists that grow by whole lines."""

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
    """Open a file for writing that takes the place of `path` once all of it is on the disk.

    When anything fails, what was at `path` stays as it was, and nothing is left beside it; only
    a process that is killed leaves the part it wrote, for `remove_partials`. The file has the mode
    of the one it replaces. A link goes on leading to the same place. Raises OSError, naming
    `path`, where it cannot be written.
    """
    target = Path(os.path.realpath(path))
    # Not tempfile's: that one is readable by its owner alone, whatever the umask.
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
        raise _naming(path, error) from error  # rather than the partial file
    finally:
        with suppress(OSError):  # it may never have been there
            partial.unlink()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError, naming `path`, unless a file can be written there."""
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise _naming(path, error) from error


def remove_partials(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed have left of their writing of `path`."""
    target = Path(os.path.realpath(path))
    for partial in target.parent.glob(f"{_partial_prefix(target)}*"):
        with suppress(OSError):
            partial.unlink()


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Add a line to a file, on the disk before this returns.

    A process that is killed leaves at most a last line without an end. Raises OSError where
    the line cannot be written; the lines before it stay.
    """
    content = f"{line}\n".encode()
    with open(path, "ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            written = file.write(content)
            if written != len(content):  # a disk that is all but full
                file.write(content[written:])
            os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(start)
            raise _naming(path, error) from error
        if start == 0:
            _sync_folder(Path(os.path.realpath(path)).parent)


def _naming(path: str | os.PathLike[str], error: OSError) -> OSError:
    """The same error, told of a path."""
    if error.errno is None:  # not the system's: it says what it says
        return error
    return OSError(error.errno, error.strerror, os.fspath(path))


def _partial_prefix(target: Path) -> str:
    """Beginning of the names of a file's partial ones, short however long its own is."""
    return f".fastnn-{zlib.crc32(os.fsencode(target.name)):08x}-"


def _sync_folder(folder: Path) -> None:
    """Have a new name in a folder survive a power cut, where the system lets us see to it."""
    with suppress(OSError):  # not on Windows, nor on some network file systems
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
