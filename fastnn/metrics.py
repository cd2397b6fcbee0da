"""Scores of predictions: how far off a regression is, and how well probabilities are meant."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np


class Chain(Protocol):
    """A chain of layers, as far as `link_of` looks at it."""

    schema: Any

    def __len__(self) -> int: ...
    def __getitem__(self, place: int) -> Any: ...


def regression_scores(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """R^2 = 1 - sum (y - p)^2 / sum (y - mean y)^2, and RMSE = sqrt(mean (y - p)^2).

    Of arrays (n,), in float64; R^2 is NaN where y does not vary. As scikit-learn's `r2_score` and
    `root_mean_squared_error`.
    """
    y, p = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    squares, spread = float(((y - p) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    r2 = 1 - squares / spread if spread > 0 else float("nan")
    return {"r2": r2, "rmse": float(np.sqrt(squares / len(y)))}


class Calibration(NamedTuple):
    """Of rows in bins by how sure a model is: arrays (bins,), empty bins left out."""

    confidence: np.ndarray
    """Mean probability of the predicted class."""
    accuracy: np.ndarray
    """Share of rows whose predicted class is right."""
    rows: np.ndarray
    error: float
    """Expected calibration error: mean of |accuracy - confidence| over the rows."""


def calibration(probabilities: np.ndarray, y: np.ndarray, bins: int = 10) -> Calibration:
    """How often a model is right where it is so sure, in bins of equal width.

    `probabilities` is (n, classes), `y` class indices (n,). Source: Guo, Pleiss, Sun, Weinberger,
    "On calibration of modern neural networks" (2017).
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
    """How a classifier's outputs become probabilities: `link` of `probabilities`.

    "identity" for a chain that ends in Softmax, else what the model's schema says.
    """
    if len(model) and type(model[-1]).__name__ == "Softmax":
        return "identity"
    return "softmax" if model.schema is None else model.schema.link


def probabilities(outputs: np.ndarray, link: str = "softmax") -> np.ndarray:
    """Probabilities, float64 (n, classes), of a classifier's outputs.

    By softmax, exp(z_i) / sum_j exp(z_j), where they are logits; with link "identity" they are the
    outputs themselves, cut off below 0 and scaled to a sum of 1.
    """
    z = outputs.astype(np.float64)
    if link == "identity":
        shares = np.maximum(z, np.finfo(np.float64).tiny)
    else:
        shares = np.exp(z - z.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
