"""How threads that run the same program keep in step: atomics, a barrier and a notice.

Each thread runs the whole program on its share of every instruction's output, and
waits for the others where the program says so. Waiting takes a few tenths of a
microsecond when all threads have a core, and gives the core away when not. What is to
be run next is posted where threads that have just finished look for some time before
they go to sleep: to wake one takes longer than a small network's whole epoch.
"""

from __future__ import annotations

import ctypes
import sys

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.base import host
from kernels.base.jit import inline
from kernels.base.simd import declare

ARRIVED, GENERATION, POSTED, BEGIN, END, CLOSE, BARRIER = 0, 8, 16, 17, 18, 19, 24
"""Places of what threads share, and its length in int64.

The two counters of the barrier, and that of notices with the range that the last one
names, on three cache lines.
"""

_SPINS = 200  # tries, some microseconds, before the core is given to another thread
_PATIENCE = 1500  # tries, about a millisecond, before a thread that has nothing to do goes to sleep

DISMISSED = -1
"""Instead of the number of notices: there will be no more."""

_I64 = ir.IntType(64)

_GIVE_WAY = "fastnn.give_way"
"""Symbol of the system's function that gives the core to another thread."""


def _define_give_way() -> None:
    windows = sys.platform == "win32"
    function = ctypes.CDLL("kernel32").SwitchToThread if windows else ctypes.CDLL(None).sched_yield
    llvm.add_symbol(_GIVE_WAY, ctypes.cast(function, ctypes.c_void_p).value)


_define_give_way()


@intrinsic
def _atomic_add(typingctx, pointer, index, value):
    """Add to an int64 and give what it was, as one operation."""

    def codegen(context, builder, sig, args):
        address = builder.gep(args[0], [args[1]])
        return builder.atomic_rmw("add", address, args[2], "seq_cst")

    return types.int64(pointer, types.int64, types.int64), codegen


@intrinsic
def _atomic_load(typingctx, pointer, index):
    """Read an int64 that other threads write."""

    def codegen(context, builder, sig, args):
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "acquire", 8)

    return types.int64(pointer, types.int64), codegen


@intrinsic
def _atomic_store(typingctx, pointer, index, value):
    """Write an int64 that other threads read."""

    def codegen(context, builder, sig, args):
        builder.store_atomic(args[2], builder.gep(args[0], [args[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, types.int64), codegen


@intrinsic
def _pause(typingctx):
    """Tell the processor that this thread is only waiting."""

    def codegen(context, builder, sig, args):
        if host.IS_X86:
            builder.call(declare(builder, "llvm.x86.sse2.pause", ir.VoidType(), []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _give_way(typingctx):
    """Let another thread have the core."""

    def codegen(context, builder, sig, args):
        builder.call(declare(builder, _GIVE_WAY, ir.IntType(32), []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@inline
def wait(barrier, threads):
    """Return when all `threads` threads have called this."""
    if threads == 1:
        return
    generation = _atomic_load(barrier, GENERATION)
    if _atomic_add(barrier, ARRIVED, 1) == threads - 1:
        _atomic_store(barrier, ARRIVED, 0)
        _atomic_store(barrier, GENERATION, generation + 1)
        return
    spins = 0
    while _atomic_load(barrier, GENERATION) == generation:
        spins += 1
        _idle(spins)


@inline
def _idle(spins):
    """Do nothing for a moment, the `spins`-th time."""
    if spins < _SPINS:
        _pause()
    else:
        _give_way()


@inline
def post(barrier, begin, end, close):
    """Tell threads that look for it what to run. All of them have finished what they ran before."""
    barrier[BEGIN], barrier[END], barrier[CLOSE] = begin, end, close
    _atomic_add(barrier, POSTED, 1)


@inline
def posted(barrier, seen):
    """Wait for the notice after the first `seen` ones; whether it comes within a millisecond."""
    spins = 0
    while _atomic_load(barrier, POSTED) == seen and spins < _PATIENCE:
        spins += 1
        _idle(spins)
    return _atomic_load(barrier, POSTED) > seen


@inline
def share(items, thread, threads):
    """The range of items that are this thread's."""
    return items * thread // threads, items * (thread + 1) // threads
