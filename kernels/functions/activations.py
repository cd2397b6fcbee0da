"""Activation functions and their gradients, on blocks inside kernels and on arrays.

A gradient is written in terms of the function's output, which is what a network
keeps. In kernels a function is named by an integer code, in Python by its name.
"""

from __future__ import annotations

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

_MANY_REGISTERS = host.VECTOR_REGISTERS >= 32  # for four vectors beside the constants


def _on_rows(function):
    """Compiled loop that puts `function` of each vector of x into y."""

    @inline
    def on_rows(rows, columns, x, y):
        w = width(x)
        for i in range(rows):
            source, target = row_at(x, i), row_at(y, i)
            j = 0
            # Four at a time, loaded together, so that waits for memory overlap.
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
    """y = f(x) for a block of rows; y may be x, and no byte between the rows is touched."""
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
    """Compiled loop that puts `function` of each vector of y and g into out."""

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
    """The gradient of a ReLU's input, a vector: g where its output y is above 0."""
    # A selection, not a product: what is infinite or NaN in g is dropped too. Where y
    # is NaN g passes, as in torch.
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
    """out = g f'(.) for a block of rows, with f' in terms of y = f(.); out may be y or g."""
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
    """Whether a loop can go over both at once: contiguous, of one size, the same or apart."""
    size, length = x.itemsize, x.size * x.itemsize
    contiguous = x.size < 2 or (x.strides[0] == size and y.strides[0] == size)
    # An address is unsigned to numba, and so would be the difference of two.
    distance = abs(np.int64(x.ctypes.data) - np.int64(y.ctypes.data))
    return x.size == y.size and contiguous and (distance == 0 or distance >= length)


@inline
def _to_line(x):
    """Elements of x before the first that begins a cache line, at most x.size."""
    return min(-np.int64(x.ctypes.data) % host.CACHE_LINE // x.itemsize, x.size)


_SPAN = 1024  # elements of which threads share out whole numbers: some cache lines


@inline
def _share_of(size, state):
    """Return this thread's elements of so many: the first, and their number."""
    begin, end = share((size + _SPAN - 1) // _SPAN, state[THREAD], state[THREADS])
    return begin * _SPAN, min(end * _SPAN, size) - begin * _SPAN


@instruction(code=INTEGER, size=INTEGER, x=REALS, y=REALS)
def _activate_share(at, state, scratch):
    """This thread's share of `activate`."""
    i, n = _share_of(at.size, state)
    x, y = Matrix(advance(at.x, i), n), Matrix(advance(at.y, i), n)
    activate(at.code, 1, n, x, y)


@instruction(code=INTEGER, size=INTEGER, y=REALS, g=REALS, out=REALS)
def _activate_gradient_share(at, state, scratch):
    """This thread's share of `activate_gradient`."""
    i, n = _share_of(at.size, state)
    y, g = Matrix(advance(at.y, i), n), Matrix(advance(at.g, i), n)
    activate_gradient(at.code, 1, n, y, g, Matrix(advance(at.out, i), n))


@entry(INTEGER, reads(1, layout="A"), writes(1, layout="A"), INTEGER, result=types.boolean)
def _activate(code, x, y, team):
    """y = f(x) if the arrays fit each other, and whether they do; see `kernels.machine.team`."""
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
    """out = g f'(.) if the arrays fit each other, and whether they do."""
    if not (_fits(y, out) and _fits(g, out)):
        return False
    operands = code, y.size, data(y), data(g), data(out)
    share_out(team, _activate_gradient_share, operands, data(out))
    return True


def _contiguous(name: str, value) -> np.ndarray:
    """A value as a floating array in C order; itself where it is one."""
    return np.asarray(floating(name, value), order="C")


def apply(code: int, x, out=None) -> np.ndarray:
    """The function that has this code, of an array of any shape.

    `x` is float32 or float64, or anything that `numpy.asarray` makes an array of:
    integers and booleans become float64, half precision float32. `out`, of the same
    shape and dtype, takes the result; it may be `x` or overlap it. Raises TypeError for
    other dtypes, ValueError for an `out` that cannot hold the result.
    """
    compiled = _activate.get(x.dtype) if type(x) is np.ndarray else None
    if compiled is not None:
        y = np.empty_like(x) if out is None else out
        try:
            if y.dtype != x.dtype:  # numba does not tell byte orders apart
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
    """As `apply`, for arguments that have to be converted or copied first, or explained."""
    source = _contiguous("x", x)
    result = output("out", out, source.shape, source.dtype)
    if not result.flags.carray:
        result[...] = apply(code, source)
    elif not _activate[source.dtype](code, source.ravel(), result.ravel(), ALONE):
        apply(code, source.copy(), result)
    return result


def apply_gradient(code: int, output_, gradient, out=None) -> np.ndarray:
    """`gradient` times the derivative of the function that has this code.

    The derivative is taken from `output_`, what the function gave. Both have one
    shape, and dtypes as in `apply`; the result has the larger dtype. `out` may be
    either of them or overlap them. Raises as `apply` does, and ValueError for
    different shapes.
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
    """As `apply_gradient`, for arguments to be converted or copied first, or explained."""
    y, g = _contiguous("output", output_), _contiguous("gradient", gradient)
    same_shape("gradient", g, "output", y)
    dtype = np.result_type(y, g)
    y, g = y.astype(dtype, copy=False), g.astype(dtype, copy=False)
    result = output("out", out, y.shape, dtype)
    if not result.flags.carray:
        result[...] = apply_gradient(code, y, g)
    elif not _activate_gradient[dtype](code, y.ravel(), g.ravel(), result.ravel(), ALONE):
        apply_gradient(code, y.copy(), g.copy(), result)
    return result


def relu(x, out=None) -> np.ndarray:
    """max(x, 0), NaN where x is NaN; arguments and errors as in `apply`."""
    return apply(RELU, x, out)


def tanh(x, out=None) -> np.ndarray:
    """(e^x - e^-x) / (e^x + e^-x) within 1.6 ulp; arguments and errors as in `apply`."""
    return apply(TANH, x, out)


def sigmoid(x, out=None) -> np.ndarray:
    """1 / (1 + e^-x) within 1.7 ulp; arguments and errors as in `apply`."""
    return apply(SIGMOID, x, out)


def exp(x, out=None) -> np.ndarray:
    """e^x within 1.3 ulp; arguments and errors as in `apply`."""
    return apply(EXP, x, out)


def relu_gradient(output, gradient, out=None) -> np.ndarray:
    """g where y > 0, else 0, whatever g is; arguments and errors as in `apply_gradient`."""
    return apply_gradient(RELU, output, gradient, out)


def tanh_gradient(output, gradient, out=None) -> np.ndarray:
    """g (1 - y^2) with y = tanh(x); arguments and errors as in `apply_gradient`."""
    return apply_gradient(TANH, output, gradient, out)


def sigmoid_gradient(output, gradient, out=None) -> np.ndarray:
    """g y (1 - y) with y = sigmoid(x); arguments and errors as in `apply_gradient`."""
    return apply_gradient(SIGMOID, output, gradient, out)


def exp_gradient(output, gradient, out=None) -> np.ndarray:
    """g y with y = exp(x); arguments and errors as in `apply_gradient`."""
    return apply_gradient(EXP, output, gradient, out)
