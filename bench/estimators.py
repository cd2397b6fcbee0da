"""Data sets for scikit-learn estimators, and cases for any library's estimators."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from bench.peers import Case

CLASSES: dict[str, Callable] = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
}
REGRESSION = "a regression"
NAMES = (*CLASSES, REGRESSION)
"""Names of data sets; the last is a linear function with noise, 1,000 samples of 20 columns."""

PARTS = 20
"""Number of calls of `partial_fit` in one timed call."""

SEEDS = 5  # number of trainings whose mean score is compared


def samples(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised samples, and the targets, of a data set."""
    if name == REGRESSION:
        x, y = datasets.make_regression(1000, 20, noise=10.0, random_state=0)
        y = y / y.std()
    else:
        x, y = CLASSES[name](return_X_y=True)
    return StandardScaler().fit_transform(x), y


def fitting(classifier: Callable[..., Any], regressor: Callable[..., Any], name: str) -> Case:
    """Return a case that fits with default parameters; its check returns the mean score in %."""
    x, y = samples(name)
    make = regressor if name == REGRESSION else classifier

    def fitted(seed: int, x: np.ndarray, y: np.ndarray):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 200 epochs may be too few
            return make(random_state=seed).fit(x, y)

    def check() -> dict[str, float]:
        scores = []
        for seed in range(SEEDS):
            x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=seed)
            scores.append(fitted(seed, x_train, y_train).score(x_test, y_test))
        return {"score": 100 * float(np.mean(scores))}

    return Case(lambda: fitted(0, x, y), check)


def predicting(classifier: Callable[..., Any], rows: int) -> Case:
    """Return a case that predicts `rows` rows of digits, of a classifier of 100 hidden units."""
    x, y = samples("digits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = classifier(random_state=0, max_iter=5).fit(x, y)
    return Case(partial(model.predict, x[:rows]), lambda: {"score": 100 * model.score(x, y)})


def in_parts(classifier: Callable[..., Any], rows: int) -> Case:
    """Return a case that calls `partial_fit` on digits, `PARTS` times with `rows` rows each.

    Its check returns the score in % on the last third of the data, after `PARTS` passes over the
    others in parts of 64 rows.
    """
    x, y = samples("digits")
    model = classifier(random_state=0).partial_fit(x[:rows], y[:rows], classes=np.unique(y))

    def call() -> None:
        for part in range(PARTS):
            here = slice(part * rows, (part + 1) * rows)
            model.partial_fit(x[here], y[here])

    def check() -> dict[str, float]:
        fresh = classifier(random_state=0)
        until = 64 * (2 * len(x) // 3 // 64)
        for begin in list(range(0, until, 64)) * PARTS:
            here = slice(begin, begin + 64)
            fresh.partial_fit(x[here], y[here], classes=np.unique(y))
        return {"score": 100 * fresh.score(x[until:], y[until:])}

    return Case(call, check)
