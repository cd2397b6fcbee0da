"""Compilation of kernels, and links from one kernel to another.

A *routine* is a function that is compiled by itself, once for each floating dtype. Other
kernels call it by its symbol, so no kernel is compiled twice, however many others call it,
and a new kernel costs its own compilation only. An *entry* is a function that Python calls
with arrays. Both are loaded from the cache where it has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, typeof_impl

from kernels.base import host
from kernels.base.arrays import FLOATING
from kernels.base.cache import Cache, full_name

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set: there are no kernels unless numba compiles them")
if host.impossible():
    raise ImportError(
        f"NUMBA_CPU_FEATURES has {', '.join(host.impossible())}; expected + and what this "
        "processor has, or - and what it can do without"
    )

Kind = Callable[[types.Type], types.Type]
"""A parameter's type as a function of the floating type, float32 or float64."""

_OPTIONS = {"error_model": "numpy", "_nrt": False}
"""Division by zero follows NumPy; nothing allocates, so numba's run-time library is not needed."""

inline = numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
"""Decorator for the small functions inside kernels, which are always inlined.

They have no wrappers for calls from Python or C, which saves a third of their compilation.
"""


# ------------------------------------------------------------------------ routines


def _named_values(function: Callable) -> Iterator[object]:
    """Yield what a function's code may refer to: globals, attributes of modules, closure cells."""
    names = function.__code__.co_names
    values = [function.__globals__.get(name) for name in names]
    yield from values
    for module in (value for value in values if isinstance(value, ModuleType)):
        yield from (getattr(module, name, None) for name in names)
    yield from (cell.cell_contents for cell in function.__closure__ or ())


def _references(function: Callable) -> Iterator[Routine]:
    """Yield the routines that a function calls, directly or through inlined functions."""
    pending, seen = [function], set()
    while pending:
        code = pending.pop()
        for value in _named_values(code):
            if isinstance(value, Routine) and value.function is not function:
                yield value
            elif isinstance(value, Dispatcher) and value not in seen:
                seen.add(value)
                pending.append(value.py_func)


class Routine:
    """A compiled function with a symbol of its own, one version for each floating dtype.

    `kinds` (`kernels.base.kinds`) are the kinds of its parameters. A call selects the version by
    the last pointer to floating numbers among its arguments.
    """

    def __init__(self, function: Callable, kinds: Sequence[Kind]):
        self.function, self.kinds = function, kinds
        self.name = full_name(function)
        self._compiled: dict[str, Any] = {}  # by name: a type takes longer to hash
        self.__doc__ = function.__doc__
        self.type = self._make_type()

    def arguments(self, real: types.Type) -> tuple[types.Type, ...]:
        """Return the types of the parameters, for a floating type."""
        return tuple(kind(real) for kind in self.kinds)

    def __call__(self, *args):
        """Raise TypeError: only compiled code can call a routine."""
        raise TypeError(f"{self.name} is called from compiled code only")

    def symbol(self, real: types.Type) -> str:
        """Return the symbol by which other compiled code calls the version for a floating type."""
        return f"{self.name}.{real}"

    def address(self, real: types.Type) -> int:
        """Return the address of the version for a floating type, compiled or loaded if needed."""
        if real.name not in self._compiled:
            for routine in _references(self.function):
                routine.address(real)
            signature = types.void(*self.arguments(real))
            compiled: Any = CFunc(
                self.function,
                (signature.args, signature.return_type),
                locals={},
                options={"nopython": True, **_OPTIONS},
            )
            compiled._cache = Cache(self.function)
            compiled.compile()
            llvm.add_symbol(self.symbol(real), compiled.address)
            self._compiled[real.name] = compiled
        return self._compiled[real.name].address

    def assembly(self, real: types.Type) -> str:
        """Return the assembly text of the version for a floating type."""
        self.address(real)
        return self._compiled[real.name]._library.get_asm_str()

    def _make_type(self) -> types.Function:
        """Return the numba type of this routine in compiled code, whose calls go by symbol."""
        routine = self

        class Call(AbstractTemplate):
            key = routine

            def generic(self, args, kws):
                return signature(types.void, *routine.arguments(_real_among(args)))

        def lower(context, builder, sig, args):
            symbol = routine.symbol(_real_among(sig.args))
            kinds = [context.get_value_type(each) for each in sig.args]
            kind = ir.FunctionType(ir.VoidType(), kinds)
            builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol), args)
            return context.get_dummy_value()

        lower_builtin(routine, types.VarArg(types.Any))(lower)
        return types.Function(Call)


@cache
def real_type(dtype) -> types.Type:
    """Return the numba type of float32 or float64."""
    return numba.from_dtype(np.dtype(dtype))


def elements(kinds: Iterable[types.Type]) -> Iterator[types.Type]:
    """Yield the types of numbers and pointers, with tuples taken apart."""
    for kind in kinds:
        if isinstance(kind, types.BaseTuple):
            yield from elements(kind.types)
        else:
            yield kind


def _real_among(kinds) -> types.Type:
    """Return the floating type behind the last pointer to floating numbers."""
    return next(
        kind.dtype
        for kind in reversed(list(elements(kinds)))
        if isinstance(kind, types.CPointer) and isinstance(kind.dtype, types.Float)
    )


@typeof_impl.register(Routine)
def _typeof_routine(value: Routine, context) -> types.Function:
    return value.type


def routine(*kinds: Kind) -> Callable[[Callable], Routine]:
    """Return a decorator that turns a function into a `Routine` with parameters of these kinds."""
    return lambda function: Routine(function, kinds)


# ------------------------------------------------------------------------- entries


class Entry(dict):
    """A function that Python calls with arrays: `entry[dtype](...)`.

    Each floating dtype has one version, compiled for the declared kinds. A call never compiles
    another version, and runs without the interpreter's lock.
    """

    def __init__(self, function: Callable, kinds: Sequence[Kind], result: types.Type):
        super().__init__()
        self.function, self.kinds, self.result = function, kinds, result
        self._cache = Cache(function)
        self.__doc__ = function.__doc__

    def _signature(self, real: types.Type):
        return self.result(*(kind(real) for kind in self.kinds))

    def __missing__(self, dtype):
        kind = np.dtype(dtype)
        if kind not in FLOATING:
            raise KeyError(f"{self.function.__name__} is not compiled for {dtype}")
        if kind in self:  # `dtype` is another name of a dtype that is compiled
            return self[kind]
        real = real_type(dtype)
        for routine in _references(self.function):
            routine.address(real)
        dispatcher = numba.njit(nogil=True, **_OPTIONS)(self.function)
        dispatcher._cache = self._cache
        dispatcher.compile(self._signature(real))
        dispatcher.disable_compile()
        self[kind] = dispatcher
        return dispatcher

    def is_compiled(self, dtype) -> bool:
        """Return whether the version for a dtype is in this process or in the cache folder."""
        return np.dtype(dtype) in self or self._cache.holds(self._signature(real_type(dtype)))


def entry(*kinds: Kind, result: types.Type = types.void) -> Callable[[Callable], Entry]:
    """Return a decorator that turns a function into an `Entry` with parameters of these kinds."""
    return lambda function: Entry(function, kinds, result)
