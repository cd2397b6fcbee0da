"""Atomic writing: files are replaced as a whole or not at all, and logs grow by whole lines.

What is no regular file, such as a device, a pipe or /dev/stdout, is written to, never replaced.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fastnn.files.locks import Held, try_lock

if sys.platform != "win32":
    import fcntl

_OPEN_FILES = re.compile(r"/dev/fd|/proc/(\d+)(/task/\d+)?/fd")
"""Folders whose links are open files."""
_MOST_LINKS = 40
_WAITS = (0.01, 0.05, 0.25, 1.0)
"""Seconds between tries to change a file that another program has open, on Windows."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file for writing, and let it replace `path` once it is on the disk.

    If writing fails, the file at `path` stays as it was, and the partial file is removed; a killed
    process leaves the partial file to `remove_partials`. The new file has the mode of the old one
    and, where permitted, its owner; a symbolic link at `path` is kept, other hard links keep the
    old content. A device, a pipe or an open file such as /dev/stdout is written to. Raises
    OSError, naming `path`, where it cannot be written.
    """
    try:
        if (place := open_in_place(path)) is not None:
            with place:
                yield place
            return
        target = _target(path)
        partial, file = _new_partial(target)
        try:
            with file:
                _keep_owner_and_mode(target, partial)
                yield file
                file.flush()
                sync(file.fileno())
                if sys.platform == "win32":  # which renames no open file
                    file.close()
                _change(os.replace, target, partial, target)  # locked against `remove_partials`
            sync_folder(target.parent)
        finally:
            with suppress(OSError):  # it is gone after the replacement
                _unlink(partial)
    except OSError as error:
        raise _naming(path, error) from error  # the error named the partial file


def open_in_place(path: str | os.PathLike[str]) -> BinaryIO | None:
    """Return the device, the pipe or the open file at `path` for writing; None for other paths.

    Raises OSError if it cannot be written, or is neither of these nor a regular file.
    """
    number = _own_descriptor(path)
    if number is not None:
        return os.fdopen(os.dup(number), "wb")
    mode = _mode(path)
    if mode is None or stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        what = "neither a regular file, a pipe nor a character device"
        raise OSError(errno.EINVAL, what, os.fspath(path))
    flags = getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, os.O_WRONLY | flags), "wb")


def is_replaced(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a regular file or none, which `replacing` replaces."""
    mode = _mode(path)
    return _own_descriptor(path) is None and (mode is None or stat.S_ISREG(mode))


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError, naming `path`, unless it is a regular file, or there is nothing."""
    if not is_replaced(path):
        raise OSError(errno.EINVAL, "no regular file, which this has to be", os.fspath(path))


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError, naming `path`, if no regular file can be written there."""
    target = _target(path)
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        check_regular(path)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise _naming(path, error) from error


def remove(path: str | os.PathLike[str]) -> None:
    """Remove the regular file at a path, if there is one; links to it, and all else, stay."""
    if is_replaced(path):
        _unlink(_target(path))


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, so that they survive a power cut."""
    folder = Path(os.fsdecode(path)).absolute()
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        sync_folder(each.parent)


def locked(path: str | os.PathLike[str], within: str = "") -> Held:
    """Return a lock on a file, or on the folder with the file `within`; release it in the end.

    Raises InUseError, naming `path`, if another thread or process holds it.
    """
    target = _target(os.path.join(os.fsdecode(path), within))
    return Held(path, target.with_name(f"{_prefix(target)}.lock"))


def remove_partials(path: str | os.PathLike[str]) -> None:
    """Remove the partial files that killed processes left when they wrote `path`."""
    target = _target(path)
    for partial in target.parent.glob(f"{_prefix(target)}-*"):
        # Some network file systems lock only what is open for writing.
        mode = "r+b" if os.access(partial, os.W_OK) else "rb"
        with suppress(OSError), partial.open(mode) as file:
            if try_lock(file):  # nobody is writing it
                if sys.platform == "win32":
                    file.close()
                _unlink(partial)


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append a line to a file, and return when it is on the disk.

    A killed process leaves at most an incomplete last line. Raises OSError where the line cannot
    be written; the file then keeps the lines before it.
    """
    content = f"{line}\n".encode()
    check_regular(path)
    with open(path, "ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            written = file.write(content)
            if written != len(content):  # the disk is almost full: the rest will raise the error
                file.write(content[written:])
            sync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(start)
            raise _naming(path, error) from error
        sync_folder(_target(path).parent)


def sync_folder(folder: Path) -> None:
    """Write a folder to the disk, where the system can, so that new names survive a power cut."""
    with suppress(OSError):  # Windows and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)


def sync(descriptor: int) -> None:
    """Write an open file to the disk, and not only to the drive's own memory."""
    if sys.platform == "darwin":  # where fsync ends there
        with suppress(OSError):  # some file systems cannot
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _unlink(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        _change(os.unlink, path, path)


def _change(change: Callable[..., None], old: Path, *arguments: Path) -> None:
    """Replace or remove the file `old`.

    Windows changes no file that is read-only or that another program has open, such as a scanner
    of viruses, which looks at each new file: there the mark is removed, and a few tries are made.
    """
    if sys.platform == "win32":
        with suppress(OSError):  # there is none
            os.chmod(old, stat.S_IWRITE)
        for seconds in _WAITS:
            try:
                return change(*arguments)
            except PermissionError:
                time.sleep(seconds)
    return change(*arguments)


def _target(path: str | os.PathLike[str]) -> Path:
    """Return where a path leads, behind all links; `path` may be in bytes, as for `open`."""
    return Path(os.path.realpath(os.fsdecode(path)))


def _new_partial(target: Path) -> tuple[Path, BinaryIO]:
    """Return the name of a new partial file, and the file, open and locked."""
    while True:
        # Not by tempfile, whose files only their owner can read, whatever the umask.
        partial = target.with_name(f"{_prefix(target)}-{secrets.token_hex(8)}")
        file = partial.open("xb")
        try_lock(file)
        if partial.exists():  # else `remove_partials` took it for a dead one before it was locked
            return partial, file
        file.close()


def _keep_owner_and_mode(old: Path, new: Path) -> None:
    """Give a new file the old one's owner, group, mode and access list, where permitted."""
    try:
        kept = old.stat()
    except FileNotFoundError:
        return
    with suppress(OSError, AttributeError):  # Windows has no owners
        os.chown(new, -1, kept.st_gid)
        os.chown(new, kept.st_uid, -1)
    with suppress(OSError):
        shutil.copystat(old, new)
    mode, found = stat.S_IMODE(kept.st_mode), new.stat()
    if found.st_gid != kept.st_gid:  # another group may do what everybody may
        mode = mode & ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    os.chmod(new, mode)


def _mode(path: str | os.PathLike[str]) -> int | None:
    """Return the mode of what is at a path, and None if there is nothing."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _own_descriptor(path: str | os.PathLike[str]) -> int | None:
    """Return the number of the open file that a path such as /dev/stdout leads to, or None."""
    place = os.path.abspath(os.fsdecode(path))
    for _ in range(_MOST_LINKS):
        folder, name = os.path.realpath(os.path.dirname(place)), os.path.basename(place)
        found = _OPEN_FILES.fullmatch(folder)
        if found and name.isdecimal():
            if found[1] not in (None, str(os.getpid())):
                raise OSError(errno.EINVAL, "an open file of another process", os.fspath(path))
            return int(name)
        if not os.path.islink(place):
            break
        place = os.path.join(folder, os.readlink(place))
    return None


def _naming(path: str | os.PathLike[str], error: OSError) -> OSError:
    """Return the error with `path` as its file name."""
    if error.errno is None:  # no error of the operating system: keep its message
        return error
    return OSError(error.errno, error.strerror, os.fspath(path))


def _prefix(target: Path) -> str:
    """Return a prefix for the names of files that belong to one, short even for long names."""
    return f".fastnn-{zlib.crc32(os.fsencode(target.name)):08x}"
