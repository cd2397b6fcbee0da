"""The output and the input gradient of a linear layer, for layers that Python calls one by one.

Both functions return the bits that programs compute (`kernels.product.linear`). They do not check
their arguments, which a layer has checked.
"""

from __future__ import annotations

import numpy as np
from numba import types

from kernels.base.jit import entry
from kernels.base.kinds import INTEGER, MATRIX, REALS, Matrix, below, matrix_of, reads, writes
from kernels.base.memory import line_elements
from kernels.base.simd import data, pointer
from kernels.functions.activations import IDENTITY
from kernels.machine import team as teams
from kernels.machine.barrier import share
from kernels.machine.instruction import instruction
from kernels.machine.state import THREAD, THREADS
from kernels.machine.team import ASK, PAYS, share_out, shared
from kernels.product import few_outputs
from kernels.product.choice import LARGE_PRODUCT, NARROW
from kernels.product.matmul import matmul, workspace


@instruction(
    rows=INTEGER, inputs=INTEGER, outputs=INTEGER, x=MATRIX, w=MATRIX, bias=REALS, y=MATRIX
)
def _rows_in_halves(at, state, scratch):
    """Compute this thread's rows of x w + bias."""
    begin, end = share(at.rows, state[THREAD], state[THREADS])
    few_outputs.forward(
        end - begin,
        at.inputs,
        at.outputs,
        IDENTITY,
        below(at.x, begin),
        at.w,
        at.bias,
        below(at.y, begin),
        scratch,
    )


@entry(reads(2), reads(2, layout="A"), reads(1), writes(2), INTEGER, INTEGER, result=types.int64)
def _in_halves(x, w, bias, y, scratch, team):
    """Compute y = x w + bias, summed in halves; return 1, or `PAYS` if a team pays."""
    (rows, inputs), outputs = x.shape, w.shape[1]
    if team == ASK and rows * inputs * outputs >= LARGE_PRODUCT:
        return PAYS
    weights = Matrix(data(w), w.strides[0] // w.itemsize)
    operands = rows, inputs, outputs, matrix_of(x), weights, data(bias), matrix_of(y)
    share_out(team, _rows_in_halves, operands, pointer(scratch, data(x)))
    return 1


def affine(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return x w + bias.

    `x` is (rows, inputs), contiguous; `w` is (inputs, outputs) with unit column stride; `bias` is
    (outputs,). All have one dtype, float32 or float64.
    """
    inputs, outputs = w.shape
    if not few_outputs.in_halves.py_func(inputs, outputs, line_elements(x.dtype)):
        return matmul(x, w, bias=bias)
    y = np.empty((len(x), outputs), x.dtype)
    compiled, arguments = _in_halves[x.dtype], (x, w, bias, y, workspace.address)
    if compiled(*arguments, teams.asking) == PAYS:
        shared(compiled, arguments, x.size * outputs / LARGE_PRODUCT)
    return y


def affine_gradient(g: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return g w^T, the gradient with respect to x.

    `g` is (rows, outputs), contiguous; `w` is as in `affine`.
    """
    inputs = len(w)
    if inputs > NARROW:
        return matmul(g, w.T)
    # A product added to zeros is never summed by lanes, so its sums are in order, as in programs.
    return matmul(g, w.T, np.zeros((len(g), inputs), g.dtype), accumulate=True)
