"""A second process that compiles the kernels needed last, while the first compiles the others.

Compilation holds the interpreter's lock, so a thread would not help. Both processes write
machine code to the cache folder and read it from there.
"""

from __future__ import annotations

import subprocess
import sys

from kernels.base import host


def start(dtype) -> None:
    """Start a process that compiles a step's second half, unless there is only one core."""
    if host.cores() > 1:
        program = f"from kernels import companion; companion.compile_second_half({str(dtype)!r})"
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def compile_second_half(dtype: str) -> None:
    """Compile the loss, the update and the input gradient."""
    from kernels.base.jit import real_type
    from kernels.instructions import linear, losses

    for kind in (losses.cross_entropy, linear.linear_update, linear.linear_input_gradient):
        kind.address(real_type(dtype))
