"""What an optimizer does to parameters, a block of rows at a time.

The formulas and their order of operations are torch's (`torch.optim.SGD`, `Adam`,
`AdamW`, `torch.nn.utils.clip_grad_*`). Settings are one float64 array, indexed by
the names below, that may change between steps; scalars derived from it are
computed in float64 and rounded once.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from kernels.base.arrays import floating
from kernels.base.jit import array, const, entry, inline, routine
from kernels.base.simd import (
    data,
    fma,
    load_first,
    location,
    maximum,
    minimum,
    reduce_add,
    splat,
    sqrt,
    store_first,
    width,
    zeros,
)
from kernels.machine.barrier import share
from kernels.machine.state import THREAD, THREADS, cell, doubles_at, instruction
from kernels.machine.team import ALONE, address_of, operands, shared_elements, together

SGD, ADAM = 0, 1
"""Rules."""

UNDECAYED = 2
"""Added to a rule: weight decay does not apply."""

(
    LEARNING_RATE,
    MOMENTUM,
    DAMPENING,
    NESTEROV,
    WEIGHT_DECAY,
    DECOUPLED,
    BETA1,
    BETA2,
    EPSILON,
    CLIP_VALUE,
    CLIP_NORM,
    GRADIENT_SCALE,
    SETTINGS,
) = range(13)
"""Places in the array of settings, and its length.

`NESTEROV` and `DECOUPLED` (weight decay as in AdamW) are 0 or 1; a clipping bound
of infinity does nothing; `GRADIENT_SCALE` is what clipping by norm found.
"""

_INTEGER = types.int64
_SETTINGS = types.CPointer(types.float64)


@inline
def _gradient(p, g, scale, bound, decay):
    """The gradient a rule works with: scaled, clipped by value, with weight decay."""
    g = maximum(minimum(g * scale, bound), 0.0 - bound)
    return fma(p, decay, g)


@inline
def _sgd(step, settings, weight_decay, rows, columns, p, ldp, g, ldg, velocity):
    """v = momentum v + (1 - dampening) g, and p -= lr v; the first step takes v = g."""
    momentum = settings[MOMENTUM]
    keep, take = momentum, 1.0 - settings[DAMPENING]
    if step == 0:
        keep, take = 0.0, 1.0
    like = zeros(p)
    rate = splat(-settings[LEARNING_RATE], like)
    scale, decay = splat(settings[GRADIENT_SCALE], like), splat(weight_decay, like)
    bound = splat(settings[CLIP_VALUE], like)
    lanes = width(p)
    if momentum == 0.0:
        for i in range(rows):
            for j in range(0, columns, lanes):
                count = columns - j
                value = load_first(p, i * ldp + j, count)
                change = _gradient(value, load_first(g, i * ldg + j, count), scale, bound, decay)
                store_first(p, i * ldp + j, fma(rate, change, value), count)
        return
    keeping, taking = splat(keep, like), splat(take, like)
    look, plain = splat(momentum, like), settings[NESTEROV] == 0.0
    for i in range(rows):
        for j in range(0, columns, lanes):
            count, place = columns - j, i * ldp + j
            value = load_first(p, place, count)
            change = _gradient(value, load_first(g, i * ldg + j, count), scale, bound, decay)
            speed = fma(load_first(velocity, place, count), keeping, change * taking)
            store_first(velocity, place, speed, count)
            if not plain:
                speed = fma(speed, look, change)
            store_first(p, place, fma(rate, speed, value), count)


@inline
def _adam(step, settings, decay, rows, columns, p, ldp, g, ldg, first, second):
    """m += (1 - b1)(g - m), v = b2 v + (1 - b2) g^2, p -= lr / c1 * m / (sqrt(v) / c2 + eps).

    c1 = 1 - b1^t and c2 = sqrt(1 - b2^t) undo the bias of the first steps.
    """
    beta1, beta2 = settings[BETA1], settings[BETA2]
    correction1 = 1.0 - beta1 ** (step + 1.0)
    correction2 = math.sqrt(1.0 - beta2 ** (step + 1.0))
    rate = settings[LEARNING_RATE]
    like = zeros(p)
    shrink, l2 = splat(1.0, like), splat(decay, like)
    if settings[DECOUPLED] != 0.0:
        shrink, l2 = splat(1.0 - rate * decay, like), splat(0.0, like)
    scale, bound = splat(settings[GRADIENT_SCALE], like), splat(settings[CLIP_VALUE], like)
    take1, keep2, take2 = splat(1.0 - beta1, like), splat(beta2, like), splat(1.0 - beta2, like)
    unbias, epsilon = splat(1.0 / correction2, like), splat(settings[EPSILON], like)
    stride = splat(-rate / correction1, like)
    lanes = width(p)
    for i in range(rows):
        for j in range(0, columns, lanes):
            count, place = columns - j, i * ldp + j
            value = load_first(p, place, count)
            change = _gradient(value, load_first(g, i * ldg + j, count), scale, bound, l2)
            mean = load_first(first, place, count)
            mean = fma(change - mean, take1, mean)
            square = fma(change * take2, change, load_first(second, place, count) * keep2)
            store_first(first, place, mean, count)
            store_first(second, place, square, count)
            move = mean / fma(sqrt(square), unbias, epsilon)
            store_first(p, place, fma(stride, move, value * shrink), count)


@routine(
    lambda real: (
        (_INTEGER, _INTEGER, _SETTINGS, _INTEGER, _INTEGER)
        + (types.CPointer(real), _INTEGER) * 2
        + (types.CPointer(real),) * 2
    )
)
def update(rule, step, settings, rows, columns, p, ldp, g, ldg, first, second):
    """Update a block of parameters by its gradient, the `step`-th time (from 0).

    `first` and `second` are what the rule remembers: SGD's velocity (if it has
    momentum), Adam's two moments; both lie as the parameters do.
    """
    decay = settings[WEIGHT_DECAY] if rule < UNDECAYED else 0.0
    if ldp == columns and ldg == columns:
        rows, columns = 1, rows * columns
    if rule % UNDECAYED == SGD:
        _sgd(step, settings, decay, rows, columns, p, ldp, g, ldg, first)
    else:
        _adam(step, settings, decay, rows, columns, p, ldp, g, ldg, first, second)


CHUNK = 4096
"""Elements summed by themselves, so that sums do not depend on the number of threads."""


@inline
def chunks(size):
    """Pieces that a sum of squares over `size` elements is made of."""
    return (size + CHUNK - 1) // CHUNK


@inline
def sum_of_squares(size, x, chunk):
    """Sum of the squares of one chunk of a flat array."""
    begin = chunk * CHUNK
    end = min(begin + CHUNK, size)
    total = zeros(x)
    for i in range(begin, end, width(x)):
        value = load_first(x, i, end - i)
        total = fma(value, value, total)
    return reduce_add(total)


def remembered(rule: int, settings) -> tuple[str, ...]:
    """Which of the two memories a rule uses with these settings: "first", "second".

    Raises TypeError or ValueError for an unknown rule, or settings of another kind.
    """
    if not isinstance(settings, np.ndarray) or settings.dtype != np.float64:
        found = getattr(settings, "dtype", type(settings).__name__)
        raise TypeError(f"settings are of {found}; expected an array of float64")
    if settings.shape != (SETTINGS,):
        raise ValueError(f"settings have shape {settings.shape}; expected ({SETTINGS},)")
    if rule not in (SGD, ADAM):
        raise ValueError(f"rule is {rule!r}; expected {SGD} (SGD) or {ADAM} (Adam)")
    if rule == ADAM:
        return "first", "second"
    return ("first",) if settings[MOMENTUM] else ()


def clip_factor(norm, bound):
    """Factor that brings a gradient of this norm within the bound, as torch has it."""
    factor = bound / (norm + 1e-6)
    return 1.0 if factor > 1.0 else factor


norm_scale = inline(clip_factor)


# ------------------------------------------------------------------ for use from Python


@inline
def update_chunks(at, step, state, scratch):
    """This thread's share of a flat array's update.

    Operands: size, p, g, rule, a number, settings, first and second memory.
    """
    begin, end = share(chunks(at[0]), state[THREAD], state[THREADS])
    begin, end = begin * CHUNK, min(end * CHUNK, at[0])
    n = end - begin
    update(
        at[3], step, doubles_at(at[5]), 1, n, cell(at[1], begin, scratch), n,
        cell(at[2], begin, scratch), n, cell(at[6], begin, scratch), cell(at[7], begin, scratch),
    )  # fmt: skip


@instruction
def _update_share(at, state, scratch):
    """This thread's share of `update_flat`. Operands: those of `update_chunks`, with the step."""
    update_chunks(at, at[4], state, scratch)


@entry(
    lambda real: (
        (_INTEGER, _INTEGER, const(types.float64, 1), array(real, 1), const(real, 1))
        + (array(real, 1),) * 2
        + (_INTEGER,)
    )
)
def _update_flat(rule, step, settings, p, g, first, second, team):
    n, parameters = p.size, data(p)
    if team == ALONE:
        update(
            rule, step, data(settings), 1, n, parameters, n, data(g), n, data(first), data(second)
        )
    else:
        at = operands(team)
        at[0], at[1], at[2] = n, location(parameters), location(data(g))
        at[3], at[4], at[5] = rule, step, location(data(settings))
        at[6], at[7] = location(data(first)), location(data(second))
        together(team, address_of(_update_share, parameters), parameters)


def update_flat(rule, step, settings, p, g, first, second) -> None:
    """Update a flat array of parameters by its gradient; the arguments are those of `update`."""
    shared_elements(_update_flat[p.dtype], (rule, step, settings, p, g, first, second), p.size)


@entry(lambda real: (const(real, 1), types.float64), types.float64)
def _add_squares(x, total):
    for chunk in range(chunks(x.size)):
        total += sum_of_squares(x.size, data(x), chunk)
    return total


def gradient_norm(arrays) -> float:
    """Euclidean norm of all elements of some arrays together, in float64.

    Raises TypeError for arrays that are not of numbers.
    """
    total = 0.0
    for each in arrays:
        x = np.ravel(floating("array", each))
        total = _add_squares[x.dtype](x, total)
    return math.sqrt(total)
