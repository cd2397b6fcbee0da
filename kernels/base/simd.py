"""SIMD vectors as values inside compiled code, the vocabulary that kernels are written in.

A `Vector` fills a register of the host (`kernels.base.host`). Python's operators do arithmetic,
comparisons and bit operations on vectors; a scalar operand is converted to the element type and
copied to every lane. A comparison returns a mask, for `select` and for masked loads and stores,
which end a row without touching a byte past it.

Pointers are numba's `CPointer`; all offsets count elements. `pointer(address, like)` turns an
address from an integer table into a pointer.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from kernels.base import host
from kernels.base.jit import inline

_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


class Vector(types.Type):
    """The numba type of a register holding `lanes` elements of `dtype`."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(f"Vector({dtype}, {lanes})")

    @property
    def key(self):
        """Element type and lanes, by which numba compares vector types."""
        return self.dtype, self.lanes


def vector_of(dtype):
    """Return the vector type of a full register of numba type `dtype`."""
    return Vector(dtype, host.lanes(dtype))


def _element(dtype):
    """Return the LLVM type of one lane."""
    if dtype == types.boolean:
        return _I1
    if dtype == types.float32:
        return ir.FloatType()
    if dtype == types.float64:
        return ir.DoubleType()
    return ir.IntType(dtype.bitwidth)


def llvm_vector(vector):
    """Return the LLVM type of a `Vector` type."""
    return ir.VectorType(_element(vector.dtype), vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, llvm_vector(fe_type))


# ---------------------------------------------------------------- emitting LLVM


def declare(builder, name, result, arguments):
    """Return the LLVM function `name`, declared in the builder's module if it is not yet."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def emit_splat(builder, value, vector):
    """Emit a vector with the scalar `value` in every lane."""
    kind = llvm_vector(vector)
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, value, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(single, undefined, zeros)


def emit_mask(builder, count, vector):
    """Emit the mask of the first `count` lanes (an int64)."""
    numbers = Vector(types.int64, vector.lanes)
    lanes = ir.Constant(llvm_vector(numbers), list(range(vector.lanes)))
    return builder.icmp_signed("<", lanes, emit_splat(builder, count, numbers))


def _vector_pointer(builder, pointer, index, vector):
    address = builder.gep(pointer, [index])
    return builder.bitcast(address, llvm_vector(vector).as_pointer())


def _suffix(vector):
    letter = "f" if isinstance(vector.dtype, types.Float) else "i"
    return f"v{vector.lanes}{letter}{vector.dtype.bitwidth}"


def emit_load(builder, pointer, index, vector, mask=None):
    """Emit the load of a vector at element `index`; lanes outside `mask` are 0 and not read."""
    address, kind = _vector_pointer(builder, pointer, index, vector), llvm_vector(vector)
    align = vector.dtype.bitwidth // 8
    if mask is None:
        load = builder.load(address)
        load.align = align
        return load
    function = declare(
        builder,
        f"llvm.masked.load.{_suffix(vector)}.p0",
        kind,
        [address.type, _I32, mask.type, kind],
    )
    return builder.call(function, [address, _I32(align), mask, ir.Constant(kind, None)])


def emit_store(builder, value, pointer, index, vector, mask=None):
    """Emit the store of a vector at element `index`; lanes outside `mask` are not written."""
    address, kind = _vector_pointer(builder, pointer, index, vector), llvm_vector(vector)
    align = vector.dtype.bitwidth // 8
    if mask is None:
        builder.store(value, address).align = align
        return
    function = declare(
        builder,
        f"llvm.masked.store.{_suffix(vector)}.p0",
        ir.VoidType(),
        [kind, address.type, _I32, mask.type],
    )
    builder.call(function, [value, address, _I32(align), mask])


def emit_prefetch(builder, pointer, index):
    """Emit a prefetch of the cache line of an element; an invalid address does no harm."""
    address = builder.gep(pointer, [index])
    kinds = [address.type, _I32, _I32, _I32]
    prefetch = declare(builder, "llvm.prefetch.p0", ir.VoidType(), kinds)
    # 0: for reading; 3: into all caches; 1: data, not instructions.
    builder.call(prefetch, [address, _I32(0), _I32(3), _I32(1)])


def emit_fma(builder, a, b, c, vector):
    """Emit `a * b + c`, rounded once if the host has fused multiply-add, else twice."""
    kind = llvm_vector(vector)
    return builder.call(
        declare(builder, f"llvm.fmuladd.{_suffix(vector)}", kind, [kind] * 3), [a, b, c]
    )


# ------------------------------------------------------------ operators on vectors


def _widen(context, builder, value, kind, vector):
    """Emit `value` of numba type `kind` as a `vector`; a scalar is converted and copied."""
    if isinstance(kind, Vector):
        return value
    scalar = context.cast(builder, value, kind, vector.dtype)
    return emit_splat(builder, scalar, vector)


def _common(args):
    """Return the vector type that the operands of an operation share, or None."""
    vectors = {a for a in args if isinstance(a, Vector)}
    scalars = all(isinstance(a, (Vector, types.Number)) for a in args)
    return vectors.pop() if len(vectors) == 1 and scalars else None


def _operator(function, emit, result=lambda vector: vector):
    """Make a binary Python operator work on vectors; `emit` emits the operation."""

    class Template(AbstractTemplate):
        def generic(self, args, kws):
            vector = _common(args)
            return None if vector is None else signature(result(vector), *args)

    infer_global(function)(Template)

    def lower(context, builder, sig, args):
        vector = _common(sig.args)
        a, b = (
            _widen(context, builder, value, kind, vector)
            for value, kind in zip(args, sig.args, strict=True)
        )
        return emit(builder, vector.dtype, a, b)

    for pair in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(function, *pair)(lower)


def _arithmetic(floating, integer):
    def emit(builder, dtype, a, b):
        return getattr(builder, floating if isinstance(dtype, types.Float) else integer)(a, b)

    return emit


def _comparison(symbol):
    def emit(builder, dtype, a, b):
        if isinstance(dtype, types.Float):
            # Comparisons with NaN are false, except !=, as in IEEE 754.
            compare = builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered
        else:
            compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
        return compare(symbol, a, b)

    return emit


def _mask_of(vector):
    return Vector(types.boolean, vector.lanes)


_operator(operator.add, _arithmetic("fadd", "add"))
_operator(operator.sub, _arithmetic("fsub", "sub"))
_operator(operator.mul, _arithmetic("fmul", "mul"))
_operator(operator.truediv, _arithmetic("fdiv", "sdiv"))
_operator(operator.and_, lambda builder, dtype, a, b: builder.and_(a, b))
_operator(operator.or_, lambda builder, dtype, a, b: builder.or_(a, b))
_operator(operator.xor, lambda builder, dtype, a, b: builder.xor(a, b))
_operator(operator.lshift, lambda builder, dtype, a, b: builder.shl(a, b))
_operator(
    operator.rshift,
    lambda builder, dtype, a, b: (builder.ashr if dtype.signed else builder.lshr)(a, b),
)
for _function, _symbol in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
    (operator.ne, "!="),
):
    _operator(_function, _comparison(_symbol), _mask_of)


def _math(name):
    """Return a unary function of the lanes of a floating vector: LLVM's intrinsic `name`."""

    @intrinsic
    def function(typingctx, x):
        def codegen(context, builder, sig, args):
            kind = llvm_vector(x)
            return builder.call(declare(builder, f"llvm.{name}.{_suffix(x)}", kind, [kind]), args)

        return x(x), codegen

    function.__doc__ = f"Return LLVM's `{name}` of each lane."
    return function


sqrt = _math("sqrt")
fabs = _math("fabs")
floor = _math("floor")


@intrinsic
def fma(typingctx, a, b, c):
    """Return `a * b + c` in each lane; scalars are copied to every lane."""
    vector = _common((a, b, c))

    def codegen(context, builder, sig, args):
        operands = [
            _widen(context, builder, value, kind, vector)
            for value, kind in zip(args, sig.args, strict=True)
        ]
        a, b, c = operands
        return emit_fma(builder, a, b, c, vector)

    return vector(a, b, c), codegen


@intrinsic
def select(typingctx, mask, a, b):
    """Return `a` where the mask is set and `b` elsewhere; scalars are copied to every lane."""
    vector = _common((a, b))

    def codegen(context, builder, sig, args):
        chosen = [
            _widen(context, builder, value, kind, vector)
            for value, kind in zip(args[1:], sig.args[1:], strict=True)
        ]
        return builder.select(args[0], *chosen)

    return vector(mask, a, b), codegen


@intrinsic
def maximum(typingctx, x, bound):
    """Return the larger of `x` and `bound`, NaN where `x` is NaN: one machine instruction."""

    def codegen(context, builder, sig, args):
        a = args[0]
        b = _widen(context, builder, args[1], bound, x)
        return builder.select(builder.fcmp_ordered(">", b, a), b, a)

    return x(x, bound), codegen


@intrinsic
def minimum(typingctx, x, bound):
    """Return the smaller of `x` and `bound`, NaN where `x` is NaN: one machine instruction."""

    def codegen(context, builder, sig, args):
        a = args[0]
        b = _widen(context, builder, args[1], bound, x)
        return builder.select(builder.fcmp_ordered("<", b, a), b, a)

    return x(x, bound), codegen


@intrinsic
def splat(typingctx, value, like):
    """Return a vector of the type of `like` with the scalar `value` in every lane."""

    def codegen(context, builder, sig, args):
        return _widen(context, builder, args[0], value, like)

    return like(value, like), codegen


@intrinsic
def convert(typingctx, x, dtype):
    """Return the lanes of `x` converted to the element type `dtype`."""
    result = Vector(dtype.dtype, x.lanes)

    def codegen(context, builder, sig, args):
        return _emit_convert(builder, args[0], x.dtype, result)

    return result(x, dtype), codegen


def _emit_convert(builder, value, source, result):
    target, kind = result.dtype, llvm_vector(result)
    from_float, to_float = isinstance(source, types.Float), isinstance(target, types.Float)
    if from_float and to_float:
        narrow = target.bitwidth < source.bitwidth
        return (builder.fptrunc if narrow else builder.fpext)(value, kind)
    if from_float:
        return (builder.fptosi if target.signed else builder.fptoui)(value, kind)
    if to_float:
        return (builder.sitofp if source.signed else builder.uitofp)(value, kind)
    if target.bitwidth <= source.bitwidth:
        return builder.trunc(value, kind)
    return (builder.sext if source.signed else builder.zext)(value, kind)


def _reduction(name, floating_start):
    """Return an intrinsic that reduces the lanes of a vector by combining its halves."""

    @intrinsic
    def function(typingctx, x):
        def codegen(context, builder, sig, args):
            value, lanes = args[0], x.lanes
            while lanes > 1:
                lanes //= 2
                undefined = ir.Constant(value.type, ir.Undefined)
                low, high = (
                    builder.shuffle_vector(
                        value,
                        undefined,
                        ir.Constant(ir.VectorType(_I32, lanes), list(range(start, start + lanes))),
                    )
                    for start in (0, lanes)
                )
                value = floating_start(builder, low, high)
            return builder.extract_element(value, _I32(0))

        return x.dtype(x), codegen

    function.__doc__ = f"Return the {name} of all lanes, combined half by half."
    return function


reduce_add = _reduction("sum", lambda builder, a, b: builder.fadd(a, b))
# NaN if either operand is NaN: the test "unordered" picks a NaN in `a`, and a NaN in `b` fails the
# comparison ">" and is picked as well.
reduce_max = _reduction(
    "maximum",
    lambda builder, a, b: builder.select(
        builder.or_(builder.fcmp_ordered(">", a, b), builder.fcmp_unordered("uno", a, a)), a, b
    ),
)


# ---------------------------------------------------------------- pointers and memory


def _dtype_behind(kind):
    """Return the element type of a pointer, or of the pointer of a matrix."""
    return (kind.types[0] if isinstance(kind, types.BaseTuple) else kind).dtype


def _pointer_vector(pointer):
    return vector_of(_dtype_behind(pointer))


@intrinsic
def load(typingctx, pointer, index):
    """Return the vector of elements `index, index + 1, ...`."""
    vector = _pointer_vector(pointer)

    def codegen(context, builder, sig, args):
        pointer, index = args
        return emit_load(builder, pointer, index, vector)

    return vector(pointer, types.int64), codegen


@intrinsic
def load_masked(typingctx, pointer, index, mask):
    """Return a vector like `load`; lanes outside the mask are 0 and their bytes not read."""
    vector = _pointer_vector(pointer)

    def codegen(context, builder, sig, args):
        return emit_load(builder, args[0], args[1], vector, args[2])

    return vector(pointer, types.int64, mask), codegen


@intrinsic
def store(typingctx, pointer, index, value):
    """Store the lanes of `value` at the elements `index, index + 1, ...`."""

    def codegen(context, builder, sig, args):
        emit_store(builder, args[2], args[0], args[1], value)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value), codegen


@intrinsic
def store_masked(typingctx, pointer, index, value, mask):
    """Store like `store`; the bytes of lanes outside the mask are not written."""

    def codegen(context, builder, sig, args):
        emit_store(builder, args[2], args[0], args[1], value, args[3])
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value, mask), codegen


@intrinsic
def first(typingctx, count, pointer):
    """Return the mask of the first `count` lanes, for vectors of the pointer's element type."""
    vector = _pointer_vector(pointer)

    def codegen(context, builder, sig, args):
        return emit_mask(builder, args[0], vector)

    return _mask_of(vector)(types.int64, pointer), codegen


@intrinsic
def zeros(typingctx, pointer):
    """Return a vector of zeros of the pointer's element type."""
    vector = _pointer_vector(pointer)

    def codegen(context, builder, sig, args):
        return ir.Constant(llvm_vector(vector), None)

    return vector(pointer), codegen


@intrinsic
def lane_numbers(typingctx, like):
    """Return the vector 0, 1, 2, ... of the type of `like`."""

    def codegen(context, builder, sig, args):
        return ir.Constant(llvm_vector(like), list(range(like.lanes)))

    return like(like), codegen


@intrinsic
def width(typingctx, pointer):
    """Return the lanes of a vector of the pointer's element type (a constant)."""
    lanes = host.lanes(_dtype_behind(pointer))

    def codegen(context, builder, sig, args):
        return _I64(lanes)

    return types.int64(pointer), codegen


@intrinsic
def element_bytes(typingctx, pointer):
    """Return the bytes of the pointer's element type (a constant)."""
    size = _dtype_behind(pointer).bitwidth // 8

    def codegen(context, builder, sig, args):
        return _I64(size)

    return types.int64(pointer), codegen


@intrinsic
def advance(typingctx, pointer, count):
    """Return the pointer advanced by `count` elements."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.int64), codegen


@intrinsic
def same(typingctx, a, b):
    """Return whether two pointers are equal."""

    def codegen(context, builder, sig, args):
        return builder.icmp_unsigned("==", *args)

    return types.boolean(a, b), codegen


@intrinsic
def peek(typingctx, pointer, index):
    """Return the scalar at element `index`."""

    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return pointer.dtype(pointer, types.int64), codegen


@intrinsic
def poke(typingctx, pointer, index, value):
    """Write the scalar `value` at element `index`."""

    def codegen(context, builder, sig, args):
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(pointer, types.int64, pointer.dtype), codegen


@intrinsic
def pointer(typingctx, address, like):
    """Return the integer `address` as a pointer of the type of `like`."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(like))

    return like(types.int64, like), codegen


@intrinsic
def pointer_to(typingctx, address, dtype):
    """Return the integer `address` as a pointer to elements of `dtype`."""
    result = types.CPointer(dtype.dtype)

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(result))

    return result(types.int64, dtype), codegen


@intrinsic
def location(typingctx, pointer):
    """Return the address that a pointer holds, as an integer."""

    def codegen(context, builder, sig, args):
        return builder.ptrtoint(args[0], _I64)

    return types.int64(pointer), codegen


@intrinsic
def data(typingctx, array):
    """Return a pointer to the first element of a NumPy array."""
    result = types.CPointer(array.dtype)

    def codegen(context, builder, sig, args):
        return context.make_array(array)(context, builder, args[0]).data

    return result(array), codegen


@inline
def load_first(source, index, count):
    """Return a vector like `load`; lanes from `count` on are 0 and not read."""
    if count >= width(source):
        return load(source, index)
    return load_masked(source, index, first(count, source))


@inline
def store_first(target, index, value, count):
    """Store like `store`; lanes from `count` on are not written."""
    if count >= width(target):
        store(target, index, value)
    else:
        store_masked(target, index, value, first(count, target))


@intrinsic
def store_mask(typingctx, target, index, mask):
    """Store a mask as bytes 0 and 1, one for each lane."""
    lanes = Vector(types.uint8, mask.lanes)

    def codegen(context, builder, sig, args):
        pointer, index, value = args
        emit_store(builder, builder.zext(value, llvm_vector(lanes)), pointer, index, lanes)
        return context.get_dummy_value()

    return types.void(target, types.int64, mask), codegen


@intrinsic
def load_mask(typingctx, source, index, like):
    """Return the mask of the bytes that are not 0, one for each lane of `like`."""
    lanes = Vector(types.uint8, like.lanes)

    def codegen(context, builder, sig, args):
        value = emit_load(builder, args[0], args[1], lanes)
        return builder.icmp_unsigned("!=", value, ir.Constant(value.type, None))

    return _mask_of(like)(source, types.int64, like), codegen


@intrinsic
def words(typingctx, value, like):
    """Return a vector of uint32 with the integer `value` in as many lanes as `like` has."""
    result = Vector(types.uint32, like.lanes)

    def codegen(context, builder, sig, args):
        return _widen(context, builder, args[0], types.int64, result)

    return result(types.int64, like), codegen


@intrinsic
def as_bits(typingctx, value):
    """Return the bits of a float64 as an int64."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], _I64)

    return types.int64(types.float64), codegen


@intrinsic
def load_bytes(typingctx, source, index, like):
    """Return the bytes from `index` on as numbers: a vector of the type of `like`."""
    lanes = Vector(types.uint8, like.lanes)

    def codegen(context, builder, sig, args):
        value = emit_load(builder, args[0], args[1], lanes)
        return _emit_convert(builder, value, types.uint8, like)

    return like(source, types.int64, like), codegen
