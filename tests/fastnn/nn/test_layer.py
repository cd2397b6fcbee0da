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


KINDS = [
    lambda: Linear(8, 8), ReLU, Tanh, Sigmoid, Softmax, Dropout, Flatten, lambda: Normalize(1, 2),
    fastnn.LeakyReLU, fastnn.ELU, fastnn.GELU, fastnn.SiLU, fastnn.Softplus, fastnn.LogSoftmax,
    fastnn.Mish, fastnn.Hardswish, fastnn.Hardtanh, fastnn.SmoothClip,
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
