"""Peak rates of the machine on one core: multiply-adds in registers, and copies of memory."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from bench.peers import Case
from kernels.base import host
from kernels.base.jit import entry, real_type
from kernels.base.kinds import INTEGER, writes
from kernels.base.simd import data, fma, load, store, width

_CHAINS = 12  # independent sums: enough to hide the latency, few enough for 16 registers
_REPEATS = 50_000


def _with_own_digest(function):
    """Add a digest of this file to a kernel's name, since the cache only checks `kernels`."""
    function.__qualname__ += "-" + hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return function


@entry(INTEGER, writes(1))
@_with_own_digest
def _multiply_adds(repeats, memory):
    """Add x y `repeats` times to each of 12 vectors in memory, which follow the vectors x and y."""
    p, w = data(memory), width(data(memory))
    x, y = load(p, 0), load(p, w)
    a, b, c, d = load(p, 2 * w), load(p, 3 * w), load(p, 4 * w), load(p, 5 * w)
    e, f, g, h = load(p, 6 * w), load(p, 7 * w), load(p, 8 * w), load(p, 9 * w)
    i, j, k, l = load(p, 10 * w), load(p, 11 * w), load(p, 12 * w), load(p, 13 * w)  # noqa: E741
    for _ in range(repeats):
        a, b, c, d = fma(x, y, a), fma(x, y, b), fma(x, y, c), fma(x, y, d)
        e, f, g, h = fma(x, y, e), fma(x, y, f), fma(x, y, g), fma(x, y, h)
        i, j, k, l = fma(x, y, i), fma(x, y, j), fma(x, y, k), fma(x, y, l)  # noqa: E741
    for chain, value in enumerate((a, b, c, d, e, f, g, h, i, j, k, l)):
        store(p, (2 + chain) * w, value)


def flops(dtype: str) -> int:
    """Return the floating-point operations in one call of `multiply_adds`."""
    return 2 * _REPEATS * _CHAINS * host.lanes(real_type(dtype))


def multiply_adds(dtype: str) -> Case:
    """Return the case of independent chains of fused multiply-adds: the floating-point peak."""
    memory = np.zeros((2 + _CHAINS) * host.lanes(real_type(dtype)), dtype)
    call = partial(_multiply_adds[np.dtype(dtype)], _REPEATS, memory)

    def check() -> dict[str, float]:
        memory[:] = 1
        call()
        rest = memory[2 * host.lanes(real_type(dtype)) :]
        return {"flops": flops(dtype), "error": float(abs(rest - (1 + _REPEATS)).max())}

    return Case(call, check)


def copy(size: int) -> Case:
    """Return the case of a copy of `size` bytes."""
    source = np.ones(size, np.uint8)
    target = np.empty_like(source)
    call = partial(np.copyto, target, source)

    def check() -> dict[str, float]:
        call()
        return {"bytes": 2 * size}

    return Case(call, check)
