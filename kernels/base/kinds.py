"""Kinds of arguments of routines, entries and instructions.

A kind is a function from a floating type (numba's float32 or float64) to a numba type, so one
declaration serves both. A matrix is one argument: a pointer with its leading dimension.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import types

from kernels.base.jit import Kind, inline
from kernels.base.simd import advance, data


class Matrix(NamedTuple):
    """A row-major matrix: a pointer to its first element, and its leading dimension in elements."""

    pointer: Any
    ld: Any


class Panels(NamedTuple):
    """A matrix whose columns may lie in panels that begin `panel` elements apart.

    With `panel` 0 it is an ordinary matrix. See `kernels.product.panels`.
    """

    pointer: Any
    ld: Any
    panel: Any


class Strided(NamedTuple):
    """A matrix with any strides: a pointer, and the strides of rows and columns in elements."""

    pointer: Any
    row: Any
    column: Any


class Memory(NamedTuple):
    """An optimizer's memory of parameters: any number of arrays with the layout of the parameters.

    `pointer` is the start of the first array; successive arrays begin `apart` elements apart.
    """

    pointer: Any
    apart: Any


class Update(NamedTuple):
    """The update of parameters by an optimizer's rule.

    `rule` is the address of a rule (`kernels.functions.updates`), or 0 to write the gradient
    instead of an update; `decays` says whether weight decay applies; `step` is the number of
    earlier updates; `settings` points to the optimizer's settings.
    """

    rule: Any
    decays: Any
    step: Any
    settings: Any


# ------------------------------------------------------------------------------- the kinds


def INTEGER(real: types.Type) -> types.Type:  # noqa: N802
    """Return int64."""
    return types.int64


def DOUBLE(real: types.Type) -> types.Type:  # noqa: N802
    """Return float64, for numbers that are rounded to the floating type only at their use."""
    return types.float64


def BOOLEAN(real: types.Type) -> types.Type:  # noqa: N802
    """Return the boolean type."""
    return types.boolean


def REAL(real: types.Type) -> types.Type:  # noqa: N802
    """Return the floating type itself."""
    return real


def _pointer_to(dtype: types.Type) -> Kind:
    return lambda real: types.CPointer(dtype)


def REALS(real: types.Type) -> types.Type:  # noqa: N802
    """Return a pointer to numbers of the floating type."""
    return types.CPointer(real)


WORDS, BYTES, DOUBLES = map(_pointer_to, (types.int64, types.uint8, types.float64))
"""Pointers to int64, uint8 and float64."""


def _of_pointer(kind: Any) -> Kind:
    integers = (types.int64,) * (len(kind._fields) - 1)
    return lambda real: types.NamedTuple((types.CPointer(real), *integers), kind)


MATRIX, PANELS, STRIDED, MEMORY = map(_of_pointer, (Matrix, Panels, Strided, Memory))
"""Kinds of `Matrix`, `Panels`, `Strided` and `Memory` of the floating type."""


def UPDATE(real: types.Type) -> types.Type:  # noqa: N802
    """Return the type of an `Update`."""
    return types.NamedTuple((*(types.int64,) * 3, types.CPointer(types.float64)), Update)


def MASK(real: types.Type) -> types.Type:  # noqa: N802
    """Return the type of a `Matrix` of bytes, one for each element that may be dropped."""
    return types.NamedTuple((types.CPointer(types.uint8), types.int64), Matrix)


def reads(ndim: int, dtype: types.Type | None = None, layout: str = "C") -> Kind:
    """Return the kind of an array that a kernel only reads, which may be writable or not.

    Its elements have the floating type unless `dtype` is given.
    """
    return lambda real: types.Array(dtype or real, ndim, layout, readonly=True)


def writes(ndim: int, dtype: types.Type | None = None, layout: str = "C") -> Kind:
    """Return the kind of an array that a kernel writes; `dtype` as in `reads`."""
    return lambda real: types.Array(dtype or real, ndim, layout)


LABELS, HITS = reads(1, types.int64), writes(1, types.uint8)
"""Kinds of an array of class indices to read, and of an array to write with a byte for each row."""


# ------------------------------------------------------------------------------- matrices


@inline
def row_at(matrix, i):
    """Return a pointer to row `i` of a matrix."""
    return advance(matrix.pointer, i * matrix.ld)


@inline
def below(matrix, i):
    """Return the part of a matrix from row `i` on."""
    return Matrix(advance(matrix.pointer, i * matrix.ld), matrix.ld)


@inline
def beside(matrix, j):
    """Return the part of a matrix from column `j` on."""
    return Matrix(advance(matrix.pointer, j), matrix.ld)


@inline
def block_of(matrix, i, j):
    """Return the part of a matrix from row `i` and column `j` on."""
    return Matrix(advance(matrix.pointer, i * matrix.ld + j), matrix.ld)


@inline
def matrix_of(array):
    """Return a C-contiguous 2-d array as a matrix."""
    return Matrix(data(array), array.shape[1])
