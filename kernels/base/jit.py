"""Compilation of kernels, links from one kernel to another, and the cache on disk.

A *routine* is a function that is compiled by itself, once for each floating dtype. Other
kernels call it by its symbol, so no kernel is compiled twice, however many others call it,
and a new kernel costs its own compilation only. An *entry* is a function that Python calls
with arrays.

The cache folder holds machine code in files named by a digest of everything that the code
depends on: the source of every file in `kernels`, the versions of numba and Python, the
processor and its features. A change of any of these changes the name, so stale code is never
found. If the folder cannot be written or a file is damaged, the kernel is compiled again.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import platformdirs
from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler, serialize
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, typeof_impl

from kernels.base.arrays import FLOATING

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set: there are no kernels unless numba compiles them")

Kind = Callable[[types.Type], types.Type]
"""A parameter's type as a function of the floating type, float32 or float64."""

_OPTIONS = {"error_model": "numpy", "_nrt": False}
"""Division by zero follows NumPy; nothing allocates, so numba's run-time library is not needed."""

inline = numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
"""Decorator for the small functions inside kernels, which are always inlined.

They have no wrappers for calls from Python or C, which saves a third of their compilation.
"""


# ---------------------------------------------------------------------- the cache


_PACKAGE = Path(__file__).parents[1]
"""The folder of `kernels`."""


def _source_digest() -> str:
    """Return the digest of every source below the package, each under its relative path."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


SOURCE_DIGEST = _source_digest()
"""SHA-256 of every source file below `kernels` at the time of import, with relative paths."""


def cache_folder() -> Path:
    """Return the folder of machine code: `FASTNN_CACHE_DIR`, or one in the user's cache folder."""
    chosen = os.environ.get("FASTNN_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("fastnn")) / "kernels"


_CHECK = hashlib.sha256().digest_size
"""Bytes of the digest at the start of a file, which shows whether the machine code is damaged."""


class Cache(NullCache):
    """Machine code of one function on disk: a file for each signature and processor.

    It has the interface of numba's own function caches. A file is written under a temporary name
    and then renamed, so several processes may share a folder.
    """

    def __init__(self, name: str):
        self._name = name

    @property
    def cache_path(self) -> str:
        """Path of the folder, as a string."""
        return str(cache_folder())

    def _path(self, sig, codegen) -> Path:
        parts = (numba.__version__, sys.version, SOURCE_DIGEST, sig, codegen.magic_tuple())
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        return cache_folder() / f"{self._name}-{digest}.bin"

    def load_overload(self, sig, target_context):
        """Return the compiled result for a signature, or None if no file can be used."""
        # `target_context.refresh()` is left out: it imports all that a compilation may need,
        # and code that is only loaded, and allocates nothing, needs none of it.
        try:
            stored = self._path(sig, target_context.codegen()).read_bytes()
            check, payload = stored[:_CHECK], stored[_CHECK:]
            if hashlib.sha256(payload).digest() != check:
                return None
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:
            # The file is absent, unreadable or damaged: numba compiles the function again.
            return None

    def save_overload(self, sig, data) -> None:
        """Write a compiled result, unless the folder cannot be written."""
        path = self._path(sig, data.codegen)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            payload = serialize.dumps(data._reduce())
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                try:
                    file.write(hashlib.sha256(payload).digest() + payload)
                    file.flush()
                    os.replace(file.name, path)
                except OSError:
                    os.unlink(file.name)
        except OSError:
            return


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
        self.name = f"{function.__module__}.{function.__qualname__}"
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
            compiled._cache = Cache(self.name)
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
        self._cache = Cache(f"{function.__module__}.{function.__qualname__}")
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
        signature = self._signature(real_type(dtype))
        codegen = cpu_target.target_context.codegen()
        return np.dtype(dtype) in self or self._cache._path(signature, codegen).is_file()


def entry(*kinds: Kind, result: types.Type = types.void) -> Callable[[Callable], Entry]:
    """Return a decorator that turns a function into an `Entry` with parameters of these kinds."""
    return lambda function: Entry(function, kinds, result)
