"""A file system whose power is cut: what a folder may hold afterwards, by POSIX.

Operations are done, and written down. What was not synced by `fsync` is lost in part or in full:
of a file any of its bytes, of a folder any of the names that were made, moved or removed.
"""

from __future__ import annotations

import builtins
import io
import itertools
import os
import pathlib
from contextlib import contextmanager


class Recorder:
    """The operations on files below a folder, as tuples."""

    def __init__(self, root):
        self.root, self.operations = os.path.realpath(root), []

    def note(self, *operation):
        self.operations.append(operation)

    def place(self, path):
        """The path below the folder, or None."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}").removesuffix(" (deleted)")
        path = os.path.realpath(os.fspath(path))
        inside = path == self.root or path.startswith(self.root + os.sep)
        return os.path.relpath(path, self.root) if inside else None


class _File:
    """An open file whose writes are written down."""

    def __init__(self, recorder, file, number):
        self._recorder, self._file, self._number = recorder, file, number

    def write(self, content):
        self._recorder.note("write", self._number, self._file.tell(), bytes(content))
        return self._file.write(content)

    def truncate(self, size=None):
        self._recorder.note("truncate", self._number, size)
        return self._file.truncate(size)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


@contextmanager
def recorded(root):
    """Record what happens below a folder; yields a `Recorder`."""
    recorder = Recorder(root)
    real = {
        "open": io.open, "fsync": os.fsync, "replace": os.replace, "unlink": os.unlink,
        "mkdir": os.mkdir,
    }  # fmt: skip

    def opened(path, mode="r", *rest, **options):
        place = None if isinstance(path, int) else recorder.place(path)
        writes = set(mode) & set("wax+")
        new = place is not None and writes and not os.path.exists(path)
        file = real["open"](path, mode, *rest, **options)
        if place is None or not writes:
            return file
        number = os.fstat(file.fileno()).st_ino
        if new:
            recorder.note("name", place, number)
        return _File(recorder, file, number)

    def fsync(descriptor):
        real["fsync"](descriptor)
        place = recorder.place(descriptor)
        if place is not None and os.path.isdir(os.path.join(recorder.root, place)):
            recorder.note("sync folder", place)
        elif place is not None:
            recorder.note("sync", os.fstat(descriptor).st_ino)

    def replace(old, new):
        places = recorder.place(old), recorder.place(new)
        real["replace"](old, new)
        if None not in places:
            recorder.note("move", *places)

    def unlink(path, **options):
        place = recorder.place(os.path.dirname(os.fspath(path)))
        real["unlink"](path, **options)
        if place is not None:
            recorder.note("remove", os.path.normpath(os.path.join(place, os.path.basename(path))))

    def mkdir(path, *rest, **options):
        real["mkdir"](path, *rest, **options)
        if recorder.place(path) is not None:
            recorder.note("folder", recorder.place(path))

    try:
        io.open = builtins.open = opened
        os.fsync, os.replace, os.unlink, os.mkdir = fsync, replace, unlink, mkdir
        yield recorder
    finally:
        io.open = builtins.open = real["open"]
        os.fsync, os.replace = real["fsync"], real["replace"]
        os.unlink, os.mkdir = real["unlink"], real["mkdir"]


class _Content:
    """A file on the disk: what is synced, and what was written since."""

    def __init__(self):
        self.synced, self.now, self.since = b"", b"", []

    def write(self, place, content):
        self.now = _written(self.now, place, content)
        self.since.append((place, content))

    def truncate(self, size):
        self.now = self.now[:size]
        self.since.append((size, None))

    def sync(self):
        self.synced, self.since = self.now, []

    def possible(self):
        """Yield contents after a power cut."""
        yield self.synced
        if not self.since:
            return
        yield self.now
        for count in range(len(self.since)):
            content = self.synced
            for place, piece in self.since[:count]:
                content = _written(content, place, piece)
            place, piece = self.since[count]
            if piece is None:
                continue
            half = len(piece) // 2
            yield _written(content, place, piece[:half])
            yield _written(content, place, piece[:half] + bytes(len(piece) - half))
            yield _written(content, place, bytes(half) + piece[half:])
            yield _written(content, place, bytes(len(piece)))


def _written(content, place, piece):
    if piece is None:
        return content[:place]
    padded = content.ljust(place, b"\0")
    return padded[:place] + piece + padded[place + len(piece) :]


def after_a_cut(operations):
    """Yield each folder that these operations may leave: a dict from path to bytes.

    Folders are None.
    """
    files, names, pending = {}, {}, {}
    for operation in operations:
        kind, *given = operation
        if kind == "write":
            files.setdefault(given[0], _Content()).write(*given[1:])
        elif kind == "truncate":
            files[given[0]].truncate(given[1])
        elif kind == "sync":
            files.setdefault(given[0], _Content()).sync()
        elif kind == "sync folder":
            for each in pending.pop(given[0], []):
                _apply(names, each)
        else:
            if kind == "name":
                files.setdefault(given[1], _Content())
            elif kind == "move":
                operation = ("move", *given, _number(names, pending, given[0]))
            pending.setdefault(os.path.dirname(given[-1] if kind == "move" else given[0]) or ".",
                               []).append(operation)  # fmt: skip
    every = [each for some in pending.values() for each in some]
    for chosen in itertools.product((False, True), repeat=len(every)):
        found = dict(names)
        for each in itertools.compress(every, chosen):
            _apply(found, each)
        whole = {path: number for path, number in found.items() if _is_reached(path, found)}
        numbers = sorted({number for number in whole.values() if number is not None})
        for contents in itertools.product(*(set(files[n].possible()) for n in numbers)):
            by_number = dict(zip(numbers, contents, strict=True))
            yield {path: by_number.get(number) for path, number in whole.items()}


def _number(names, pending, path):
    """The file that has a name now."""
    found = dict(names)
    for some in pending.values():
        for each in some:
            _apply(found, each)
    return found[path]


def _apply(names, operation):
    kind, *given = operation
    if kind == "name":
        names[given[0]] = given[1]
    elif kind == "folder":
        names[given[0]] = None
    elif kind == "remove":
        names.pop(given[0], None)
    else:
        old, new, number = given
        names.pop(old, None)
        names[new] = number


def _is_reached(path, names):
    """Whether all folders above a path are there."""
    above = os.path.dirname(path)
    return not above or (above in names and _is_reached(above, names))


def build(state, folder):
    """Make the files of a state in an empty folder."""
    folder = pathlib.Path(folder)
    for path, content in sorted(state.items()):
        if content is None:
            (folder / path).mkdir(parents=True)
        else:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)


def states(recorder):
    """Yield (count, state) for each different folder after each number of operations."""
    for count in range(len(recorder.operations) + 1):
        seen = set()
        for state in after_a_cut(recorder.operations[:count]):
            key = tuple(sorted(state.items(), key=lambda each: each[0]))
            if key not in seen:
                seen.add(key)
                yield count, state
