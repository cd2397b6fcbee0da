import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import permutation_importance

import fastnn
from fastnn.data.tables.columns import Category, Number
from fastnn.data.tables.schema import Schema
from fastnn.runs import importance
from fastnn.runs.importance import importances

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 4)).astype(np.float32)


def linear(weight, *columns, classes=()):
    """A linear model of columns by name, with the schema that tells their widths."""
    weight = np.atleast_2d(np.array(weight, np.float32))
    model = fastnn.Sequential(fastnn.Linear(weight.shape[1], len(weight), seed=0))
    model[0].weight, model[0].bias = weight, np.zeros(len(weight), np.float32)
    model.schema, model.classes = Schema(columns), classes
    return model


NUMBERS = tuple(map(Number, ["large", "nothing", "small", "negative"]))


def test_a_column_that_the_model_does_not_read_has_no_importance():
    model = linear([3, 0, 1, -2], *NUMBERS)
    found = importances(model, X, fastnn.predict(model, X)[:, 0])
    assert [each.column for each in found.columns] == ["large", "negative", "small", "nothing"]
    assert found.columns[-1] == ("nothing", 0, 0)
    assert found[1:] == (400, 10)


def test_the_fall_of_r2_by_hand():
    model = linear([3, 0, 1, -2], *NUMBERS)
    y = fastnn.predict(model, X)[:, 0]
    found = {each.column: each for each in importances(model, X, y).columns}
    # Shuffling x puts the error w (x - x') in the place of 0, of variance 2 w^2 var x.
    for name, weight, x in zip(found, (3, -2, 1), (X[:, 0], X[:, 3], X[:, 2]), strict=False):
        expected = 2 * weight**2 * x.var() / y.var()
        assert found[name].mean == pytest.approx(expected, rel=0.1)
        assert 0 < found[name].std < 0.2 * expected


class _Regressor(RegressorMixin, BaseEstimator):
    def __init__(self, model):
        self.model = model

    def fit(self, x, y):
        return self

    def predict(self, x):
        return fastnn.predict(self.model, x)[:, 0]


class _Classifier(ClassifierMixin, _Regressor):
    classes_ = np.arange(3)

    def predict(self, x):
        return fastnn.predict(self.model, x).argmax(axis=1)


@pytest.mark.parametrize("classifies", [False, True])
def test_importances_are_scikit_learns(classifies):
    if classifies:
        model = linear(RNG.normal(size=(3, 4)), *NUMBERS, classes=("a", "b", "c"))
        y = fastnn.predict(model, X).argmax(axis=1)
        y[::7] = RNG.integers(0, 3, len(y[::7]))
    else:
        model = linear([3, 0, 1, -2], *NUMBERS)
        y = fastnn.predict(model, X)[:, 0].astype(float) + RNG.normal(size=400)
    wrapped = (_Classifier if classifies else _Regressor)(model)
    expected = permutation_importance(wrapped, X, y, n_repeats=50, random_state=0)
    found = {each.column: each for each in importances(model, X, y).columns}
    for place, column in enumerate(NUMBERS):
        mean, std = expected.importances_mean[place], expected.importances_std[place]
        # Ten shuffles differ from fifty by a third of their deviation; four times that are rare.
        assert found[column.name].mean == pytest.approx(mean, abs=1.5 * std + 1e-6)


def test_all_inputs_of_a_column_are_shuffled_together():
    place = Category("place", None, ("hill", "lake"))
    x = np.eye(2, dtype=np.float32)[RNG.integers(0, 2, 300)]
    x = np.concatenate([x, RNG.normal(size=(300, 1)).astype(np.float32)], axis=1)
    seen = []

    model = linear([1, -1, 0.1], place, Number("size"))
    original = importance.predict
    try:
        importance.predict = lambda model, x: (seen.append(x.copy()), original(model, x))[1]
        before = x.copy()
        importances(model, x, fastnn.predict(model, x)[:, 0])
    finally:
        importance.predict = original
    np.testing.assert_array_equal(x, before)
    whole, places, sizes = seen
    assert (places[:, :2].sum(axis=1) == 1).all()  # each row has one place
    np.testing.assert_array_equal(places[:, 2], np.tile(whole[:, 2], 10))
    assert not np.array_equal(places[:300], whole)
    np.testing.assert_array_equal(sizes[:, :2], np.tile(whole[:, :2], (10, 1)))
    np.testing.assert_array_equal(np.sort(sizes[:300, 2]), np.sort(whole[:, 2]))


def test_many_columns_and_weights_get_fewer_rows_or_none(monkeypatch):
    model = linear([3, 0, 1, -2], *NUMBERS)
    y = fastnn.predict(model, X)[:, 0]
    for work, expected in ((200 * 10, (200, 10)), (50 * 4, (50, 4)), (50 * 2, (0, 0))):
        monkeypatch.setattr(importance, "_MOST_WORK", work * 4 * 5)  # columns and weights
        assert importances(model, X, y)[1:] == expected
    assert importances(model, X, y).columns == []
    monkeypatch.undo()
    monkeypatch.setattr(importance, "_MOST_COLUMNS", 3)
    assert importances(model, X, y).columns == []


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_or_equal_targets_are_no_error(rows):
    model = linear([3, 0, 1, -2], *NUMBERS)
    assert len(importances(model, X[:rows], X[:rows, 0]).columns) in (0, 4)
    assert importances(model, X, np.ones(400)).columns == []
    model[0].weight = np.full((1, 4), np.nan, np.float32)
    assert importances(model, X, X[:, 0]).columns == []
