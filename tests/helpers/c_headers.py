"""Compiling and running the C headers that fastnn writes."""

import ctypes
import itertools
import os
import shutil
import subprocess

import numpy as np

COMPILERS = [each for each in ("gcc", "clang") if shutil.which(each)]
STRICT = "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"
NATIVE = "-O1", "-march=native"

_ROWS = """
{includes}
void run(const {given} *x, {real} *y, long rows, long inputs, long outputs);
void run(const {given} *x, {real} *y, long rows, long inputs, long outputs)
{{
    for (long i = 0; i < rows; ++i)
        {name}_predict(x + i * inputs, y + i * outputs);
}}
"""
_TYPES = {"uint8": "uint8_t", "float32": "float", "float64": "double"}
_NUMBERS = itertools.count()


def compile_c(source, folder, *options, compiler=COMPILERS[0] if COMPILERS else "cc", ending="c"):
    """A shared library of C source, compiled without warnings; the path of the library."""
    text = folder / f"code_{next(_NUMBERS)}.{ending}"
    text.write_text(source)
    library = text.with_suffix(".so")
    command = [compiler, *options, "-shared", "-fPIC", "-I", folder, text, "-o", library, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return library


def compiled(header, x_dtype, dtype, *options, **how):
    """The function of a header, for arrays of rows and a number of outputs."""
    name = header.stem
    source = _ROWS.format(
        includes=f'#include "{header.name}"',
        given=_TYPES[np.dtype(x_dtype).name],
        real=_TYPES[np.dtype(dtype).name],
        name=name,
    )
    options = options or NATIVE
    run = ctypes.CDLL(os.fspath(compile_c(source, header.parent, *STRICT, *options, **how))).run

    def predict(x, outputs):
        x = np.ascontiguousarray(x, x_dtype)
        y = np.full((len(x), outputs), np.nan, dtype)
        address = (ctypes.c_void_p(each.ctypes.data) for each in (x, y))
        run(*address, *(ctypes.c_long(n) for n in (*x.shape, outputs)))
        return y

    return predict


def ulps(got, expected):
    """The largest difference in units in the last place of the largest number of its row."""
    assert got.dtype == expected.dtype
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.where(finite, 0, got), np.where(finite, 0, expected))
    got, expected = (np.where(finite, each, 0) for each in (got, expected))
    largest = np.abs(expected).max(axis=1, keepdims=True)
    unit = np.spacing(np.maximum(largest, np.finfo(expected.dtype).tiny))
    return float((np.abs(got.astype(np.float64) - expected) / unit).max(initial=0))
