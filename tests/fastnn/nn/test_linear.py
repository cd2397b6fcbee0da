import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import Linear

DTYPES = st.sampled_from([np.float32, np.float64])
ROWS, COLUMNS = st.integers(1, 40), st.integers(1, 70)
few = settings(max_examples=25, deadline=None)


def batch(rows, columns, dtype=np.float64, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(rows, columns)) * scale).astype(dtype)


@few
@given(ROWS, COLUMNS, COLUMNS, st.booleans(), DTYPES)
def test_linear_is_torch(same_as_torch, rows, inputs, outputs, bias, dtype):
    layer = Linear(inputs, outputs, bias, dtype, seed=1)
    theirs = torch.nn.Linear(inputs, outputs, bias, dtype=getattr(torch, np.dtype(dtype).name))
    same_as_torch(layer, theirs, batch(rows, inputs, dtype))


# Deep sums differ by their order: eps of float32 times sqrt(depth) times terms of size 1.
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(128, 784, 512), (513, 300, 10)])
def test_large_linear_is_torch(same_as_torch, rows, inputs, outputs):
    x = batch(rows, inputs, np.float32)
    theirs = torch.nn.Linear(inputs, outputs)
    deep = (1.3e-6, 5e-5)
    same_as_torch(Linear(inputs, outputs, seed=0), theirs, x, gradient=deep, parameters=deep)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
class TestWeight:
    def test_is_out_by_in(self, dtype):
        layer = Linear(5, 3, dtype=dtype)
        assert layer.weight.shape == layer.weight.grad.shape == (3, 5)
        assert layer.bias.shape == layer.bias.grad.shape == (3,)
        assert layer.dtype == layer.weight.dtype == layer.bias.dtype == dtype

    def test_reads_what_was_written(self, dtype):
        layer, values = Linear(5, 3, dtype=dtype), np.arange(15.0).reshape(3, 5)
        layer.weight[...] = values
        np.testing.assert_array_equal(layer.weight[...], values)
        layer.weight[1, 2:] = -1
        values[1, 2:] = -1
        np.testing.assert_array_equal(np.asarray(layer.weight), values)
        assert layer.weight[1, 4] == -1
        assert np.asarray(layer.weight).dtype == dtype

    def test_assignment_copies(self, dtype):
        layer, values = Linear(5, 3, dtype=dtype), np.arange(15.0).reshape(3, 5)
        parameter = layer.weight
        layer.weight = values
        layer.bias = [1, 2, 3]
        values[:] = 0
        assert layer.weight is parameter
        np.testing.assert_array_equal(layer.weight.data, np.arange(15.0).reshape(3, 5))
        np.testing.assert_array_equal(layer.bias.data, [1, 2, 3])

    def test_is_what_forward_uses(self, dtype):
        layer, x = Linear(5, 3, dtype=dtype), batch(4, 5, dtype)
        layer.weight = np.eye(3, 5)
        layer.bias = [1, 2, 3]
        np.testing.assert_array_equal(layer(x), x[:, :3] + np.array([1, 2, 3], dtype))

    def test_refuses_another_shape(self, dtype):
        layer = Linear(5, 3, dtype=dtype, seed=0)
        before = np.asarray(layer.weight)
        with pytest.raises(ValueError, match=r"weight has shape \(3, 5\); it was given \(5, 3\)"):
            layer.weight = np.zeros((5, 3))
        with pytest.raises(ValueError, match=r"bias has shape \(3,\); it was given \(1,\)"):
            layer.bias = [0]
        np.testing.assert_array_equal(layer.weight, before)


def test_a_bias_that_is_not_there():
    layer = Linear(5, 3, bias=False)
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    with pytest.raises(ValueError, match="no bias"):
        layer.bias = [1, 2, 3]
    assert not layer(np.zeros((2, 5), np.float32)).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "in_features is 0; expected a positive integer"),
        ((3, -1), "out_features is -1; expected a positive integer"),
        ((3, 2.5), "out_features is 2.5; expected a positive integer"),
        ((3, 2, True, np.float16), "dtype is float16; expected float32 or float64"),
        ((3, 2, True, np.int64), "dtype is int64; expected float32 or float64"),
        (
            (3, 2, True, "(8,"),
            r"dtype is '\(8,'; expected float32 or float64",
        ),
        ((3, 2, True, 3), "dtype is 3; expected float32 or float64"),
    ],
)
def test_linear_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Linear(*arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 4)), ValueError, r"Linear: x has shape \(2, 4\); expected \(rows, 5\)"),
        (np.zeros(5), ValueError, r"Linear: x has shape \(5,\); expected two dimensions"),
        (np.zeros((2, 5), complex), TypeError, "Linear: x has dtype complex128; expected float32"),
        (np.full((2, 5), "a"), TypeError, "Linear: x has dtype <U1; expected float32"),
    ],
)
def test_linear_refuses_input(x, error, message):
    with pytest.raises(error, match=message):
        Linear(5, 3)(x)


def test_linear_refuses_a_gradient_of_another_shape():
    layer = Linear(5, 3)
    layer(np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match=r"gradient has shape \(2, 5\); expected \(2, 3\)"):
        layer.backward(np.zeros((2, 5), np.float32))
    assert not layer.weight.grad.any()


def test_gradients_add_up_until_they_are_set_to_zero():
    layer, x, g = Linear(5, 3, seed=0), batch(4, 5, np.float32), batch(4, 3, np.float32, 1)
    layer(x)
    layer.backward(g)
    once = layer.weight.grad.copy(), layer.bias.grad.copy()
    layer.backward(g)
    np.testing.assert_allclose(layer.weight.grad, 2 * once[0], rtol=1e-6)
    np.testing.assert_allclose(layer.bias.grad, 2 * once[1], rtol=1e-6)


def test_backward_is_of_the_last_forward():
    layer, g = Linear(5, 3, seed=0), batch(4, 3, np.float32, 1)
    layer(batch(7, 5, np.float32))
    x = batch(4, 5, np.float32, 2)
    layer(x)
    layer.backward(g)
    np.testing.assert_allclose(layer.weight.grad, g.T @ x, rtol=1.3e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1, 3), ()])
def test_initial_weights_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"Linear: init gave shape .*; expected \(2, 3\)"):
        Linear(3, 2, init=lambda _, rng: np.zeros(shape))
