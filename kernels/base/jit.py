"""How kernels are compiled, linked to each other, and kept on disk.

A *routine* is a function compiled by itself, once for each floating dtype, and
called by other kernels through a symbol of its own name. So no kernel is
compiled twice, however many others call it, and what a new kernel costs is its
own compilation. An *entry* is a routine that Python calls with arrays.

Machine code is kept in a cache folder under a name that digests everything it
came from: the source of every file in `kernels`, numba's and Python's version,
the processor and its features. A change of any of these is another name, so
stale code cannot be found. A folder that cannot be written, or a damaged file,
costs compilation and nothing else.
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

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set: there are no kernels unless numba compiles them")

Kind = Callable[[types.Type], types.Type]
"""A parameter's type, as a function of the floating type that a version is compiled for."""

_OPTIONS = {"error_model": "numpy", "_nrt": False}
"""Division by zero as in NumPy; no allocation, which would need numba's run-time library."""

inline = numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)
"""Decorator for the small functions that kernels are made of: always inlined.

Without the wrappers that Python or C would call them by, they compile in two thirds
of the time.
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
"""SHA-256 of every source file below `kernels` as it was imported, relative paths included."""


def cache_folder() -> Path:
    """Where machine code is kept: `FASTNN_CACHE_DIR`, or the user's cache folder."""
    chosen = os.environ.get("FASTNN_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("fastnn")) / "kernels"


_CHECK = hashlib.sha256().digest_size
"""Bytes of the digest that a file begins with: damaged machine code must not be run."""


class Cache(NullCache):
    """Compiled code of one function on disk, a file for each signature and processor.

    Follows the interface of numba's own function caches. Files are written whole
    and renamed into place, so processes may share a folder.
    """

    def __init__(self, name: str):
        self._name = name

    @property
    def cache_path(self) -> str:
        """The folder, as text."""
        return str(cache_folder())

    def _path(self, sig, codegen) -> Path:
        parts = (numba.__version__, sys.version, SOURCE_DIGEST, sig, codegen.magic_tuple())
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        return cache_folder() / f"{self._name}-{digest}.bin"

    def load_overload(self, sig, target_context):
        """Return the compiled result for a signature, or None."""
        # No `target_context.refresh()`, which imports all that a compilation may need: code
        # that is only loaded, and allocates nothing, does without.
        try:
            stored = self._path(sig, target_context.codegen()).read_bytes()
            check, payload = stored[:_CHECK], stored[_CHECK:]
            if hashlib.sha256(payload).digest() != check:
                return None
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:
            # Absent, unreadable or damaged: whatever the reason, compiling anew is the remedy.
            return None

    def save_overload(self, sig, data) -> None:
        """Keep a compiled result, or do without where the folder cannot be written."""
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
    """What a function's code may refer to: globals, attributes of modules, closure cells."""
    names = function.__code__.co_names
    values = [function.__globals__.get(name) for name in names]
    yield from values
    for module in (value for value in values if isinstance(value, ModuleType)):
        yield from (getattr(module, name, None) for name in names)
    yield from (cell.cell_contents for cell in function.__closure__ or ())


def _references(function: Callable) -> Iterator[Routine]:
    """Routines that a function calls, also through the inlined functions it calls."""
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

    Its parameters are of these `kinds` (`kernels.base.kinds`); the last pointer to a floating
    type among them tells a call which version is meant.
    """

    def __init__(self, function: Callable, kinds: Sequence[Kind]):
        self.function, self.kinds = function, kinds
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._compiled: dict[str, Any] = {}  # by the name of the type, which is hashed sooner
        self.__doc__ = function.__doc__
        self.type = self._make_type()

    def arguments(self, real: types.Type) -> tuple[types.Type, ...]:
        """Return the types of the parameters, for a floating type."""
        return tuple(kind(real) for kind in self.kinds)

    def __call__(self, *args):
        """Raise TypeError: only compiled code can call a routine."""
        raise TypeError(f"{self.name} is called from compiled code only")

    def symbol(self, real: types.Type) -> str:
        """Name under which other compiled code finds the version for a floating type."""
        return f"{self.name}.{real}"

    def address(self, real: types.Type) -> int:
        """Address of the version for a floating type, compiled or loaded when first asked for."""
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
        """Machine code of the version for a floating type, as text."""
        self.address(real)
        return self._compiled[real.name]._library.get_asm_str()

    def _make_type(self) -> types.Function:
        """The numba type of this routine where compiled code names it: a call by symbol."""
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
    """The numba type of float32 or float64."""
    return numba.from_dtype(np.dtype(dtype))


def elements(kinds: Iterable[types.Type]) -> Iterator[types.Type]:
    """Return the numbers and pointers that types consist of, those of tuples one by one."""
    for kind in kinds:
        if isinstance(kind, types.BaseTuple):
            yield from elements(kind.types)
        else:
            yield kind


def _real_among(kinds) -> types.Type:
    """Return the floating type that the last pointer to one points at."""
    return next(
        kind.dtype
        for kind in reversed(list(elements(kinds)))
        if isinstance(kind, types.CPointer) and isinstance(kind.dtype, types.Float)
    )


@typeof_impl.register(Routine)
def _typeof_routine(value: Routine, context) -> types.Function:
    return value.type


def routine(*kinds: Kind) -> Callable[[Callable], Routine]:
    """Return a decorator that makes a function a `Routine` with parameters of these kinds."""
    return lambda function: Routine(function, kinds)


# ------------------------------------------------------------------------- entries

_FLOATING = (np.dtype(np.float32), np.dtype(np.float64))


class Entry(dict):
    """A function that Python calls with arrays: `entry[dtype](...)`.

    One version a floating dtype, compiled for the types given whatever the layout
    or writability of what is passed, so that no call ever compiles another one.
    It runs without the interpreter's lock.
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
        if kind not in _FLOATING:
            raise KeyError(f"{self.function.__name__} is not compiled for {dtype}")
        if kind in self:  # asked for by another name of the dtype
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
        """Whether the version for a dtype is there, in this process or in the cache folder."""
        signature = self._signature(real_type(dtype))
        codegen = cpu_target.target_context.codegen()
        return np.dtype(dtype) in self or self._cache._path(signature, codegen).is_file()


def entry(*kinds: Kind, result: types.Type = types.void) -> Callable[[Callable], Entry]:
    """Return a decorator that makes a function an `Entry` with parameters of these kinds."""
    return lambda function: Entry(function, kinds, result)
