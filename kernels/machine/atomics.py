"""Atomic operations on the int64 that threads share, for compiled code."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic


@intrinsic
def atomic_add(typingctx, pointer, index, value):
    """Add to an int64 atomically and return its old value."""

    def codegen(context, builder, sig, args):
        address = builder.gep(args[0], [args[1]])
        return builder.atomic_rmw("add", address, args[2], "seq_cst")

    return types.int64(pointer, types.int64, types.int64), codegen


@intrinsic
def atomic_load(typingctx, pointer, index):
    """Return an int64 that other threads write."""

    def codegen(context, builder, sig, args):
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "acquire", 8)

    return types.int64(pointer, types.int64), codegen


@intrinsic
def atomic_store(typingctx, pointer, index, value):
    """Write an int64 that other threads read."""

    def codegen(context, builder, sig, args):
        builder.store_atomic(args[2], builder.gep(args[0], [args[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, types.int64), codegen


@intrinsic
def exchange(typingctx, pointer, index, expected, value):
    """Write `value` to an int64 if it is `expected`, in one step; return whether it was."""

    def codegen(context, builder, sig, args):
        address = builder.gep(args[0], [args[1]])
        found = builder.cmpxchg(address, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(pointer, types.int64, types.int64, types.int64), codegen
