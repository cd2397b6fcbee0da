"""Windows' ways with files, on a system that has others."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

_OPEN_FILES = Path("/proc/self/fd")


class Windows:
    """Files as they are on Windows: none that is open or read-only is replaced or removed.

    `held` are names of files that other programs have open, and for how many more tries.
    """

    def __init__(self, monkeypatch):
        if not _OPEN_FILES.is_dir():
            pytest.skip("no /proc")
        self.held = {}
        self._replace, self._unlink = os.replace, os.unlink
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setattr(os, "replace", self.replace)
        monkeypatch.setattr(os, "unlink", self.unlink)

    def replace(self, old, new):
        """Rename a file as Windows does."""
        self._check(old)
        if os.path.exists(new):
            self._check(new)
            self._check_mark(new)
        self._replace(old, new)

    def unlink(self, path):
        """Remove a file as Windows does."""
        if os.path.exists(path):
            self._check(path)
            self._check_mark(path)
        self._unlink(path)

    def _check(self, path):
        for each in _OPEN_FILES.iterdir():
            if os.path.exists(each) and os.path.samefile(each, path):
                raise PermissionError(errno.EACCES, "open in this process", os.fspath(path))
        name = os.path.basename(path)
        for held, tries in self.held.items():
            if held in name and tries:
                self.held[held] -= 1
                raise PermissionError(errno.EACCES, "open in another process", os.fspath(path))

    def _check_mark(self, path):
        if not os.stat(path).st_mode & stat.S_IWUSR:
            raise PermissionError(errno.EACCES, "read-only", os.fspath(path))
