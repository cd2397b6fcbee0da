"""The register tile: the microkernel of the matrix product, as LLVM vector code.

A tile of `rows` x `vectors` accumulators stays in registers over the depth of the product. Each
step loads one row of B, and for each row of A broadcasts one element and does one fused
multiply-add per vector. Every element of C is therefore a single chain of operations in order of
depth, from its starting value on: results do not depend on the shape of tiles, on blocks or on
the number of threads.
"""

from __future__ import annotations

import itertools
from functools import partial

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.base import host, simd
from kernels.base.jit import inline
from kernels.product.choice import HALVES, WIDE_ROWS

_WIDE_VECTORS = 8  # most vectors in a row of a wide tile
_WIDE_SUMS = 16 if host.VECTOR_REGISTERS == 32 else 8  # its accumulators
_PANEL = 6  # place of the elements between panels of B among the operands of a tile
_READING, _COPYING, _WIDE = "reading", "copying", "wide"  # what a tile does with rows of B

_I64 = ir.IntType(64)
_KEY = 64  # a tile's key: its vectors times `_KEY`, plus its pairs of rows,
_HALF = 1024  # plus `_HALF` if half a vector ends its rows
_AHEAD = 16  # steps ahead at which a row of B is prefetched
_ADDRESS_GROUP = 3  # rows addressed from one register: [p], [p + stride], [p + 2 * stride]


@intrinsic
def tile(typingctx, rows, columns, depth, a, b, packed, start, c, floor):
    """Compute C = max(start + A @ B, floor) for one tile of C.

    A is a `Strided` of `rows` x `depth`, B a `Matrix` of `depth` x `columns`; C and `start` are a
    `Matrix` each. With leading dimension 0, one row of `start`, such as a bias, is repeated.
    `rows` is at most `host.TILE_ROWS`, `columns` at most `host.TILE_VECTORS` vectors. NaN stays NaN
    whatever the floor.

    If B's pointer and `packed` differ, B is also copied to `packed`, in whole vectors, with leading
    dimension `host.TILE_VECTORS` vectors: multiply-adds keep the processor busy while it waits for
    B. If they are equal, B is packed already. With `choice.HALVES`, rows end in half a vector if
    that holds the last columns.
    """
    integer, pointer = types.int64, a.types[0]
    vector = simd.vector_of(pointer.dtype)
    sig = types.void(integer, integer, integer, a, b, pointer, start, c, pointer.dtype)

    def codegen(context, builder, sig, args):
        rows, columns, depth, *matrices, floor = args
        source, packed = builder.extract_value(matrices[1], 0), matrices[2]
        operands = [depth, *_parts(builder, sig.args[3:-1], matrices), floor]
        operands.insert(_PANEL, _I64(0))  # which a tile does not leave
        lanes = vector.lanes
        before_last = builder.sdiv(builder.sub(columns, _I64(1)), _I64(lanes))
        last = builder.sub(columns, builder.mul(_I64(lanes), before_last))
        done = builder.append_basic_block("tile.done")

        def cases(how):
            """Return the emitter of each tile's call by the tile's key."""
            shapes = itertools.product(
                range(1, host.TILE_VECTORS + 1),
                range(1, host.TILE_ROWS // 2 + 1),
                (False, True) if HALVES else (False,),
            )

            def call(vectors, pairs, half):
                function = _tile_function(builder, 2 * pairs, vectors, half, how, vector)
                builder.call(function, [rows, last, *operands])

            return {
                vectors * _KEY + pairs + half * _HALF: partial(call, vectors, pairs, half)
                for vectors, pairs, half in shapes
            }

        pairs = builder.ashr(builder.add(rows, _I64(1)), _I64(1))
        key = builder.add(builder.mul(builder.add(before_last, _I64(1)), _I64(_KEY)), pairs)
        if HALVES:
            half = builder.icmp_signed("<=", last, _I64(lanes // 2))
            key = builder.add(key, builder.select(half, _I64(_HALF), _I64(0)))
        with builder.if_else(builder.icmp_unsigned("==", source, packed)) as (reading, copying):
            for branch, how in ((reading, _READING), (copying, _COPYING)):
                with branch:
                    joined = builder.append_basic_block("tile.joined")
                    _emit_switch(builder, key, cases(how), joined)
                    builder.position_at_end(joined)
        builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def wide_tile(typingctx, rows, columns, depth, a, b, start, c, floor):
    """Compute C = max(start + A @ B, floor) like `tile`, for at most `WIDE_ROWS` rows.

    C has at most `wide_columns` columns. B is a `Panels`, as wide as a tile; it is read where it
    lies, and nothing past its columns.
    """
    integer, pointer = types.int64, a.types[0]
    vector = simd.vector_of(pointer.dtype)
    sig = types.void(integer, integer, integer, a, b, start, c, pointer.dtype)

    def codegen(context, builder, sig, args):
        rows, columns, depth, left, right, *outer, floor = args
        packed = builder.extract_value(right, 0)  # which it does not read
        kinds, values = [*sig.args[3:5], pointer, *sig.args[5:-1]], [left, right, packed, *outer]
        operands = [depth, *_parts(builder, kinds, values), floor]
        before_last = builder.sdiv(builder.sub(columns, _I64(1)), _I64(vector.lanes))
        last = builder.sub(columns, builder.mul(_I64(vector.lanes), before_last))

        def call(height, vectors):
            function = _tile_function(builder, height, vectors, False, _WIDE, vector)
            builder.call(function, [rows, last, *operands])

        done = builder.append_basic_block("wide.done")
        cases = {
            (vectors - 1) * _KEY + number: partial(call, height, vectors)
            for number in range(1, WIDE_ROWS + 1)
            for height in [_height.py_func(number)]
            for vectors in range(1, min(_WIDE_VECTORS, _WIDE_SUMS // height) + 1)
        }
        key = builder.add(builder.mul(before_last, _I64(_KEY)), rows)
        _emit_switch(builder, key, cases, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return sig, codegen


@inline
def _height(rows):
    """Return the rows that a wide tile computes for as many rows: 1, or an even number."""
    return rows if rows == 1 else (rows + 1) // 2 * 2


@inline
def wide_columns(rows, pointer):
    """Return the most columns of a wide tile, for the pointer's element type."""
    return min(_WIDE_VECTORS, _WIDE_SUMS // _height(rows)) * simd.width(pointer)


def _parts(builder, kinds, values):
    """Yield pointers and strides, with matrices taken apart."""
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(kind, types.BaseTuple):
            yield from (builder.extract_value(value, i) for i in range(len(kind)))
        else:
            yield value


def _emit_switch(builder, value, cases, done):
    """Emit a switch to the case that equals `value`; each case continues at `done`."""
    switch = builder.switch(value, done)
    for number, emit in cases.items():
        block = builder.append_basic_block(f"case.{number}")
        switch.add_case(_I64(number), block)
        builder.position_at_end(block)
        emit()
        builder.branch(done)


def _opaque(builder, pointer):
    """Return the same pointer with its origin hidden from LLVM's optimizer.

    Otherwise loop strength reduction turns the addresses of rows into one chain of additions,
    which takes longer than the multiply-adds that depend on it.
    """
    kind = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(kind, "", "=r,0", [pointer], False)


def _tile_function(builder, rows, vectors, half, how, vector):
    """Return the LLVM function of a tile of fixed size.

    It is not inlined, so that its accumulators have all registers. Its number of rows is 1 or even;
    for one row less it computes the last row twice, which halves the number of tiles to compile.
    """
    kind = ("half." if half else "") + how
    name = f"tile.{vector.dtype}.{rows}x{vectors}.{kind}"
    element = simd.llvm_vector(vector).element
    pointer = element.as_pointer()
    kinds = (
        [_I64, _I64, _I64, pointer, _I64, _I64, pointer, _I64, _I64]
        + [pointer] * 2
        + [_I64, pointer, _I64, element]
    )
    function = simd.declare(builder, name, ir.VoidType(), kinds)
    if not function.blocks:
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        actual_rows, last, *operands = function.args
        numbers = [_I64(m) for m in range(rows - 1)] + [inner.sub(actual_rows, _I64(1))]
        row = [vector] * vectors
        if half:
            row[-1] = simd.Vector(vector.dtype, vector.lanes // 2)
        _emit_tile(inner, numbers, row, last, vector.lanes, how, operands)
        inner.ret_void()
    return function


def _emit_tile(builder, numbers, kinds, last, lanes, how, operands):
    """Emit the loop of one tile.

    `numbers` are the indices of its rows, `kinds` the types of the vectors of a row. Only the
    first `last` lanes of a row's last vector belong to the product.
    """
    depth, a, a_row, a_step, b, ldb, panel, packed, start, ld_start, c, ldc, floor = operands
    rows, vectors, padded = len(numbers), len(kinds), how == _READING
    mask = simd.emit_mask(builder, last, kinds[-1])

    def mask_of(j):
        return mask if j == vectors - 1 else None

    def offset(ld, m, j):
        return builder.add(builder.mul(ld, numbers[m]), _I64(j * lanes))

    tile = [(m, j) for m in range(rows) for j in range(vectors)]
    starts = [
        simd.emit_load(builder, start, offset(ld_start, m, j), kinds[j], mask_of(j))
        for m, j in tile
    ]
    places = []  # of the vectors in a row of B
    for j in range(vectors):
        number, within = divmod(j, host.TILE_VECTORS)
        places.append(builder.add(builder.mul(panel, _I64(number)), _I64(within * lanes)))
    # The last row may repeat the one before, so its address does not follow from a group's.
    first = [*range(0, rows - 1, _ADDRESS_GROUP), rows - 1]
    group = [*(m // _ADDRESS_GROUP for m in range(rows - 1)), len(first) - 1]
    bases = [builder.gep(a, [builder.mul(a_row, numbers[m])]) for m in first]

    before = builder.block
    head, body, end = (
        builder.append_basic_block(f"depth.{name}") for name in ("head", "body", "end")
    )
    builder.branch(head)

    builder.position_at_end(head)
    step = builder.phi(_I64)
    a_now = [builder.phi(base.type) for base in bases]
    b_now, packed_now = builder.phi(b.type), builder.phi(b.type)
    sums = [builder.phi(simd.llvm_vector(kinds[j])) for _, j in tile]
    phis = [step, *a_now, b_now, packed_now, *sums]
    for phi, value in zip(phis, [_I64(0), *bases, b, packed, *starts], strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", step, depth), body, end)

    builder.position_at_end(body)
    b_row = [
        simd.emit_load(builder, b_now, places[j], kinds[j], None if padded else mask_of(j))
        for j in range(vectors)
    ]
    if how == _COPYING:
        ahead = builder.gep(b_now, [builder.mul(ldb, _I64(_AHEAD))])
        for j, value in enumerate(b_row):
            simd.emit_prefetch(builder, ahead, _I64(j * lanes))
            simd.emit_store(builder, value, packed_now, _I64(j * lanes), kinds[j])
    a_here = [_opaque(builder, pointer) for pointer in a_now]
    sums_next = []
    for m in range(rows):
        address = builder.gep(a_here[group[m]], [builder.mul(a_row, _I64(m - first[group[m]]))])
        value = builder.load(address)
        for j, kind in enumerate(kinds):
            element, total = simd.emit_splat(builder, value, kind), sums[m * vectors + j]
            sums_next.append(simd.emit_fma(builder, element, b_row[j], total, kind))
    a_next = [builder.gep(pointer, [a_step]) for pointer in a_here]
    b_next = builder.gep(b_now, [ldb])
    packed_next = builder.gep(packed_now, [_I64(host.TILE_VECTORS * lanes)])
    step_next = builder.add(step, _I64(1))
    nexts = [step_next, *a_next, b_next, packed_next, *sums_next]
    for phi, value in zip(phis, nexts, strict=True):
        phi.add_incoming(value, body)
    builder.branch(head)

    builder.position_at_end(end)
    for (m, j), total in zip(tile, sums, strict=True):
        bound = simd.emit_splat(builder, floor, kinds[j])
        bounded = builder.select(builder.fcmp_ordered(">", bound, total), bound, total)
        simd.emit_store(builder, bounded, c, offset(ldc, m, j), kinds[j], mask_of(j))
