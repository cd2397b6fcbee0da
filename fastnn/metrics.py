"""Scores of predictions: errors of a regression, and calibration of probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np


class Chain(Protocol):
    """Interface of a model that `link_of` needs."""

    schema: Any

    def __len__(self) -> int: ...
    def __getitem__(self, place: int) -> Any: ...


def regression_scores(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Return R^2 and the root mean squared error of predictions p, arrays (n,), in float64.

    R^2 = 1 - sum (y - p)^2 / sum (y - mean y)^2, NaN for constant y; RMSE = sqrt(mean (y - p)^2),
    as scikit-learn's `r2_score` and `root_mean_squared_error`.
    """
    y, p = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    squares, spread = float(((y - p) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    r2 = 1 - squares / spread if spread > 0 else float("nan")
    return {"r2": r2, "rmse": float(np.sqrt(squares / len(y)))}


class Calibration(NamedTuple):
    """Calibration of a classifier: arrays (bins,) for rows binned by confidence, no bin empty."""

    confidence: np.ndarray
    """Mean probability of the predicted class."""
    accuracy: np.ndarray
    """Share of rows whose predicted class is correct."""
    rows: np.ndarray
    error: float
    """Expected calibration error: mean of |accuracy - confidence| over the rows."""


def calibration(probabilities: np.ndarray, y: np.ndarray, bins: int = 10) -> Calibration:
    """Return accuracy against confidence of a classifier, in bins of equal width.

    `probabilities` is (n, classes), `y` class indices (n,). Source: C. Guo, G. Pleiss, Y. Sun and
    K. Q. Weinberger, "On calibration of modern neural networks", 2017.
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    rows = np.bincount(place, minlength=bins)
    held = rows > 0
    confidence, accuracy = (
        np.bincount(place, weights, bins)[held] / rows[held] for weights in (sure, right)
    )
    error = float((rows[held] * np.abs(accuracy - confidence)).sum() / len(y))
    return Calibration(confidence, accuracy, rows[held], error)


def link_of(model: Chain) -> str:
    """Return the `link` for `probabilities` of a classifier's outputs.

    It is "identity" for a model that ends in Softmax, otherwise the link of the model's schema.
    """
    if len(model) and type(model[-1]).__name__ == "Softmax":
        return "identity"
    return "softmax" if model.schema is None else model.schema.link


def probabilities(outputs: np.ndarray, link: str = "softmax") -> np.ndarray:
    """Return probabilities, float64 (n, classes), from a classifier's outputs.

    Link "softmax" takes logits z: exp(z_i) / sum_j exp(z_j). Link "identity" takes probabilities,
    which are clipped at 0 and scaled to a sum of 1.
    """
    z = outputs.astype(np.float64)
    if link == "identity":
        shares = np.maximum(z, np.finfo(np.float64).tiny)
    else:
        shares = np.exp(z - z.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
