"""Simple models that a network is compared with: a constant, and a linear model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn.data.dataset import Dataset

MOST_ROWS = 20_000
MOST_INPUTS = 500
_FEWEST_ROWS = 1000
_MOST_WORK = 16_000_000
_ITERATIONS = 100
_PENALTIES = np.logspace(-3, 4, 15)
_BLOCK = 1 << 20  # numbers that are in float64 at a time


def constant(data: Dataset) -> np.ndarray:
    """Return the training rows' shares of classes (n, classes), or their mean (n,), n test rows."""
    if not data.classes:
        return np.full(len(data.y_test), data.y_train.mean())
    counts = np.bincount(data.y_train, minlength=len(data.classes))
    return np.tile(counts / counts.sum(), (len(data.y_test), 1))


def linear(data: Dataset) -> tuple[np.ndarray, str]:
    """Return a linear model's predictions for the test rows, and a note on what it was fitted to.

    The model is scikit-learn's `RidgeCV` or `LogisticRegression`, on standardised inputs. It takes
    seconds at most: it is fitted to at most 20,000 training rows, fewer where there are many
    inputs and classes, and to the 500 inputs that are most like the target. The note says so, and
    is empty if all were used.

    Returns
    -------
    predictions : numpy.ndarray
        Probabilities, (n, classes), or numbers, (n,).
    note : str
        The rows and inputs that were used, if not all.

    Raises
    ------
    ValueError
        If the rows hold a single class, or numbers that are too large.
    """
    x, y = data.x_train, data.y_train
    inputs = min(x.shape[1], MOST_INPUTS)
    work = inputs * (len(data.classes) or 1 + inputs // 40)  # of a row; ridge takes their squares
    rows = min(len(x), MOST_ROWS, max(_FEWEST_ROWS, _MOST_WORK // work))
    with _alone():
        model = _pipeline(bool(data.classes), inputs, x.shape[1])
        model.fit(x[:rows].astype(np.float64), y[:rows])
        told = np.concatenate([_told(model, data, block) for block in _blocks(data.x_test)])
    used = [
        f"{count:,} of {there:,} {what}"
        for count, there, what in ((rows, len(x), "training rows"), (inputs, x.shape[1], "inputs"))
        if count < there
    ]
    return told, " and ".join(used)


def _pipeline(classifies: bool, inputs: int, there: int) -> Any:
    from sklearn.feature_selection import SelectKBest, f_classif, f_regression
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    like = SelectKBest(f_classif if classifies else f_regression, k=inputs)
    last = LogisticRegression(max_iter=_ITERATIONS) if classifies else RidgeCV(_PENALTIES)
    return make_pipeline(*([like] if inputs < there else []), StandardScaler(), last)


def _told(model: Any, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Return the predictions for rows; a class that the fitted rows lack has probability 0."""
    if not data.classes:
        return model.predict(x)
    shares = np.zeros((len(x), len(data.classes)))
    shares[:, model.classes_] = model.predict_proba(x)
    return shares


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _BLOCK // x.shape[1])
    return (x[i : i + step].astype(np.float64) for i in range(0, len(x), step))


@contextmanager
def _alone() -> Iterator[None]:
    """Use one thread, which is faster for small products, and give no warnings.

    They would tell of iterations that end early, of constant inputs and of ill conditions.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
