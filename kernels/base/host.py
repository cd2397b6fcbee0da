"""The host that kernels are compiled for: vector width, number of registers, cores.

All follow from the features of the host that LLVM detects. As in numba, `NUMBA_CPU_NAME` and
`NUMBA_CPU_FEATURES` replace the detected features, and `NUMBA_ENABLE_AVX=0` takes AVX away.
"""

from __future__ import annotations

import os

import llvmlite.binding as llvm
import numba
from numba import types
from numba.core.codegen import get_host_cpu_features

from kernels.base import quota

CACHE_LINE = 64
"""Bytes of a cache line; arrays that kernels own are aligned to it."""


_AVX = {"avx", "sse3", "sse4.1", "sse4.2", "ssse3"}
_NEEDED = {"avx512f": _AVX | {"avx2", "f16c", "fma"}, "avx2": _AVX, "fma": _AVX}
"""What LLVM switches off with any of these features: it leaves none without what it is built on."""

_EVERYWHERE = {"-64bit", "-sse", "-sse2"}
"""Without these there is no code for x86-64."""


def _listed() -> list[str]:
    """Return the names of extensions that numba switches on (+) or off (-), with these signs."""
    chosen = numba.config.CPU_FEATURES
    names = get_host_cpu_features() if chosen is None else chosen
    return [name for name in names.split(",") if name]


def _features() -> frozenset[str]:
    """Return the names of the instruction-set extensions that numba compiles for."""
    on, off = ({name[1:] for name in _listed() if name[0] == sign} for sign in "+-")
    return frozenset(name for name in on - off if not off & _NEEDED.get(name, set()))


def impossible() -> list[str]:
    """Return what numba is told to compile for and cannot, which would end the process."""
    there = llvm.get_host_cpu_features()
    absent = {f"+{name}" for name, is_there in there.items() if not is_there}
    wrong = absent | _EVERYWHERE
    return [name for name in _listed() if name[0] not in "+-" or name in wrong]


FEATURES = _features()
"""LLVM's names of the enabled features, such as `avx512f` or `avx2`."""

# Not from `platform`: a process for x86-64 on Windows for Arm is told of the machine.
_ARCHITECTURE = llvm.get_process_triple().partition("-")[0]

IS_X86 = _ARCHITECTURE in {"x86_64", "i386", "i486", "i586", "i686"}

IS_ARM = _ARCHITECTURE in {"aarch64", "arm64"}
"""True for 64-bit Arm."""

VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if {"avx2", "fma"} <= FEATURES else 16
"""Bytes of a vector register: 64 with AVX-512, 32 with AVX2, 16 with SSE2 and Arm NEON."""

VECTOR_REGISTERS = 32 if VECTOR_BYTES == 64 or not IS_X86 else 16

TILE_VECTORS = 2
"""Vectors in a row of the register tile of the matrix product."""

TILE_ROWS = 14 if VECTOR_REGISTERS == 32 else 6
"""Rows of the register tile: its accumulators, one row of B and one broadcast element of A
just fit the registers."""


def lanes(dtype: types.Type) -> int:
    """Return how many elements of numba type `dtype` a vector register holds."""
    return VECTOR_BYTES * 8 // dtype.bitwidth


MOST_THREADS = 256
"""Largest number of threads to compute with; each has memory of its own."""


def cores() -> int:
    """Return the number of cores that this process may use, now.

    These are the cores that it may run on, at most as many as its share of time is worth
    (`kernels.base.quota`).
    """
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    return max(1, min(found, quota.cores()))


def threads() -> int:
    """Return the number of threads to compute with: `cores`, at most `NUMBA_NUM_THREADS` and 256.

    joblib sets that variable in its worker processes, so that all of them together have one
    thread a core.
    """
    return max(1, min(cores(), numba.config.NUMBA_NUM_THREADS, MOST_THREADS))
