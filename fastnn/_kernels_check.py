"""Check that the import name `kernels` leads to fastnn's kernels.

Another package with that import name is published for Python; the one that was installed last
would be imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_MARK = b"fastnn's kernels"


def check() -> None:
    """Raise ImportError if `kernels` is missing or another package's; do not import it."""
    spec = find_spec("kernels")
    origin = spec.origin if spec is not None else None
    if origin is not None and _MARK in Path(origin).read_bytes():
        return
    found = f"the one found is {origin}" if origin else "there is none"
    raise ImportError(
        "fastnn needs its own package `kernels`, but "
        f"{found}. If another distribution named `kernels` is installed, remove it and install "
        "fastnn again, or use fastnn in a virtual environment of its own:\n"
        "    pip uninstall kernels && pip install --force-reinstall --no-deps fastnn"
    )
