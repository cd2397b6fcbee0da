import numpy as np
import pytest
from kit import block, carry_out, distance, normal, nothing, only_inside, settings_of
from numpy.testing import assert_array_equal

import kernels
from kernels.base.jit import real_type
from kernels.base.kinds import Memory, Panels, Update
from kernels.functions import updates
from kernels.instructions import linear as instructions
from kernels.product import few_outputs
from kernels.product.affine import affine
from kernels.product.sharing import columns_of

CODE = kernels.ACTIVATIONS


def test_linear(dtype, threads):
    x, w = block(normal((50, 20), dtype)), block(normal((20, 33), dtype, 1))
    bias, y, g = normal(33, dtype, 2), nothing((50, 33), dtype), block(normal((50, 33), dtype, 3))
    sizes = {"inputs": 20, "outputs": 33, "activation": CODE["tanh"]}
    carry_out(instructions.linear, dtype, 45, threads, **sizes, x=x, w=w, bias=bias, y=y)
    assert_array_equal(y[:45], kernels.matmul(x[:45], w, bias=bias, activation="tanh"))
    assert np.isnan(y[45:]).all()
    assert only_inside(y)

    before, out = block(np.tanh(x)), nothing((50, 20), dtype)
    kind = instructions.linear_input_gradient
    carry_out(kind, dtype, 45, threads, **sizes, g=g, w=w, y=before, out=out)
    expected = kernels.tanh_gradient(before[:45], kernels.matmul(g[:45], w.T))
    assert_array_equal(out[:45], expected)
    assert np.isnan(out[45:]).all()
    assert only_inside(out)


def test_halves(dtype, threads):
    """Each of two threads sums half of the inputs, and all add the halves of their rows."""
    x, w, bias = normal((50, 40), dtype), block(normal((40, 10), dtype, 1)), normal(10, dtype, 2)
    middle = columns_of.py_func(40, 64 // np.dtype(dtype).itemsize, 1, 2)[0]
    halves = np.full((2, 50, 40), np.nan, dtype)
    halves[0, :, :middle], halves[1, :, : 40 - middle] = x[:, :middle], x[:, middle:]
    sums, y = np.full((2, 60, few_outputs.FEW), np.nan, dtype), nothing((50, 10), dtype)
    place = {"sums": sums, "apart": distance(sums)}
    of_threads = Panels(halves.ctypes.data, 40, distance(halves))
    carry_out(
        instructions.linear_halves, dtype, 45, 2, inputs=40, outputs=10, x=of_threads, w=w, **place
    )
    carry_out(
        instructions.linear_from_halves,
        dtype,
        45,
        threads,
        outputs=10,
        activation=CODE["tanh"],
        bias=bias,
        y=y,
        **place,
    )
    assert_array_equal(y[:45], kernels.tanh(affine(x[:45], w, bias)))
    assert np.isnan(y[45:]).all()
    assert only_inside(y)


def test_update(dtype, threads):
    x, g = block(normal((50, 20), dtype)), block(normal((50, 33), dtype, 1))
    gradient = kernels.matmul(x[:45].T, g[:45])
    sums = np.zeros(33, dtype)
    kernels.add_column_sums(g[:45], sums)
    settings = settings_of(learning_rate=0.1, momentum=0.9)
    rule = updates.SGD.routine.address(real_type(dtype))
    for done, tick in ((0, 0), (0, 3), (3, 0), (2, 2)):
        w, bias = block(normal((20, 33), dtype, 2)), normal(33, dtype, 3)
        velocity, speed = block(normal((20, 33), dtype, 4)), normal(33, dtype, 5)
        expected = [x.copy() for x in (w, velocity, bias, speed)]
        for p, d, v in ((expected[0], gradient, expected[1]), (expected[2], sums, expected[3])):
            updates.update_flat(
                updates.SGD, True, done + tick, settings, p.ravel(), d.ravel(), v.reshape(1, -1)
            )
        how = Update(rule, 1, done, settings.ctypes.data)
        carry_out(
            instructions.linear_update,
            dtype,
            45,
            threads,
            tick=tick,
            inputs=20,
            outputs=33,
            x=x,
            g=g,
            w=w,
            w_memory=Memory(velocity.ctypes.data, 0),
            of_w=how,
            bias=bias,
            bias_memory=Memory(speed.ctypes.data, 0),
            of_bias=how,
        )
        for own, wanted in zip((w, velocity, bias, speed), expected, strict=True):
            assert_array_equal(own, wanted)
        assert only_inside(w)
        assert only_inside(velocity)


@pytest.mark.parametrize("name", CODE)
def test_activations(name, dtype, threads):
    x, g = block(normal((9, 21), dtype)), block(normal((9, 21), dtype, 1))
    y, out = nothing((9, 21), dtype), nothing((9, 21), dtype)
    how = {"activation": CODE[name], "columns": 21}
    carry_out(instructions.activation, dtype, 8, threads, **how, x=x, y=y)
    identity = name == "identity"
    assert_array_equal(y[:8], x[:8] if identity else getattr(kernels, name)(x[:8]))
    assert np.isnan(y[8:]).all()
    assert only_inside(y)
    carry_out(instructions.activation_gradient, dtype, 8, threads, **how, y=y, g=g, out=out)
    gradient = (lambda y, g: g) if identity else getattr(kernels, f"{name}_gradient")
    expected = gradient(y[:8], g[:8])
    assert_array_equal(out[:8], expected)
    assert np.isnan(out[8:]).all()
    assert only_inside(out)
    carry_out(instructions.activation_gradient, dtype, 8, threads, **how, y=y, g=g, out=g)
    assert_array_equal(g[:8], expected, err_msg="in place")
