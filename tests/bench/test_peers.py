"""All libraries compute the same."""

import dataclasses
import importlib

import numpy as np
import pytest

from bench import data, peers
from bench.peers import PEERS, Peer, compile_seconds
from bench.workloads import DIGITS, PICTURES_AS_BYTES

LIBRARIES = ("fastnn", "numpy", "torch", "jax")
ULPS = {
    "relu": 0, "tanh": 5, "sigmoid": 4, "exp": 3, "softmax": 20, "softmax-cross-entropy": 5,
    "SGD": 2, "Adam": 6,
}  # fmt: skip
LAYERS = ("Linear", "ReLU", "Tanh", "Sigmoid", "Softmax", "Dropout")


@pytest.fixture(scope="module")
def operation():
    def make(library, name, /, **arguments):
        pytest.importorskip(library)
        module = importlib.import_module(f"bench.peers.with_{library}")
        return module.OPERATIONS[name](**arguments)

    return make


@pytest.mark.parametrize("form", ["", "A", "B", "AB"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_matmul(operation, library, form):
    case = operation(library, "matmul", rows=5, depth=33, columns=17, form=form)
    case.call()
    assert case.check()["ulps"] < 5


def test_a_wrong_product_has_a_large_error():
    a, b, c = data.matrices(100, 7, 5, "A")
    np.matmul(a, b, c)
    c[99, 4] *= 1.01
    assert data.product_error(a, b, c) > 1e-4
    assert data.product_ulps(a, b, c) > 1000


@pytest.mark.parametrize("function", ULPS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_elementwise(operation, library, function):
    case = operation(library, "elementwise", function=function, size=1000)
    assert case.check()["ulps"] <= ULPS[function]
    case.call()


@pytest.mark.parametrize("function", ULPS)
def test_a_wrong_function_has_a_large_error(function):
    made = data.elementwise(function, 1000)
    right = [exact.astype(np.float32) for exact in made.exact]
    assert made.error(right) <= 1
    right[0].flat[500] += np.float32(1e-3)
    assert made.error(right) > 100


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("library", LIBRARIES[1:])
def test_layer(operation, library, kind, backward):
    outputs = 48 if kind == "Linear" else 96
    given = {
        "kind": kind, "rows": 200, "columns": 96, "outputs": outputs, "backward": backward
    }  # fmt: skip
    ours, theirs = (operation(each, "layer", **given) for each in ("fastnn", library))
    ours.call()
    theirs.call()
    close = 0.05 if kind == "Dropout" else 1e-5
    assert ours.check()["sum"] == pytest.approx(theirs.check()["sum"], rel=close)


@pytest.mark.parametrize("workload", [DIGITS, PICTURES_AS_BYTES], ids=lambda each: each.name)
@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_training_agrees(operation, workload, library):
    made = dataclasses.replace(workload, samples=1000, epochs_to_learn=2, seeds=2)
    settings = dataclasses.asdict(made)
    ours, theirs = (operation(each, "training", **settings) for each in ("fastnn", library))
    found, expected = ours.check(), theirs.check()
    # Beyond rounding: the same weights, batches and order.
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=0.1)
    assert ("compile_seconds" in expected) == (library == "jax")
    ours.call()
    theirs.call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peak(operation, dtype):
    facts = operation("fastnn", "multiply-adds", dtype=dtype).check()
    assert facts["error"] == 0
    assert facts["flops"] > 0


def test_estimators_learn_the_same(operation):
    scores = [operation(each, "estimator", name="iris").check() for each in ("fastnn", "sklearn")]
    assert scores[0]["score"] == pytest.approx(scores[1]["score"])
    assert scores[0]["score"] > 90


def test_estimators_learn_the_same_in_parts(operation):
    cases = [operation(each, "partial_fit", rows=20) for each in ("fastnn", "sklearn")]
    for case in cases:
        case.call()
    scores = [case.check()["score"] for case in cases]
    assert scores[0] == pytest.approx(scores[1])
    assert scores[0] > 90


def test_copy(operation):
    assert operation("fastnn", "copy", size=1000).check() == {"bytes": 8000}


def test_compiling_is_what_a_first_call_takes_longer(monkeypatch):
    times = iter([0.0, 5.0, 5.0, 7.0])
    monkeypatch.setattr(peers.time, "perf_counter", lambda: next(times))
    calls = []
    assert compile_seconds(lambda: calls.append(1)) == 3.0
    assert len(calls) == 2


def test_a_peer_that_is_not_installed_is_missing():
    assert "nowhere is not installed" in Peer("Nowhere", "nowhere").missing()
    assert PEERS["fastnn"].missing() is None


def test_torch_compile_needs_a_compiler(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(peers.shutil, "which", lambda name: None)
    assert "C++ compiler" in PEERS["compile"].missing()
    monkeypatch.setattr(peers.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert PEERS["compile"].missing() is None
