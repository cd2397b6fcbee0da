"""All libraries learn the same."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

from bench import data
from bench.workloads import DIGITS, DIGITS_FULL_BATCH, DISK, PICTURES_LARGE, TABLE, TWO_CLASS
from processes import python

ROOT = Path(__file__).parents[2]
PEERS = {"numpy": "numpy", "torch": "torch", "jax": "jax", "sklearn": "sklearn"}


def learner(library, workload):
    pytest.importorskip(library)
    module = importlib.import_module(f"bench.learners.with_{library}")
    return module.Learner(workload, data.samples(workload))


def small(workload, **changes):
    """The same on few rows, the last batch of which is smaller."""
    samples = 5 * min(workload.batch, 100) + 3
    batch = min(workload.batch, 100)
    return dataclasses.replace(workload, samples=samples, batch=batch, test_samples=500, **changes)


@pytest.mark.parametrize("library", PEERS)
@pytest.mark.parametrize("short", TABLE)
def test_learns_what_fastnn_learns(short, library):
    workload = small(TABLE[short], dropout=0.0)
    try:
        peer = learner(library, workload)
    except NotImplementedError:
        pytest.skip(f"{library} has no such network")
    ours = learner("fastnn", workload)
    for each in (ours, peer):
        each.reset(0)
        each.train(3, seed=5)
    (loss, accuracy), (expected, right) = ours.score(), peer.score()
    assert loss == pytest.approx(expected, rel=1e-3)
    assert accuracy == pytest.approx(right, abs=0.3)


@pytest.mark.parametrize("library", ["fastnn", *PEERS])
def test_stops_after_an_epoch_and_begins_anew(library):
    workload = small(DIGITS)
    made = learner(library, workload)
    seen = []

    def enough():
        seen.append(made.score()[0])
        return len(seen) == 2

    made.reset(0)
    made.train(5, 0, enough)
    assert len(seen) == 2
    assert seen[1] < seen[0]
    made.reset(0)
    made.train(2, 0)
    assert made.score()[0] == pytest.approx(seen[1], rel=1e-4)


@pytest.mark.parametrize("library", ["fastnn", "numpy", "torch", "jax"])
def test_dropout_drops_in_training_alone(library):
    made = learner(library, small(dataclasses.replace(PICTURES_LARGE, dropout=0.5)))
    assert made.score() == made.score()
    losses = []
    for seed in (0, 1):
        made.reset(seed)
        # The same order, another seed of dropout; fastnn's follows that of the order.
        made.train(1, seed if library == "fastnn" else 0)
        losses.append(made.score()[0])
    assert losses[0] != losses[1]


@pytest.mark.parametrize("workload", [TWO_CLASS, DISK, DIGITS_FULL_BATCH, PICTURES_LARGE])
def test_scikit_learn_says_what_it_lacks(workload):
    with pytest.raises(NotImplementedError, match="MLPClassifier has"):
        learner("sklearn", small(workload))


def test_pytorch_s_process_loads_no_kernels():
    """Its seconds from the start of a process, and its memory, are to be PyTorch's own."""
    pytest.importorskip("torch")
    code = "import sys, bench.learners.with_torch; print(sorted(sys.modules))"
    found = python(code, path=[ROOT])
    assert "'torch'" in found.stdout
    assert "'numba'" not in found.stdout
    assert "'kernels'" not in found.stdout


@pytest.mark.slow
def test_compiled_by_torch():
    from bench.peers import PEERS

    if PEERS["compile"].missing():
        pytest.skip(PEERS["compile"].missing())
    workload = small(DIGITS)
    ours, compiled = learner("fastnn", workload), None
    module = importlib.import_module("bench.learners.with_compile")
    compiled = module.Learner(workload, data.samples(workload))
    for each in (ours, compiled):
        each.reset(0)
        each.train(2, 1)
    assert ours.score()[0] == pytest.approx(compiled.score()[0], rel=1e-3)


def test_orders_are_those_of_fit():
    first, second = (order.copy() for order in data.orders(10, 2, seed=0))
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)


def test_data_sets_are_stored_as_asked(monkeypatch):
    workload = dataclasses.replace(DIGITS, task="digits", mean=5.0, std=2.0, samples=30)
    found = data.samples(workload)
    assert found.x.shape == (30, 64)
    assert found.x.dtype == found.x_test.dtype == np.float32
    assert found.x.min() == -2.5
    assert len(found.x_test) == len(found.y_test) == 360
