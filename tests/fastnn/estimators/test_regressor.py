"""MLPRegressor: one number and several, squared errors and counts."""

import warnings

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.metrics import mean_poisson_deviance

from fastnn.estimators import MLPRegressor


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_poisson_loss_is_theirs(solver, early, weighted, outputs, data, pair, fitted, same):
    kind, X, _ = data("line")
    rng = np.random.default_rng(0)
    y = rng.poisson(2.0, (len(X), outputs)).astype(float)
    weights = rng.uniform(0.1, 2, len(X)) if weighted else None
    theirs, ours = pair(
        kind, loss="poisson", solver=solver, early_stopping=early, max_iter=10, random_state=0,
        batch_size=33, hidden_layer_sizes=(20, 6),
    )  # fmt: skip
    y = y.ravel() if outputs == 1 else y
    same(
        fitted(theirs, X, y, sample_weight=weights), fitted(ours, X, y, sample_weight=weights),
        1e-7, 1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)


def test_rates_of_counts_are_learned(data, fitted):
    _, X, _ = data("line")
    rate = np.exp(0.5 * X[:, 0] - 0.3 * X[:, 1])
    y = np.random.default_rng(0).poisson(rate)
    model = fitted(MLPRegressor("poisson", (20,), random_state=0, max_iter=300), X, y)
    assert (model.predict(X) > 0).all()
    assert mean_poisson_deviance(y, model.predict(X)) < mean_poisson_deviance(y, y * 0 + y.mean())


def test_score_and_shapes_are_theirs(data, pair, fitted):
    for name in ("line", "lines"):
        kind, X, y = data(name)
        theirs, ours = (fitted(each, X, y) for each in pair(kind, max_iter=50, random_state=0))
        assert ours.predict(X).shape == y.shape
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-9)


def test_a_column_of_targets_warns_as_theirs(data):
    from sklearn.exceptions import DataConversionWarning

    _, X, y = data("line")
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        assert MLPRegressor(tol=1.0).fit(X, y[:, None]).predict(X).shape == y.shape


def test_errors(data):
    _, X, y = data("line")
    with pytest.raises(ValueError, match="'loss' parameter of MLPRegressor"):
        MLPRegressor(loss="absolute_error").fit(X, y)
    with pytest.raises(TypeError, match="class_weight"):
        MLPRegressor(class_weight="balanced")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [None, 2])
def test_partial_fit_leaves_earlier_batches_alone(dtype, columns):
    rng = np.random.default_rng(0)
    shape = 20 if columns is None else (20, columns)
    batches = [(rng.random((20, 3)).astype(dtype), rng.random(shape).astype(dtype)) for _ in "123"]
    given = [(x.copy(), y.copy()) for x, y in batches]
    regressor = MLPRegressor(dtype=dtype)
    for x, y in batches:
        regressor.partial_fit(x, y)
    for batch, copies in zip(batches, given, strict=True):
        np.testing.assert_array_equal(batch[0], copies[0])
        np.testing.assert_array_equal(batch[1], copies[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [1e1, 1e20, 1e38, 1e300])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_training_that_diverges_ends_as_theirs(solver, loss, rate, dtype):
    """With a model and NaN among the scores, or with their error."""
    rng = np.random.default_rng(0)
    X, y = (100 * rng.normal(size=(60, 4))).astype(dtype), np.abs(rng.normal(size=60)).astype(dtype)
    ends = []
    for kind in (MLPRegressor, sklearn.neural_network.MLPRegressor):
        model = kind(loss=loss, hidden_layer_sizes=(5,), solver=solver, learning_rate_init=rate,
                     early_stopping=True, max_iter=4, random_state=0)  # fmt: skip
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                model.fit(X, y)
        except ValueError as error:
            ends.append(str(error)[:30])
        else:
            finite = np.isfinite(model.predict(X)).all()
            ends.append((np.isnan(model.validation_scores_).any(), finite))
    assert ends[0] == ends[1]
