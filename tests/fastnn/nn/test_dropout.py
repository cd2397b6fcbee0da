import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import Dropout, Layer

DTYPES = st.sampled_from([np.float32, np.float64])
ROWS, COLUMNS = st.integers(1, 40), st.integers(1, 70)
few = settings(max_examples=25, deadline=None)


def batch(rows, columns, dtype=np.float64, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(rows, columns)) * scale).astype(dtype)


def away_from_zero(x):
    return np.where(np.abs(x) < 1e-3, 1e-3, x)


@few
@given(ROWS, COLUMNS, DTYPES, st.sampled_from([0.0, 0.1, 0.5, 0.99, 1.0]))
def test_dropout_is_torch_with_the_same_mask(same_as_torch, rows, columns, dtype, p):
    x = away_from_zero(batch(rows, columns, dtype)).astype(dtype)
    mask = torch.from_numpy(Dropout(p, seed=3).forward(x) != 0)
    scale = 1 / (1 - p) if p < 1 else 0.0
    same_as_torch(
        Dropout(p, seed=3), lambda t: torch.where(mask, t * scale, torch.zeros_like(t)), x
    )


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
    assert np.shares_memory(layer(x), x)
    np.testing.assert_array_equal(layer(x), x)
    assert layer.backward(x) is x
    assert layer.drawn == 0
    assert (layer.train()(x) != x).any()


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_dropout_refuses(p):
    layer = Dropout(0.5)
    with pytest.raises(ValueError, match="expected a probability from 0 to 1"):
        layer.p = p
    assert layer.p == 0.5
    with pytest.raises(ValueError, match=f"Dropout: p is {p}; expected a probability from 0 to 1"):
        Dropout(p)


@pytest.mark.parametrize("p", ["0.5", None, [0.5]])
def test_what_is_no_probability(p):
    with pytest.raises(TypeError, match=r"Dropout: p is .*; expected a probability from 0 to 1"):
        Dropout(p)
