"""What a linear layer computes, for layers that Python calls one by one.

Both functions give the bits that programs compute (`kernels.product.linear`). They do not look at
what they are given: a layer has.
"""

from __future__ import annotations

import numpy as np
from numba import types

from kernels.base.jit import array, const, entry
from kernels.base.memory import line_elements
from kernels.base.simd import data, location, pointer
from kernels.functions.activations import IDENTITY
from kernels.machine import team as teams
from kernels.machine.barrier import share
from kernels.machine.state import THREAD, THREADS, cell, instruction
from kernels.machine.team import ASK, LARGE_PRODUCT, PAYS, address_of, operands, shared, together
from kernels.product import few_outputs
from kernels.product.matmul import matmul, workspace
from kernels.product.narrow import NARROW

_INTEGER = types.int64


@instruction
def _rows_in_halves(at, state, scratch):
    """This thread's rows. Operands: rows, inputs, outputs, x, w, ldw, bias, y."""
    begin, end = share(at[0], state[THREAD], state[THREADS])
    few_outputs.forward(
        end - begin, at[1], at[2], IDENTITY, cell(at[3], begin * at[1], scratch), at[1],
        pointer(at[4], scratch), at[5], pointer(at[6], scratch),
        cell(at[7], begin * at[2], scratch), at[2], scratch,
    )  # fmt: skip


@entry(
    lambda real: (
        (const(real, 2), const(real, 2, "A"), const(real, 1), array(real, 2)) + (_INTEGER, _INTEGER)
    ),
    _INTEGER,
)
def _in_halves(x, w, bias, y, scratch, team):
    """y = x w + bias, summed in halves, by a team if there is one."""
    (rows, inputs), outputs = x.shape, w.shape[1]
    if team == ASK and rows * inputs * outputs >= LARGE_PRODUCT:
        return PAYS
    ldw, memory = w.strides[0] // w.itemsize, pointer(scratch, data(x))
    if team <= ASK:
        few_outputs.forward(
            rows, inputs, outputs, IDENTITY, data(x), inputs, data(w), ldw, data(bias), data(y),
            outputs, memory,
        )  # fmt: skip
        return 1
    at = operands(team)
    at[0], at[1], at[2] = rows, inputs, outputs
    at[3], at[4], at[5] = location(data(x)), location(data(w)), ldw
    at[6], at[7] = location(data(bias)), location(data(y))
    together(team, address_of(_rows_in_halves, data(x)), memory)
    return 1


def affine(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x W + b.

    `x` is (rows, inputs), contiguous; `w` (inputs, outputs) with unit column stride and `bias`
    (outputs,), of the same dtype, float32 or float64.
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
    """g W^T, the gradient with respect to x.

    `g` is (rows, outputs), contiguous, and `w` as in `affine`.
    """
    inputs = len(w)
    if inputs > NARROW:
        return matmul(g, w.T)
    # Added to zeros, which no narrow product is, sums are in order as those of programs.
    return matmul(g, w.T, np.zeros((len(g), inputs), g.dtype), accumulate=True)
