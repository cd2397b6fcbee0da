"""The matrix product of NumPy arrays, with a bias, an activation or its gradient."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numba import types

from kernels.base import host
from kernels.base.arrays import FLOATING, floating, matrix, output
from kernels.base.jit import entry, inline, real_type, routine
from kernels.base.kinds import (
    BOOLEAN,
    INTEGER,
    MATRIX,
    REALS,
    STRIDED,
    Matrix,
    Strided,
    below,
    block_of,
    matrix_of,
    reads,
    writes,
)
from kernels.base.memory import address, aligned_zeros
from kernels.base.reductions import sum_columns
from kernels.base.simd import advance, data, element_bytes, pointer, width
from kernels.functions.activations import ACTIVATIONS, IDENTITY, RELU, activate, apply_gradient
from kernels.machine import team as teams
from kernels.machine.instruction import instruction
from kernels.machine.state import THREAD, THREADS
from kernels.machine.team import ALONE, ASK, PAYS, share_out, shared
from kernels.product import few_outputs
from kernels.product.choice import BLOCK_PANELS, LARGE_PRODUCT, PANEL_DEPTH, TURNED_PANELS
from kernels.product.gemm import (
    TILE_ROWS,
    gemm,
    packing_pays,
    scratch_elements,
    tile_columns,
    zero_row,
)
from kernels.product.narrow import is_narrow, narrow_forward
from kernels.product.sharing import part

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@routine(*(INTEGER,) * 3, STRIDED, STRIDED, *(INTEGER,) * 4, REALS, MATRIX, REALS)
def multiply(
    rows, columns, depth, a, b, by_lanes, has_bias, accumulate, activation, bias, c, scratch
):
    """Compute C = f(A B + bias), or C += A B if `accumulate`.

    `by_lanes` is `_sums_by_lanes` of the whole product; C may be only some of its columns.
    """
    free = zero_row(scratch)
    if by_lanes:
        offset = bias if has_bias else scratch
        x, w = Matrix(a.pointer, a.row), Matrix(b.pointer, b.row)
        narrow_forward(rows, depth, columns, x, w, offset, c, free)
        activate(activation, rows, columns, c, c)
        return
    few = columns <= min(TILE_ROWS, width(a)) <= rows
    if few and a.row == 1 and a.column != 1 and not has_bias and not accumulate:
        _multiply_few_columns(rows, columns, depth, a, b, activation, c, scratch, free)
        return
    start = Strided(scratch, 0, 0)
    if accumulate:
        start = Strided(c.pointer, c.ld, 1)
    elif has_bias:
        start = Strided(bias, 0, 1)
    floor, after = (0.0, IDENTITY) if activation == RELU else (-np.inf, activation)
    pack_a, pack_b = packing_pays(rows, columns, a), b.column != 1 and columns > 1
    gemm(rows, columns, depth, a, b, 0, start, c, floor, after, c, pack_a, pack_b, free)


@inline
def _sums_by_lanes(columns, depth, a, b, accumulate):
    """Return whether a product is summed lane by lane, and not in order of depth."""
    contiguous = a.column == 1 and (b.column == 1 or columns == 1)
    return is_narrow(depth, columns) and contiguous and not accumulate


@inline
def _multiply_few_columns(rows, columns, depth, a, b, activation, c, zero, product):
    """Compute C = f(A B) of few columns, for an A with unit row stride.

    C^T = B^T A^T is computed, whose rows fill whole vectors, and then transposed. `zero` is a row
    of zeros, `product` the scratch memory behind it.
    """
    wide = TURNED_PANELS * tile_columns(a)
    turned, sums = advance(product, wide * TILE_ROWS), Matrix(product, wide)
    for i in range(0, rows, wide):
        here = min(wide, rows - i)
        gemm(
            columns,
            here,
            depth,
            Strided(b.pointer, b.column, b.row),
            Strided(advance(a.pointer, i), a.column, 1),
            0,
            Strided(zero, 0, 0),
            sums,
            -np.inf,
            IDENTITY,
            sums,
            0,
            0,
            advance(turned, (wide + 1) * width(a)),
        )
        few_outputs.turn(columns, here, sums, turned)
        few_outputs.copy_rows(here, columns, turned, below(c, i))
    activate(activation, rows, columns, c, c)


@instruction(
    rows=INTEGER,
    columns=INTEGER,
    depth=INTEGER,
    a=STRIDED,
    b=STRIDED,
    has_bias=INTEGER,
    accumulate=INTEGER,
    activation=INTEGER,
    bias=REALS,
    c=MATRIX,
)
def _multiply_share(at, state, scratch):
    """Compute this thread's part of `multiply`."""
    rows, columns, a, b = at.rows, at.columns, at.a, at.b
    i, height, j, wide = part(rows, columns, at.depth, scratch, state[THREAD], state[THREADS])
    if height == 0 or wide == 0:
        return
    multiply(
        height,
        wide,
        at.depth,
        Strided(advance(a.pointer, i * a.row), a.row, a.column),
        Strided(advance(b.pointer, j * b.column), b.row, b.column),
        _sums_by_lanes(columns, at.depth, a, b, at.accumulate),
        at.has_bias,
        at.accumulate,
        at.activation,
        advance(at.bias, j * at.has_bias),
        block_of(at.c, i, j),
        scratch,
    )


@inline
def _bytes_between(x):
    """Return the addresses of the first byte of a non-empty 2-d array and behind its last."""
    low, high = 0, x.itemsize
    for axis in range(2):
        reach = (x.shape[axis] - 1) * x.strides[axis]
        low += min(reach, 0)
        high += max(reach, 0)
    begin = np.int64(x.ctypes.data)
    return begin + low, begin + high


@inline
def _overlap(x, y):
    """Return whether two non-empty 2-d arrays may share a byte."""
    x_begin, x_end = _bytes_between(x)
    y_begin, y_end = _bytes_between(y)
    return x_begin < y_end and y_begin < x_end


@inline
def _of_whole_elements(x):
    """Return whether whole elements lie between those of a 2-d array; records may divide them."""
    return (np.int64(x.ctypes.data) | x.strides[0] | x.strides[1]) & (x.itemsize - 1) == 0


@inline
def _multiply_arrays(a, b, c, bias, has_bias, accumulate, activation, scratch, team):
    """Compute C = f(A B + bias), or C += A B; return 1, `PAYS`, or 0 for arrays that do not fit."""
    rows, columns, depth = c.shape[0], c.shape[1], a.shape[1]
    if a.shape[0] != rows or b.shape[0] != depth or b.shape[1] != columns:
        return 0
    if rows == 0 or columns == 0:
        return 1
    if depth > 0 and (_overlap(a, c) or _overlap(b, c)):
        return 0
    if not (_of_whole_elements(a) and _of_whole_elements(b) and _of_whole_elements(c)):
        return 0
    if team == ASK and rows * columns * depth >= LARGE_PRODUCT:
        return PAYS
    size, memory = element_bytes(data(a)), pointer(scratch, data(a))
    x = Strided(data(a), a.strides[0] // size, a.strides[1] // size)
    y = Strided(data(b), b.strides[0] // size, b.strides[1] // size)
    if columns == 1 or c.strides[1] == size:
        result = Matrix(data(c), c.strides[0] // size if rows > 1 else columns)
        then = has_bias, accumulate, activation, bias, result
        share_out(team, _multiply_share, (rows, columns, depth, x, y, *then), memory)
        return 1
    if has_bias or (rows > 1 and c.strides[0] != size):
        return 0
    # C^T is row-major, and is the product of the transposes.
    left, right = Strided(y.pointer, y.column, y.row), Strided(x.pointer, x.column, x.row)
    then = has_bias, accumulate, activation, bias, Matrix(data(c), c.strides[1] // size)
    share_out(team, _multiply_share, (columns, rows, depth, left, right, *then), memory)
    return 1


_OPERANDS = reads(2, layout="A"), reads(2, layout="A"), writes(2, layout="A")


@entry(*_OPERANDS, INTEGER, INTEGER, result=types.int64)
def _product(a, b, c, scratch, team):
    """Compute C = A B; return as `_multiply_arrays`."""
    return _multiply_arrays(a, b, c, data(c), False, False, IDENTITY, scratch, team)


@entry(*_OPERANDS, reads(1), BOOLEAN, BOOLEAN, *(INTEGER,) * 3, result=types.int64)
def _product_then(a, b, c, bias, has_bias, accumulate, activation, scratch, team):
    """Compute C = f(A B + bias), or C += A B; return as `_multiply_arrays`."""
    if has_bias and (bias.size != c.shape[1] or _begins_within(bias, c)):
        return 0
    return _multiply_arrays(a, b, c, data(bias), has_bias, accumulate, activation, scratch, team)


@inline
def _begins_within(bias, c):
    """Return whether a bias may share a byte with a 2-d array."""
    if c.size == 0:
        return False
    begin, end = _bytes_between(c)
    first = np.int64(bias.ctypes.data)
    return first < end and begin < first + bias.size * bias.itemsize


class _Workspace(threading.local):
    """Scratch memory of one Python thread, large enough for either dtype."""

    def __init__(self):
        self._memory = aligned_zeros(max(_scratch_bytes(dtype) for dtype in FLOATING), np.uint8)
        self.address = address(self._memory)


def _scratch_bytes(dtype: np.dtype) -> int:
    lanes = host.lanes(real_type(dtype))
    span = host.TILE_VECTORS * lanes
    few = TURNED_PANELS * span * (TILE_ROWS + lanes) + lanes
    elements = span + few + scratch_elements.py_func(lanes, PANEL_DEPTH, BLOCK_PANELS * span)
    return max(elements, few_outputs.scratch_size(lanes)) * dtype.itemsize


workspace = _Workspace()
_NO_BIAS = {dtype: np.empty(0, dtype) for dtype in FLOATING}


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    out: np.ndarray | None = None,
    *,
    bias: ArrayLike | None = None,
    activation: str = "identity",
    accumulate: bool = False,
) -> np.ndarray:
    """Return the matrix product f(A B + bias), or add A B to an array.

    Every element is summed in order of depth, so that results do not depend on strides, blocks or
    threads; only one or two columns are summed lane by lane, if the rows of `a` are contiguous.

    Parameters
    ----------
    a : array_like of shape (rows, depth) or (depth,)
        Left operand, with any strides: a transposed operand is not copied. One-dimensional
        operands are as in `numpy.matmul`.
    b : array_like of shape (depth, columns) or (depth,)
        Right operand, with any strides.
    out : ndarray of shape (rows, columns), optional
        Array for the result, of the result's dtype, float32 or float64.
    bias : array_like of shape (columns,), optional
        Vector that is added to each row.
    activation : str, default "identity"
        Name of f, a key of `ACTIVATIONS`.
    accumulate : bool, default False
        Whether to add A B to `out`; excludes `bias` and `activation`.

    Returns
    -------
    ndarray of shape (rows, columns)
        The product, which is `out` if given. Its dtype is float32 or float64.

    Raises
    ------
    TypeError
        If an operand is not of numbers, or `out` is no array.
    ValueError
        If shapes do not fit, `out` has another dtype, or `activation` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels import matmul
    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> matmul(a, a)
    array([[ 7., 10.],
           [15., 22.]])
    >>> matmul(a, -a, bias=[10.0, 20.0], activation="relu")
    array([[ 3., 10.],
           [ 0.,  0.]])
    """
    try:  # what is no array has no dtype
        kind = a.dtype  # type: ignore[union-attr]
        c = np.empty((a.shape[0], b.shape[1]), kind) if out is None else out  # type: ignore[union-attr]
        # numba may take a dtype of another byte order for the native one, so dtypes are compared.
        if not (b.dtype is kind is c.dtype or b.dtype == kind == c.dtype):  # type: ignore[union-attr]
            return _matmul_of_any(a, b, out, bias, activation, accumulate)
        plain = bias is None and activation == "identity"
        arguments: tuple
        if plain and not accumulate:
            compiled, arguments = _product[kind], (a, b, c, workspace.address, teams.asking)
        elif (accumulate and (out is None or not plain)) or (
            bias is not None and bias.dtype != kind  # type: ignore[union-attr]
        ):
            return _matmul_of_any(a, b, out, bias, activation, accumulate)
        else:
            compiled, code = _product_then[kind], ACTIVATIONS[activation]
            offset, has_bias = (_NO_BIAS[kind], False) if bias is None else (bias, True)
            added, memory = bool(accumulate), workspace.address
            arguments = a, b, c, offset, has_bias, added, code, memory, teams.asking
        done = compiled(*arguments)
        if done == PAYS:
            done = shared(compiled, arguments[:-1], a.size * b.shape[1] / LARGE_PRODUCT)  # type: ignore[union-attr]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        done = 0
    return c if done else _matmul_of_any(a, b, out, bias, activation, accumulate)


def _matmul_of_any(a, b, out, bias, activation, accumulate) -> np.ndarray:
    """Compute like `matmul` for operands that need a conversion, or raise its errors."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; expected one of {list(ACTIVATIONS)}")
    left, right = floating("a", a), floating("b", b)
    dtype = np.result_type(left, right)
    shape = _product_shape(left, right)
    if accumulate and (out is None or bias is not None or activation != "identity"):
        raise ValueError("accumulate adds to out: give out, and neither bias nor activation")
    result = output("out", out, shape, dtype)
    x = np.ascontiguousarray(left.reshape(1, -1) if left.ndim == 1 else left, dtype)
    y = np.ascontiguousarray(right.reshape(-1, 1) if right.ndim == 1 else right, dtype)
    z = np.empty((x.shape[0], y.shape[1]), dtype)
    if accumulate:
        z[...] = result.reshape(z.shape)
    offset = _NO_BIAS[dtype]
    if bias is not None:
        offset = np.ascontiguousarray(floating("bias", bias), dtype)
        if offset.shape != (z.shape[1],):
            raise ValueError(f"bias has shape {offset.shape}; expected ({z.shape[1]},)")
    code = ACTIVATIONS[activation]
    _product_then[dtype](
        x, y, z, offset, bias is not None, accumulate, code, workspace.address, ALONE
    )
    result[...] = z.reshape(shape)
    return result


def _product_shape(a: np.ndarray, b: np.ndarray) -> tuple[int, ...]:
    """Return the shape of the product of vectors or matrices; raise ValueError if none exists."""
    if a.ndim not in (1, 2) or b.ndim not in (1, 2) or a.shape[-1] != b.shape[0]:
        raise ValueError(
            f"a has shape {a.shape} and b {b.shape}; expected matrices or vectors with as many "
            "columns in a as rows in b"
        )
    return a.shape[:-1] + b.shape[1:]


def matmul_gradient(
    a: ArrayLike, b: ArrayLike, output_: ArrayLike, activation: str, out: np.ndarray | None = None
) -> np.ndarray:
    """Return (A B) f'(y), a matrix product times the derivative of an activation.

    The derivative f' is taken in terms of the activation's output y.

    Parameters
    ----------
    a : array_like of shape (rows, depth)
        Left operand, for instance the gradient of a layer's outputs.
    b : array_like of shape (depth, columns)
        Right operand, for instance the transpose of the layer's weights.
    output_ : array_like of shape (rows, columns)
        Output y of the activation, of the dtype of the product.
    activation : str
        Name of f, a key of `ACTIVATIONS`.
    out : ndarray of shape (rows, columns), optional
        Array for the result, of the result's dtype.

    Returns
    -------
    ndarray of shape (rows, columns)
        The product, which is `out` if given.

    Raises
    ------
    TypeError
        If an operand is not of numbers, or `out` is no array.
    ValueError
        If shapes or dtypes do not fit, or `activation` is unknown.

    Examples
    --------
    >>> from kernels import matmul_gradient
    >>> matmul_gradient([[1.0]], [[2.0, 3.0]], [[0.5, 0.0]], "relu")
    array([[2., 0.]])
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; expected one of {list(ACTIVATIONS)}")
    y, left, right = floating("output", output_), floating("a", a), floating("b", b)
    shape, dtype = _product_shape(left, right), np.result_type(left, right)
    if y.shape != shape:
        raise ValueError(f"output has shape {y.shape}; expected {shape}")
    if y.dtype != dtype:
        raise ValueError(f"output has dtype {y.dtype}; expected {dtype}")
    if out is None:
        product = matmul(left, right)
        return apply_gradient(ACTIVATIONS[activation], y, product, product)
    output("out", out, shape, dtype)
    out[...] = matmul_gradient(left, right, y, activation)
    return out


@entry(reads(2), writes(1))
def _column_sums(x, out):
    sum_columns(x.shape[0], x.shape[1], matrix_of(x), data(out))


def add_column_sums(x: ArrayLike, out: np.ndarray) -> None:
    """Add the sum of the rows of a matrix to a vector: out_j += sum_i x_ij.

    Parameters
    ----------
    x : array_like of shape (rows, columns)
        Matrix whose rows are summed.
    out : ndarray of shape (columns,)
        Vector to add to, of the dtype of `x`, float32 or float64.

    Raises
    ------
    TypeError
        If `x` is not of numbers, or `out` is no array.
    ValueError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels import add_column_sums
    >>> total = np.zeros(2)
    >>> add_column_sums([[1.0, 2.0], [3.0, 4.0]], total)
    >>> total
    array([4., 6.])
    """
    given = matrix("x", x)
    result = output("out", out, given.shape[1:], given.dtype)
    sums = np.empty_like(result)
    _column_sums[given.dtype](given, sums)
    result += sums
