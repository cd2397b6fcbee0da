"""Fixtures of the tests of callbacks: a short training, and a history written in advance."""

import numpy as np
import pytest

import fastnn
from own_layers import Own

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 50)


def _run(*callbacks, epochs=6, lr=0.1, model=None, x=X, y=Y, **changes):
    model = model or fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    how = {"loss": fastnn.CrossEntropyLoss(), "batch_size": 8, "seed": 0} | changes
    optimizer = fastnn.SGD(model.parameters(), lr=lr)
    history = fastnn.fit(
        model, x, y, optimizer=optimizer, epochs=epochs, callbacks=callbacks, **how
    )
    return model, history


class Script(fastnn.Callback):
    """Writes numbers into the history and the epoch into the weights, for others to react to."""

    def __init__(self, numbers, name="loss"):
        self.numbers, self.name = numbers, name

    def on_epoch_end(self, training):
        getattr(training.history, self.name)[-1] = self.numbers[training.epoch - 1]
        training.model[0].weight = np.full((3, 4), training.epoch)


@pytest.fixture
def data():
    """50 rows of 4 columns in 3 classes."""
    return X, Y


@pytest.fixture
def own():
    """The class of a layer that no program expresses."""
    return Own


@pytest.fixture
def run():
    """Train with callbacks; gives the model and the history."""
    return _run


@pytest.fixture
def script():
    """The class of a callback that writes numbers into the history."""
    return Script
