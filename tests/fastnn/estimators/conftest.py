"""Fixtures of the tests of estimators: data, and scikit-learn's estimator beside ours."""

import warnings

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import fastnn.estimators

CLASSIFIER, REGRESSOR = "MLPClassifier", "MLPRegressor"


def _data(name):
    """Kind of estimator, standardised samples, targets."""
    kind, (X, y) = {
        "iris": lambda: (CLASSIFIER, load_iris(return_X_y=True)),
        "wine": lambda: (CLASSIFIER, load_wine(return_X_y=True)),
        "cancer": lambda: (CLASSIFIER, load_breast_cancer(return_X_y=True)),
        "digits": lambda: (CLASSIFIER, load_digits(return_X_y=True)),
        "labels": lambda: (CLASSIFIER, make_multilabel_classification(random_state=0)),
        "line": lambda: (REGRESSOR, make_regression(200, 10, noise=1.0, random_state=0)),
        "lines": lambda: (REGRESSOR, make_regression(150, 7, n_targets=3, random_state=0)),
    }[name]()
    if kind == REGRESSOR:
        y = y / np.abs(y).max()
    return kind, StandardScaler().fit_transform(X), y


def _pair(kind, **parameters):
    """Scikit-learn's estimator and ours."""
    theirs = getattr(sklearn.neural_network, kind)(**parameters)
    return theirs, getattr(fastnn.estimators, kind)(**parameters)


def _fitted(estimator, *data, **more):
    """The estimator, fitted, however far that got."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*data, **more)


def _same(theirs, ours, rtol=1e-9, atol=1e-11):
    """Weights, and all that was noted in training, agree."""
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(theirs, name) == getattr(ours, name), name
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(other, one, rtol=rtol, atol=atol, err_msg=name)
    noted = ("loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_")
    for name in noted:
        assert hasattr(theirs, name) == hasattr(ours, name), name
        one, other = getattr(theirs, name, None), getattr(ours, name, None)
        assert (one is None) == (other is None), name
        if one is not None:
            # Their logarithms are of probabilities cut off at 2e-16; an error of 1e-11 is theirs.
            np.testing.assert_allclose(other, one, rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.fixture(scope="session")
def data():
    return _data


@pytest.fixture(scope="session")
def pair():
    return _pair


@pytest.fixture(scope="session")
def fitted():
    return _fitted


@pytest.fixture(scope="session")
def same():
    return _same
