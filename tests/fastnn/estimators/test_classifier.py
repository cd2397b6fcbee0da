"""MLPClassifier: labels of all kinds, weights of classes, errors."""

import re

import numpy as np
import pytest

from fastnn.estimators import MLPClassifier


@pytest.mark.parametrize("name", ["iris", "cancer", "labels"])
def test_probabilities_are_theirs(name, data, pair, fitted):
    kind, X, y = data(name)
    theirs, ours = (fitted(each, X, y) for each in pair(kind, max_iter=30, random_state=0))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    log = ours.predict_log_proba(X)
    np.testing.assert_allclose(log, theirs.predict_log_proba(X), rtol=1e-9, atol=1e-12)
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("labels", [["no", "yes"], ["a", "b", "c"], [-1, 1], [False, True], [7]])
def test_labels_of_any_kind(labels, data, pair, fitted):
    kind, X, y = data("iris")
    y = np.array(labels)[y % len(labels)]
    theirs, ours = (fitted(each, X, y) for each in pair(kind, max_iter=30, random_state=0))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert set(ours.predict(X)) <= set(labels)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("class_weight", [{"a": 3.0, "b": 0.5}, "balanced"])
def test_class_weight_is_a_weight_of_samples(class_weight, solver, data, fitted):
    from sklearn.utils.class_weight import compute_sample_weight

    _, X, y = data("iris")
    X, y = X[:120], np.array(["a", "b", "c"])[y[:120]]
    settings = {"max_iter": 20, "random_state": 0, "solver": solver}
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    one = fitted(MLPClassifier(class_weight=class_weight, **settings), X, y, sample_weight=weights)
    weights = weights * compute_sample_weight(class_weight, y)
    other = fitted(MLPClassifier(**settings), X, y, sample_weight=weights)
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


def test_class_weight_of_several_labels(data, fitted):
    _, X, y = data("labels")
    weights = [{0: 1.0, 1: 5.0}] * y.shape[1]
    model = fitted(MLPClassifier(class_weight=weights, max_iter=5, random_state=0), X, y)
    plain = fitted(MLPClassifier(max_iter=5, random_state=0), X, y)
    assert (model.coefs_[0] != plain.coefs_[0]).any()


def test_a_heavy_class_is_found_more_often(data, fitted):
    _, X, y = data("iris")
    settings = {"random_state": 0, "max_iter": 100}
    plain = fitted(MLPClassifier(**settings), X, y).predict(X)
    heavy = fitted(MLPClassifier(class_weight={2: 50.0}, **settings), X, y).predict(X)
    assert (heavy == 2).sum() > (plain == 2).sum()


def test_errors_are_theirs(data, pair):
    kind, X, y = data("iris")

    def both(method, parameters, *data, before=None, **more):
        said = []
        for each in pair(kind, max_iter=2, **parameters):
            if before:
                before(each)
            with pytest.raises(Exception) as error:  # noqa: PT011
                getattr(each, method)(*data, **more)
            # scikit-learn names the values of a set in any order.
            words = re.findall(r"[\w.-]+", str(error.value).replace("fastnn.estimators", ""))
            said.append((error.type, sorted(words)))
        assert said[0] == said[1]

    both("fit", {"hidden_layer_sizes": (3, -1)}, X, y)
    both("fit", {"activation": "swish"}, X, y)
    both("fit", {"alpha": -1.0}, X, y)
    both("fit", {"validation_fraction": 1.0}, X, y)
    both("fit", {}, X[:, 0], y)
    both("fit", {}, X, y[:-1])
    both("fit", {}, X, np.linspace(0, 1, len(y)))
    both("fit", {}, X * np.nan, y)
    both("fit", {}, X, y, sample_weight=np.ones(3))
    both("fit", {"early_stopping": True, "validation_fraction": 0.01}, X[::2], y[::2])
    both("predict", {}, X)
    both("partial_fit", {}, X, y)
    both("partial_fit", {"early_stopping": True}, X, y, classes=[0, 1, 2])
    both("partial_fit", {}, X, y, classes=[0, 1])

    def begin(each):
        each.partial_fit(X, y, classes=[0, 1, 2])

    both("predict", {}, X[:, :2], before=begin)
    both("partial_fit", {}, X, y + 1, before=begin)
    both("fit", {"warm_start": True}, X, y + 1, before=begin)


def test_errors_of_what_theirs_lacks(data):
    _, X, y = data("iris")
    for parameters, message in (
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"class_weight": "heavy"}, "'class_weight' parameter"),
        ({"dtype": "float16"}, "'dtype' parameter"),
        ({"dtype": int}, "dtype is <class 'int'>; expected float32, float64 or None"),
        ({"threads": 0}, "'threads' parameter"),
        ({"restore_best_weights": "yes"}, "'restore_best_weights' parameter"),
        ({"callbacks": "loud"}, "'callbacks' parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            MLPClassifier(**parameters).fit(X, y)
    with pytest.raises(TypeError, match="callback 3 is neither"):
        MLPClassifier(callbacks=[3]).fit(X, y)
    with pytest.raises(ValueError, match="a part of the data cannot tell"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("dtype", ["float32", np.float64, np.dtype("float32")], ids=str)
def test_dtype_is_that_of_weights_and_probabilities(dtype, data, fitted):
    _, X, y = data("iris")
    for data_dtype in (np.float32, np.float64):
        model = fitted(MLPClassifier(dtype=dtype, max_iter=3), X.astype(data_dtype), y)
        assert {each.dtype for each in model.coefs_ + model.intercepts_} == {np.dtype(dtype)}
        assert model.predict_proba(X).dtype == dtype
