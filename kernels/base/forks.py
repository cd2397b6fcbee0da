"""Forks of this process: what its child renews, and what a fork waits for.

A child has only the thread that forked. Locks that others held stay locked there, and what they
were changing stays half changed, so a module renews in the child what its threads share. A fork
waits until no other thread compiles, since numba and LLVM cannot be renewed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext, suppress

from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock


def in_child(renew: Callable[[], object]) -> None:
    """Have a function called in each child of a fork, where the system has forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)


# numba's and LLVM's own locks, in the order in which a compilation takes them.
_LOCKS = global_compiler_lock, getattr(ffi.lib, "_lock", nullcontext())


def _stop_compiling() -> None:
    """Wait until no other thread compiles or loads machine code, and keep it so."""
    for lock in _LOCKS:
        lock.__enter__()


def _go_on_compiling() -> None:
    for lock in reversed(_LOCKS):
        with suppress(RuntimeError):  # Ctrl-C has ended the wait for this lock
            lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_stop_compiling,
        after_in_parent=_go_on_compiling,
        after_in_child=_go_on_compiling,
    )
