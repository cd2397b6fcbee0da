import math

import numpy as np
import pytest
from kit import carry_out, normal, settings_of
from numpy.testing import assert_array_equal

import kernels
from kernels.base.jit import real_type
from kernels.base.kinds import Memory, Update
from kernels.functions import updates
from kernels.instructions import updates as instructions


@pytest.mark.parametrize("columns", [1, 2])
def test_follow(columns, dtype, threads):
    table = np.arange(20.0).reshape(10, 2)[:, :columns].copy()
    settings = np.full(updates.SETTINGS, -1.0)
    places = np.array([updates.LEARNING_RATE, updates.MOMENTUM][:columns])
    operands = {"batch": 8, "columns": columns, "places": places, "table": table.ravel()}
    for thread in reversed(range(threads)):
        carry_out(
            instructions.follow,
            dtype,
            8,
            threads,
            start=24,
            only=thread,
            **operands,
            settings=settings,
        )
        assert (settings[places] == (table[3] if thread == 0 else -1)).all()
    assert (np.delete(settings, places) == -1).all()


@pytest.mark.parametrize("size", [1, 100, 4095, 4096, 4097, 10_001])
@pytest.mark.parametrize("bound", [0.5, 1e6])
def test_an_update_clipped_by_norm(size, bound, dtype, threads):
    p, g, velocity = normal(size, dtype), normal(size, dtype, 1), np.zeros(size, dtype)
    settings = settings_of(learning_rate=0.1, momentum=0.9, clip_norm=bound, gradient_scale=0.0)
    chunks = math.ceil(size / updates.CHUNK)
    sums = np.full(chunks + 1, np.nan)
    carry_out(instructions.gradient_squares, dtype, 1, threads, size=size, gradient=g, sums=sums)
    assert np.isfinite(sums[:chunks]).all()
    assert np.isnan(sums[chunks])
    clip_norm(chunks, sums, settings, dtype, threads)
    norm = kernels.gradient_norm([g])
    assert settings[updates.GRADIENT_SCALE] == updates.clip_factor.py_func(norm, bound)
    expected, speed = p.copy(), velocity.copy()
    updates.update_flat(updates.SGD, True, 4, settings, expected, g, speed[None])
    rule = updates.SGD.routine.address(real_type(dtype))
    carry_out(
        instructions.update,
        dtype,
        1,
        threads,
        tick=3,
        size=size,
        p=p,
        g=g,
        memory=Memory(velocity.ctypes.data, 0),
        how=Update(rule, 1, 1, settings.ctypes.data),
    )
    assert_array_equal(p, expected)
    assert_array_equal(velocity, speed)


def clip_norm(chunks, sums, settings, dtype, threads):
    operands = {"chunks": chunks, "sums": sums, "settings": settings}
    carry_out(instructions.clip_norm, dtype, 1, threads, **operands)


@pytest.mark.parametrize("size", [1, 5000, 9001])
def test_penalty(size, dtype, threads):
    w = normal(size, dtype)
    settings = np.zeros(updates.SETTINGS)
    settings[updates.WEIGHT_DECAY] = 0.3
    chunks = math.ceil(size / updates.CHUNK)
    sums = np.ones(chunks + 1)
    operands = {"size": size, "weights": w, "settings": settings, "sums": sums}
    for _ in range(2):
        carry_out(instructions.penalty, dtype, 7, threads, **operands)
    assert sums[chunks] == 1
    expected = 2 * 0.15 * 7 * np.square(w, dtype=np.float64).sum()
    assert sums[:chunks].sum() - chunks == pytest.approx(expected, rel=1e-5)


def test_a_norm_that_is_not_finite(dtype, threads):
    """Clipping gives what the function for Python gives, so both ways of training agree."""
    settings = np.zeros(updates.SETTINGS)
    settings[updates.CLIP_NORM] = 1.0
    for value in (np.inf, np.nan):
        clip_norm(2, np.array([1.0, value]), settings, dtype, threads)
        expected = updates.clip_factor.py_func(value, 1.0)
        assert_array_equal(settings[updates.GRADIENT_SCALE], expected)
