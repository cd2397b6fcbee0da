import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnn.data.dataset import Dataset
from fastnn.metrics import scores
from fastnn.runs import baselines

RNG = np.random.default_rng(0)


def table(n=200, inputs=5, classes=("a", "b", "c")):
    """A data set whose target follows its first two inputs."""
    x = RNG.normal(size=(n, inputs)).astype(np.float32) * 100
    told = x[:, 0] + x[:, 1] / 2 + RNG.normal(0, 10, n)
    y = np.digitize(told, [-50, 50]) if classes else told.astype(np.float64)
    half = n // 2
    return Dataset("t", x[:half], y[:half], x[half:], y[half:], classes)


def test_the_constant_is_the_share_of_each_class_or_the_mean():
    x = np.zeros((4, 1), np.float32)
    data = Dataset("t", x, np.array([0, 2, 2, 2]), x[:2], np.array([0, 1]), ("a", "b", "c"))
    np.testing.assert_array_equal(baselines.constant(data), [[0.25, 0, 0.75]] * 2)
    data = Dataset("t", x, np.array([0, 2, 2, 4.0]), x[:2], np.array([0, 1.0]), ())
    np.testing.assert_array_equal(baselines.constant(data), [2, 2])


def test_the_linear_model_is_scikit_learns():
    data = table()
    told, note = baselines.linear(data)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(data.x_train.astype(float), data.y_train)
    np.testing.assert_allclose(told, model.predict_proba(data.x_test.astype(float)), rtol=1e-9)
    assert scores(data.y_test, told)["accuracy"] > 0.75
    assert not note
    data = table(classes=())
    told, note = baselines.linear(data)
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))
    model.fit(data.x_train.astype(float), data.y_train)
    np.testing.assert_allclose(told, model.predict(data.x_test.astype(float)), rtol=1e-9)
    assert not note


def test_many_rows_and_inputs_are_bounded_and_it_is_said(monkeypatch):
    monkeypatch.setattr(baselines, "MOST_ROWS", 80)
    monkeypatch.setattr(baselines, "MOST_INPUTS", 4)
    for classes in ("abc", ()):
        data = table(inputs=50, classes=tuple(classes))
        told, note = baselines.linear(data)
        assert note == "80 of 100 training rows and 4 of 50 inputs"
        found = scores(data.y_test, told)
        assert found.get("accuracy", found.get("r2")) > 0.6  # the inputs that matter were chosen


def test_a_class_that_the_rows_lack_has_no_probability():
    data = table(classes=("a", "b", "c", "d"))
    told, _ = baselines.linear(data)
    assert told.shape == (100, 4)
    assert (told[:, 3] == 0).all()
    np.testing.assert_allclose(told.sum(axis=1), 1)


def test_a_single_class_is_an_error_of_its_own():
    data = table()
    one = Dataset("t", data.x_train, data.y_train * 0, data.x_test, data.y_test, data.classes)
    with pytest.raises(ValueError, match="class"):
        baselines.linear(one)


@pytest.mark.parametrize("value", [0, 1e-30, 1e30, 3.4e38])
def test_odd_columns_do_no_harm(value, recwarn):
    for classes in ("abc", ()):
        data = table(classes=tuple(classes))
        data.x_train[:, 4], data.x_test[:, 4] = value, value
        data.x_train[0, 4] = -value
        assert np.isfinite(baselines.linear(data)[0]).all()
    assert not recwarn.list
