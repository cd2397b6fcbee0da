"""Processes whose kernels are compiled for another processor."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

import fastnn
from kernels.base import host

PROCESSORS = {
    "128 bits": ("generic", ""),
    "AVX2": ("haswell", "+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2"),
    "AVX-512": (
        "skylake-avx512",
        "+sse4.2,+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl",
    ),
}
"""Names and features for LLVM, by the width of vectors."""


def environment_of(processor=None):
    """Return the environment of a process with fastnn, these helpers, and kernels for a processor.

    None is this one. The test is skipped if this processor cannot be the other.
    """
    path = [str(Path(__file__).parent), str(Path(fastnn.__file__).parents[1])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    if processor is None:
        return env
    name, features = PROCESSORS[processor]
    there = {each for each, has in llvm.get_host_cpu_features().items() if has}
    if not host.IS_X86 or not {each[1:] for each in features.split(",") if each} <= there:
        pytest.skip(f"this processor cannot be one with {processor}")
    return {**env, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}


def run_as(processor, command, folder):
    """Run Python with a command's words, and return what it printed; it has to end with 0."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment_of(processor),
        capture_output=True, text=True, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
