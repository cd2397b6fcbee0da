"""Scratch files: what DuckDB reads only from files, and copies of what it cannot read as it is."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

_OPEN_FILES = Path("/proc/self/fd")  # of Linux
_DAY = 86_400  # seconds
_NO_SUCH_PROCESS = 87  # Windows' ERROR_INVALID_PARAMETER


class ScratchError(OSError):
    """Error for a file that cannot be copied, as where the disk is full."""

    def __str__(self) -> str:
        return self.strerror or ""


class Scratch:
    """A file to write, and then to read by its `path`, that is deleted with the object.

    On Linux it has no name on the disk, so that it is gone with the process, however that ends;
    elsewhere `folder` removes it on another day. `name`, that of the table, is for errors.

    Raises ScratchError if the folder of scratch files cannot be written or is full.
    """

    def __init__(self, name: str):
        self._name, self._folder = name, folder()
        self._nameless = _OPEN_FILES.is_dir()
        make = tempfile.TemporaryFile if self._nameless else _named
        try:
            self._file = make(prefix=f"table-{os.getpid()}-", dir=self._folder)
        except OSError as error:
            raise self._failed(error) from error
        if self._nameless:
            self.path = _OPEN_FILES / str(self._file.fileno())
        else:
            self.path = Path(self._file.name)
            weakref.finalize(self, _remove, self._file)

    def write(self, content: bytes) -> None:
        """Write bytes behind those that are there."""
        try:
            self._file.write(content)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """Let others read all that was written, or write the file; this ends the writing."""
        try:
            if self._nameless:
                self._file.flush()
            else:  # Windows lets nobody have a file that is open for writing
                self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> ScratchError:
        return ScratchError(
            error.errno,
            f"{self._name}: cannot be copied to {self._folder}: {error.strerror}; the copy needs "
            "as much space there as the unpacked table",
        )


def _named(prefix: str, dir: Path) -> IO[bytes]:
    """Return a new file that stays when it is closed."""
    return tempfile.NamedTemporaryFile(prefix=prefix, dir=dir, delete=False)


def _remove(file: IO[bytes]) -> None:
    """Close a file and remove it."""
    with suppress(OSError):  # a full disk: the end of the file cannot be written
        file.close()
    with suppress(OSError):  # DuckDB has it open, on Windows: it is removed on another day
        os.unlink(file.name)


def folder() -> Path:
    """Return the user's cache folder; that of temporary files, which may be in memory, without one.

    Files of processes that were killed are removed after a day.
    """
    import platformdirs

    path = Path(platformdirs.user_cache_dir("fastnn"))
    with suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
    if not (path.is_dir() and os.access(path, os.W_OK)):
        path = Path(tempfile.gettempdir())
    _remove_leftovers(path)
    return path


@cache
def _remove_leftovers(path: Path) -> None:
    """Remove scratch files, and folders that DuckDB spilled to, of processes that are gone."""
    for each in path.glob("table-*-*"):
        with suppress(OSError, ValueError):
            if time.time() - each.stat().st_mtime > _DAY and not _runs(
                int(each.name.split("-")[1])
            ):
                shutil.rmtree(each) if each.is_dir() else each.unlink()


def _runs(process: int) -> bool:
    """Return whether a process runs on this machine."""
    if sys.platform == "win32":  # where signal 0 is Ctrl-C
        import _winapi

        try:
            handle = _winapi.OpenProcess(_winapi.SYNCHRONIZE, False, process)
        except OSError as error:
            return error.winerror != _NO_SUCH_PROCESS
        ended = _winapi.WaitForSingleObject(handle, 0) == _winapi.WAIT_OBJECT_0
        _winapi.CloseHandle(handle)
        return not ended
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    return True
