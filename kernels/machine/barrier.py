"""Synchronization of threads that run one program: atomics, a barrier, and posted work.

Each thread runs the whole program on its share of every instruction's output, and waits at a
barrier where the program says so. A wait takes a few tenths of a microsecond when every thread
has a core; otherwise a waiting thread yields its core. The next work is posted in shared memory,
which an idle thread polls for a while before it sleeps, because waking a thread takes longer
than a whole epoch of a small network.
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
"""Indices into the int64 that threads share, and their number.

They fill three cache lines: one for each counter of the barrier, and one for the number of posts
with the range of batches that the last post names.
"""

_SPINS = 200  # spins, some microseconds, before a waiting thread yields its core
_PATIENCE = 1500  # spins, about a millisecond, before an idle thread sleeps

DISMISSED = -1
"""Value of `POSTED` that ends the threads: no more work is posted."""

_I64 = ir.IntType(64)

_GIVE_WAY = "fastnn.give_way"
"""Symbol of the system's function that yields the core to another thread."""


def _define_give_way() -> None:
    windows = sys.platform == "win32"
    function = ctypes.CDLL("kernel32").SwitchToThread if windows else ctypes.CDLL(None).sched_yield
    llvm.add_symbol(_GIVE_WAY, ctypes.cast(function, ctypes.c_void_p).value)


_define_give_way()


@intrinsic
def _atomic_add(typingctx, pointer, index, value):
    """Add to an int64 atomically and return its old value."""

    def codegen(context, builder, sig, args):
        address = builder.gep(args[0], [args[1]])
        return builder.atomic_rmw("add", address, args[2], "seq_cst")

    return types.int64(pointer, types.int64, types.int64), codegen


@intrinsic
def _atomic_load(typingctx, pointer, index):
    """Return an int64 that other threads write."""

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
    """Tell the processor that this thread spins."""

    def codegen(context, builder, sig, args):
        if host.IS_X86:
            builder.call(declare(builder, "llvm.x86.sse2.pause", ir.VoidType(), []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _give_way(typingctx):
    """Yield the core to another thread."""

    def codegen(context, builder, sig, args):
        builder.call(declare(builder, _GIVE_WAY, ir.IntType(32), []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@inline
def wait(barrier, threads):
    """Wait until all `threads` threads have called this."""
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
    """Pause during the first spins of a wait, yield the core during later ones."""
    if spins < _SPINS:
        _pause()
    else:
        _give_way()


@inline
def post(barrier, begin, end, close):
    """Post a range of batches for all threads to run; they must have finished the last post."""
    barrier[BEGIN], barrier[END], barrier[CLOSE] = begin, end, close
    _atomic_add(barrier, POSTED, 1)


@inline
def posted(barrier, seen):
    """Wait about a millisecond for a post after the first `seen`; return True if there is one."""
    spins = 0
    while _atomic_load(barrier, POSTED) == seen and spins < _PATIENCE:
        spins += 1
        _idle(spins)
    return _atomic_load(barrier, POSTED) > seen


@inline
def share(items, thread, threads):
    """Return this thread's share of `items`: its first item, and the one after its last."""
    return items * thread // threads, items * (thread + 1) // threads
