"""A few calls of fastnn that pytest-codspeed follows from commit to commit, on one thread.

    pytest bench/regressions.py --codspeed

They are no part of `fastnn bench`, which compares libraries: here a commit is compared with the
one before. All is compiled, and each call made once, before anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

import fastnn
import kernels
from bench import data

SIZES = 64, 100, 10
ROWS = 1000


@pytest.fixture(autouse=True)
def one_thread():
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(1)
    yield
    fastnn.set_num_threads(before)


@pytest.fixture
def measure(benchmark) -> Callable[[Callable[[], object]], None]:
    """Return a function that measures another one, once that has compiled what it needs."""

    def run(call: Callable[[], object]) -> None:
        call()
        benchmark(call)

    return run


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    return data.clouds(ROWS, SIZES[0], SIZES[-1])


def network(*sizes: int) -> fastnn.Sequential:
    layers: list[fastnn.Layer] = []
    for place, (columns, outputs) in enumerate(pairwise(sizes)):
        layers += [fastnn.Linear(columns, outputs, seed=place), fastnn.ReLU()]
    return fastnn.Sequential(*layers[:-1])


@pytest.mark.parametrize("kind", [fastnn.SGD, fastnn.Adam])
def test_fit(kind, samples, measure):
    model, loss = network(*SIZES), fastnn.CrossEntropyLoss()
    optimizer = kind(model.parameters(), lr=1e-3)
    measure(
        lambda: fastnn.fit(
            model, *samples, loss=loss, optimizer=optimizer, epochs=1, batch_size=20, seed=0
        )
    )


def test_a_step_by_hand(samples, measure):
    model, loss = network(*SIZES), fastnn.CrossEntropyLoss()
    optimizer = fastnn.SGD(model.parameters(), lr=1e-3)
    x, y = (each[:20] for each in samples)

    def step():
        loss(model(x), y)
        optimizer.zero_grad()
        model.backward(loss.backward())
        optimizer.step()

    measure(step)


@pytest.mark.parametrize("rows", [1, ROWS])
def test_predict(rows, samples, measure):
    model, x = network(*SIZES), samples[0][:rows]
    measure(lambda: fastnn.predict(model, x))


def test_predictor(samples, measure):
    predictor = fastnn.Predictor(network(*SIZES))
    predictor.x[:] = samples[0][:1]
    measure(predictor.run)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matmul(dtype, measure):
    a, b = (np.ones(shape, dtype) for shape in ((256, 256), (256, 256)))
    out = np.empty((256, 256), dtype)
    measure(lambda: kernels.matmul(a, b, out))


def test_softmax_cross_entropy(measure):
    logits, labels = np.ones((ROWS, 10), np.float32), np.arange(ROWS) % 10
    measure(lambda: kernels.softmax_cross_entropy(logits, labels))
