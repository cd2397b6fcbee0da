"""Weights of samples and of classes: what `fit` and `evaluate` accept, and the errors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import numpy as np

import kernels
from fastnn.nn.losses import Loss

BALANCED = "balanced"
"""Weights by which all classes count the same: samples / (classes times samples of a class)."""


def read_weights(loss: Loss, targets: np.ndarray, sample_weight=None, class_weight=None, *,
                 classes: int, dtype: np.dtype) -> np.ndarray | None:  # fmt: skip
    """Weights of samples, times those of their classes; None where all weigh the same.

    `sample_weight` is one number of 0 or more a sample; `class_weight` a dict from class
    index to such a number (others weigh 1), one number a class, or "balanced". `targets`
    are as `read_targets` gives them. Raises TypeError or ValueError for others, for class
    weights where the targets are no classes, and for a loss that takes no weights.
    """
    if sample_weight is None and class_weight is None:
        return None
    _check_takes_weights(loss)
    weights = np.ones(len(targets))
    if sample_weight is not None:
        weights = weights * _numbers("sample_weight", sample_weight, len(targets), "sample")
    if class_weight is not None:
        labels = _labels(targets)
        weights *= _of_classes(class_weight, labels, max(classes, 2))[labels]
    with np.errstate(over="ignore"):
        weights = weights.astype(dtype)
        if not 0 < weights.sum() < np.inf:
            raise ValueError(f"the weights add up to {weights.sum():g}; expected more than 0")
    return weights


def total_weight(weights: np.ndarray | None, samples: int) -> float:
    """Sum of the weights of so many samples, which are 1 each where there are none."""
    return float(samples) if weights is None else float(weights.sum(dtype=np.float64))


def _numbers(name: str, values, size: int, of: str) -> np.ndarray:
    array = kernels.base.arrays.floating(name, values).astype(np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({size},), one a {of}")
    if not (np.isfinite(array) & (array >= 0)).all():
        place = int(np.argmin(np.isfinite(array) & (array >= 0)))
        raise ValueError(
            f"{name} holds {array[place]:g} at {place}; expected finite numbers of 0 or more"
        )
    return array


def _labels(targets: np.ndarray) -> np.ndarray:
    """Class indices of targets that are classes; raise ValueError for those that are not."""
    if targets.ndim == 1:
        return targets
    binary = np.isin(targets, (0, 1)).all()
    if binary and targets.shape[1] == 1:
        return targets[:, 0].astype(np.int64)
    if binary and (targets.sum(axis=1) == 1).all():
        return targets.argmax(axis=1)
    raise ValueError("class_weight is given, and the targets are no classes; give sample_weight")


def _of_classes(class_weight, labels: np.ndarray, classes: int) -> np.ndarray:
    """One weight for each class."""
    if isinstance(class_weight, str):
        if class_weight != BALANCED:
            raise ValueError(
                f"class_weight is {class_weight!r}; expected {BALANCED!r}, a dict or an array"
            )
        counts = np.bincount(labels, minlength=classes)
        return len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    if isinstance(class_weight, Mapping):
        weights = np.ones(classes)
        for label, weight in class_weight.items():
            if not isinstance(label, (int, np.integer)) or not 0 <= label < classes:
                raise ValueError(
                    f"class_weight has a weight for {label!r}; expected class indices from 0 to "
                    f"{classes - 1}"
                )
            weights[label] = weight
        return _numbers("class_weight", weights, classes, "class")
    return _numbers("class_weight", class_weight, classes, "class")


def _check_takes_weights(loss: Loss) -> None:
    """Raise TypeError for a loss that cannot be called with weights."""
    try:
        inspect.signature(loss).bind("predictions", "targets", "weights")
    except TypeError:
        raise TypeError(
            f"weights are given, and {loss!r} does not take any: it is called with predictions "
            "and targets only"
        ) from None
