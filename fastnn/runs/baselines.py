"""Simple models that a network is compared with: a constant, and a linear model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from fastnn.data.dataset import Dataset
from fastnn.runs.ridge import ridge

MOST_ROWS = 20_000
MOST_INPUTS = 500
_FEWEST_ROWS = 1000
_MOST_WORK = 16_000_000
_ITERATIONS = 100
_BLOCK = 1 << 20  # numbers that are in float64 at a time

Tell = Callable[[np.ndarray], np.ndarray]
"""A function from inputs (n, inputs) to numbers (n,), or probabilities (n, classes)."""


def constant(data: Dataset) -> np.ndarray:
    """Return the training rows' shares of classes (n, classes), or their mean (n,), n test rows."""
    if not data.classes:
        return np.full(len(data.y_test), data.y_train.mean())
    counts = np.bincount(data.y_train, minlength=len(data.classes))
    return np.tile(counts / counts.sum(), (len(data.y_test), 1))


def linear(data: Dataset) -> tuple[np.ndarray, str]:
    """Return a linear model's predictions for the test rows, and a note on what it was fitted to.

    The model is a ridge regression (`fastnn.runs.ridge`) or scikit-learn's `LogisticRegression`,
    on standardised inputs. It takes seconds at most: it is fitted to at most 20,000 training rows,
    fewer where there are many inputs and classes, and to the 500 inputs that are most like the
    target. The note says so, and is empty if all were used.

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
    fit = _logistic if data.classes else _ridge
    with _alone():
        tell = fit(x[:rows].astype(np.float64), y[:rows], inputs)
        told = np.concatenate([tell(block) for block in _blocks(data.x_test)])
    if data.classes:  # a class that the fitted rows lack has probability 0
        shares = np.zeros((len(told), len(data.classes)))
        shares[:, np.unique(y[:rows])] = told
        told = shares
    used = [
        f"{count:,} of {there:,} {what}"
        for count, there, what in ((rows, len(x), "training rows"), (inputs, x.shape[1], "inputs"))
        if count < there
    ]
    return told, " and ".join(used)


def _ridge(x: np.ndarray, y: np.ndarray, inputs: int) -> Tell:
    """Return the predictions of a ridge regression on the inputs with the greatest correlations."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    constant = std <= len(x) * np.finfo(np.float64).eps * np.abs(mean)
    std = np.where(constant, 1.0, std)
    likeness = np.abs((y - y.mean()) @ ((x - mean) / std))
    chosen = np.sort(np.argsort(likeness, kind="stable")[len(std) - inputs :])
    mean, std = mean[chosen], std[chosen]
    model = ridge((x[:, chosen] - mean) / std, y)
    if not np.isfinite(model.error):
        raise ValueError("the numbers are too large")
    return lambda x: (x[:, chosen] - mean) / std @ model.weight[0] + model.bias[0]


def _logistic(x: np.ndarray, y: np.ndarray, inputs: int) -> Tell:
    """Return the probabilities, of the classes in y, that a logistic regression gives."""
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    like = [SelectKBest(k=inputs)] if inputs < x.shape[1] else []
    last = LogisticRegression(max_iter=_ITERATIONS)
    return make_pipeline(*like, StandardScaler(), last).fit(x, y).predict_proba


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
