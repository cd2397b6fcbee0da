"""Instructions: functions that a program calls by address, with operands that have names.

An instruction declares its operands once, each with a kind (`kernels.base.kinds`):

    @instruction(columns=INTEGER, x=MATRIX, y=MATRIX)
    def softmax_layer(at, state, scratch):
        i, rows = my_rows(state)
        softmax_rows(rows, at.columns, below(at.x, i), below(at.y, i))

In a program's table an operand is one or more int64: an integer its value, a float64 its bits, a
pointer its address, and a matrix its fields in order. In the body, `at.x` reads an operand at an
offset that is known at compile time. `Instruction.row` writes operands, and refuses a missing or
unknown name.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model

from kernels.base.jit import Kind, Routine, elements
from kernels.base.kinds import INTEGER, REALS, WORDS

_I64 = ir.IntType(64)


class Operands(types.Type):
    """The numba type of `at`, with the offset and the type of each operand."""

    def __init__(self, declared: Mapping[str, Kind], real: types.Type):
        self.fields: dict[str, tuple[int, types.Type]] = {}
        place = 0
        for name, kind in declared.items():
            found = kind(real)
            self.fields[name] = place, found
            place += len(list(elements([found])))
        super().__init__(f"Operands({self.fields})")


@register_model(Operands)
class _OperandsModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _I64.as_pointer())


@infer_getattr
class _OperandTypes(AttributeTemplate):
    key = Operands

    def generic_resolve(self, typ, attr):
        return typ.fields[attr][1] if attr in typ.fields else None


@lower_getattr_generic(Operands)
def _read_operand(context, builder, typ, value, attr):
    place, kind = typ.fields[attr]
    words = (builder.load(builder.gep(value, [_I64(i)])) for i in range(place, place + 99))
    return _from_words(context, builder, kind, words)


def _from_words(context, builder, kind: types.Type, words: Iterator):
    """Emit a value of a type from its int64 words."""
    if isinstance(kind, types.BaseTuple):
        parts = [_from_words(context, builder, each, words) for each in kind.types]
        return context.make_tuple(builder, kind, parts)
    if isinstance(kind, types.CPointer):
        return builder.inttoptr(next(words), context.get_value_type(kind))
    if kind == types.float64:
        return builder.bitcast(next(words), ir.DoubleType())
    return next(words)


def _to_words(builder, kind: types.Type, value) -> Iterator:
    """Emit the int64 words of a value: the inverse of `_from_words`."""
    if isinstance(kind, types.BaseTuple):
        for i, each in enumerate(kind.types):
            yield from _to_words(builder, each, builder.extract_value(value, i))
    elif isinstance(kind, types.CPointer):
        yield builder.ptrtoint(value, _I64)
    elif kind == types.float64:
        yield builder.bitcast(value, _I64)
    else:
        yield value


class Instruction(Routine):
    """A routine (at, state, scratch) that programs call, with the operands that it declares."""

    def __init__(self, function: Callable, declared: Mapping[str, Kind]):
        self.declared = dict(declared)
        super().__init__(function, (lambda real: Operands(self.declared, real), WORDS, REALS))
        # The offsets of words do not depend on the floating type.
        self._types = {name: kind(types.float64) for name, kind in declared.items()}
        self._words_of = {name: _converter(kind) for name, kind in self._types.items()}
        self.length = len(list(elements(self._types.values())))

    def row(self, operands: Mapping[str, Any]) -> list[int]:
        """Return the operands as integers, in the layout of a program's row.

        A pointer operand is an address, a matrix an object with the matrix's fields as attributes.
        Raises TypeError if a name is missing or unknown, or a value is of another kind.
        """
        if operands.keys() != self.declared.keys():
            missing = [name for name in self.declared if name not in operands]
            unknown = [name for name in operands if name not in self.declared]
            raise TypeError(f"{self.name}: missing operands {missing}, unknown {unknown}")
        return [word for name in self._types for word in self._words(name, operands[name])]

    def _words(self, name: str, value: Any) -> Iterable[int]:
        try:
            return self._words_of[name](value)
        except (AttributeError, TypeError, ValueError) as error:
            expected = self._types[name]
            raise TypeError(
                f"{self.name}: operand {name} is {value!r:.80}; expected {expected}"
            ) from error


def _converter(kind: types.Type) -> Callable[[Any], Iterable[int]]:
    """Return a function that returns the int64 words of a value of this type."""
    if isinstance(kind, types.BaseNamedTuple):
        fields = kind.fields
        return lambda value: [operator.index(getattr(value, field)) for field in fields]
    if kind == types.float64:
        return lambda value: _DOUBLE_AS_WORD.unpack(_DOUBLE.pack(float(value)))
    return lambda value: (operator.index(value),)


_DOUBLE, _DOUBLE_AS_WORD = struct.Struct("<d"), struct.Struct("<q")


def instruction(**declared: Kind) -> Callable[[Callable], Instruction]:
    """Return a decorator that turns a function into an `Instruction` with these operands."""
    return lambda function: Instruction(function, declared)


def _are(given: types.BaseTuple, declared: Mapping[str, Kind], real: types.Type) -> bool:
    """Return True if values are of the declared kinds; a boolean is an integer, too."""
    return all(
        types.unliteral(each) == kind(real) or (kind is INTEGER and isinstance(each, types.Boolean))
        for each, kind in zip(given, declared.values(), strict=True)
    )


@intrinsic
def write_operands(typingctx, words, task, operands):
    """Write the operands of `task`, an instruction, to `words`, in the layout of a program's row.

    `operands` is a tuple in the order of their declaration. Another number of operands, or
    other kinds than declared, do not compile.
    """
    declared = task.typing_key.declared
    if len(declared) != len(operands):
        raise TypeError(f"{task.typing_key.name} takes {list(declared)}; got {len(operands)}")
    if not any(_are(operands, declared, real) for real in (types.float32, types.float64)):
        raise TypeError(f"{task.typing_key.name} takes {list(declared)} of other kinds: {operands}")

    def codegen(context, builder, sig, args):
        place = 0
        for i, kind in enumerate(operands.types):
            given = builder.extract_value(args[2], i)
            if isinstance(kind, types.Boolean):
                given = builder.zext(given, _I64)
            for word in _to_words(builder, kind, given):
                builder.store(word, builder.gep(args[0], [_I64(place)]))
                place += 1
        return context.get_dummy_value()

    return types.void(words, task, operands), codegen
