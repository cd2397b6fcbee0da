"""A second process that compiles the kernels needed last, while the first compiles the others.

Compilation holds the interpreter's lock, so a thread would not help. Both processes write
machine code to the cache folder and read it from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from kernels.base import host

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from kernels import companion
companion.compile_second_half(sys.argv[2])
"""


def start(dtype) -> None:
    """Start a process that compiles a step's second half, unless there is only one core.

    It looks for modules where this process does, but not in the folder that happens to be the
    current one, and is isolated (`-I`) until it knows where. It writes no bytecode (`-B`).
    """
    if host.cores() > 1:
        path = [each for each in sys.path if os.path.isabs(each)]
        subprocess.Popen(
            [sys.executable, "-IB", "-c", _PROGRAM, json.dumps(path), str(dtype)],
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
