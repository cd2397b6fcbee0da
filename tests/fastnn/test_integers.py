"""Integers of every kind are taken wherever Python's are; sizes beyond int64 are refused."""

import re

import numpy as np
import pytest

import fastnn
import kernels
from fastnn import (
    SGD,
    BatchNorm1d,
    CrossEntropyLoss,
    Dropout,
    LayerNorm,
    Linear,
    ReLU,
    Sequential,
    callbacks,
    datasets,
    initializers,
    schedules,
)
from fastnn.estimators import MLPClassifier
from kernels.functions import updates

KINDS = (
    np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
    lambda value: np.array(value, np.uint8),
)  # fmt: skip
X = np.random.default_rng(0).normal(size=(300, 100)).astype(np.float32)
Y = np.arange(300) % 10


def net(width=100):
    return Sequential(Linear(100, width, seed=0), ReLU(), Dropout(0.1), Linear(width, 10, seed=1))


def weights_of(model):
    return [array.tobytes() for array in model.state_dict().values()]


def trained(**settings):
    """The weights and the history of a training, whose schedule is made from a function."""
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.5)
    if "schedule" in settings:
        settings["schedule"] = settings["schedule"](optimizer)
    options = {"epochs": 2, "batch_size": 64, "seed": 7} | settings
    history = fastnn.fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, **options)
    return weights_of(model), history.loss


def estimated(**settings):
    model = MLPClassifier(random_state=0, **({"max_iter": 3} | settings))
    with pytest.warns():
        model.fit(X, Y)
    return [array.tobytes() for array in model.coefs_], model.n_iter_


def updated(step):
    settings = np.zeros(updates.SETTINGS)
    settings[updates.LEARNING_RATE], settings[updates.GRADIENT_SCALE] = 0.1, 1.0
    settings[updates.BETA1], settings[updates.BETA2] = 0.9, 0.99
    a, b = [[1.0, 2.0]], [[1.0, 1.0]]
    weight, first, second = np.zeros((3, 2, 2))
    kernels.matmul_update(a, b, weight, updates.ADAM, step, settings, first, second)
    return weight.tobytes()


def rows_of(data):
    return data.x_train.tobytes(), data.x_test.tobytes()


CALLS = {
    "batch_size": (100, lambda n: trained(batch_size=n)),
    "epochs": (3, lambda n: trained(epochs=n)),
    "seed": (100, lambda n: trained(seed=n)),
    "threads": (2, lambda n: trained(threads=n)),
    "class_weight": (9, lambda n: trained(class_weight={n: 2.0} if np.isscalar(n) else {9: 2.0})),
    "labels": (9, lambda n: fastnn.evaluate(
        net(), X[:1], np.array([n]), loss=CrossEntropyLoss(), batch_size=n, threads=1)),
    "predict": (100, lambda n: fastnn.predict(net(), X, batch_size=n, threads=2).tobytes()),
    "step_size": (1, lambda n: trained(schedule=lambda o: schedules.StepLR(o, n))),
    "milestones": (1, lambda n: trained(schedule=lambda o: schedules.MultiStepLR(o, [n]))),
    "T_max": (100, lambda n: trained(schedule=lambda o: schedules.CosineAnnealingLR(o, n))),
    "total_iters": (100, lambda n: trained(
        schedule=lambda o: schedules.LinearLR(o, 1.0, 0.5, n, every="step"))),
    "total_steps": (100, lambda n: trained(
        schedule=lambda o: schedules.OneCycleLR(o, 0.1, epochs=n, steps_per_epoch=n))),
    "warmup": (1, lambda n: trained(schedule=lambda o: schedules.cosine_with_warmup(o, 100, n))),
    "patience": (9, lambda n: trained(schedule=lambda o: schedules.ReduceLROnPlateau(
        o, patience=n, cooldown=n))),
    "EarlyStopping": (1, lambda n: trained(callbacks=[callbacks.EarlyStopping(patience=n)])),
    "Linear": (127, lambda n: weights_of(Sequential(Linear(n, n, seed=5)))),
    "BatchNorm1d": (127, lambda n: weights_of(Sequential(BatchNorm1d(n)))),
    "LayerNorm": (127, lambda n: weights_of(Sequential(LayerNorm(n), LayerNorm([n])))),
    "Dropout": (127, lambda n: Dropout(0.5, seed=n, stream=n)(X).tobytes()),
    "initializers": (127, lambda n: initializers.xavier_normal(
        (n, n), np.random.default_rng(0)).tobytes()),
    "disk": (100, lambda n: rows_of(datasets.disk(n_train=n, n_test=n, seed=5))),
    "two-class": (100, lambda n: rows_of(datasets.two_class(n_train=n, n_test=n, seed=5))),
    "digits": (100, lambda n: rows_of(datasets.digits(subset=n, test_subset=n, seed=5))),
    "kernels.dropout": (100, lambda n: kernels.dropout(X, seed=n, step=n, stream=n)[1].tobytes()),
    "matmul_update": (100, updated),
    "estimator's batch_size": (100, lambda n: estimated(batch_size=n)),
    "estimator's sizes": (100, lambda n: estimated(hidden_layer_sizes=(n, n))),
    "estimator's max_iter": (2, lambda n: estimated(max_iter=n, n_iter_no_change=n)),
}  # fmt: skip
"""An integer, and what is computed with it."""


@pytest.mark.parametrize("name", CALLS)
def test_integers_of_every_kind(name):
    value, call = CALLS[name]
    expected = call(value)
    for kind in KINDS:
        integer = kind(value)
        if name.startswith("estimator") and not np.isscalar(integer):
            continue  # scikit-learn checks these, and takes no arrays
        assert call(integer) == expected, kind


def test_integers_of_a_table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "\n".join(f"{i * 7 % 60},{i % 2}" for i in range(60)))
    expected = rows_of(datasets.load(path, target="b", subset=30, test_subset=9, seed=7))
    for kind in KINDS:
        options = {"subset": kind(30), "test_subset": kind(9), "seed": kind(7)}
        assert rows_of(datasets.load(path, target="b", **options)) == expected


def test_threads_of_the_kernels():
    before = kernels.get_num_threads()
    try:
        for kind in KINDS[:-1]:
            kernels.set_num_threads(kind(2))
            assert kernels.get_num_threads() == 2
    finally:
        kernels.set_num_threads(before)


@pytest.mark.parametrize("odd", [True, np.True_, 1.0, np.float64(1), "1", None, np.array([1])])
def test_what_is_no_integer(odd):
    message = f"batch_size is {odd!r}; expected a positive integer"
    with pytest.raises(ValueError, match=re.escape(message)):
        trained(batch_size=odd)


# ------------------------------------------------------------------------------- sizes

HUGE = 2**40
TOO_LARGE = {
    "Linear": (lambda: Linear(HUGE, HUGE), f"shape ({HUGE}, {HUGE})"),
    "zeros": (lambda: Linear(HUGE, HUGE, init="zeros"), f"shape ({HUGE}, {HUGE})"),
    "one side": (lambda: Linear(2**62, 1), str(2**62)),
    "beyond int64": (lambda: Linear(1, 2**63), f"out_features is {2**63}; expected a positive"),
    "BatchNorm1d": (lambda: BatchNorm1d(2**62), str(2**62)),
    "LayerNorm": (lambda: LayerNorm(2**61, dtype=np.float64), str(2**61)),
    "disk": (lambda: datasets.disk(n_train=2**62), f"n_train must be at most {2**48}, got {2**62}"),
    "two_class": (lambda: datasets.two_class(n_train=2**62), f"got {2**62}"),
    "digits": (lambda: datasets.digits(subset=2**62), f"got {2**62}"),
    "matmul": (lambda: kernels.matmul(spread(2**31, 4), spread(4, 2**31)), f"({2**31}, {2**31})"),
    "no depth": (lambda: kernels.matmul(spread(HUGE, 0), spread(0, HUGE)), f"({HUGE}, {HUGE})"),
    "epochs": (lambda: trained(epochs=2**64), f"epochs is {2**64}; expected a positive integer"),
    "threads": (lambda: trained(threads=2**62), f"threads is {2**62}"),
    "stream": (lambda: Dropout(stream=2**63), f"stream is {2**63}"),
    "step": (lambda: updated(2**63), f"step is {2**63}"),
}  # fmt: skip


def spread(rows, columns):
    """A matrix of ones that takes no memory."""
    return np.broadcast_to(np.float32(1), (rows, columns))


@pytest.mark.parametrize("name", TOO_LARGE)
def test_sizes_beyond_int64(name):
    call, words = TOO_LARGE[name]
    with pytest.raises((ValueError, MemoryError), match=re.escape(words)):
        call()


@pytest.mark.parametrize("size", [300, 2**40, 2**62, 2**63 - 1])
def test_a_batch_larger_than_the_data_is_all_of_it(size):
    assert trained(batch_size=size) == trained(batch_size=300)
    expected = fastnn.predict(net(), X).tobytes()
    assert fastnn.predict(net(), X, batch_size=size).tobytes() == expected
