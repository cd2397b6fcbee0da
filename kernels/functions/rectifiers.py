"""Relatives of ReLU and their gradients, computed from the input, which a network keeps.

Each function is a formula for a vector and a formula for its slope, and is compiled when it is
used. A formula has two parameters, a and b, of which most use one or none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernels.base import vectormath
from kernels.base.arrays import floating, same_shape
from kernels.base.jit import Entry, Routine, entry, inline, routine
from kernels.base.kinds import DOUBLE, INTEGER, MATRIX, Matrix, reads, row_at, writes
from kernels.base.simd import (
    data,
    fabs,
    fma,
    load_first,
    maximum,
    minimum,
    select,
    splat,
    sqrt,
    store_first,
    width,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


# ------------------------------------------------------------------------ the formulas


@inline
def _leaky_relu(x, slope, unused):
    return select(x > 0.0, x, x * slope)


@inline
def _leaky_relu_slope(x, slope, unused):
    return select(x > 0.0, splat(1.0, x), splat(slope, x))


@inline
def _elu(x, alpha, unused):
    return select(x > 0.0, x, vectormath.expm1(minimum(x, 0.0)) * alpha)


@inline
def _elu_slope(x, alpha, unused):
    return select(x > 0.0, 1.0, vectormath.exp(minimum(x, 0.0)) * alpha)


_DENSITY = 0.3989422804014327  # of the normal distribution at 0: 1 / sqrt(2 pi)


@inline
def _gelu(x, unused, unused_too):
    a, m, e = vectormath.normal_tail(x)
    return maximum(x, 0.0) - (a * m) * e


@inline
def _gelu_slope(x, unused, unused_too):
    a, m, e = vectormath.normal_tail(x)
    below = fma(a, -_DENSITY, m) * e
    return select(x < 0.0, below, 1.0 - below)


@inline
def _sigmoid(x):
    """Return the sigmoid s(x) and its slope s(x) s(-x), exact also where s(x) is near 1."""
    smaller = vectormath.sigmoid(0.0 - fabs(x))
    larger = 1.0 - smaller
    return select(x < 0.0, smaller, larger), smaller * larger


# 0.5 (1 + tanh(u)) is the sigmoid of 2 u, with u = sqrt(2 / pi) (x + 0.044715 x^3).
_LINEAR = 1.5957691216057308
_CUBIC = 0.044715 * _LINEAR
_FAR = 25.0  # where the sigmoid of 2 u is 0 or 1


@inline
def _gelu_tanh(x, unused, unused_too):
    return x * vectormath.sigmoid(x * fma(x * x, _CUBIC, splat(_LINEAR, x)))


@inline
def _gelu_tanh_slope(x, unused, unused_too):
    near = maximum(minimum(x, _FAR), -_FAR)
    square = near * near
    s, slope = _sigmoid(near * fma(square, _CUBIC, splat(_LINEAR, x)))
    return fma(near * slope, fma(square, 3.0 * _CUBIC, splat(_LINEAR, x)), s)


@inline
def _silu(x, unused, unused_too):
    return vectormath.silu(x)


@inline
def _silu_slope(x, unused, unused_too):
    s, slope = _sigmoid(x)
    return fma(x, slope, s)


@inline
def _softplus(x, beta, threshold):
    z = x * beta
    y = (maximum(z, 0.0) + vectormath.log1p(vectormath.exp(0.0 - fabs(z)))) / beta
    return select(z > threshold, x, y)


@inline
def _softplus_slope(x, beta, threshold):
    z = x * beta
    return select(z > threshold, 1.0, vectormath.sigmoid(z))


# tanh(softplus(x)) is n / (n + 2) with n = e (e + 2) and e = e^x.
_STRAIGHT = 22.0  # from here on Mish is x, and its slope 1


@inline
def _mish(x, unused, unused_too):
    """Return x tanh(softplus(x)) within 6 ulp."""
    # Multiply by the root of e twice, since a denormal e has lost digits.
    root = vectormath.exp(x * 0.5)
    e = root * root
    share = (e + 2.0) / fma(e, e + 2.0, 2.0)
    return select(x > _STRAIGHT, x, x * share * root * root)


@inline
def _mish_slope(x, unused, unused_too):
    e = vectormath.exp(x)
    n = e * (e + 2.0)
    inverse = 1.0 / (n + 2.0)
    bend = x * (4.0 * e * (e + 1.0) * inverse)
    return select(x > _STRAIGHT, 1.0, (n + bend) * inverse)


@inline
def _hardswish(x, unused, unused_too):
    """Return x min(max(x + 3, 0), 6) / 6 within 2 ulp."""
    return x * (minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0)


@inline
def _hardswish_slope(x, unused, unused_too):
    slope = select(x >= 3.0, 1.0, x / 3.0 + 0.5)
    return select(x <= -3.0, 0.0, slope)


@inline
def _hardtanh(x, low, high):
    return minimum(maximum(x, low), high)


@inline
def _hardtanh_slope(x, low, high):
    return select(x > low, select(x < high, splat(1.0, x), splat(0.0, x)), splat(0.0, x))


_BEYOND = 1e12  # its square is finite, and bounds farther away are reached to the last digit


@inline
def _share(x, bound):
    """Return x / bound, which is kept so small that its square is finite."""
    return minimum(maximum(x / bound, -_BEYOND), _BEYOND)


@inline
def _smooth_clip(x, bound, unused):
    """Return x / sqrt(1 + (x / bound)^2) within 4 ulp."""
    share = _share(x, bound)
    return share / sqrt(fma(share, share, splat(1.0, x))) * bound


@inline
def _smooth_clip_slope(x, bound, unused):
    share = _share(x, bound)
    inverse = 1.0 / sqrt(fma(share, share, splat(1.0, x)))
    return inverse * inverse * inverse


# -------------------------------------------------------------------------- the kernels


def _named(function: Callable, name: str) -> Callable:
    """Return the function under another name, which names its machine code."""
    function.__name__ = function.__qualname__ = name
    return function


def _forward(name: str, formula) -> Routine:
    """Return a routine that computes y = f(x) for a block of rows; y may be x."""

    def rows_of(rows, columns, a, b, x, y):
        for i in range(rows):
            source, target = row_at(x, i), row_at(y, i)
            for j in range(0, columns, width(x)):
                count = columns - j
                store_first(target, j, formula(load_first(source, j, count), a, b), count)

    return routine(INTEGER, INTEGER, DOUBLE, DOUBLE, MATRIX, MATRIX)(_named(rows_of, name))


def _backward(name: str, slope) -> Routine:
    """Return a routine that computes out = g f'(x) for a block of rows; out may be g."""

    def rows_of(rows, columns, a, b, x, g, out):
        for i in range(rows):
            source, gradient = row_at(x, i), row_at(g, i)
            result = row_at(out, i)
            for j in range(0, columns, width(x)):
                count = columns - j
                value = load_first(gradient, j, count) * slope(load_first(source, j, count), a, b)
                store_first(result, j, value, count)

    kinds = INTEGER, INTEGER, DOUBLE, DOUBLE, MATRIX, MATRIX, MATRIX
    return routine(*kinds)(_named(rows_of, name))


def _forward_entry(name: str, rows_of: Routine) -> Entry:
    def forward(x, a, b, y):
        n = x.size
        rows_of(1, n, a, b, Matrix(data(x), n), Matrix(data(y), n))

    return entry(reads(1), DOUBLE, DOUBLE, writes(1))(_named(forward, name))


def _backward_entry(name: str, rows_of: Routine) -> Entry:
    def backward(x, a, b, g, out):
        n = x.size
        rows_of(1, n, a, b, Matrix(data(x), n), Matrix(data(g), n), Matrix(data(out), n))

    return entry(reads(1), DOUBLE, DOUBLE, reads(1), writes(1))(_named(backward, name))


class Rectifier(NamedTuple):
    """A function and its gradient, for blocks inside kernels and for arrays."""

    forward: Routine
    backward: Routine
    of_array: Entry
    gradient_of_array: Entry


def _rectifier(name: str, formula, slope) -> Rectifier:
    forward, backward = _forward(f"{name}_rows", formula), _backward(f"{name}_slope_rows", slope)
    return Rectifier(
        forward,
        backward,
        _forward_entry(f"_{name}_of_array", forward),
        _backward_entry(f"_{name}_slope_of_array", backward),
    )


RECTIFIERS = {
    "leaky_relu": _rectifier("leaky_relu", _leaky_relu, _leaky_relu_slope),
    "elu": _rectifier("elu", _elu, _elu_slope),
    "gelu": _rectifier("gelu", _gelu, _gelu_slope),
    "gelu_tanh": _rectifier("gelu_tanh", _gelu_tanh, _gelu_tanh_slope),
    "silu": _rectifier("silu", _silu, _silu_slope),
    "softplus": _rectifier("softplus", _softplus, _softplus_slope),
    "mish": _rectifier("mish", _mish, _mish_slope),
    "hardswish": _rectifier("hardswish", _hardswish, _hardswish_slope),
    "hardtanh": _rectifier("hardtanh", _hardtanh, _hardtanh_slope),
    "smooth_clip": _rectifier("smooth_clip", _smooth_clip, _smooth_clip_slope),
}
"""All functions of this file by name."""


# ------------------------------------------------------------------ for use from Python


def rectify(name: str, x, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    """Return the function of this name in `RECTIFIERS`, with parameters `a` and `b`, of an array.

    `x` has any shape; it is float32 or float64, or integers, which become float64. Raises
    TypeError for other dtypes.
    """
    given = np.ascontiguousarray(floating("x", x))
    y = np.empty_like(given)
    RECTIFIERS[name].of_array[given.dtype](given.ravel(), a, b, y.reshape(-1))
    return y.reshape(np.shape(x))


def rectify_gradient(name: str, x, gradient, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    """Return `gradient` times the slope at `x` of the function of this name.

    Both have one shape; the result has the larger dtype. Raises TypeError as `rectify` does,
    ValueError if the shapes differ.
    """
    given, g = floating("x", x), floating("gradient", gradient)
    same_shape("gradient", g, "x", given)
    dtype = np.result_type(given, g)
    given, g = np.ascontiguousarray(given, dtype), np.ascontiguousarray(g, dtype)
    out = np.empty_like(g)
    RECTIFIERS[name].gradient_of_array[dtype](given.ravel(), a, b, g.ravel(), out.reshape(-1))
    return out.reshape(np.shape(x))


def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> np.ndarray:
    """Return x where x > 0, and `negative_slope` times x elsewhere.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    negative_slope : float, default 0.01
        Slope below 0.

    Returns
    -------
    ndarray
        The result, of the shape of `x`.

    Raises
    ------
    TypeError
        If `x` is not of numbers.

    Examples
    --------
    >>> from kernels import leaky_relu
    >>> leaky_relu([-2.0, 2.0], negative_slope=0.5)
    array([-1.,  2.])
    """
    return rectify("leaky_relu", x, negative_slope)


def elu(x: ArrayLike, alpha: float = 1.0) -> np.ndarray:
    """Return x where x > 0, and alpha (e^x - 1) elsewhere, within 2 ulp.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    alpha : float, default 1.0
        Factor below 0.

    Returns
    -------
    ndarray
        The result, of the shape of `x`.

    Raises
    ------
    TypeError
        If `x` is not of numbers.

    Examples
    --------
    >>> from kernels import elu
    >>> elu([-1000.0, 2.0])
    array([-1.,  2.])
    """
    return rectify("elu", x, alpha)


def gelu(x: ArrayLike, approximate: str = "none") -> np.ndarray:
    """Return x Phi(x), where Phi is the normal distribution, within 7 ulp.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    approximate : {"none", "tanh"}, default "none"
        "tanh" computes x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 instead, within 3 ulp of
        x.

    Returns
    -------
    ndarray
        The result, of the shape of `x`.

    Raises
    ------
    TypeError
        If `x` is not of numbers.
    ValueError
        If `approximate` is unknown.

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> from kernels import gelu
    >>> gelu([-1000.0, 0.0, 1000.0])
    array([   0.,    0., 1000.])
    """
    return rectify(gelu_name(approximate), x)


def gelu_name(approximate: str) -> str:
    """Return a GELU's name in `RECTIFIERS`; raise ValueError unless "none" or "tanh" is given."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is {approximate!r}; expected 'none' or 'tanh'")
    return "gelu" if approximate == "none" else "gelu_tanh"


def silu(x: ArrayLike) -> np.ndarray:
    """Return x / (1 + e^-x), also known as swish, within 2.5 ulp.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.

    Returns
    -------
    ndarray
        The result, of the shape of `x`.

    Raises
    ------
    TypeError
        If `x` is not of numbers.

    Examples
    --------
    >>> from kernels import silu
    >>> silu([0.0, 1000.0])
    array([   0., 1000.])
    """
    return rectify("silu", x)


def softplus(x: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    """Return log(1 + e^(beta x)) / beta, and x where beta x > threshold.

    Parameters
    ----------
    x : array_like
        Array of any shape. float32 and float64 keep their dtype, half precision becomes float32,
        integers and booleans become float64.
    beta : float, default 1.0
        Steepness of the bend at 0.
    threshold : float, default 20.0
        Value of beta x from which the result is x.

    Returns
    -------
    ndarray
        The result, of the shape of `x`.

    Raises
    ------
    TypeError
        If `x` is not of numbers.

    Examples
    --------
    >>> from kernels import softplus
    >>> softplus([-1000.0, 30.0])
    array([ 0., 30.])
    """
    return rectify("softplus", x, beta, threshold)
