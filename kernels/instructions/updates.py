"""Instructions that clip gradients, and update parameters and the optimizer's settings."""

from __future__ import annotations

import math

from kernels.base.kinds import DOUBLES, INTEGER, REALS, WORDS
from kernels.functions import updates
from kernels.machine.barrier import share
from kernels.machine.instruction import instruction
from kernels.machine.state import ROWS, START, THREAD, THREADS, TICK


@instruction(batch=INTEGER, columns=INTEGER, places=WORDS, table=DOUBLES, settings=DOUBLES)
def follow(at, state, scratch):
    """Copy the optimizer's settings for this batch from a table with a row for each batch.

    Column i of the table goes to the settings at index `places[i]`.
    """
    if state[THREAD] == 0:
        for i in range(at.columns):
            at.settings[at.places[i]] = at.table[state[START] // at.batch * at.columns + i]


@instruction(size=INTEGER, gradient=REALS, sums=DOUBLES)
def gradient_squares(at, state, scratch):
    """Sum the squares of a flat gradient, chunk by chunk."""
    begin, end = share(updates.chunks(at.size), state[THREAD], state[THREADS])
    for chunk in range(begin, end):
        at.sums[chunk] = updates.sum_of_squares(at.size, at.gradient, chunk)


@instruction(size=INTEGER, weights=REALS, settings=DOUBLES, sums=DOUBLES)
def penalty(at, state, scratch):
    """Add the penalty of weight decay, decay / 2 * w^2 for each row, to sums chunk by chunk."""
    begin, end = share(updates.chunks(at.size), state[THREAD], state[THREADS])
    factor = 0.5 * at.settings[updates.WEIGHT_DECAY] * state[ROWS]
    for chunk in range(begin, end):
        at.sums[chunk] += factor * updates.sum_of_squares(at.size, at.weights, chunk)


@instruction(chunks=INTEGER, sums=DOUBLES, settings=DOUBLES)
def clip_norm(at, state, scratch):
    """Set the factor that clips a gradient by its norm, from the sums of its chunks; count NaN."""
    total = 0.0
    for chunk in range(at.chunks):
        total += at.sums[chunk]
    if state[THREAD] == 0:
        factor = updates.clip_factor(math.sqrt(total), at.settings[updates.CLIP_NORM])
        at.settings[updates.GRADIENT_SCALE] = factor
        at.settings[updates.SKIPPED] += math.isnan(factor)


@instruction(**updates.FLAT)
def update(at, state, scratch):
    """Update flat parameters by their gradient."""
    updates.update_flat_share(at, state[TICK], state)
