"""Squares of vectors, as many vectors as lanes: their transpose, and the sums of their lanes."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.base import simd

_I64 = ir.IntType(64)


@intrinsic
def transpose(typingctx, rows, columns, source, target):
    """Write the transpose of a `rows` x `columns` block, at most a vector long either way.

    A whole square of vectors is written: lanes past `rows` repeat the last row, vectors past
    `columns` are zeros. Only `columns` elements of `rows` rows are read.
    """
    vector = simd.vector_of(source.types[0].dtype)

    def codegen(context, builder, sig, args):
        rows, columns, *matrices = args
        (source, ld_source), (target, ld_target) = (
            [builder.extract_value(matrix, i) for i in range(2)] for matrix in matrices
        )
        lanes = vector.lanes
        mask = simd.emit_mask(builder, columns, vector)
        last = builder.sub(rows, _I64(1))
        block = []
        for i in range(lanes):
            row = builder.select(builder.icmp_signed("<", _I64(i), last), _I64(i), last)
            index = builder.mul(row, ld_source)
            block.append(simd.emit_load(builder, source, index, vector, mask))
        for i, column in enumerate(_emit_transposed(builder, block)):
            simd.emit_store(builder, column, target, builder.mul(ld_target, _I64(i)), vector)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, source, target), codegen


def _emit_transposed(builder, block):
    """Emit the transpose of a square of n vectors: log2(n) rounds that interleave its halves.

    A round interleaves row i with row i + n/2, like a perfect shuffle of cards. After log2(n)
    rounds, element j of row i has become element i of row j.
    """
    lanes = len(block)
    half = lanes // 2
    index = ir.VectorType(ir.IntType(32), lanes)
    low = ir.Constant(index, [k // 2 + (k % 2) * lanes for k in range(lanes)])
    high = ir.Constant(index, [half + k // 2 + (k % 2) * lanes for k in range(lanes)])
    for _ in range(lanes.bit_length() - 1):
        block = [
            builder.shuffle_vector(block[i], block[i + half], order)
            for i in range(half)
            for order in (low, high)
        ]
    return block


@intrinsic
def lane_sums(typingctx, source):
    """Return a vector whose lane i is the sum of the lanes of the i-th vector at `source`.

    Neighbouring lanes are added first, then neighbouring sums.
    """
    vector = simd.vector_of(source.dtype)

    def codegen(context, builder, sig, args):
        lanes = vector.lanes
        index = ir.VectorType(ir.IntType(32), lanes)
        even, odd = (ir.Constant(index, list(range(k, 2 * lanes, 2))) for k in range(2))
        block = [simd.emit_load(builder, args[0], _I64(i * lanes), vector) for i in range(lanes)]
        while len(block) > 1:
            block = [
                builder.fadd(builder.shuffle_vector(a, b, even), builder.shuffle_vector(a, b, odd))
                for a, b in zip(block[::2], block[1::2], strict=True)
            ]
        return block[0]

    return vector(source), codegen
