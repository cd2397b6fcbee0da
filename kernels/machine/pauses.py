"""Ways for compiled code to wait: spin, yield the core, or sleep; and the clock that bounds them.

The functions of the system are called by address, under a symbol each, so machine code on disk
holds no address.
"""

from __future__ import annotations

import ctypes
import sys
import time

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.base import host
from kernels.base.simd import declare

_WINDOWS = sys.platform == "win32"
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_GIVE_WAY, _NAP, _CLOCK = "fastnn.give_way", "fastnn.nap", "fastnn.clock"
_SHORTEST_NAP = 1 if _WINDOWS else 50  # milliseconds for Windows' Sleep, else microseconds


def _define() -> None:
    """Give the system's functions their symbols."""
    if _WINDOWS:
        system = ctypes.CDLL("kernel32")
        found = system.SwitchToThread, system.Sleep, system.GetSystemTimePreciseAsFileTime
    else:
        system = ctypes.CDLL(None)
        found = system.sched_yield, system.usleep, system.clock_gettime
    for symbol, function in zip((_GIVE_WAY, _NAP, _CLOCK), found, strict=True):
        llvm.add_symbol(symbol, ctypes.cast(function, ctypes.c_void_p).value)


_define()


@intrinsic
def spin(typingctx):
    """Tell the processor that this thread spins."""

    def codegen(context, builder, sig, args):
        if host.IS_X86:
            builder.call(declare(builder, "llvm.x86.sse2.pause", ir.VoidType(), []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def give_way(typingctx):
    """Yield the core to another thread that wants it."""

    def codegen(context, builder, sig, args):
        builder.call(declare(builder, _GIVE_WAY, _I32, []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def nap(typingctx):
    """Sleep as briefly as the system can: some 0.1 ms, or 1 ms on Windows."""

    def codegen(context, builder, sig, args):
        builder.call(declare(builder, _NAP, _I32, [_I32]), [_I32(_SHORTEST_NAP)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def now(typingctx):
    """Return the time in nanoseconds since some moment; elsewhere than on Windows it is steady."""

    def codegen(context, builder, sig, args):
        place = cgutils.alloca_once(builder, _I64, size=2)
        if _WINDOWS:  # a file time counts steps of 100 ns
            builder.call(declare(builder, _CLOCK, ir.VoidType(), [_I64.as_pointer()]), [place])
            return builder.mul(builder.load(place), _I64(100))
        kinds = [_I32, _I64.as_pointer()]
        builder.call(declare(builder, _CLOCK, _I32, kinds), [_I32(time.CLOCK_MONOTONIC), place])
        seconds = builder.mul(builder.load(place), _I64(1_000_000_000))
        return builder.add(seconds, builder.load(builder.gep(place, [_I64(1)])))

    return types.int64(), codegen
