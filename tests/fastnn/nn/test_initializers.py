import math

import numpy as np
import pytest
import torch

from fastnn import Linear, initializers
from fastnn.initializers import INITIALIZERS, initializer

SHAPE = 300, 200  # out, in


def draw(name, shape=SHAPE, seed=0):
    return initializer(name)(shape, np.random.default_rng(seed))


def torch_fills(name):
    """Torch's weights by the same scheme."""
    torch.manual_seed(0)
    weight = torch.empty(SHAPE)
    fill = {
        "default": lambda w: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
        "xavier_uniform": torch.nn.init.xavier_uniform_,
        "xavier_normal": torch.nn.init.xavier_normal_,
        "kaiming_uniform": lambda w: torch.nn.init.kaiming_uniform_(w, nonlinearity="relu"),
        "kaiming_normal": lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "normal": torch.nn.init.normal_,
        "zeros": torch.nn.init.zeros_,
    }[name]
    return fill(weight).numpy()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_distribution_is_torch_s(name):
    ours, theirs = np.sort(draw(name).ravel()), np.sort(torch_fills(name).ravel())
    # Kolmogorov and Smirnov: two samples of n of one distribution differ by more than
    # 1.95 sqrt(2 / n) once in a thousand times; the seeds are fixed.
    places = np.concatenate([ours, theirs])
    share = [np.searchsorted(each, places, side="right") / each.size for each in (ours, theirs)]
    assert np.abs(share[0] - share[1]).max() < 1.95 * math.sqrt(2 / ours.size)
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.01)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("default", 1 / math.sqrt(200)),
        ("xavier_uniform", math.sqrt(6 / 500)),
        ("kaiming_uniform", math.sqrt(6 / 200)),
    ],
)
def test_uniform_draws_fill_their_bounds(name, bound):
    values = draw(name)
    assert 0.999 * bound < values.max() <= bound
    assert -bound <= values.min() < -0.999 * bound


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("xavier_normal", math.sqrt(2 / 500)),
        ("kaiming_normal", math.sqrt(2 / 200)),
        ("normal", 1.0),
    ],
)
def test_normal_draws_have_their_deviation(name, deviation):
    values = draw(name)
    # Four standard errors of the deviation and of the mean of 60,000 draws.
    assert abs(values.std() / deviation - 1) < 4 / math.sqrt(2 * values.size)
    assert abs(values.mean()) < 4 * deviation / math.sqrt(values.size)


def test_normal_of_another_mean_and_deviation():
    values = initializers.normal(3.0, 0.5)(SHAPE, np.random.default_rng(0))
    assert values.mean() == pytest.approx(3.0, abs=4 * 0.5 / math.sqrt(values.size))
    assert values.std() == pytest.approx(0.5, rel=4 / math.sqrt(2 * values.size))


def test_zeros():
    assert not draw("zeros").any()
    assert draw("zeros").shape == SHAPE


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - {"zeros"}))
def test_seeds_decide(name):
    np.testing.assert_array_equal(draw(name, seed=1), draw(name, seed=1))
    assert (draw(name, seed=1) != draw(name, seed=2)).all()


def test_functions_are_given_back():
    def mine(shape, rng):
        return np.full(shape, 2.0)

    assert initializer(mine) is mine
    np.testing.assert_array_equal(Linear(3, 2, init=mine).weight, np.full((2, 3), 2.0))


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_draws_its_weight_with_it(name, dtype):
    layer = Linear(200, 300, dtype=dtype, init=name, seed=5)
    np.testing.assert_array_equal(layer.weight, draw(name, seed=5).astype(dtype))
    assert layer.bias.data.any() == (name == "default")


def test_the_default_bias_is_torch_s():
    bound = 1 / math.sqrt(25)
    bias = np.asarray(Linear(25, 5000, seed=0).bias)
    assert 0.99 * bound < bias.max() <= bound
    assert -bound <= bias.min() < -0.99 * bound
    assert abs(bias.mean()) < 4 * bound / math.sqrt(3 * bias.size)


def test_linear_takes_seeds_and_generators():
    one, same, other = (np.asarray(Linear(4, 3, seed=seed).weight) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    rng = np.random.default_rng(1)
    first, second = (np.asarray(Linear(4, 3, seed=rng).weight) for _ in range(2))
    np.testing.assert_array_equal(first, one)
    assert (second != first).all()
    assert (np.asarray(Linear(4, 3).weight) != np.asarray(Linear(4, 3).weight)).all()


def test_unknown_names():
    with pytest.raises(ValueError, match="unknown initializer 'kaiming'; expected one of default,"):
        initializer("kaiming")
    with pytest.raises(ValueError, match="did you mean 'xavier_uniform'"):
        Linear(2, 2, init="xavier_unifrom")
    with pytest.raises(ValueError, match="unknown initializer None"):
        initializer(None)
