"""The bit contract: what has the same bits, and what is equal to rounding, and how far.

The same bits: for any number of threads, compiled and eager, interrupted and resumed, on one kind
of processor and one version. Across widths of vectors only rounding differs, and what it grows to.
"""

import inspect
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bit_runs
import fastnn
import kernels
from bit_runs import RUNS, THREADS, results
from fastnn.estimators import MLPClassifier, MLPRegressor
from fastnn.nn import losses
from fastnn.nn.kinds import LAYERS
from fastnn.nn.sequential import flat_layers
from fastnn.optim import optimizers
from kernels.base import host
from own_layers import Own, ignore_own
from processors import PROCESSORS, run_as


def check_same_bits(found, expected):
    assert found.keys() == expected.keys()
    assert [key for key in found if found[key].tobytes() != expected[key].tobytes()] == []


def test_everything_is_among_the_trainings():
    layers, dtypes, _, used, makers = zip(*RUNS.values(), strict=True)
    kinds = {
        type(each).__name__
        for make in layers
        for each in flat_layers(fastnn.Sequential(*make(np.float32)))
    }
    assert kinds == set(LAYERS)
    assert {type(loss).__name__ for loss in used} == set(losses.__all__)
    parameters = [fastnn.Linear(1, 1).weight]
    assert {type(make(parameters)).__name__ for make in makers} == set(optimizers.__all__)
    assert set(dtypes) == {np.float32, np.float64}


@pytest.mark.parametrize("name", RUNS)
def test_any_number_of_threads(name):
    expected = results(name, threads=THREADS[0])
    for threads in THREADS[1:]:
        check_same_bits(results(name, threads=threads), expected)


@ignore_own
@pytest.mark.parametrize("name", RUNS)
def test_compiled_and_eager(name):
    found, expected = results(name, own=True), results(name)
    for key in ("loss", "evaluation"):  # the mean of a batch times its rows, and not their sum
        np.testing.assert_allclose(found.pop(key), expected.pop(key), rtol=1e-15)
    check_same_bits(found, expected)


@pytest.mark.parametrize("name", RUNS)
def test_interrupted_and_resumed(name, tmp_path):
    assert results(name, threads=3, path=tmp_path / "run", kill=True) is None
    found = results(name, threads=2, path=tmp_path / "run")
    check_same_bits(found, results(name))


def large_arrays():
    """Results of the kernels' functions on arrays that threads share out."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 700, 300)).astype(np.float32)
    labels = rng.integers(0, 300, 700)
    loss = kernels.softmax_cross_entropy(a, labels)
    return {
        "product": kernels.matmul(a, b.T), "turned": kernels.matmul(a.T, b),
        "column": kernels.matmul(a, b[0]), "relu": kernels.matmul(a, b.T, activation="relu"),
        "tanh": kernels.tanh(a), "slope": kernels.tanh_gradient(b, a), "gelu": kernels.gelu(a),
        "softmax": kernels.softmax(a), "log": kernels.log_softmax(a), "gradient": loss.gradient,
        "dropout": kernels.dropout(a, 0.4, seed=3)[0], "loss": np.array(loss.loss),
        "squares": np.array(kernels.mean_squared_error(a, b).loss),
        "norm": np.array(kernels.gradient_norm([a, b])),
    }  # fmt: skip


def test_the_kernels_functions():
    before = kernels.get_num_threads()
    try:
        kernels.set_num_threads(1)
        expected = large_arrays()
        for threads in THREADS[1:]:
            kernels.set_num_threads(threads)
            check_same_bits(large_arrays(), expected)
    finally:
        kernels.set_num_threads(before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_estimators(kind, solver):
    x, y = bit_runs._data(np.float64, "labels")
    how = {"solver": solver, "max_iter": 4, "random_state": 0, "early_stopping": solver == "adam"}

    def fitted(threads):
        model = kind(threads=threads, **how).fit(x, y)
        arrays = [*model.coefs_, *model.intercepts_, np.array(model.loss_), model.predict(x)]
        return dict(enumerate(arrays))

    expected = fitted(1)
    for threads in THREADS[1:]:
        check_same_bits(fitted(threads), expected)


@ignore_own
@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_trainings_drawn_at_random(data, runs, bits):
    run = data.draw(runs)

    def trained(threads, own):
        model, loss, optimizer = run.parts()
        if own:
            model = fastnn.Sequential(*model.layers, Own())
        history, failure = None, None
        try:
            history = fastnn.fit(
                model, *run.data(), loss=loss, optimizer=optimizer, threads=threads, **run.how()
            )
        except (fastnn.NonFiniteLossError, ValueError) as error:
            failure = type(error)
        losses = history and np.array(history.loss).tobytes()
        return bits(model, optimizer), failure, losses

    expected = trained(1, own=False)
    for threads in THREADS[1:]:
        assert trained(threads, own=False) == expected
    assert trained(1, own=True)[:2] == expected[:2]


# --------------------------------------------------------------------- other processors


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_the_same_bits_on_another_processor(name, tmp_path):
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    assert " passed" in run_as(name, command, Path(__file__).parents[2])


FURTHEST = {np.dtype("f4"): 1e-4, np.dtype("f8"): 1e-12}
"""How far numbers of these trainings lie apart, in units of the largest of their array."""


@pytest.mark.slow
def test_across_widths_of_vectors_only_rounding_differs(tmp_path):
    found = {}
    for number, name in enumerate([None, *PROCESSORS]):
        path = tmp_path / f"{number}.npz"
        run_as(name, [inspect.getfile(bit_runs), str(path)], tmp_path)
        with np.load(path) as file:
            found[name] = dict(file)
    own = found.pop(None)
    check_same_bits(own, found.pop(list(PROCESSORS)[host.VECTOR_BYTES // 32]))
    apart = dict.fromkeys(FURTHEST, 0.0)
    for other in found.values():
        for key, array in own.items():
            kind = np.dtype(RUNS[key.partition("/")[0]][1])
            scale = np.abs(array).max() or 1.0
            apart[kind] = max(apart[kind], float(np.abs(array - other[key]).max() / scale))
    assert all(0 < apart[kind] <= FURTHEST[kind] for kind in FURTHEST), apart
