"""Solver lbfgs: scikit-learn's weights, and its gradient."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

from fastnn.estimators import MLPClassifier, MLPRegressor
from fastnn.estimators.lbfgs import Objective
from fastnn.estimators.network import Network

# Rounding grows from step to step of a line search, for those who add in another order.
STEPS = 12


@pytest.mark.parametrize("name", ["iris", "cancer", "labels", "line", "lines"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"alpha": 2.0, "activation": "tanh", "hidden_layer_sizes": (9, 5)},
     {"activation": "logistic", "max_fun": 5}, {"hidden_layer_sizes": ()}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_same_as_scikit_learn(name, settings, weighted, data, pair, fitted, same):
    kind, X, y = data(name)
    weights = np.random.default_rng(0).uniform(0, 3, len(X)) if weighted else None
    theirs, ours = pair(kind, solver="lbfgs", max_iter=STEPS, random_state=0, **settings)
    fitted(theirs, X, y, sample_weight=weights)
    fitted(ours, X, y, sample_weight=weights)
    same(theirs, ours, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "logistic", "identity", "exp"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_is_that_of_the_loss(kind, weighted):
    rng = np.random.default_rng(0)
    # Of several numbers scikit-learn's loss is the mean, its gradient that of the sum.
    columns = 1 if kind == "identity" else 3
    coefs, intercepts = [rng.normal(size=(5, 7)), rng.normal(size=(7, columns))], [np.ones(7)]
    intercepts.append(np.ones(columns))
    network = Network(coefs, intercepts, "tanh", kind, 0.0)
    x, y = rng.normal(size=(20, 5)), np.eye(3)[rng.integers(0, 3, 20), :columns]
    weights = rng.uniform(0, 2, 20) if weighted else None
    objective = Objective(network, x, y, weights, 0.7, None)
    start = objective.read()
    inside = start != 0  # the rest is padding

    def spread(flat):
        whole = np.zeros_like(start)
        whole[inside] = flat
        return whole

    error = check_grad(
        lambda flat: objective(spread(flat))[0],
        lambda flat: objective(spread(flat))[1][inside],
        start[inside],
    )
    # Forward differences, good to 1e-8 times the curvature.
    assert error < 1e-6 * np.linalg.norm(objective(start)[1])
    assert not objective(start)[1][~inside].any()


def test_it_warns_as_theirs(data):
    _, X, y = data("iris")
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        MLPClassifier(solver="lbfgs", max_iter=2).fit(X, y)


def test_partial_fit_is_not_there():
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    assert not hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        MLPClassifier(solver="lbfgs").partial_fit([[1.0]], [1])


def test_callbacks_hear_of_iterations_and_may_stop(data, capsys):
    _, X, y = data("iris")
    losses = []

    def stop(training):
        losses.append(training.history.loss[-1])
        training.stop = training.epoch == 3

    model = MLPClassifier(solver="lbfgs", callbacks=[stop], random_state=0, verbose=True).fit(X, y)
    assert model.n_iter_ == len(losses) == 3
    assert losses[-1] == model.loss_ < losses[0]
    assert capsys.readouterr().out.count("Iteration") == 3


def test_dropout_leaves_lbfgs_repeatable(data, fitted):
    _, X, y = data("iris")
    one, other = (
        fitted(MLPClassifier(solver="lbfgs", dropout=0.2, max_iter=20, random_state=0), X, y)
        for _ in range(2)
    )
    assert one.loss_ == other.loss_


def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_blas_has_one_thread_meanwhile(data, fitted):
    """Its threads wait busily, and would take the cores from fastnn's."""
    _, X, y = data("iris")
    found, before = [], blas_threads()
    look = lambda training: found.append(blas_threads())  # noqa: E731
    fitted(MLPClassifier(solver="lbfgs", max_iter=3, callbacks=[look]), X, y)
    assert found == [{1}] * 3
    assert blas_threads() == before
