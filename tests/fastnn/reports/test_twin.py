import time

import numpy as np
import pytest
import torch

import fastnn
import kernels
from fastnn import (
    SGD,
    Adam,
    AdamW,
    CrossEntropyLoss,
    Dropout,
    HuberLoss,
    Linear,
    MSELoss,
    ReLU,
    Tanh,
)
from fastnn.reports.twin import Twin
from kernels.base import host

ROWS, COLUMNS, CLASSES = 70, 6, 3


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(3, 2, (ROWS, COLUMNS)), rng.integers(0, CLASSES, ROWS)


def network(*middle, dtype=np.float64):
    return fastnn.Sequential(
        fastnn.Normalize(3, 2, dtype=dtype),
        Linear(COLUMNS, 20, seed=0, dtype=dtype),
        *middle,
        Linear(20, CLASSES, seed=1, dtype=dtype),
    )


def both(model, loss, optimizer, epochs=6):
    """Histories by fastnn and by its twin."""
    x, y = data()
    settings = {"epochs": epochs, "batch_size": 16, "seed": 5, "validation_data": data(1)}
    twin = Twin(model, loss, optimizer)
    ours = fastnn.fit(model, x, y, loss=loss, optimizer=optimizer, **settings)
    return ours, twin.fit(x, y, **settings), twin


OPTIMIZERS = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "clip_value": 0.01}),
    (SGD, {"lr": 0.1, "clip_norm": 0.1}),
    (Adam, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.1}),
]


LOSSES = [CrossEntropyLoss(), CrossEntropyLoss(label_smoothing=0.1), MSELoss(), HuberLoss(0.5)]


@pytest.mark.parametrize(("kind", "settings"), OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_curves_are_the_same(kind, settings, loss):
    model = network(Tanh())
    ours, theirs, _ = both(model, loss, kind(model.parameters(), **settings))
    for key in ("loss", "val_loss", "accuracy", "val_accuracy"):
        np.testing.assert_allclose(getattr(ours, key), getattr(theirs, key), rtol=1e-9)


@pytest.mark.parametrize("middle", [(Dropout(0.3), ReLU()), (Tanh(), Dropout(0.5), Dropout(0.2))])
def test_dropout_drops_the_same(middle):
    model = network(*middle)
    ours, theirs, _ = both(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-9)
    np.testing.assert_allclose(ours.val_loss, theirs.val_loss, rtol=1e-9)


def test_another_seed_drops_others():
    model = network(Dropout(0.5))
    twin = Twin(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    x, y = data()
    settings = {"epochs": 1, "batch_size": ROWS, "validation_data": (x, y)}
    first = twin.fit(x, y, seed=0, **settings).loss
    again = Twin(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    assert again.fit(x, y, seed=1, **settings).loss != first


def test_it_has_weights_of_its_own():
    model = network(ReLU())
    before = model.state_dict()
    x, y = data()
    twin = Twin(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    np.testing.assert_allclose(
        twin.predict(twin.samples(x)).numpy(), fastnn.predict(model, x), rtol=1e-12
    )
    twin.fit(x, y, epochs=1, batch_size=16, seed=0, validation_data=(x, y))
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


def test_threads_are_as_they_were():
    """numba and others count on it; the twin says what it was quickest with."""
    before = torch.get_num_threads()
    model = network(ReLU())
    _, history, twin = both(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1), epochs=2)
    assert torch.get_num_threads() == before
    assert twin.threads in (1, host.cores())
    assert all(seconds > 0 for seconds in history.seconds)


def test_drawing_masks_is_not_timed(monkeypatch):
    def slow(*arguments, **options):
        time.sleep(0.02)
        return kernels_dropout(*arguments, **options)

    kernels_dropout = kernels.dropout
    monkeypatch.setattr(kernels, "dropout", slow)
    model = network(Dropout(0.5))
    twin = Twin(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    x, y = data()
    started = time.perf_counter()
    history = twin.fit(x, y, epochs=1, batch_size=ROWS // 10, seed=0, validation_data=(x, y))
    assert time.perf_counter() - started > 0.2
    assert history.seconds[0] < 0.1


def test_bytes_are_scaled_once():
    x = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS), np.uint8)
    model = network(ReLU(), dtype=np.float32)
    twin = Twin(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1))
    np.testing.assert_allclose(
        twin.predict(twin.samples(x)).numpy(), fastnn.predict(model, x), rtol=1e-4
    )


class Own(fastnn.Layer):
    def forward(self, x):
        return x

    def backward(self, gradient):
        return gradient


class OwnLoss(CrossEntropyLoss):
    pass


@pytest.mark.parametrize(
    ("layers", "loss", "named"),
    [
        ([Own()], CrossEntropyLoss(), "Own"),
        ([], OwnLoss(), "OwnLoss"),
        ([], CrossEntropyLoss([1, 2, 3]), "weight"),
    ],
)
def test_what_has_no_twin_is_named(layers, loss, named):
    model = network(*layers)
    with pytest.raises(TypeError, match=named):
        Twin(model, loss, SGD(model.parameters(), lr=0.1))
