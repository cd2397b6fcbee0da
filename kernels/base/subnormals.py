"""Flushing of subnormal numbers to 0 while an epoch runs.

Processors compute with subnormal numbers (below 1.2e-38 in float32) many times slower than
with others. Training produces them: when a gradient becomes 0, the optimizer's moments decay
into the subnormal range and stay there, and so do the gradients of saturated units. Subnormal
numbers are too small to change a parameter, so the compiled epoch flushes them, as XLA and
TensorFlow do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.base import host
from kernels.base.jit import entry, inline
from kernels.base.kinds import INTEGER
from kernels.base.simd import declare

P = ParamSpec("P")
R = TypeVar("R")

FLUSH = 0x8040 if host.IS_X86 else 1 << 24 if host.IS_ARM else 0
"""Flush-to-zero and denormals-are-zero of x86's MXCSR, or FZ of Arm's FPCR."""

# NumPy before 2.4 computes these once, and would take the smallest numbers for 0 while they are
# flushed; numba imports modules of NumPy that ask for them when it first sees an array.
np.finfo(np.float32)
np.finfo(np.float64)

_BYTES = ir.IntType(8).as_pointer()


def _mxcsr(builder, instruction, place):
    function = declare(builder, f"llvm.x86.sse.{instruction}", ir.VoidType(), [_BYTES])
    builder.call(function, [builder.bitcast(place, _BYTES)])


@intrinsic
def _read(typingctx):
    """Return this thread's floating-point control register."""

    def codegen(context, builder, sig, args):
        wide = ir.IntType(64)
        if host.IS_X86:
            place = builder.alloca(ir.IntType(32))
            _mxcsr(builder, "stmxcsr", place)
            return builder.zext(builder.load(place), wide)
        if host.IS_ARM:
            return builder.call(declare(builder, "llvm.aarch64.get.fpcr", wide, []), [])
        return wide(0)

    return types.int64(), codegen


@intrinsic
def _write(typingctx, value):
    """Set this thread's floating-point control register."""

    def codegen(context, builder, sig, args):
        if host.IS_X86:
            place = builder.alloca(ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), place)
            _mxcsr(builder, "ldmxcsr", place)
        elif host.IS_ARM:
            function = declare(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [ir.IntType(64)])
            builder.call(function, args)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@entry(INTEGER, INTEGER, result=types.int64)
def _change(keep, add):
    """Set the control register to its bits in `keep` and those of `add`; return its old value."""
    before = _read()
    _write((before & keep) | add)
    return before


@inline
def flushing():
    """Return the bits of the control register that make this thread flush subnormal numbers."""
    return _read() & FLUSH


@inline
def flush(bits):
    """Set this thread's flushing to the `bits` that `flushing` returned on another thread."""
    _write((_read() & ~FLUSH) | bits)


def kept(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that leaves this thread's flushing as it was, whatever ends it.

    Ctrl-C may end `Flushed` in between, after it has changed the register or before it has changed
    it back.
    """

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        before = _change["float32"](-1, 0) & FLUSH
        try:
            return function(*args, **options)
        finally:
            _change["float32"](~FLUSH, before)

    return call


class Flushed:
    """A context in which this thread's compiled code flushes subnormal numbers to 0."""

    def __enter__(self) -> None:
        self._before = _change["float32"](-1, FLUSH)

    def __exit__(self, *error) -> None:
        # Other bits, such as the exception flags, keep the values they have now.
        _change["float32"](~FLUSH, self._before & FLUSH)
