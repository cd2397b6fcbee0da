"""Check that the import name `kernels` leads to fastnn's kernels.

Another package with that import name is published for Python; the one that was installed last
would be imported, or a module of that name in the folder of the script that runs.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

_OURS = Path(__file__).parents[1] / "kernels" / "__init__.py"


class _Finder:
    """The finder of `kernels` as it was checked, wherever the path leads when it is imported."""

    def __init__(self, spec: ModuleSpec):
        self._spec = spec

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        """Return the checked `kernels`, and None for other modules."""
        return self._spec if name == "kernels" else None


def check() -> None:
    """Raise ImportError unless `kernels` is the package beside `fastnn`; do not import it."""
    spec = find_spec("kernels")
    origin = spec.origin if spec is not None else None
    if spec is not None and origin and os.path.realpath(origin) == os.path.realpath(_OURS):
        sys.meta_path.insert(0, _Finder(spec))
        return
    found = f"the one found is {origin}" if origin else "there is none"
    raise ImportError(
        "fastnn needs its own package `kernels`, but "
        f"{found}. If another distribution named `kernels` is installed, remove it and install "
        "fastnn again, or use fastnn in a virtual environment of its own:\n"
        "    pip uninstall kernels && pip install --force-reinstall --no-deps fastnn"
    )
