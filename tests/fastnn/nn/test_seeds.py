import copy
import os
import pickle
import sys

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    BatchNorm1d,
    CrossEntropyLoss,
    Dropout,
    LayerNorm,
    Linear,
    ReLU,
    Sequential,
    fit,
    initializers,
    manual_seed,
)
from fastnn.nn import seeds


@pytest.fixture(autouse=True)
def _seeds_are_the_system_s_again():
    yield
    seeds._source = None


def layers():
    return [Linear(4, 8), ReLU(), Dropout(0.5), Sequential(Linear(8, 8)), Linear(8, 3)]


def trained(model, seed=0):
    x = np.random.default_rng(1).normal(size=(50, 4))
    fit(model, x, np.arange(50) % 3, loss=CrossEntropyLoss(), epochs=2, batch_size=8, seed=seed,
        optimizer=SGD(model.parameters(), lr=0.1))  # fmt: skip
    return model


def test_one_seed_makes_one_model(bits):
    assert bits(Sequential(*layers(), seed=3)) == bits(Sequential(*layers(), seed=3))
    assert bits(Sequential(*layers(), seed=3)) != bits(Sequential(*layers(), seed=4))
    assert bits(trained(Sequential(*layers(), seed=3))) == bits(
        trained(Sequential(*layers(), seed=3))
    )


def test_layers_of_one_chain_differ():
    model = Sequential(Linear(4, 4), Linear(4, 4), Sequential(Linear(4, 4)), seed=0)
    weights = [model[0].weight, model[1].weight, model[2][0].weight]
    assert len({np.asarray(each).tobytes() for each in weights}) == 3


def test_a_layer_s_place_alone_decides():
    one = Sequential(Linear(4, 8), ReLU(), Linear(8, 3), seed=0)
    other = Sequential(Linear(4, 9), ReLU(), Linear(8, 3), seed=0)
    np.testing.assert_array_equal(one[2].weight, other[2].weight)


def test_masks_are_drawn_by_the_chain_s_seed():
    x = np.ones((10, 20), np.float32)
    one, other = (Sequential(Dropout(0.5), Dropout(0.5), seed=0) for _ in range(2))
    np.testing.assert_array_equal(one(x), other(x))
    assert one[0].seed != one[1].seed


def test_what_was_set_loaded_or_trained_is_kept(bits):
    given, loaded, learned = Linear(4, 8, seed=7), Linear(4, 8), Linear(4, 3)
    loaded.weight = np.ones((8, 4))
    trained(Sequential(learned))
    masks = Dropout(0.5, seed=5)
    before = bits(Sequential(given)), bits(Sequential(loaded)), bits(Sequential(learned))
    Sequential(given, masks, seed=0)
    Sequential(loaded, seed=0)
    Sequential(learned, seed=0)
    after = bits(Sequential(given)), bits(Sequential(loaded)), bits(Sequential(learned))
    assert after == before
    assert masks.seed == 5


def test_without_a_seed_layers_stay_as_they_are(bits):
    model = Sequential(*layers())
    assert bits(Sequential(*model.layers)) == bits(model)


@pytest.mark.parametrize("init", ["default", "zeros", "kaiming_normal", initializers.normal(0, 2)])
@pytest.mark.parametrize("bias", [False, True])
def test_reset_draws_like_a_new_layer(init, bias):
    layer = Linear(4, 8, bias, init=init)
    layer.weight = np.ones((8, 4))
    layer.reset_parameters(3)
    fresh = Linear(4, 8, bias, init=init, seed=3)
    np.testing.assert_array_equal(layer.weight, fresh.weight)
    np.testing.assert_array_equal(layer._bias, fresh._bias)


def test_reset_of_a_chain_draws_everything(bits):
    model = trained(Sequential(*layers(), BatchNorm1d(3), LayerNorm(3), seed=0))
    model.reset_parameters(0)
    assert bits(model) == bits(Sequential(*layers(), BatchNorm1d(3), LayerNorm(3), seed=0))
    before = bits(model)
    model.reset_parameters()
    assert bits(model) != before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_draw_anew(copied):
    layer = copied(Linear(4, 8))
    assert layer.begins_anew()
    layer.reset_parameters(0)
    np.testing.assert_array_equal(layer.weight, Linear(4, 8, seed=0).weight)
    layer = copied(Linear(4, 8, init=lambda shape, rng: np.ones(shape)))
    assert not layer.begins_anew()
    with pytest.raises(ValueError, match="a copy does not keep the function"):
        layer.reset_parameters(0)


def test_manual_seed_fixes_what_is_drawn(bits):
    results = []
    for seed in (0, 0, 1):
        manual_seed(seed)
        results.append(bits(trained(Sequential(*layers()), seed=None)))
    assert results[0] == results[1] != results[2]


def test_without_manual_seed_nothing_repeats():
    assert len({seeds.fresh_seed() for _ in range(100)}) == 100


def test_manual_seed_leaves_numpy_alone():
    np.random.seed(0)  # noqa: NPY002
    manual_seed(5)
    Linear(3, 2)
    found = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert found == np.random.random()  # noqa: NPY002


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_goes_on():
    manual_seed(0)
    with seeds._lock:
        child = os.fork()
        if child == 0:
            Linear(3, 2)
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert sys.modules


@pytest.mark.parametrize("seed", [-1, 0.5, "0"])
def test_seeds_are_integers(seed):
    with pytest.raises(ValueError, match="seed is"):
        manual_seed(seed)
    with pytest.raises(ValueError, match="Sequential: seed is"):
        Sequential(Linear(3, 2), seed=seed)


def test_the_first_example_is_the_same_each_time(bits):
    data = fastnn.datasets.load("digits")
    results = []
    for _ in range(2):
        model = Sequential(
            fastnn.Normalize(data.mean, data.std), Linear(64, 100), ReLU(), Linear(100, 10), seed=0
        )
        fit(model, data.x_train, data.y_train, loss=CrossEntropyLoss(), epochs=1, batch_size=20,
            optimizer=SGD(model.parameters(), lr=0.1), seed=0)  # fmt: skip
        results.append(bits(model))
    assert results[0] == results[1]
