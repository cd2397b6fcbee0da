"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` once all of it is on the disk.

    When anything fails, what was at `path` stays as it was, and nothing is left beside it. A link
    goes on leading to the same place. Raises OSError, naming `path`, where it cannot be written.
    """
    target = Path(os.path.realpath(path))
    # Not tempfile's: that one is readable by its owner alone, whatever the umask.
    partial = target.with_name(f".fastnn-{secrets.token_hex(8)}")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        if error.errno is not None:  # rather than the name of the partial file
            error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        with suppress(OSError):  # it may never have been there
            partial.unlink()
