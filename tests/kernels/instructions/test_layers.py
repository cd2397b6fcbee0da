import numpy as np
import pytest
from kit import block, carry_out, normal, nothing, only_inside
from numpy.testing import assert_array_equal

import kernels
from kernels.functions import normalization
from kernels.functions.dropout import keep_halves, keep_scale, mask_columns
from kernels.functions.rectifiers import RECTIFIERS, rectify, rectify_gradient
from kernels.instructions import layers as instructions


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_and_its_logarithm(name, dtype, threads):
    x, g = block(normal((9, 21), dtype)), block(normal((9, 21), dtype, 1))
    y, out = nothing((9, 21), dtype), nothing((9, 21), dtype)
    carry_out(getattr(instructions, name), dtype, 8, threads, columns=21, x=x, y=y)
    assert_array_equal(y[:8], getattr(kernels, name)(x[:8]))
    kind = getattr(instructions, f"{name}_gradient")
    carry_out(kind, dtype, 8, threads, columns=21, y=y, g=g, out=out)
    assert_array_equal(out[:8], getattr(kernels, f"{name}_gradient")(y[:8], g[:8]))
    for view in (y, out):
        assert np.isnan(view[8:]).all()
        assert only_inside(view)


def test_dropout(dtype, threads):
    p, seed, stream = 0.3, 2**40 + 5, 7
    x, g = block(normal((9, 70), dtype)), block(normal((9, 70), dtype, 1))
    for done, tick in ((0, 0), (5, 2)):
        y, out = nothing((9, 70), dtype), nothing((9, 70), dtype)
        mask = np.full((9, mask_columns(70)), 7, np.uint8)
        how = {"columns": 70, "mask": mask, "scale": keep_scale(p)}
        carry_out(
            instructions.dropout,
            dtype,
            8,
            threads,
            tick=tick,
            **how,
            x=x,
            y=y,
            seed=seed,
            drawn=done,
            stream=stream,
            keep=keep_halves(p),
        )
        expected, drawn = kernels.dropout(x[:8], p, seed=seed, step=done + tick, stream=stream)
        assert_array_equal(y[:8], expected)
        assert_array_equal(mask[:8], drawn)
        assert_array_equal(mask[8], 7)
        assert np.isnan(y[8:]).all()
        assert only_inside(y)
        carry_out(instructions.dropout_gradient, dtype, 8, threads, **how, g=g, out=out)
        assert_array_equal(out[:8], kernels.dropout_gradient(g[:8], drawn, p))
        assert np.isnan(out[8:]).all()
        assert only_inside(out)


@pytest.mark.parametrize("name", RECTIFIERS)
def test_rectifiers(name, dtype, threads):
    x, g = block(normal((9, 21), dtype)), block(normal((9, 21), dtype, 1))
    y, out = nothing((9, 21), dtype), nothing((9, 21), dtype)
    a, b = 0.7, 1.5
    how = {"columns": 21, "a": a, "b": b, "x": x}
    carry_out(instructions.RECTIFY[name], dtype, 8, threads, **how, y=y)
    assert_array_equal(y[:8], rectify(name, x[:8], a, b))
    carry_out(instructions.RECTIFY_GRADIENT[name], dtype, 8, threads, **how, g=g, out=out)
    assert_array_equal(out[:8], rectify_gradient(name, x[:8], g[:8], a, b))
    for view in (y, out):
        assert np.isnan(view[8:]).all()
        assert only_inside(view)


def numbers_of(columns, dtype, count):
    """Return lists as long as rows, the last number of which is not to be touched."""
    return [np.full(columns + 1, np.nan, dtype) for _ in range(count)]


@pytest.mark.parametrize("columns", [1, 21, 70])
def test_layer_norm(columns, dtype, threads):
    x, g = block(normal((9, columns), dtype)), block(normal((9, columns), dtype, 1))
    gain, shift = normal(columns, dtype, 2), normal(columns, dtype, 3)
    y, out = nothing((9, columns), dtype), nothing((9, columns), dtype)
    means, factors = numbers_of(8, dtype, 2)
    layer = layer_norm_of_arrays(x[:8], g[:8], gain, shift)
    how = {"columns": columns, "x": x, "means": means, "factors": factors}
    carry_out(
        instructions.layer_norm, dtype, 8, threads, **how, eps=1e-5, gain=gain, shift=shift, y=y
    )
    carry_out(instructions.layer_norm_gradient, dtype, 8, threads, **how, gain=gain, g=g, out=out)
    of_gain, of_shift = numbers_of(columns, dtype, 2)
    learned = {"gain_gradient": of_gain, "shift_gradient": of_shift}
    carry_out(instructions.layer_norm_parameters, dtype, 8, threads, **how, g=g, **learned)
    for found, expected in zip((y, out, of_gain, of_shift), layer, strict=True):
        assert_array_equal(found[: len(expected)], expected)
        assert np.isnan(found[len(expected) :]).all()
    for view in (y, out):
        assert only_inside(view)
    assert np.isnan([means[8], factors[8]]).all()


def layer_norm_of_arrays(x, g, gain, shift):
    """Return output, gradient, and those of gain and shift, by the functions for arrays."""
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    y, out, moments = np.empty_like(x), np.empty_like(x), np.empty((2, len(x)), x.dtype)
    learned = np.empty((2, x.shape[1]), x.dtype)
    normalization.layer_norm[x.dtype](x, 1e-5, gain, shift, y, *moments)
    normalization.layer_norm_gradient[x.dtype](x, *moments, gain, g, out, *learned)
    return y, out, *learned


@pytest.mark.parametrize("columns", [1, 21, 70])
def test_batch_norm(columns, dtype, threads):
    x, g = block(normal((9, columns), dtype)), block(normal((9, columns), dtype, 1))
    gain, shift = normal(columns, dtype, 2), normal(columns, dtype, 3)
    y, out = nothing((9, columns), dtype), nothing((9, columns), dtype)
    means, variances, of_gain, of_shift = numbers_of(columns, dtype, 4)
    how = {"columns": columns, "x": x, "means": means, "variances": variances}
    carry_out(instructions.moments, dtype, 8, threads, **how)
    carry_out(
        instructions.batch_norm, dtype, 8, threads, **how, eps=1e-5, gain=gain, shift=shift, y=y
    )
    carry_out(
        instructions.batch_norm_gradient,
        dtype,
        8,
        threads,
        **how,
        eps=1e-5,
        gain=gain,
        g=g,
        out=out,
        gain_gradient=of_gain,
        shift_gradient=of_shift,
    )
    rows, gradient = np.ascontiguousarray(x[:8]), np.ascontiguousarray(g[:8])
    moments, learned = np.empty((2, columns), dtype), np.empty((2, columns), dtype)
    expected, slope = np.empty_like(rows), np.empty_like(rows)
    kind = np.dtype(dtype)
    normalization.moments[kind](rows, *moments)
    normalization.batch_norm[kind](rows, 1e-5, *moments, gain, shift, expected)
    normalization.batch_norm_gradient[kind](
        rows, 1e-5, 0, *moments, gain, gradient, slope, *learned
    )
    pairs = (y, expected), (out, slope), (means, moments[0]), (variances, moments[1])
    for found, wanted in (*pairs, (of_gain, learned[0]), (of_shift, learned[1])):
        assert_array_equal(found[: len(wanted)], wanted)
        assert np.isnan(found[len(wanted) :]).all()
    for view in (y, out):
        assert only_inside(view)
    for momentum, factor in ((0.3, 0.3), (-1.0, 1 / 8)):
        running = [np.full(columns + 1, each, dtype) for each in (0.5, 2.0)]
        carry_out(
            instructions.track_moments,
            dtype,
            8,
            threads,
            tick=2,
            columns=columns,
            momentum=momentum,
            tracked=5,
            means=means,
            variances=variances,
            running_means=running[0],
            running_variances=running[1],
        )
        by_hand = [np.full(columns, each, dtype) for each in (0.5, 2.0)]
        normalization.track[kind](8, factor, *moments, *by_hand)
        for found, wanted in zip(running, by_hand, strict=True):
            assert_array_equal(found[:-1], wanted)
        assert [found[-1] for found in running] == [0.5, 2.0]
