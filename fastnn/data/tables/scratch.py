"""Scratch files: what DuckDB reads only from files, and copies of what it cannot read as it is."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_OPEN_FILES = Path("/proc/self/fd")  # of Linux
_DAY = 86_400  # seconds


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
        nameless = _OPEN_FILES.is_dir()
        make = tempfile.TemporaryFile if nameless else tempfile.NamedTemporaryFile
        try:
            self._file = make(prefix=f"table-{os.getpid()}-", dir=self._folder)
        except OSError as error:
            raise self._failed(error) from error
        self.path = _OPEN_FILES / str(self._file.fileno()) if nameless else Path(self._file.name)

    def write(self, content: bytes) -> None:
        """Write bytes behind those that are there."""
        try:
            self._file.write(content)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """Let others read all that was written."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> ScratchError:
        return ScratchError(
            error.errno,
            f"{self._name}: cannot be copied to {self._folder}: {error.strerror}; the copy needs "
            "as much space there as the unpacked table",
        )


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
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    return True
