"""Ridge regression, with the penalty by which rows are best predicted by all others."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

PENALTIES = np.logspace(-3, 4, 15)


class Ridge(NamedTuple):
    """A linear model: weight (outputs, inputs), bias (outputs,).

    `error` is the mean of the squared errors of rows that are predicted by all others.
    """

    weight: np.ndarray
    bias: np.ndarray
    error: float


def ridge(x: np.ndarray, y: np.ndarray) -> Ridge:
    """Return the ridge regression of y on x, as scikit-learn's `RidgeCV(PENALTIES)` finds it.

    A model without row i errs by (y_i - p_i) / (1 - h_ii) on it, where p = H y are the predictions
    of the model with it. One decomposition x - mean = U S V' serves all penalties a: H is the mean
    plus U diag(s^2 / (s^2 + a)) U'. (To import scikit-learn takes as long as to read a large
    table.)

    Parameters
    ----------
    x : numpy.ndarray
        Inputs, (n, inputs), float64, of like scales.
    y : numpy.ndarray
        Targets, (n,) or (n, outputs).

    Returns
    -------
    Ridge
        The model with the least error.

    References
    ----------
    R. Rifkin and R. Lippert, "Notes on regularized least squares", 2007.
    """
    y = y.astype(np.float64).reshape(len(x), -1)
    mean, middle = x.mean(axis=0), y.mean(axis=0)
    y = y - middle
    with _libraries().limit(limits=1, user_api="blas"), np.errstate(all="ignore"):
        u, s, v = np.linalg.svd(x - mean, full_matrices=False)
        told, squares = (u.T @ y).T, u**2
        kept = [s**2 / (s**2 + penalty) for penalty in PENALTIES]
        apart = [(y - u @ (each * told).T).T / (1 - 1 / len(x) - squares @ each) for each in kept]
        errors = [float(np.square(each).mean()) for each in apart]
        best = int(np.nan_to_num(errors, nan=np.inf).argmin())  # NaN: numbers are too large
        weight = (np.where(s > 0, kept[best] / s, 0) * told) @ v
        return Ridge(weight, middle - weight @ mean, errors[best])


@cache
def _libraries() -> ThreadpoolController:
    """Return the controller of NumPy's threads, cached because the search takes milliseconds.

    Threads that wait for a core take a hundred times as long as one thread.
    """
    return ThreadpoolController()
