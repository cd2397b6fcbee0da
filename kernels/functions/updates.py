"""The rules by which optimizers update parameters, a block of rows at a time.

The formulas and their order of operations are torch's (`torch.optim.SGD`, `Adam`, `AdamW`,
`RMSprop`, `torch.nn.utils.clip_grad_*`). Settings are one float64 array, indexed by the names
below, that may change between steps; scalars derived from it are computed in float64 and rounded
once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numba import types

from kernels.base.arrays import floating
from kernels.base.calls import call
from kernels.base.jit import entry, inline, real_type, routine
from kernels.base.kinds import (
    DOUBLE,
    DOUBLES,
    INTEGER,
    MATRIX,
    MEMORY,
    REALS,
    UPDATE,
    Matrix,
    Memory,
    Update,
    reads,
    row_at,
    writes,
)
from kernels.base.simd import (
    advance,
    data,
    fma,
    load_first,
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
from kernels.machine.instruction import instruction
from kernels.machine.state import THREAD, THREADS
from kernels.machine.team import share_out, shared_elements

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
    ALPHA,
    SKIPPED,
    SETTINGS,
) = range(15)
"""Indices into the array of settings, and its length; new settings go before `SETTINGS`.

`NESTEROV` and `DECOUPLED` (weight decay as in AdamW) are 0 or 1; a clipping bound of infinity
does nothing; `GRADIENT_SCALE` is the factor from clipping by norm, and NaN skips the update;
`SKIPPED` counts the steps that were skipped.
"""

RULE_KINDS = INTEGER, DOUBLES, DOUBLE, INTEGER, INTEGER, MATRIX, MATRIX, MEMORY
"""Kinds of the parameters of a rule's routine.

They are the number of earlier updates, settings, weight decay, rows and columns of a block, its
parameters p, their gradient g, and the optimizer's memory with the leading dimension of p.
"""


class Rule:
    """A rule that updates parameters, and the number of arrays that it remembers of them."""

    def __init__(self, function: Callable, memories: int):
        self.name, self.memories = function.__name__, memories
        self.routine = routine(*RULE_KINDS)(function)

    def __repr__(self) -> str:
        return f"Rule({self.name})"


def rule(memories: int) -> Callable[[Callable], Rule]:
    """Return a decorator that turns a function into a `Rule` with this number of memories."""
    return lambda function: Rule(function, memories)


@inline
def _clips(settings):
    """Return whether settings scale or clip gradients at all, which takes half of an update."""
    return settings[GRADIENT_SCALE] != 1.0 or settings[CLIP_VALUE] != np.inf


@inline
def _gradient(p, g, clips, scale, bound, decay):
    """Return the gradient that a rule uses: scaled, clipped by value, with weight decay."""
    if clips:
        g = maximum(minimum(g * scale, bound), 0.0 - bound)
    return fma(p, decay, g)


@rule(memories=1)
def SGD(step, settings, weight_decay, rows, columns, p, g, memory):  # noqa: N802
    """Compute v = momentum v + (1 - dampening) g, and p -= lr v; the first step takes v = g."""
    momentum = settings[MOMENTUM]
    keep, take = momentum, 1.0 - settings[DAMPENING]
    if step == 0:
        keep, take = 0.0, 1.0
    like = zeros(p)
    rate = splat(-settings[LEARNING_RATE], like)
    scale, decay = splat(settings[GRADIENT_SCALE], like), splat(weight_decay, like)
    bound, clips = splat(settings[CLIP_VALUE], like), _clips(settings)
    lanes = width(p)
    if momentum == 0.0:
        for i in range(rows):
            for j in range(0, columns, lanes):
                count = columns - j
                value = load_first(row_at(p, i), j, count)
                change = _gradient(
                    value, load_first(row_at(g, i), j, count), clips, scale, bound, decay
                )
                store_first(row_at(p, i), j, fma(rate, change, value), count)
        return
    keeping, taking = splat(keep, like), splat(take, like)
    look, plain = splat(momentum, like), settings[NESTEROV] == 0.0
    velocity = memory.pointer
    for i in range(rows):
        for j in range(0, columns, lanes):
            count, place = columns - j, i * p.ld + j
            value = load_first(p.pointer, place, count)
            change = _gradient(
                value, load_first(row_at(g, i), j, count), clips, scale, bound, decay
            )
            speed = fma(load_first(velocity, place, count), keeping, change * taking)
            store_first(velocity, place, speed, count)
            if not plain:
                speed = fma(speed, look, change)
            store_first(p.pointer, place, fma(rate, speed, value), count)


@inline
def _adam(amsgrad, step, settings, decay, rows, columns, p, g, memory):
    """Update by `ADAM`, or by `AMSGRAD` if `amsgrad` is true."""
    beta1, beta2 = settings[BETA1], settings[BETA2]
    correction1 = 1.0 - beta1 ** (step + 1.0)
    correction2 = math.sqrt(1.0 - beta2 ** (step + 1.0))
    rate = settings[LEARNING_RATE]
    like = zeros(p)
    shrink, l2 = splat(1.0, like), splat(decay, like)
    if settings[DECOUPLED] != 0.0:
        shrink, l2 = splat(1.0 - rate * decay, like), splat(0.0, like)
    scale, bound = splat(settings[GRADIENT_SCALE], like), splat(settings[CLIP_VALUE], like)
    clips = _clips(settings)
    take1, keep2, take2 = splat(1.0 - beta1, like), splat(beta2, like), splat(1.0 - beta2, like)
    unbias, epsilon = splat(1.0 / correction2, like), splat(settings[EPSILON], like)
    stride = splat(-rate / correction1, like)
    first, second = memory.pointer, advance(memory.pointer, memory.apart)
    largest, lanes = advance(second, memory.apart), width(p)
    for i in range(rows):
        for j in range(0, columns, lanes):
            count, place = columns - j, i * p.ld + j
            value = load_first(p.pointer, place, count)
            change = _gradient(value, load_first(row_at(g, i), j, count), clips, scale, bound, l2)
            mean = load_first(first, place, count)
            mean = fma(change - mean, take1, mean)
            square = fma(change * take2, change, load_first(second, place, count) * keep2)
            store_first(first, place, mean, count)
            store_first(second, place, square, count)
            if amsgrad:
                square = maximum(square, load_first(largest, place, count))
                store_first(largest, place, square, count)
            move = mean / fma(sqrt(square), unbias, epsilon)
            store_first(p.pointer, place, fma(stride, move, value * shrink), count)


@rule(memories=2)
def ADAM(step, settings, decay, rows, columns, p, g, memory):  # noqa: N802
    """Compute p -= lr / c1 * m / (sqrt(v) / c2 + eps).

    m += (1 - b1)(g - m) and v = b2 v + (1 - b2) g^2 are moving means; c1 = 1 - b1^t and
    c2 = sqrt(1 - b2^t) correct their bias in the first steps.
    """
    _adam(False, step, settings, decay, rows, columns, p, g, memory)


@rule(memories=3)
def AMSGRAD(step, settings, decay, rows, columns, p, g, memory):  # noqa: N802
    """Compute p like `ADAM`, with the largest v so far in place of v."""
    _adam(True, step, settings, decay, rows, columns, p, g, memory)


@inline
def _rmsprop(centered, settings, decay, rows, columns, p, g, memory):
    """Update by `RMSPROP`, or by `CENTERED_RMSPROP` if `centered` is true."""
    like, momentum = zeros(p), settings[MOMENTUM]
    rate, keeping = splat(-settings[LEARNING_RATE], like), splat(momentum, like)
    scale, bound = splat(settings[GRADIENT_SCALE], like), splat(settings[CLIP_VALUE], like)
    clips = _clips(settings)
    l2, epsilon = splat(decay, like), splat(settings[EPSILON], like)
    keep, take = splat(settings[ALPHA], like), splat(1.0 - settings[ALPHA], like)
    squares, speeds = memory.pointer, advance(memory.pointer, memory.apart)
    means, lanes = advance(speeds, memory.apart), width(p)
    for i in range(rows):
        for j in range(0, columns, lanes):
            count, place = columns - j, i * p.ld + j
            value = load_first(p.pointer, place, count)
            change = _gradient(value, load_first(row_at(g, i), j, count), clips, scale, bound, l2)
            square = fma(change * take, change, load_first(squares, place, count) * keep)
            store_first(squares, place, square, count)
            if centered:
                mean = load_first(means, place, count)
                mean = fma(change - mean, take, mean)
                store_first(means, place, mean, count)
                square = fma(0.0 - mean, mean, square)
            move = change / (sqrt(square) + epsilon)
            if momentum > 0.0:
                move = fma(load_first(speeds, place, count), keeping, move)
                store_first(speeds, place, move, count)
            store_first(p.pointer, place, fma(rate, move, value), count)


@rule(memories=2)
def RMSPROP(step, settings, decay, rows, columns, p, g, memory):  # noqa: N802
    """Compute s = a s + (1 - a) g^2, v = momentum v + g / (sqrt(s) + eps), p -= lr v."""
    _rmsprop(False, settings, decay, rows, columns, p, g, memory)


@rule(memories=3)
def CENTERED_RMSPROP(step, settings, decay, rows, columns, p, g, memory):  # noqa: N802
    """Compute p like `RMSPROP`, with s - m^2 in place of s, and m += (1 - a)(g - m)."""
    _rmsprop(True, settings, decay, rows, columns, p, g, memory)


@inline
def update(how, rows, columns, p, g, memory):
    """Update a block of parameters by its gradient, by the rule of the `Update` `how`."""
    decay = how.settings[WEIGHT_DECAY] if how.decays else 0.0
    if p.ld == columns and g.ld == columns:
        rows, columns = 1, rows * columns
        p, g = Matrix(p.pointer, columns), Matrix(g.pointer, columns)
    call(how.rule, (how.step, how.settings, decay, rows, columns, p, g, memory))


CHUNK = 4096
"""Elements of a chunk: chunks are summed one by one, whatever the number of threads."""


@inline
def chunks(size):
    """Return the number of chunks of `size` elements."""
    return (size + CHUNK - 1) // CHUNK


@inline
def sum_of_squares(size, x, chunk):
    """Return the sum of the squares of one chunk of a flat array, in float64.

    Only where squares overflow in float32 they are computed in float64.
    """
    begin = chunk * CHUNK
    end = min(begin + CHUNK, size)
    total = zeros(x)
    for i in range(begin, end, width(x)):
        value = load_first(x, i, end - i)
        total = fma(value, value, total)
    result: float = np.float64(reduce_add(total))
    if not math.isfinite(result):
        result = 0.0
        for i in range(begin, end):
            result += np.float64(x[i]) ** 2
    return result


def remembered(rule: Rule, settings) -> int:
    """Return how many arrays a rule remembers with these settings.

    Raises ValueError if `rule` is no rule, TypeError or ValueError for other settings.
    """
    if not isinstance(settings, np.ndarray) or settings.dtype != np.float64:
        found = getattr(settings, "dtype", type(settings).__name__)
        raise TypeError(f"settings are of {found}; expected an array of float64")
    if settings.shape != (SETTINGS,):
        raise ValueError(f"settings have shape {settings.shape}; expected ({SETTINGS},)")
    if not isinstance(rule, Rule):
        raise ValueError(f"rule is {rule!r}; expected one of kernels.functions.updates")
    return 0 if rule is SGD and not settings[MOMENTUM] else rule.memories


@inline
def clip_factor(norm, bound):
    """Return the factor that clips a gradient of this norm to the bound, as in torch.

    It is NaN, which skips the update, for a gradient that is not finite.
    """
    if not math.isfinite(norm):
        return np.nan
    factor = bound / (norm + 1e-6)
    return 1.0 if factor > 1.0 else factor


FLAT = {"size": INTEGER, "p": REALS, "g": REALS, "memory": MEMORY, "how": UPDATE}
"""Operands of the update of flat parameters."""


@inline
def update_flat_share(at, ticks, state):
    """Update this thread's share of flat parameters, `ticks` updates after `how.step`.

    Do nothing if the gradient was not finite.
    """
    if math.isnan(at.how.settings[GRADIENT_SCALE]):
        return
    begin, end = share(chunks(at.size), state[THREAD], state[THREADS])
    begin, end = begin * CHUNK, min(end * CHUNK, at.size)
    n, how, memory = end - begin, at.how, at.memory
    update(
        Update(how.rule, how.decays, how.step + ticks, how.settings),
        1,
        n,
        Matrix(advance(at.p, begin), n),
        Matrix(advance(at.g, begin), n),
        Memory(advance(memory.pointer, begin), memory.apart),
    )


# ------------------------------------------------------------------ for use from Python


@instruction(**FLAT)
def _update_share(at, state, scratch):
    """Update this thread's share of flat parameters."""
    update_flat_share(at, 0, state)


@entry(
    *(INTEGER,) * 3, reads(1, types.float64), writes(1), reads(1), writes(2, layout="A"), INTEGER
)
def _update_flat(rule, decays, step, settings, p, g, memory, team):
    parameters = data(p)
    how = Update(rule, decays, step, data(settings))
    remembered = Memory(data(memory), memory.strides[0] // memory.itemsize)
    share_out(team, _update_share, (p.size, parameters, data(g), remembered, how), parameters)


def update_flat(rule: Rule, decays: bool, step: int, settings, p, g, memory) -> None:
    """Update a flat array of parameters by its gradient, after `step` earlier updates.

    `memory` is (memories, size), the arrays that the rule remembers; `settings` are float64.
    """
    address = rule.routine.address(real_type(p.dtype))
    arguments = address, decays, step, settings, p, g, memory
    shared_elements(_update_flat[p.dtype], arguments, p.size)


@entry(reads(1), DOUBLE, result=types.float64)
def _add_squares(x, total):
    for chunk in range(chunks(x.size)):
        total += sum_of_squares(x.size, data(x), chunk)
    return total


def gradient_norm(arrays: Iterable[ArrayLike]) -> float:
    """Return the Euclidean norm of all elements of several arrays, in float64.

    Parameters
    ----------
    arrays : iterable of array_like
        Arrays of any shapes, such as the gradients of all parameters.

    Returns
    -------
    float
        Square root of the sum of all squares.

    Raises
    ------
    TypeError
        If an array is not of numbers.

    Examples
    --------
    >>> from kernels import gradient_norm
    >>> gradient_norm([[3.0], [[4.0]]])
    5.0
    """
    total = 0.0
    for each in arrays:
        x = np.ravel(floating("array", each))
        total = _add_squares[x.dtype](x, total)
    return math.sqrt(total)
