"""Checks and conversions of the weights of samples and classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import numpy as np

import kernels
from fastnn.nn.loss import Loss, as_loss
from fastnn.training.foreign import as_array, check_missing
from kernels.base.arrays import as_integer

BALANCED = "balanced"
"""Class weights that give all classes the same sum: samples / (classes * class's samples)."""


def read_weights(
    loss: Loss,
    targets: np.ndarray,
    sample_weight=None,
    class_weight=None,
    *,
    classes: int,
    dtype: np.dtype,
) -> np.ndarray | None:
    """Return the weights of samples times those of their classes; None if all are 1.

    Those of rows that the loss ignores are 0.

    `sample_weight` holds one number of 0 or more for each sample. `class_weight` is a dict from
    class index to such a number (1 by default), one number for each class, or "balanced".
    `targets` come from `read_targets`. Raises TypeError or ValueError for other weights, for
    class weights if targets are not classes, and for a loss that takes no weights.
    """
    ignored = as_loss(loss).ignored(targets)
    if sample_weight is None and class_weight is None and ignored is None:
        return None
    _check_takes_weights(loss)
    weights = np.ones(len(targets))
    if sample_weight is not None:
        weights = weights * _numbers("sample_weight", sample_weight, len(targets), "sample")
    known = slice(None) if ignored is None else ~ignored
    if class_weight is not None:
        labels = _labels(targets[known])
        weights[known] *= _of_classes(class_weight, labels, max(classes, 2))[labels]
    if ignored is not None:
        weights[ignored] = 0
    with np.errstate(over="ignore"):
        weights = weights.astype(dtype)
        if not 0 < weights.sum() < np.inf:
            raise ValueError(f"the weights add up to {weights.sum():g}; expected more than 0")
    return weights


def total_weight(weights: np.ndarray | None, samples: int) -> float:
    """Return the sum of the weights, or the number of samples if weights are None."""
    return float(samples) if weights is None else float(weights.sum(dtype=np.float64))


def _numbers(name: str, values, size: int, of: str) -> np.ndarray:
    check_missing(name, values)
    array = kernels.base.arrays.floating(name, as_array(name, values)).astype(np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({size},), one a {of}")
    if not (np.isfinite(array) & (array >= 0)).all():
        place = int(np.argmin(np.isfinite(array) & (array >= 0)))
        raise ValueError(
            f"{name} holds {array[place]:g} at {place}; expected finite numbers of 0 or more"
        )
    return array


def _labels(targets: np.ndarray) -> np.ndarray:
    """Return the class indices of targets; raise ValueError if targets are not classes."""
    if targets.ndim == 1:
        return targets
    binary = np.isin(targets, (0, 1)).all()
    if binary and targets.shape[1] == 1:
        return targets[:, 0].astype(np.int64)
    if binary and (targets.sum(axis=1) == 1).all():
        return targets.argmax(axis=1)
    raise ValueError("class_weight is given, and the targets are no classes; give sample_weight")


def _of_classes(class_weight, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return one weight for each class."""
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
            index = as_integer(label)
            if index is None or not 0 <= index < classes:
                raise ValueError(
                    f"class_weight has a weight for {label!r}; expected class indices from 0 to "
                    f"{classes - 1}"
                )
            weights[index] = weight
        return _numbers("class_weight", weights, classes, "class")
    return _numbers("class_weight", class_weight, classes, "class")


def _check_takes_weights(loss: Loss) -> None:
    """Raise TypeError if the loss cannot be called with weights."""
    try:
        inspect.signature(loss).bind("predictions", "targets", "weights")
    except TypeError:
        raise TypeError(
            f"weights are given, and {loss!r} does not take any: it is called with predictions "
            "and targets only"
        ) from None
