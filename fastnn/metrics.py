"""Scores of predictions, those of classes by scikit-learn, and calibration of probabilities."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple, Protocol

import numpy as np


class Chain(Protocol):
    """Interface of a model that `link_of` and `predicted` need."""

    schema: Any
    classes: Any

    def __len__(self) -> int: ...
    def __getitem__(self, place: int) -> Any: ...


CLASS_SCORES = "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc"
NUMBER_SCORES = "r2", "mae", "rmse"
MOST_RANKED = 500_000
"""Most rows times columns of probabilities that are ranked for ROC AUC."""


def scores(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the scores of probabilities (n, classes), or of predicted numbers (n,)."""
    score = regression_scores if predicted.ndim == 1 else classification_scores
    return score(y, predicted)


def classification_scores(y: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy, macro F1, log loss and ROC AUC of probabilities.

    All are scikit-learn's. For more than two classes, ROC AUC is the mean over the classes of one
    against the rest.

    Parameters
    ----------
    y : numpy.ndarray
        Class indices, (n,).
    shares : numpy.ndarray
        Probabilities, (n, classes), whose rows sum to 1.

    Returns
    -------
    dict of str to float
        "accuracy", "balanced_accuracy", "macro_f1", "log_loss" and "roc_auc", which is NaN where
        `y` lacks a class, or where more than `MOST_RANKED` probabilities would be ranked. All are
        NaN if a probability is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.metrics import classification_scores
    >>> shares = np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    >>> found = classification_scores(np.array([0, 1, 1]), shares)
    >>> found["balanced_accuracy"], found["roc_auc"]
    (0.75, 1.0)
    """
    from sklearn import metrics

    classes = np.arange(shares.shape[1])
    if not np.isfinite(shares).all():
        return dict.fromkeys(CLASS_SCORES, math.nan)
    true, told, count = _confusions(y, shares)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted, but not in y
        return {
            "accuracy": float(metrics.accuracy_score(true, told, sample_weight=count)),
            "balanced_accuracy": float(
                metrics.balanced_accuracy_score(true, told, sample_weight=count)
            ),
            "macro_f1": float(
                metrics.f1_score(true, told, sample_weight=count, average="macro", zero_division=0)
            ),
            "log_loss": float(metrics.log_loss(y, shares, labels=classes)),
            "roc_auc": _roc_auc(y, shares) if is_ranked(y, shares) else math.nan,
        }


def _confusions(y: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of true and predicted classes that occur, and how often each does."""
    pairs, counts = np.unique(y * shares.shape[1] + shares.argmax(axis=1), return_counts=True)
    return *np.divmod(pairs, shares.shape[1]), counts


def is_ranked(y: np.ndarray, shares: np.ndarray) -> bool:
    """Return whether ROC AUC is given: each class is in `y`, and the work is bounded."""
    classes = shares.shape[1]
    ranked = len(y) * (1 if classes == 2 else classes)
    return classes > 1 and ranked <= MOST_RANKED and len(np.unique(y)) == classes


def _roc_auc(y: np.ndarray, shares: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    if shares.shape[1] == 2:
        return float(roc_auc_score(y, shares[:, 1]))
    return float(roc_auc_score(y, shares, multi_class="ovr"))


def regression_scores(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Return "r2", "mae" and "rmse" of predicted numbers, arrays (n,), in float64.

    R2 is 1 - sum (y - p)^2 / sum (y - mean y)^2, NaN for constant y. All are NaN if a prediction is
    not finite.
    """
    y, p = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    scale = binary_scale(y)
    y, p = y / scale, p / scale
    if not np.isfinite(p).all():
        return dict.fromkeys(NUMBER_SCORES, math.nan)
    with np.errstate(over="ignore"):
        squares, spread = (y - p) ** 2, (y - y.mean()) ** 2
        return {
            "r2": float(1 - squares.sum() / spread.sum()) if np.ptp(y) > 0 else math.nan,
            "mae": scale * float(np.abs(y - p).mean()),
            "rmse": scale * math.sqrt(squares.mean()),
        }


def binary_scale(y: np.ndarray) -> float:
    """Return the power of two below the largest number, or 1: y / scale has squares, and all bits.

    The squares of numbers beyond 1e154, or below 1e-162, are infinite or 0 in float64.
    """
    largest = np.abs(y).max(initial=0)
    return float(np.ldexp(1.0, np.frexp(largest)[1] - 1)) if largest > 0 else 1.0


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


def predicted(model: Chain, outputs: np.ndarray) -> np.ndarray:
    """Return what a model's outputs mean: probabilities (n, classes), or numbers (n,)."""
    if not model.classes:
        return outputs[:, 0].astype(np.float64)
    return probabilities(outputs, link_of(model))
