"""Locks: one run at a time writes a file or a folder, among all threads and processes.

The operating system keeps the locks, so those of a killed process are gone with it.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

_HELD: dict[tuple[int, str], Held] = {}
"""Locks of this process: the system tells processes apart, not threads."""

_WITHOUT = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL
"""Errors of file systems that have no locks."""


class InUseError(OSError):
    """Another run writes the file or the folder now; the message names it."""


class Held:
    """A lock on `path`, held until `release`; `name` is the lock's file, which is then removed.

    A context manager, which releases the lock.

    Raises InUseError if another thread or process holds it, and OSError if `name` cannot be
    written. A file system without locks is warned of.
    """

    def __init__(self, path: str | os.PathLike[str], name: Path):
        self._path, self._name, self._owner = os.fspath(path), name, os.getpid()
        self._key = self._owner, os.path.realpath(name)
        if _HELD.setdefault(self._key, self) is not self:
            raise self._in_use()
        try:
            self._file = self._locked()
        except BaseException:
            del _HELD[self._key]
            raise

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def check(self) -> None:
        """Raise InUseError in a forked child, whose parent holds the lock."""
        if os.getpid() != self._owner:
            raise self._in_use()

    def release(self) -> None:
        """Let others have the lock; a forked child leaves it to its parent."""
        if _HELD.get(self._key) is self and os.getpid() == self._owner:
            if sys.platform == "win32":  # which removes no open file, nor one of the next holder
                self._file.close()
                with suppress(PermissionError):
                    self._name.unlink(missing_ok=True)
            else:
                self._name.unlink(missing_ok=True)
                self._file.close()
            del _HELD[self._key]

    def _locked(self) -> BinaryIO:
        """Return the open and locked file of the lock."""
        while True:
            file = self._name.open("ab")
            try:
                if not _lock_of_process(file):
                    raise self._in_use()
                if _is_at(file, self._name):
                    return file
            except BaseException as error:
                file.close()
                if isinstance(error, OSError) and error.errno in _WITHOUT:
                    return self._unlocked()
                raise
            file.close()  # it was removed by a run that ended just now

    def _unlocked(self) -> BinaryIO:
        warnings.warn(
            f"{self._path} is on a file system without locks: see to it that no other run writes "
            "there",
            stacklevel=2,
        )
        return self._name.open("ab")

    def _in_use(self) -> InUseError:
        return InUseError(
            f"{self._path}: another run writes there now; wait for its end, or name another place"
        )


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Return whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock_of_process(file: BinaryIO) -> bool:
        """Lock a file until it is closed; return False if another process has locked it."""
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

    def try_lock(file: IO[bytes]) -> bool:
        """Return True: Windows removes no open file."""
        return True

else:
    import fcntl

    def _lock_of_process(file: BinaryIO) -> bool:
        """Lock a file until it is closed; return False if another process has locked it.

        Children of a fork do not share this lock, so those of a killed process do not keep it.
        """
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def try_lock(file: IO[bytes]) -> bool:
        """Lock a file until it is closed; return False if that is not possible."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
