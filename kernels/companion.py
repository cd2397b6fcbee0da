"""A second process that compiles what training needs last, while the first compiles the rest.

Compilation holds the interpreter's lock, so a thread would not help. Both processes keep
what they have compiled in the cache, where the other finds it.
"""

from __future__ import annotations

import subprocess
import sys

from kernels.base import host


def start(dtype) -> None:
    """Begin to compile the kernels of a step's second half, where there is a core for it."""
    if host.cores() > 1:
        program = f"from kernels import companion; companion.compile_second_half({str(dtype)!r})"
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def compile_second_half(dtype: str) -> None:
    """Compile loss, updates and gradients, those first that are needed first."""
    from kernels.base.jit import real_type
    from kernels.instructions import linear, losses

    for kind in (losses.cross_entropy, linear.linear_update, linear.linear_input_gradient):
        kind.address(real_type(dtype))
