"""Instructions of linear layers and of activations."""

from __future__ import annotations

from kernels.base.kinds import (
    INTEGER,
    MATRIX,
    MEMORY,
    PANELS,
    REALS,
    UPDATE,
    Update,
    below,
)
from kernels.base.simd import advance
from kernels.functions.activations import activate, activate_gradient
from kernels.machine.instruction import instruction
from kernels.machine.state import ROWS, THREAD, THREADS, TICK, my_rows
from kernels.product import few_outputs
from kernels.product import linear as products
from kernels.product.choice import FEW


@instruction(
    inputs=INTEGER, outputs=INTEGER, activation=INTEGER, x=MATRIX, w=PANELS, bias=REALS, y=PANELS
)
def linear(at, state, scratch):
    """Compute y = f(x w + bias)."""
    products.linear_forward(
        state[ROWS],
        at.inputs,
        at.outputs,
        at.activation,
        at.x,
        at.w,
        at.bias,
        at.y,
        state[THREAD],
        state[THREADS],
        scratch,
    )


@instruction(inputs=INTEGER, outputs=INTEGER, x=PANELS, w=MATRIX, sums=REALS, apart=INTEGER)
def linear_halves(at, state, scratch):
    """Compute this thread's share of the sums of both halves of x w, for x in threads' panels."""
    few_outputs.sum_panels(
        state[ROWS],
        at.inputs,
        at.outputs,
        at.x,
        at.w,
        at.sums,
        at.apart,
        state[THREAD],
        state[THREADS],
        scratch,
    )


@instruction(outputs=INTEGER, activation=INTEGER, sums=REALS, apart=INTEGER, bias=REALS, y=MATRIX)
def linear_from_halves(at, state, scratch):
    """Compute y = f(sums of both halves + bias)."""
    i, rows = my_rows(state)
    first = advance(at.sums, i * FEW)
    few_outputs.add_halves(
        rows, at.outputs, at.activation, first, advance(first, at.apart), at.bias, below(at.y, i)
    )


@instruction(
    inputs=INTEGER, outputs=INTEGER, activation=INTEGER, g=MATRIX, w=PANELS, y=PANELS, out=PANELS
)
def linear_input_gradient(at, state, scratch):
    """Compute out = (g w^T) f'(y)."""
    products.linear_input_gradient(
        state[ROWS],
        at.inputs,
        at.outputs,
        at.activation,
        at.g,
        at.w,
        at.y,
        at.out,
        state[THREAD],
        state[THREADS],
        scratch,
    )


@instruction(
    inputs=INTEGER,
    outputs=INTEGER,
    x=PANELS,
    g=PANELS,
    w=PANELS,
    w_memory=MEMORY,
    of_w=UPDATE,
    bias=REALS,
    bias_memory=MEMORY,
    of_bias=UPDATE,
)
def linear_update(at, state, scratch):
    """Update weights and bias by their gradients, or write the gradients if there is no rule."""
    w, bias = at.of_w, at.of_bias
    products.linear_update(
        state[ROWS],
        at.inputs,
        at.outputs,
        at.x,
        at.g,
        at.w,
        at.w_memory,
        Update(w.rule, w.decays, w.step + state[TICK], w.settings),
        at.bias,
        at.bias_memory,
        Update(bias.rule, bias.decays, bias.step + state[TICK], bias.settings),
        state[THREAD],
        state[THREADS],
        scratch,
    )


@instruction(activation=INTEGER, columns=INTEGER, x=MATRIX, y=MATRIX)
def activation(at, state, scratch):
    """Compute y = f(x)."""
    i, rows = my_rows(state)
    activate(at.activation, rows, at.columns, below(at.x, i), below(at.y, i))


@instruction(activation=INTEGER, columns=INTEGER, y=MATRIX, g=MATRIX, out=MATRIX)
def activation_gradient(at, state, scratch):
    """Compute out = g f'(y)."""
    i, rows = my_rows(state)
    y, g, out = below(at.y, i), below(at.g, i), below(at.out, i)
    activate_gradient(at.activation, rows, at.columns, y, g, out)
