import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import (
    Dropout,
    Flatten,
    Identity,
    Layer,
    Linear,
    Normalize,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)

DTYPES = st.sampled_from([np.float32, np.float64])
ROWS, COLUMNS = st.integers(1, 40), st.integers(1, 70)
few = settings(max_examples=25, deadline=None)


def batch(rows, columns, dtype=np.float64, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(rows, columns)) * scale).astype(dtype)


def away_from_zero(x):
    return np.where(np.abs(x) < 1e-3, 1e-3, x)


# ---------------------------------------------------------------------- against torch


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


@pytest.mark.parametrize(
    ("layer", "theirs"),
    [
        (ReLU(), torch.nn.ReLU()),
        (Tanh(), torch.nn.Tanh()),
        (Sigmoid(), torch.nn.Sigmoid()),
        (Softmax(), torch.nn.Softmax(dim=1)),
        (Identity(), torch.nn.Identity()),
        (Flatten(), torch.nn.Flatten()),
    ],
    ids=lambda layer: type(layer).__name__,
)
@few
@given(rows=ROWS, columns=COLUMNS, dtype=DTYPES, scale=st.sampled_from([0.1, 1.0, 10.0, 1e3]))
def test_layer_is_torch(same_as_torch, layer, theirs, rows, columns, dtype, scale):
    same_as_torch(layer, theirs, batch(rows, columns, dtype, scale=scale))


@few
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), DTYPES)
def test_flatten_is_torch_on_images(same_as_torch, shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    same_as_torch(Flatten(), torch.nn.Flatten(), x)


@few
@given(ROWS, COLUMNS, DTYPES, st.booleans())
def test_normalize_is_torch(same_as_torch, rows, columns, dtype, by_column):
    rng = np.random.default_rng(0)
    shape = columns if by_column else None
    mean, std = rng.normal(size=shape), rng.uniform(0.5, 2.0, shape)
    # The mean and 1 / std are rounded to the dtype before they are used.
    mean, factor = np.asarray(mean, dtype), np.asarray(1.0 / std, dtype)
    same_as_torch(
        Normalize(mean, std, dtype),
        lambda x: (x - torch.from_numpy(mean)) * torch.from_numpy(factor),
        batch(rows, columns, dtype),
    )


@few
@given(ROWS, COLUMNS, DTYPES, st.sampled_from([0.0, 0.1, 0.5, 0.99, 1.0]))
def test_dropout_is_torch_with_the_same_mask(same_as_torch, rows, columns, dtype, p):
    x = away_from_zero(batch(rows, columns, dtype)).astype(dtype)
    mask = torch.from_numpy(Dropout(p, seed=3).forward(x) != 0)
    scale = 1 / (1 - p) if p < 1 else 0.0
    same_as_torch(
        Dropout(p, seed=3), lambda t: torch.where(mask, t * scale, torch.zeros_like(t)), x
    )


# ------------------------------------------------------------- backward, by differences


@pytest.mark.parametrize(
    "make",
    [
        lambda columns: Linear(columns, 5, dtype=np.float64, seed=0),
        lambda columns: Linear(columns, 3, bias=False, dtype=np.float64, seed=0),
        lambda columns: ReLU(),
        lambda columns: Tanh(),
        lambda columns: Sigmoid(),
        lambda columns: Softmax(),
        lambda columns: Identity(),
        lambda columns: Flatten(),
        lambda columns: Normalize(0.5, np.linspace(1, 2, columns), np.float64),
        lambda columns: Dropout(0.3, seed=0).eval(),
    ],
    ids=[
        "Linear",
        "without bias",
        "ReLU",
        "Tanh",
        "Sigmoid",
        "Softmax",
        "Identity",
        "Flatten",
        "Normalize",
        "Dropout",
    ],
)
@settings(max_examples=5, deadline=None)
@given(rows=st.integers(1, 4), columns=st.integers(1, 9), seed=st.integers(0, 9))
def test_backward_by_differences(check_backward, make, rows, columns, seed):
    check_backward(make(columns), away_from_zero(batch(rows, columns, seed=seed)), seed)


def test_backward_of_dropout_by_differences(check_backward):
    class Repeated(Layer):
        """The same mask in every call, so that there is something to differentiate."""

        def __init__(self):
            self.inner = Dropout(0.4, seed=1)

        def forward(self, x):
            self.inner.reseed(1)
            return self.inner.forward(x)

        def backward(self, gradient):
            return self.inner.backward(gradient)

    check_backward(Repeated(), batch(6, 20))


def test_backward_of_a_chain_by_differences(check_backward):
    linear = [Linear(i, o, dtype=np.float64, seed=i) for i, o in ((4, 6), (6, 5), (5, 3))]
    inner = Sequential(Sigmoid(), linear[2], Softmax())
    check_backward(Sequential(linear[0], Tanh(), linear[1], inner), batch(3, 4))


# ----------------------------------------------------------------------------- Linear


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


KINDS = [
    lambda: Linear(8, 8), ReLU, Tanh, Sigmoid, Softmax, Dropout, Flatten, lambda: Normalize(1, 2),
    fastnn.LeakyReLU, fastnn.ELU, fastnn.GELU, fastnn.SiLU, fastnn.Softplus, fastnn.LogSoftmax,
    lambda: fastnn.LayerNorm(8), lambda: fastnn.BatchNorm1d(8),
]  # fmt: skip


@pytest.mark.parametrize("make", KINDS)
def test_backward_before_forward(make):
    layer = make()
    message = rf"{type(layer).__name__}: backward\(\) before forward\(\)"
    with pytest.raises(RuntimeError, match=message):
        layer.backward(np.zeros((3, 8), np.float32))
    with pytest.raises(RuntimeError, match=message):
        Sequential(Identity(), layer).backward(np.zeros((3, 8), np.float32))


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("shape", [(2, 8), (3, 7), (3, 1), (8,), (), (8, 3)])
def test_gradients_of_another_shape(make, shape):
    layer = make()
    layer(batch(3, 8, np.float32))
    with pytest.raises(
        ValueError, match=r"gradient has shape .*; expected|gradient has shape .*out"
    ):
        layer.backward(np.zeros(shape, np.float32))


def test_backward_is_of_the_last_forward():
    layer, g = Linear(5, 3, seed=0), batch(4, 3, np.float32, 1)
    layer(batch(7, 5, np.float32))
    x = batch(4, 5, np.float32, 2)
    layer(x)
    layer.backward(g)
    np.testing.assert_allclose(layer.weight.grad, g.T @ x, rtol=1.3e-6, atol=1e-6)


def test_what_a_layer_was_given_stays_as_it_was():
    x, g = batch(6, 8, np.float32), batch(6, 8, np.float32, 1)
    for layer in (Linear(8, 8), ReLU(), Tanh(), Sigmoid(), Softmax(), Dropout(), Normalize(1, 2)):
        given, gradient = x.copy(), g.copy()
        given.flags.writeable = gradient.flags.writeable = False
        y = layer(given)
        before = y.copy()
        layer.backward(gradient)
        np.testing.assert_array_equal(y, before)


LAYOUTS = {
    "F-ordered": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "transposed view": lambda x: x.T.copy().T,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout):
    x, g = batch(6, 8, np.float32), batch(6, 8, np.float32, 1)
    for layer in (Linear(8, 8), ReLU(), Tanh(), Sigmoid(), Softmax(), Normalize(1, 2), Flatten()):
        expected = np.array(layer(x)), np.array(layer.backward(g))
        found = layer(LAYOUTS[layout](x)), layer.backward(LAYOUTS[layout](g))
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


# ---------------------------------------------------------------------------- Dropout


def test_dropout_follows_from_seed_stream_and_count_alone():
    x = np.ones((5, 100), np.float32)
    layer, same = Dropout(seed=7, stream=2), Dropout(seed=7, stream=2)
    first, second = layer(x), layer(x)
    np.testing.assert_array_equal(same(x), first)
    np.testing.assert_array_equal(same(x[:2]), second[:2])
    assert layer.drawn == 2
    others = [Dropout(seed=8, stream=2)(x), Dropout(seed=7, stream=3)(x), second]
    assert all((other != first).any() for other in others)
    layer.reseed(7, 2)
    np.testing.assert_array_equal(layer(x), first)


def test_dropout_without_a_seed_draws_one():
    x = np.ones((5, 100), np.float32)
    assert (Dropout()(x) != Dropout()(x)).any()


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.8])
def test_dropout_drops_a_share_of_p_and_scales_the_rest(p):
    y = Dropout(p, seed=0)(np.ones((300, 1000)))
    assert np.unique(y).tolist() == [0.0, pytest.approx(1 / (1 - p))]
    # Five standard deviations of a binomial of 300,000.
    assert abs((y == 0).mean() - p) < 5 * math.sqrt(p * (1 - p) / y.size)
    assert abs(y.mean() - 1) < 5 * math.sqrt(p / (1 - p) / y.size)


def test_dropout_of_infinities_and_nan_leaves_no_nan_where_dropped():
    y = Dropout(0.5, seed=0)(np.tile([np.inf, -np.inf, np.nan], (50, 50)))
    dropped = Dropout(0.5, seed=0)(np.ones((50, 150))) == 0
    assert (y[dropped] == 0).all()
    assert not np.isfinite(y[~dropped]).any()


def test_dropout_in_use_is_the_identity():
    x, layer = batch(4, 6), Dropout(0.5).eval()
    assert layer(x) is x
    assert layer.backward(x) is x
    assert layer.drawn == 0
    assert (layer.train()(x) != x).any()


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_dropout_refuses(p):
    with pytest.raises(ValueError, match=f"Dropout: p is {p}; expected a probability from 0 to 1"):
        Dropout(p)


@pytest.mark.parametrize("p", ["0.5", None, [0.5]])
def test_what_is_no_probability(p):
    with pytest.raises(TypeError, match=r"Dropout: p is .*; expected a probability from 0 to 1"):
        Dropout(p)


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1, 3), ()])
def test_initial_weights_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"Linear: init gave shape .*; expected \(2, 3\)"):
        Linear(3, 2, init=lambda _, rng: np.zeros(shape))


# -------------------------------------------------------------------------- Normalize


def test_normalize_takes_bytes():
    x = np.arange(256, dtype=np.uint8).reshape(2, 128)
    y = Normalize(128, 255)(x)
    assert y.dtype == np.float32
    expected = (x.astype(np.float32) - 128) * np.float32(1 / 255)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "std must be positive"),
        ((0, [1, -1]), "std must be positive"),
        ((np.nan, 1), "mean and std must be finite"),
        ((0, np.inf), "mean and std must be finite"),
        ((0, 1e-300), "mean and 1 / std must be finite in float32"),
        ((1e300, 1), "mean and 1 / std must be finite in float32"),
    ],
)
def test_normalize_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Normalize(*arguments)


def test_normalize_refuses_other_columns():
    with pytest.raises(ValueError, match=r"mean has shape \(3,\).*x has 4 columns"):
        Normalize([1, 2, 3])(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"x has shape \(2,\); expected two dimensions"):
        Normalize()(np.zeros(2))


def test_flatten_refuses_one_dimension():
    with pytest.raises(ValueError, match=r"Flatten: x has shape \(3,\); expected at least two"):
        Flatten()(np.zeros(3))


# ---------------------------------------------------------------------- what all share


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Linear(3, 2), "Linear(in_features=3, out_features=2, bias=True)"),
        (Linear(3, 2, bias=False), "Linear(in_features=3, out_features=2, bias=False)"),
        (ReLU(), "ReLU()"),
        (Dropout(0.25), "Dropout(p=0.25)"),
        (Normalize(1, 2), "Normalize(mean=1.0, std=2.0)"),
        (Flatten(), "Flatten()"),
    ],
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_description_makes_the_same_layer_again():
    for layer in (Linear(3, 2, bias=False), Dropout(0.25), Normalize([1, 2], [3, 4]), Softmax()):
        again = type(layer)(**layer.describe())
        assert repr(again) == repr(layer)


def test_train_and_eval_give_the_layer():
    layer = Tanh()
    assert layer.training
    assert layer.eval() is layer
    assert not layer.training
    assert layer.train() is layer
    assert layer.training
    assert not layer.train(False).training


def test_a_layer_that_defines_nothing_says_so():
    class Mine(Layer):
        pass

    assert list(Mine().parameters()) == []
    with pytest.raises(NotImplementedError, match="Mine does not define forward"):
        Mine()(np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match="Mine does not define backward"):
        Mine().backward(np.zeros((1, 1)))


@pytest.mark.parametrize("name", ["Linear", "Dropout", "Softmax", "Normalize", "ReLU"])
def test_empty_batches_pass(name):
    layer = {"Linear": lambda: Linear(4, 4)}.get(name, getattr(fastnn, name))()
    empty = np.zeros((0, 4), np.float32)
    assert layer(empty).shape == (0, 4)
    assert layer.backward(empty).shape == (0, 4)


@pytest.mark.parametrize("kind", [fastnn.LayerNorm, fastnn.BatchNorm1d])
@pytest.mark.parametrize("eps", ["a", None, -1, math.nan, math.inf])
def test_norms_refuse_what_is_no_eps(kind, eps):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: eps is .*; expected a number of 0 or"):
        kind(3, eps=eps)


@pytest.mark.parametrize("momentum", ["a", -0.1, 2, math.nan])
def test_batch_norm_refuses_what_is_no_momentum(momentum):
    with pytest.raises(ValueError, match=r"momentum is .*; expected a number from 0 to 1, or None"):
        fastnn.BatchNorm1d(3, momentum=momentum)
