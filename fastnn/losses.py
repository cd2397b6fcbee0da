"""Losses: a number for a batch, and its gradient with respect to the predictions."""

from __future__ import annotations

import numpy as np

import kernels


class Loss:
    """What losses have in common: `loss(predictions, targets)`, then `loss.backward()`."""

    _gradient: np.ndarray | None = None

    def __call__(self, predictions, targets) -> float:
        """Loss of a batch, with its gradient kept for `backward`."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def backward(self) -> np.ndarray:
        """Gradient of the last loss with respect to its predictions."""
        if self._gradient is None:
            raise RuntimeError(f"{type(self).__name__}: backward() before a loss was computed")
        return self._gradient

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CrossEntropyLoss(Loss):
    """Mean of -sum_j t_ij log softmax(z)_ij over the rows.

    Targets are class indices (rows,), one-hot or probabilities (rows, classes);
    `weights` (rows,) weigh the mean. Raises TypeError or ValueError for other shapes,
    dtypes, or indices out of range.
    """

    def __call__(self, logits, targets, weights=None) -> float:
        """Loss of a batch of logits (rows, classes)."""
        result = kernels.softmax_cross_entropy(logits, targets, weights)
        self._gradient, self.correct = result.gradient, result.correct
        return result.loss


class MSELoss(Loss):
    """Mean of (y - t)^2 over all elements.

    Targets have the shape of the predictions; class indices (rows,) stand for their
    one-hot rows where there is more than one column, and numbers (rows,) for one column.
    """

    def __call__(self, predictions, targets) -> float:
        """Loss of a batch of predictions (rows, columns)."""
        predictions = kernels.arrays.matrix("predictions", predictions)
        targets = regression_targets(targets, predictions.shape[-1], predictions.dtype)
        result = kernels.mean_squared_error(predictions, targets)
        self._gradient, self.correct = result.gradient, result.correct
        return result.loss


def regression_targets(targets, columns: int, dtype) -> np.ndarray:
    """Targets of a regression on so many columns, as rows of numbers.

    Class indices become one-hot rows where there is more than one column. Raises
    ValueError for an index out of range; other shapes are left to be compared.
    """
    targets = np.asarray(targets)
    if targets.ndim != 1:
        return targets
    if columns == 1:
        return targets[:, None]
    if targets.dtype.kind not in "iub":
        return targets
    labels = kernels.arrays.class_indices("targets", targets, len(targets), columns)
    rows = np.zeros((len(targets), columns), dtype)
    rows[np.arange(len(targets)), labels] = 1
    return rows
