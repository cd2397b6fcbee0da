"""All libraries compute the same."""

import dataclasses
import importlib

import numpy as np
import pytest

from bench import data
from bench.workloads import PICTURES, PICTURES_AS_BYTES, TINY

LIBRARIES = ("fastnn", "numpy", "torch")


@pytest.fixture(scope="module")
def operation():
    def make(library, name, **arguments):
        pytest.importorskip(library)
        module = importlib.import_module(f"bench.peers.with_{library}")
        return module.OPERATIONS[name](**arguments)

    return make


@pytest.mark.parametrize("form", ["", "A", "B", "AB"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_matmul(operation, library, form):
    case = operation(library, "matmul", rows=5, depth=33, columns=17, form=form)
    case.call()
    assert case.check()["error"] < 1e-6


def test_a_wrong_product_has_a_large_error():
    a, b, c = data.matrices(100, 7, 5, "A")
    np.matmul(a, b, c)
    c[99, 4] *= 1.01
    assert data.product_error(a, b, c) > 1e-4


@pytest.mark.parametrize("function", ["relu", "tanh", "sigmoid", "exp"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_activation(operation, library, function):
    case = operation(library, "activation", function=function, size=1000)
    case.call()
    assert case.check()["ulps"] < (2 if library == "fastnn" else 4)


@pytest.mark.parametrize(
    "workload", [TINY, PICTURES, PICTURES_AS_BYTES], ids=lambda each: each.name
)
def test_training_agrees(operation, workload):
    settings = dataclasses.asdict(dataclasses.replace(workload, samples=1000))
    ours, theirs = (operation(library, "training", **settings) for library in ("fastnn", "torch"))
    found, expected = ours.check(), theirs.check()
    # Beyond rounding: the same weights, batches and order.
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=0.1)
    ours.call()
    theirs.call()


def test_orders_are_those_of_fit():
    first, second = (order.copy() for order in data.orders(10, 2, seed=0))
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peak(operation, dtype):
    case = operation("fastnn", "multiply-adds", dtype=dtype)
    facts = case.check()
    assert facts["error"] == 0
    assert facts["flops"] > 0


def test_estimators_learn_the_same(operation):
    scores = [operation(each, "estimator", name="iris").check() for each in ("fastnn", "sklearn")]
    assert scores[0]["score"] == pytest.approx(scores[1]["score"])
    assert scores[0]["score"] > 90
