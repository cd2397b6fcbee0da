"""The folder that keeps machine code: whom it is trusted from, what is read, what is removed.

Machine code is run as it is read. So it is read only where nobody but this user and root can have
put it: file, folder and the way there belong to one of the two, and no others may write. Else the
folder is left alone, with one warning a process, and kernels are compiled in memory. Windows has
no such modes: there the usual folder is in the user's profile, which is closed to others, and one
that `FASTNN_CACHE_DIR` names is taken as it is.

A file begins with a digest of its name and content, so one that is damaged, or was given another
name, is compiled again. What was not read for 90 days is removed, and so is what a killed process
left half written.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import platformdirs

_HAS_MODES = hasattr(os, "geteuid")
_BY_ALL, _BY_GROUP = stat.S_IWOTH, stat.S_IWGRP

_DAY = 24 * 3600.0
_UNUSED = 90 * _DAY  # seconds after which a file that nobody reads is removed
_PARTIAL = 600.0  # seconds after which a file that is half written never becomes whole

_WAITS = (0.01, 0.05, 0.25, 1.0)  # seconds between tries to change a file on Windows

_OURS = re.compile(r".+-[0-9a-f]{32}(\.bin|\.bin\.\w+\.part)")
_CHECK = hashlib.sha256().digest_size

_warned = False


def folder() -> Path | None:
    """Return the folder: `FASTNN_CACHE_DIR`, or one in the user's cache folder if there is a home.

    The user's folder is None where neither `HOME` nor the list of users names a home.
    """
    chosen = os.environ.get("FASTNN_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    try:
        usual = Path(platformdirs.user_cache_dir("fastnn")) / "kernels"
    except RuntimeError:
        return None
    return usual if usual.is_absolute() else None  # older versions of platformdirs do not raise


def files(place: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files in a folder that hold machine code, whole or half written."""
    found = []
    for each in place.iterdir():
        if _OURS.fullmatch(each.name):
            with suppress(FileNotFoundError):  # another process has just removed it
                found.append((each, each.lstat()))
    return [(each, status) for each, status in found if not stat.S_ISDIR(status.st_mode)]


def clear(place: Path) -> None:
    """Remove the files that hold machine code, and nothing else."""
    for each, _ in files(place):
        _patiently(each.unlink, missing_ok=True)


# ------------------------------------------------------------------ reading and writing


def read(name: str) -> bytes | None:
    """Return what was written under a name, or None if there is nothing that can be trusted."""
    place = folder()
    try:
        if place is None or not _is_trusted(place):
            return None
        with open(place / name, "rb", opener=_open_file) as file:
            status = os.fstat(file.fileno())
            if not _is_own_file(status):
                _warn(f"others can change {place / name}")
                return None
            stored = file.read()
    except OSError:
        return None
    check, content = stored[:_CHECK], stored[_CHECK:]
    if check != _digest(name, content):
        return None
    if time.time() - status.st_mtime > _DAY:
        with suppress(OSError):
            os.utime(place / name)
            _sweep(place)
    return content


def write(name: str, content: bytes) -> None:
    """Keep content under a name; warn once a process if that cannot be done."""
    reason = refusal()
    if reason is not None:
        _warn(reason)
        return
    place = folder()
    assert place is not None
    try:
        if os.path.lexists(place / name) and not _is_own_file(os.lstat(place / name)):
            return  # the reader has warned of it
        handle, partial = tempfile.mkstemp(dir=place, prefix=f"{name}.", suffix=".part")
        try:
            with open(handle, "wb") as file:
                file.write(_digest(name, content) + content)
            _patiently(os.replace, partial, place / name)
        except BaseException:
            with suppress(OSError):  # the sweep removes what cannot be removed now
                os.unlink(partial)
            raise
    except OSError as error:
        _warn(f"{place}: {error.strerror}")
        return
    _sweep(place)


def holds(name: str) -> bool:
    """Return whether there is a file of a name in a folder that can be trusted."""
    place = folder()
    try:
        return place is not None and doubt(place) is None and (place / name).is_file()
    except OSError:
        return False


def refusal() -> str | None:
    """Return why nothing can be kept, or None; a folder that is absent is made."""
    place = folder()
    if place is None:
        return "there is no home folder"
    try:
        if not _exists(place):
            reason = _doubt_of_way(place.parent)
            if reason is not None:
                return reason
            _make(place)
        writable = os.access(place, os.W_OK)
        return doubt(place) if writable else f"{place} cannot be written"
    except OSError as error:
        return f"{place}: {error.strerror}"


@cache
def _sweep(place: Path) -> None:
    """Remove files of no more use; once a process, in one that compiles or is the day's first."""
    now = time.time()
    with suppress(OSError):
        for each, status in files(place):
            limit = _PARTIAL if each.suffix == ".part" else _UNUSED
            if now - status.st_mtime > limit:
                with suppress(PermissionError):  # another program has it open, on Windows
                    each.unlink(missing_ok=True)


def _patiently(change: Callable[..., object], *arguments: object, **options: object) -> None:
    """Replace or remove a file.

    Windows changes no file that another program has open, such as a scanner of viruses, which
    looks at each new file: there a few tries are made.
    """
    if sys.platform == "win32":
        for seconds in _WAITS:
            try:
                change(*arguments, **options)
                return
            except PermissionError:
                time.sleep(seconds)
    change(*arguments, **options)


def _exists(place: Path) -> bool:
    """Return whether there is something at a place; raise OSError if that cannot be seen."""
    try:
        place.stat()
    except FileNotFoundError:
        return False
    return True


def _make(place: Path) -> None:
    """Make a folder, and those above it, that only this user may enter."""
    for each in reversed([place, *place.parents]):
        if not _exists(each):
            each.mkdir(mode=0o700, exist_ok=True)


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


def _open_file(path: str, flags: int) -> int:
    """Open a file, but not what a link leads to, and without waiting for a pipe's other end."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _warn(reason: str) -> None:
    """Warn, once a process, that machine code is not kept."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"kernels are compiled anew in each process, for machine code is not kept: {reason}. "
            "Another folder can be named in FASTNN_CACHE_DIR.",
            RuntimeWarning,
            stacklevel=2,
        )


# ---------------------------------------------------------------------------- trust


def doubt(place: Path) -> str | None:
    """Return how others could change what is in a folder, or None if they cannot."""
    if not _HAS_MODES:
        return None
    status = place.stat()
    if not _belongs(status):
        return f"{place} belongs to another user"
    if status.st_mode & (_BY_ALL | _BY_GROUP):
        return f"others may write to {place} (chmod go-w)"
    return _doubt_of_way(place, status.st_dev, status.st_ino)


def _is_trusted(place: Path) -> bool:
    """Return whether a folder can be trusted; warn once a process if it cannot."""
    reason = doubt(place)
    if reason is not None:
        _warn(reason)
    return reason is None


@cache
def _doubt_of_way(place: Path, *identity: int) -> str | None:
    """Return how others could put another folder in the place of this one, or None.

    What is absent is not in doubt: it will be made by this user.
    """
    if not _HAS_MODES:
        return None
    root = os.lstat(place.anchor).st_uid  # not 0 in a container that knows no root
    for step in _way(place):
        try:
            status = step.lstat()
        except FileNotFoundError:
            return None
        if not _belongs(status) and status.st_uid != root:
            return f"{step} belongs to another user"
        if _others_replace_in(status):
            return f"others may write to {step} (chmod go-w)"
    return None


def _way(place: Path) -> Iterator[Path]:
    """Yield the folders and links that lead to a place, and the place, from the root on."""
    here = Path(place.anchor)
    yield here
    for part in place.parts[1:]:
        here /= part
        yield here
        if here.is_symlink():
            target = here.parent / here.readlink()
            yield from _way(target)
            here = target.resolve()


def _belongs(status: os.stat_result) -> bool:
    """Return whether something belongs to this user or to root."""
    return status.st_uid in (0, os.geteuid())


def _is_own_file(status: os.stat_result) -> bool:
    """Return whether this is a file that nobody but this user and root can write."""
    if not _HAS_MODES:
        return stat.S_ISREG(status.st_mode)
    writable = status.st_mode & (_BY_ALL | _BY_GROUP)
    return stat.S_ISREG(status.st_mode) and _belongs(status) and not writable


def _others_replace_in(status: os.stat_result) -> bool:
    """Return whether others can rename what is in a folder; modes of links mean nothing."""
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return False
    by_group = status.st_mode & _BY_GROUP and _is_shared(status.st_gid)
    return bool(status.st_mode & _BY_ALL or by_group)


def _is_shared(group: int) -> bool:
    """Return whether a group is neither root's nor this user's alone, which has the user's name."""
    import grp
    import pwd

    if group == 0:
        return False
    try:
        known, user = grp.getgrgid(group), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return True
    return known.gr_name != user or not {*known.gr_mem} <= {user}
