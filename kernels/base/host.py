"""What the machine code may count on: the host's vector width, registers and cores.

LLVM's names for the host's features decide. `NUMBA_CPU_NAME` and
`NUMBA_CPU_FEATURES` replace the detected ones, here as in numba itself, so the
kernels can be built for, and tried as, another machine.
"""

from __future__ import annotations

import os
import platform

import llvmlite.binding as llvm
import numba
from numba import types

CACHE_LINE = 64
"""Bytes in a cache line; arrays that kernels own begin at a multiple of it."""


def _features() -> frozenset[str]:
    """Names of the instruction-set extensions numba compiles for."""
    listed = numba.config.CPU_FEATURES
    if listed is None:
        listed = llvm.get_host_cpu_features().flatten()
    return frozenset(name[1:] for name in listed.split(",") if name.startswith("+"))


FEATURES = _features()
"""Enabled LLVM feature names, such as `avx512f` or `avx2`."""

IS_X86 = platform.machine().lower() in {"x86_64", "amd64", "i386", "i686", "x86"}

VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if {"avx2", "fma"} <= FEATURES else 16
"""Width of a vector register: AVX-512, AVX2, or 128 bits (SSE2, Arm NEON)."""

VECTOR_REGISTERS = 32 if VECTOR_BYTES == 64 or not IS_X86 else 16

TILE_VECTORS = 2
"""Vectors in a row of the matrix product's register tile."""

TILE_ROWS = 14 if VECTOR_REGISTERS == 32 else 6
"""Rows of the register tile: with two vectors a row, the accumulators, one row
of B and one broadcast element of A just fit the registers."""


def lanes(dtype: types.Type) -> int:
    """Elements of numba type `dtype` in one vector register."""
    return VECTOR_BYTES * 8 // dtype.bitwidth


def cores() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Threads to compute on: `cores`, or what `NUMBA_NUM_THREADS` bounds them to.

    joblib sets that variable in its worker processes, so that together they have a
    thread for each core.
    """
    return max(1, min(cores(), numba.config.NUMBA_NUM_THREADS))
