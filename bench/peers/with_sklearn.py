"""scikit-learn: training only."""

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
    """Let BLAS use so many threads."""
    threadpool_limits(count)


def estimator(name: str) -> Case:
    """`fit` of an estimator on a data set."""
    return estimators.fitting(MLPClassifier, MLPRegressor, name)


def partial_fit(rows: int) -> Case:
    """`partial_fit` of a classifier on parts of so many rows."""
    return estimators.in_parts(MLPClassifier, rows)


OPERATIONS = {"training": trainer(Learner), "estimator": estimator, "partial_fit": partial_fit}
