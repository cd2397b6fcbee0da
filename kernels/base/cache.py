"""Machine code of compiled functions, kept on disk.

A file of the folder holds the object code of one function for one signature, and the names of its
symbols. It is named by a digest of everything that the code depends on: the source of every file
in `kernels`; the versions of numba, llvmlite, NumPy and Python; the processor and its features;
numba's options. A change of any of these changes the name, so stale code is never found.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import compiler
from numba.core.caching import NullCache
from numba.core.environment import Environment
from numba.core.funcdesc import PythonFunctionDescriptor
from numba.core.registry import cpu_target

from kernels.base import folder

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


_APART = re.compile("CUDA|CACHE|NUM_THREADS|THREADING_LAYER|GDB_BINARY")
_OPTION_NAMES = sorted(
    name for name in vars(numba.config) if name.isupper() and not _APART.search(name)
)
"""The options of numba by which machine code is named: all but those that cannot change it."""

_VERSIONS = sys.version, numba.__version__, llvmlite.__version__, np.__version__


class Cache(NullCache):
    """Machine code of one function on disk: a file for each signature, processor and option.

    It has the interface of numba's own function caches. A file holds object code and the names of
    its symbols, in JSON.
    """

    def __init__(self, function: Callable):
        self._function = function

    def name(self, sig, codegen) -> str:
        """Return the name of the file for a signature, by all that its machine code depends on."""
        options = [getattr(numba.config, name) for name in _OPTION_NAMES]
        parts = (_VERSIONS, SOURCE_DIGEST, options, codegen.magic_tuple(), sig)
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        return f"{full_name(self._function)}-{digest}.bin"

    def holds(self, sig) -> bool:
        """Return whether there is a file for a signature."""
        return folder.holds(self.name(sig, cpu_target.target_context.codegen()))

    def load_overload(self, sig, target_context):
        """Return the compiled result for a signature, or None if no file can be used."""
        # `target_context.refresh()` is left out: it imports all that a compilation may need,
        # and code that is only loaded, and allocates nothing, needs none of it.
        codegen = target_context.codegen()
        content = folder.read(self.name(sig, codegen))
        if content is None:
            return None
        head, code = content.split(b"\n", 1)
        names = json.loads(head)
        try:
            descriptor = self._descriptor(sig, names["function"], names["environment"])
            library = _library(codegen, names["function"], code, names["wrappers"])
        except (AttributeError, TypeError):  # another version of numba: compile the function again
            return None
        environment = Environment.from_fndesc(descriptor)
        return compiler.compile_result(
            signature=sig,
            fndesc=descriptor,
            library=library,
            environment=environment,
            entry_point=target_context.get_executable(library, descriptor, environment),
            objectmode=False,
        )

    def save_overload(self, sig, data) -> None:
        """Write a compiled result, unless there is more to it than code or it cannot be written."""
        (_, _, (code, _)), descriptor, _, _, objectmode, lifted, _, startup, environments = (
            data._reduce()
        )
        if objectmode or lifted or startup or any(each.consts for each in environments):
            return
        wrappers = descriptor.llvm_cpython_wrapper_name, descriptor.llvm_cfunc_wrapper_name
        defined = {each.name for each in data.library.get_defined_functions()}
        names = {
            "function": descriptor.mangled_name,
            "environment": descriptor.env_name,
            "wrappers": [each for each in wrappers if each in defined],
        }
        folder.write(self.name(sig, data.codegen), json.dumps(names).encode() + b"\n" + code)

    def _descriptor(self, sig, symbol: str, environment: str) -> PythonFunctionDescriptor:
        """Return what numba knows of a function that is compiled."""
        function = self._function
        return PythonFunctionDescriptor(
            native=True,
            modname=function.__module__,
            qualname=function.__qualname__,
            unique_name=symbol,
            doc="",
            typemap=None,
            restype=sig.return_type,
            calltypes=None,
            args=function.__code__.co_varnames[: len(sig.args)],
            kws=(),
            mangler=lambda *arguments, **options: symbol,
            argtypes=sig.args,
            env_name=environment,
            global_dict=function.__globals__,
        )


def _library(codegen, name: str, code: bytes, symbols: Sequence[str]):
    """Return a library of object code that was compiled before, with the symbols to be looked up.

    numba's own way needs the code in LLVM's language, too, which takes longer to read.
    """
    library = codegen.create_library(name)
    library.enable_object_caching()
    library._set_compiled_object(code)
    library._finalize_final_module()
    codegen._engine._defined_symbols.update(symbols)
    return library


def full_name(function: Callable) -> str:
    """Return the name of a function with that of its module."""
    return f"{function.__module__}.{function.__qualname__}"
