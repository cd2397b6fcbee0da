import copy
import os
import pickle
import signal
import threading

import numpy as np
import pytest

from fastnn import (
    BatchNorm1d,
    Layer,
    Linear,
    Normalize,
    Predictor,
    ReLU,
    Sequential,
    predict,
    predict_proba,
)

X = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)


def network():
    model = Sequential(Normalize(0.1, 2.0), Linear(6, 9, seed=0), ReLU(), Linear(9, 4, seed=1))
    model.link = "softmax"
    return model


class Own(Layer):
    def forward(self, x):
        return x


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("how", [{}, {"classes": True}, {"probabilities": True}])
def test_results_are_those_of_predict(rows, how):
    model, x = network(), X[:rows]
    expected = predict_proba(model, x) if "probabilities" in how else predict(model, x, **how)
    predictor = Predictor(model, rows, **how)
    for _ in range(3):
        np.testing.assert_array_equal(predictor(x), expected)
        predictor.x[:] = x
        assert predictor.run() is predictor.y
        np.testing.assert_array_equal(predictor.y, expected)
    assert predictor(x).dtype == predictor.y.dtype == expected.dtype


def test_results_are_new_arrays():
    predictor = Predictor(network())
    first, second = predictor(X[:1]), predictor(X[1:2])
    assert not np.array_equal(first, second)


def test_other_dtypes_and_columns():
    model, x = network(), np.arange(6, dtype=np.uint8)[None]
    assert Predictor(model, input_dtype="uint8").x.dtype == np.uint8
    np.testing.assert_array_equal(Predictor(model, input_dtype=np.uint8)(x), predict(model, x))
    deep = Sequential(Linear(6, 2, dtype=float))
    assert Predictor(deep)(X[:1].astype(float)).dtype == np.float64
    np.testing.assert_array_equal(
        Predictor(Sequential(ReLU()), columns=6)(X[:1]), abs(X[:1]) / 2 + X[:1] / 2
    )


def test_rows_that_are_not_contiguous_are_copied():
    x = np.asfortranarray(X)
    np.testing.assert_array_equal(Predictor(network(), 8)(x), predict(network(), X))


def test_weights_and_statistics_are_followed():
    model = Sequential(Linear(6, 4, seed=0), BatchNorm1d(4))
    predictor = Predictor(model)
    model[0].weight = np.ones((4, 6))
    model[1].running_mean = np.arange(4)
    np.testing.assert_array_equal(predictor(X[:1]), predict(model, X[:1]))
    model.load_state_dict({name: 2 * array for name, array in model.state_dict().items()})
    np.testing.assert_array_equal(predictor(X[:1]), predict(model, X[:1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.layers.append(ReLU()),
        lambda model: model.layers.__setitem__(1, Linear(6, 9)),
        lambda model: setattr(model[0], "mean", np.asarray(1.0)),
        lambda model: setattr(model[2], "forward", lambda x: x),
    ],
)
def test_a_model_that_has_changed_is_refused(change):
    model = network()
    predictor = Predictor(model)
    change(model)
    for call in (predictor.run, lambda: predictor(X[:1])):
        with pytest.raises(RuntimeError, match=r"the model has changed since .* make a new one"):
            call()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[:2], ValueError, r"x has shape \(2, 6\); expected \(1, 6\)"),
        (X[0], ValueError, r"x has shape \(6,\); expected \(1, 6\)"),
        (X[:1, :5], ValueError, r"x has shape \(1, 5\); expected \(1, 6\)"),
        (X[:1].astype(float), TypeError, "x is of float64; expected float32"),
        (X[:1].tolist(), TypeError, "x is a list; expected a NumPy array of float32"),
        (np.full((1, 6), np.nan, np.float32), ValueError, "x holds a number that is not finite"),
    ],
)
def test_rows_that_do_not_fit(x, error, message):
    predictor = Predictor(network())
    with pytest.raises(error, match=message):
        predictor(x)
    np.testing.assert_array_equal(predictor(X[:1]), predict(network(), X[:1]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Predictor(network(), 0), ValueError, "rows is 0; expected a positive integer"),
        (lambda: Predictor(Linear(2, 2)), TypeError, "expected a Sequential"),
        (lambda: Predictor(network(), columns=5), ValueError, "columns is 5; the model takes 6"),
        (lambda: Predictor(Sequential(ReLU())), ValueError, "any number of columns; expected"),
        (lambda: Predictor(network(), input_dtype="f8"), ValueError, "input_dtype is 'f8'"),
        (lambda: Predictor(network(), classes=True, probabilities=True), ValueError, "not both"),
        (lambda: Predictor(Sequential(Linear(2, 2)), probabilities=True), ValueError, "no prob"),
        (lambda: Predictor(Sequential(Linear(2, 2), Own())), TypeError, "Own is not a layer"),
        (lambda: Predictor(Sequential(Linear(2, 3), Linear(2, 3))), ValueError, "3 columns"),
    ],
)
def test_settings_that_do_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_copies_have_memory_of_their_own():
    predictor = Predictor(network(), 2, classes=True)
    for other in (
        copy.copy(predictor),
        copy.deepcopy(predictor),
        pickle.loads(pickle.dumps(predictor)),
    ):
        assert not np.shares_memory(other.x, predictor.x)
        np.testing.assert_array_equal(other(X[:2]), predictor(X[:2]))
    assert repr(predictor) == "Predictor(rows=2, columns=6, dtype=float32)"


def test_its_memory_stays():
    predictor = Predictor(network())
    for array in (predictor.x, predictor.y):
        with pytest.raises(ValueError, match="resize"):
            array.resize((100, 100))
    with pytest.raises(AttributeError):
        predictor.x = X


def test_its_memory_keeps_its_shape():
    """Whoever sets the shape of an array that was handed out sets only that."""
    predictor = Predictor(network())
    predictor.x.shape, predictor.y.shape = (6, 1), (4,)
    predictor.run().shape = (4, 1)
    np.testing.assert_array_equal(predictor(X[:1]), predict(network(), X[:1]))
    predictor.x[:, 0] = X[0]
    np.testing.assert_array_equal(predictor.run()[:, 0], predict(network(), X[:1])[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_does_not_wait_for_a_thread_it_lacks():
    predictor = Predictor(network())
    expected = predictor(X[:1])
    with predictor._lock:  # as another thread holds it
        child = os.fork()
        if not child:
            signal.alarm(20)  # ends the child if it waits
            os._exit(0 if np.array_equal(predictor(X[:1]), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(predictor(X[:1]), expected)


def test_threads_wait_for_each_other():
    predictor, wrong = Predictor(network(), 8), []
    expected = [predict(network(), x) for x in (X, X[::-1].copy())]

    def call(which):
        x = (X, X[::-1].copy())[which]
        for _ in range(500):
            if not np.array_equal(predictor(x), expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=call, args=(i % 2,)) for i in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert not wrong
