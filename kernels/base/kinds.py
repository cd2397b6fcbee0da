"""Kinds of arguments: the types that routines, entries and instructions take, for either dtype.

A kind is a function from a floating type (numba's float32 or float64) to a numba type, so one
declaration serves both. A matrix is one argument, its pointer and its leading dimension together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import types

from kernels.base.jit import Kind, inline
from kernels.base.simd import advance, data


class Matrix(NamedTuple):
    """Rows of numbers: a pointer to the first, and elements from one row to the next."""

    pointer: Any
    ld: Any


class Panels(NamedTuple):
    """A matrix whose columns may lie in panels, which begin `panel` elements apart.

    With `panel` 0 it is one matrix. See `kernels.product.panels`.
    """

    pointer: Any
    ld: Any
    panel: Any


class Strided(NamedTuple):
    """A matrix of any strides: a pointer, and elements from row to row and column to column."""

    pointer: Any
    row: Any
    column: Any


class Memory(NamedTuple):
    """What an optimizer remembers of parameters: any number of arrays that lie as they do.

    A pointer to the first, and elements from one to the next.
    """

    pointer: Any
    apart: Any


class Update(NamedTuple):
    """How parameters are updated.

    The address of a rule (`kernels.functions.updates`), or 0 where their gradient is written
    instead; whether weight decay applies; updates before this one; and a pointer to the settings.
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
    """Return float64, for numbers that are rounded once, where they are used."""
    return types.float64


def BOOLEAN(real: types.Type) -> types.Type:  # noqa: N802
    """Return the type of True and False."""
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
"""A `Matrix`, `Panels`, `Strided` or `Memory` of the floating type."""


def UPDATE(real: types.Type) -> types.Type:  # noqa: N802
    """Return an `Update`."""
    return types.NamedTuple((*(types.int64,) * 3, types.CPointer(types.float64)), Update)


def MASK(real: types.Type) -> types.Type:  # noqa: N802
    """Return a `Matrix` of bytes, one for each element that may be dropped."""
    return types.NamedTuple((types.CPointer(types.uint8), types.int64), Matrix)


def reads(ndim: int, dtype: types.Type | None = None, layout: str = "C") -> Kind:
    """Return the kind of an array that a kernel only reads; a writable one may be given as well.

    Its elements are of the floating type unless a `dtype` is named.
    """
    return lambda real: types.Array(dtype or real, ndim, layout, readonly=True)


def writes(ndim: int, dtype: types.Type | None = None, layout: str = "C") -> Kind:
    """Return the kind of an array that a kernel writes."""
    return lambda real: types.Array(dtype or real, ndim, layout)


LABELS, HITS = reads(1, types.int64), writes(1, types.uint8)
"""Arrays of class indices that are read, and of a byte for each row that is written."""


# ------------------------------------------------------------------------------- matrices


@inline
def row_at(matrix, i):
    """Return a pointer to row `i` of a matrix."""
    return advance(matrix.pointer, i * matrix.ld)


@inline
def below(matrix, i):
    """Return the rows of a matrix from row `i` on."""
    return Matrix(advance(matrix.pointer, i * matrix.ld), matrix.ld)


@inline
def beside(matrix, j):
    """Return the columns of a matrix from column `j` on."""
    return Matrix(advance(matrix.pointer, j), matrix.ld)


@inline
def block_of(matrix, i, j):
    """Return a matrix from row `i` and column `j` on."""
    return Matrix(advance(matrix.pointer, i * matrix.ld + j), matrix.ld)


@inline
def matrix_of(array):
    """Return a C-contiguous array of two dimensions as a matrix."""
    return Matrix(data(array), array.shape[1])
