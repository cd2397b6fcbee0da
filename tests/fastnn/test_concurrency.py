"""Models in many Python threads at once, and in processes of every kind."""

import multiprocessing
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastnn import (
    Adam,
    CrossEntropyLoss,
    Dropout,
    History,
    Layer,
    Linear,
    NonFiniteLossError,
    Sequential,
    Tanh,
    fit,
    predict,
)
from fastnn.datasets import SubsetError
from fastnn.files.container import ModelFileError
from fastnn.runs.settings import SettingError

X = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)
Y = np.arange(200) % 3
SEEDS = range(4)


class Slow(Layer):
    """y = x, in a time in which other threads get on."""

    def forward(self, x):
        time.sleep(1e-4)
        return x

    def backward(self, gradient):
        return gradient


def network(seed, *last):
    return Sequential(
        Linear(12, 40, seed=seed), Tanh(), Dropout(0.2, seed=seed), Linear(40, 3, seed=seed), *last
    )


def trained(seed, threads=2):
    model = network(seed)
    fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=Adam(model.parameters(), lr=0.01),
        epochs=2, batch_size=64, seed=seed, threads=threads)  # fmt: skip
    return [array.tobytes() for array in model.state_dict().values()]


@pytest.fixture(scope="module")
def alone():
    return [trained(seed) for seed in SEEDS]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_models_trained_in_threads(alone, threads):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda seed: trained(seed, threads), [*SEEDS] * 6))
    assert results == alone * 6


@pytest.mark.parametrize("last", [(), (Slow(),)], ids=["compiled", "eager"])
def test_one_model_used_in_threads_while_its_dropout_is_on(last):
    model = network(0, *last)
    expected = predict(network(0), X)
    assert model.train()[2].drops
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: predict(model, X, batch_size=16), range(24)))
    for result in results:
        np.testing.assert_array_equal(result, expected)
    assert [layer.training for layer in (model, *model)] == [True] * (5 + len(last))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_while_threads_train(alone):
    done = threading.Event()

    def keep_training():
        while not done.is_set():
            trained(0)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(keep_training)
        try:
            with multiprocessing.get_context("fork").Pool(2) as processes:
                results = processes.map_async(trained, SEEDS).get(timeout=60)
        finally:
            done.set()
    assert results == alone


@pytest.mark.parametrize(
    "error",
    [
        NonFiniteLossError("the loss became nan", 3, 2, 9, History()),
        SettingError("lr", "too much"),
        SubsetError("too many"),
        ModelFileError("damaged"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pass_from_process_to_process(error):
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert str(other) == str(error)
    named = ("epoch", "batch", "setting")
    assert [getattr(other, name, None) for name in named] == [
        getattr(error, name, None) for name in named
    ]
