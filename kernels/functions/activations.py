"""Activation functions and their gradients, of blocks inside kernels and of arrays.

A gradient is computed from the function's output, which a network keeps. Kernels name a function
by an integer code, Python by a string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import types

from kernels.base import host, vectormath
from kernels.base.arrays import floating, output, same_shape
from kernels.base.jit import entry, inline, routine
from kernels.base.kinds import INTEGER, MATRIX, REALS, Matrix, reads, row_at, writes
from kernels.base.simd import (
    advance,
    data,
    first,
    load,
    load_first,
    load_masked,
    maximum,
    same,
    select,
    store,
    store_first,
    store_masked,
    width,
)
from kernels.machine.barrier import share
from kernels.machine.instruction import instruction
from kernels.machine.state import THREAD, THREADS
from kernels.machine.team import ALONE, share_out, shared_elements

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


IDENTITY, RELU, TANH, SIGMOID, EXP = range(5)

ACTIVATIONS = {
    "identity": IDENTITY,
    "relu": RELU,
    "tanh": TANH,
    "sigmoid": SIGMOID,
    "exp": EXP,
}
"""The code of each activation function."""

# ------------------------------------------------------------------- functions of a block

_MANY_REGISTERS = host.VECTOR_REGISTERS >= 32  # room for four vectors beside the constants


def _on_rows(function):
    """Return a compiled loop that stores `function` of each vector of x in y."""

    @inline
    def on_rows(rows, columns, x, y):
        w = width(x)
        for i in range(rows):
            source, target = row_at(x, i), row_at(y, i)
            j = 0
            # Four vectors are loaded together, so that waits for memory overlap.
            while _MANY_REGISTERS and j + 4 * w <= columns:
                a, b = load(source, j), load(source, j + w)
                c, d = load(source, j + 2 * w), load(source, j + 3 * w)
                store(target, j, function(a))
                store(target, j + w, function(b))
                store(target, j + 2 * w, function(c))
                store(target, j + 3 * w, function(d))
                j += 4 * w
            while j < columns:
                count = columns - j
                store_first(target, j, function(load_first(source, j, count)), count)
                j += w

    return on_rows


@inline
def _identity(x):
    return x


@inline
def _relu(x):
    return maximum(x, 0.0)


_identity_rows = _on_rows(_identity)
_relu_rows = _on_rows(_relu)
_tanh_rows = _on_rows(vectormath.tanh)
_sigmoid_rows = _on_rows(vectormath.sigmoid)
_exp_rows = _on_rows(vectormath.exp)


@routine(INTEGER, INTEGER, INTEGER, MATRIX, MATRIX)
def activate(code, rows, columns, x, y):
    """Compute y = f(x) for a block of rows; y may be x. Bytes between rows are not touched."""
    if x.ld == columns and y.ld == columns:
        rows, columns = 1, rows * columns
    if code == RELU:
        _relu_rows(rows, columns, x, y)
    elif code == TANH:
        _tanh_rows(rows, columns, x, y)
    elif code == SIGMOID:
        _sigmoid_rows(rows, columns, x, y)
    elif code == EXP:
        _exp_rows(rows, columns, x, y)
    elif not same(x.pointer, y.pointer):
        _identity_rows(rows, columns, x, y)


# ------------------------------------------------------------------- gradients of a block


def _on_rows_of_two(function):
    """Return a compiled loop that stores `function` of each vector of y and g in out."""

    @inline
    def on_rows(rows, columns, y, g, out):
        for i in range(rows):
            outputs, gradients = row_at(y, i), row_at(g, i)
            result = row_at(out, i)
            w = width(y)
            whole = columns - columns % w
            for j in range(0, whole, w):
                store(result, j, function(load(outputs, j), load(gradients, j)))
            if whole < columns:
                mask = first(columns - whole, y)
                last = load_masked(outputs, whole, mask), load_masked(gradients, whole, mask)
                store_masked(result, whole, function(*last), mask)

    return on_rows


@inline
def _identity_gradient(y, g):
    return g


@inline
def relu_gradient_of(y, g):
    """Return the gradient of a ReLU's input, a vector: g where the output y is above 0, else 0."""
    # A selection, not a product, so an infinite or NaN g becomes 0 as well. Where y is NaN, g
    # passes, as in torch.
    return select(y <= 0.0, 0.0, g)


@inline
def _tanh_gradient(y, g):
    return g * ((1.0 - y) * (1.0 + y))


@inline
def _sigmoid_gradient(y, g):
    return g * (y * (1.0 - y))


@inline
def _exp_gradient(y, g):
    return g * y


_identity_gradient_rows = _on_rows_of_two(_identity_gradient)
_relu_gradient_rows = _on_rows_of_two(relu_gradient_of)
_tanh_gradient_rows = _on_rows_of_two(_tanh_gradient)
_sigmoid_gradient_rows = _on_rows_of_two(_sigmoid_gradient)
_exp_gradient_rows = _on_rows_of_two(_exp_gradient)


@routine(INTEGER, INTEGER, INTEGER, MATRIX, MATRIX, MATRIX)
def activate_gradient(code, rows, columns, y, g, out):
    """Compute out = g f'(y) for a block of rows, with f' in terms of the output y of f.

    out may be y or g.
    """
    if y.ld == columns and g.ld == columns and out.ld == columns:
        rows, columns = 1, rows * columns
    if code == RELU:
        _relu_gradient_rows(rows, columns, y, g, out)
    elif code == TANH:
        _tanh_gradient_rows(rows, columns, y, g, out)
    elif code == SIGMOID:
        _sigmoid_gradient_rows(rows, columns, y, g, out)
    elif code == EXP:
        _exp_gradient_rows(rows, columns, y, g, out)
    elif not same(g.pointer, out.pointer):
        _identity_gradient_rows(rows, columns, y, g, out)


# ------------------------------------------------------------------ functions of an array


@inline
def _fits(x, y):
    """Return whether x and y are contiguous, of one size, and either identical or disjoint."""
    size, length = x.itemsize, x.size * x.itemsize
    contiguous = x.size < 2 or (x.strides[0] == size and y.strides[0] == size)
    # numba types an address as unsigned, and so the difference of two addresses.
    distance = abs(np.int64(x.ctypes.data) - np.int64(y.ctypes.data))
    return x.size == y.size and contiguous and (distance == 0 or distance >= length)


@inline
def _to_line(x):
    """Return the number of elements of x before the first cache line border."""
    return min(-np.int64(x.ctypes.data) % host.CACHE_LINE // x.itemsize, x.size)


_SPAN = 1024  # elements, a number of cache lines; threads share whole spans


@inline
def _share_of(size, state):
    """Return this thread's share of `size` elements: the first one, and their number."""
    begin, end = share((size + _SPAN - 1) // _SPAN, state[THREAD], state[THREADS])
    return begin * _SPAN, min(end * _SPAN, size) - begin * _SPAN


@instruction(code=INTEGER, size=INTEGER, x=REALS, y=REALS)
def _activate_share(at, state, scratch):
    """Compute this thread's share of `activate`."""
    i, n = _share_of(at.size, state)
    x, y = Matrix(advance(at.x, i), n), Matrix(advance(at.y, i), n)
    activate(at.code, 1, n, x, y)


@instruction(code=INTEGER, size=INTEGER, y=REALS, g=REALS, out=REALS)
def _activate_gradient_share(at, state, scratch):
    """Compute this thread's share of `activate_gradient`."""
    i, n = _share_of(at.size, state)
    y, g = Matrix(advance(at.y, i), n), Matrix(advance(at.g, i), n)
    activate_gradient(at.code, 1, n, y, g, Matrix(advance(at.out, i), n))


@entry(INTEGER, reads(1, layout="A"), writes(1, layout="A"), INTEGER, result=types.boolean)
def _activate(code, x, y, team):
    """Compute y = f(x) if the arrays pass `_fits`, and return whether they do.

    `team` is as in `kernels.machine.team.share_out`.
    """
    if not _fits(x, y):
        return False
    source, target, head = data(x), data(y), _to_line(y)
    activate(code, 1, head, Matrix(source, head), Matrix(target, head))
    source, target = advance(source, head), advance(target, head)
    share_out(team, _activate_share, (code, x.size - head, source, target), target)
    return True


@entry(
    INTEGER,
    reads(1, layout="A"),
    reads(1, layout="A"),
    writes(1, layout="A"),
    INTEGER,
    result=types.boolean,
)
def _activate_gradient(code, y, g, out, team):
    """Compute out = g f'(y) if the arrays pass `_fits`, and return whether they do."""
    if not (_fits(y, out) and _fits(g, out)):
        return False
    operands = code, y.size, data(y), data(g), data(out)
    share_out(team, _activate_gradient_share, operands, data(out))
    return True


def _contiguous(name: str, value) -> np.ndarray:
    """Return `value` as a floating array in C order, without a copy if it is one."""
    return np.asarray(floating(name, value), order="C")


def apply(code: int, x, out=None) -> np.ndarray:
    """Return f(x) of an array of any shape, for the function f of this code.

    Arguments and errors are those of `relu`.
    """
    compiled = _activate.get(x.dtype) if type(x) is np.ndarray else None
    if compiled is not None:
        y = np.empty_like(x) if out is None else out
        try:
            if y.dtype != x.dtype:  # numba does not distinguish byte orders
                done = False
            elif x.ndim == 1:
                done = shared_elements(compiled, (code, x, y), x.size)
            elif y.flags.c_contiguous and y.shape == x.shape:
                done = shared_elements(compiled, (code, x.ravel(), y.ravel()), x.size)
            else:
                done = False
        except (TypeError, AttributeError):
            done = False
        if done:
            return y
    return _apply_to_any(code, x, out)


def _apply_to_any(code: int, x, out) -> np.ndarray:
    """Compute like `apply` for arguments that need a conversion or a copy, or raise its errors."""
    source = _contiguous("x", x)
    result = output("out", out, source.shape, source.dtype)
    if not result.flags.carray:
        result[...] = apply(code, source)
    elif not _activate[source.dtype](code, source.ravel(), np.asarray(result).ravel(), ALONE):
        apply(code, source.copy(), result)
    return result


def apply_gradient(code: int, output_, gradient, out=None) -> np.ndarray:
    """Return `gradient` times the derivative of the function of this code, from its output.

    Arguments and errors are those of `relu_gradient`.
    """
    compiled = _activate_gradient.get(gradient.dtype) if type(gradient) is np.ndarray else None
    if compiled is not None:
        result = np.empty_like(gradient) if out is None else out
        try:
            if not output_.dtype == gradient.dtype == result.dtype:
                done = False
            elif gradient.ndim == 1:
                arguments = code, output_, gradient, result
                done = shared_elements(compiled, arguments, gradient.size)
            elif result.flags.c_contiguous and result.shape == gradient.shape == output_.shape:
                arguments = code, output_.ravel(), gradient.ravel(), result.ravel()
                done = shared_elements(compiled, arguments, gradient.size)
            else:
                done = False
        except (TypeError, AttributeError):
            done = False
        if done:
            return result
    return _apply_gradient_to_any(code, output_, gradient, out)


def _apply_gradient_to_any(code: int, output_, gradient, out) -> np.ndarray:
    """Compute like `apply_gradient` for arguments that need a conversion or a copy, or raise."""
    y, g = _contiguous("output", output_), _contiguous("gradient", gradient)
    same_shape("gradient", g, "output", y)
    dtype = np.result_type(y, g)
    y, g = y.astype(dtype, copy=False), g.astype(dtype, copy=False)
    result = output("out", out, y.shape, dtype)
    flat = np.asarray(result).ravel()
    if not result.flags.carray:
        result[...] = apply_gradient(code, y, g)
    elif not _activate_gradient[dtype](code, y.ravel(), g.ravel(), flat, ALONE):
        apply_gradient(code, y.copy(), g.copy(), result)
    return result


def relu(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Return max(x, 0) of each element, NaN where x is NaN.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be `x` or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given.

    Raises
    ------
    TypeError
        If `x` is not of numbers, or `out` is no array.
    ValueError
        If `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import relu
    >>> relu([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """
    return apply(RELU, x, out)


def tanh(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Return the hyperbolic tangent (e^x - e^-x) / (e^x + e^-x) of each element, within 1.6 ulp.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be `x` or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given.

    Raises
    ------
    TypeError
        If `x` is not of numbers, or `out` is no array.
    ValueError
        If `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import tanh
    >>> tanh([-100.0, 0.0, 100.0])
    array([-1.,  0.,  1.])
    """
    return apply(TANH, x, out)


def sigmoid(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Return the sigmoid 1 / (1 + e^-x) of each element, within 1.7 ulp.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be `x` or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given.

    Raises
    ------
    TypeError
        If `x` is not of numbers, or `out` is no array.
    ValueError
        If `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import sigmoid
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    return apply(SIGMOID, x, out)


def exp(x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    """Return e^x of each element, within 1.3 ulp.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be `x` or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given.

    Raises
    ------
    TypeError
        If `x` is not of numbers, or `out` is no array.
    ValueError
        If `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import exp
    >>> exp([-1000.0, 0.0, 1000.0])
    array([ 0.,  1., inf])
    """
    return apply(EXP, x, out)


def relu_gradient(
    output: ArrayLike, gradient: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of ReLU's input: g where y > 0, else 0, even if g is NaN.

    Parameters
    ----------
    output : array_like
        Output y of relu, of any shape; dtypes are converted as in `relu`.
    gradient : array_like
        Gradient g with respect to y, of the same shape.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be an argument or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given. Its dtype is the larger one of the arguments.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or `out` is no array.
    ValueError
        If the shapes differ, or `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import relu_gradient
    >>> relu_gradient([0.0, 2.0], [5.0, 5.0])
    array([0., 5.])
    """
    return apply_gradient(RELU, output, gradient, out)


def tanh_gradient(
    output: ArrayLike, gradient: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of tanh's input: g (1 - y^2) with y = tanh(x).

    Parameters
    ----------
    output : array_like
        Output y of tanh, of any shape; dtypes are converted as in `tanh`.
    gradient : array_like
        Gradient g with respect to y, of the same shape.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be an argument or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given. Its dtype is the larger one of the arguments.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or `out` is no array.
    ValueError
        If the shapes differ, or `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import tanh_gradient
    >>> tanh_gradient([0.0, 0.5], [2.0, 2.0])
    array([2. , 1.5])
    """
    return apply_gradient(TANH, output, gradient, out)


def sigmoid_gradient(
    output: ArrayLike, gradient: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of the sigmoid's input: g y (1 - y) with y = sigmoid(x).

    Parameters
    ----------
    output : array_like
        Output y of sigmoid, of any shape; dtypes are converted as in `sigmoid`.
    gradient : array_like
        Gradient g with respect to y, of the same shape.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be an argument or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given. Its dtype is the larger one of the arguments.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or `out` is no array.
    ValueError
        If the shapes differ, or `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import sigmoid_gradient
    >>> sigmoid_gradient([0.5, 1.0], [2.0, 2.0])
    array([0.5, 0. ])
    """
    return apply_gradient(SIGMOID, output, gradient, out)


def exp_gradient(
    output: ArrayLike, gradient: ArrayLike, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the gradient of exp's input: g y with y = exp(x).

    Parameters
    ----------
    output : array_like
        Output y of exp, of any shape; dtypes are converted as in `exp`.
    gradient : array_like
        Gradient g with respect to y, of the same shape.
    out : ndarray, optional
        Array for the result, of its shape and dtype; it may be an argument or overlap it.

    Returns
    -------
    ndarray
        The result, which is `out` if given. Its dtype is the larger one of the arguments.

    Raises
    ------
    TypeError
        If an argument is not of numbers, or `out` is no array.
    ValueError
        If the shapes differ, or `out` cannot hold the result.

    Examples
    --------
    >>> from kernels import exp_gradient
    >>> exp_gradient([1.0, 2.0], [3.0, 3.0])
    array([3., 6.])
    """
    return apply_gradient(EXP, output, gradient, out)
