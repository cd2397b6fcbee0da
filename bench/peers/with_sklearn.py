"""Operations of scikit-learn: training and estimators."""

from __future__ import annotations

import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from bench import estimators
from bench.learners.with_sklearn import Learner
from bench.peers import Case
from bench.peers.training import trainer

VERSIONS = {"scikit-learn": sklearn.__version__}


def set_threads(count: int | None) -> None:
    """Set the number of threads of BLAS."""
    threadpool_limits(count)


def estimator(name: str) -> Case:
    """Return the case of an estimator's `fit` on a data set."""
    return estimators.fitting(MLPClassifier, MLPRegressor, name)


def partial_fit(rows: int) -> Case:
    """Return the case of a classifier's `partial_fit` on parts of `rows` rows."""
    return estimators.in_parts(MLPClassifier, rows)


def predict_one(rows: int) -> Case:
    """Return the case of a classifier's `predict`."""
    return estimators.predicting(MLPClassifier, rows)


OPERATIONS = {
    "training": trainer(Learner),
    "estimator": estimator,
    "partial_fit": partial_fit,
    "estimator's predict": predict_one,
}
