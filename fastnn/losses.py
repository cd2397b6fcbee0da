"""Losses: a number for a batch, and its gradient with respect to the predictions."""

from __future__ import annotations

import numpy as np

import kernels


class Loss:
    """What losses have in common: `loss(predictions, targets)`, then `loss.backward()`.

    A loss that can weigh rows takes their weights (rows,) as a third argument.
    """

    by_element = False
    """Whether the mean is over all elements, not over rows."""
    correct: int
    """Rows of the last batch that were right."""
    _gradient: np.ndarray | None = None

    def __call__(self, predictions, targets, weights=None) -> float:
        """Loss of a batch, with its gradient kept for `backward`."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def _keep(self, result) -> float:
        """Keep what a kernel found, and give the loss."""
        self._gradient, self.correct = result.gradient, result.correct
        return result.loss

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
        return self._keep(kernels.softmax_cross_entropy(logits, targets, weights))


class MSELoss(Loss):
    """Mean of (y - t)^2 over all elements.

    Targets have the shape of the predictions; class indices (rows,) stand for their
    one-hot rows where there is more than one column, and numbers (rows,) for one column.
    `weights` (rows,) weigh the mean. Raises TypeError or ValueError for others.
    """

    by_element = True

    def __call__(self, predictions, targets, weights=None) -> float:
        """Loss of a batch of predictions (rows, columns)."""
        predictions = kernels.arrays.matrix("predictions", predictions)
        targets = regression_targets(targets, predictions.shape[-1], predictions.dtype)
        return self._keep(kernels.mean_squared_error(predictions, targets, weights))


class BCEWithLogitsLoss(Loss):
    """Mean of -(p t log s(z) + (1 - t) log s(-z)) over all elements, s the sigmoid.

    Each column is a yes or no of its own. Targets t, from 0 to 1, have the shape of the
    logits z, or (rows,) for one column; class indices (rows,) stand for their one-hot rows
    where there is more than one column. `pos_weight` p is one number a column (default 1),
    and weighs what should be 1. A row counts as right when all its logits are on the right
    side of 0. Raises TypeError or ValueError for other shapes, dtypes or numbers.
    """

    by_element = True

    def __init__(self, pos_weight=None):
        if pos_weight is not None:
            pos_weight = np.atleast_1d(kernels.arrays.floating("pos_weight", pos_weight))
            if pos_weight.ndim != 1 or not (np.isfinite(pos_weight) & (pos_weight >= 0)).all():
                raise ValueError(
                    "BCEWithLogitsLoss: pos_weight is not a list of numbers of 0 or more, one a "
                    "column"
                )
        self.pos_weight = pos_weight

    def __call__(self, logits, targets, weights=None) -> float:
        """Loss of a batch of logits (rows, columns)."""
        logits = kernels.arrays.matrix("logits", logits)
        columns = logits.shape[1]
        targets = regression_targets(targets, columns, logits.dtype)
        factors = self.factors(columns)
        return self._keep(kernels.binary_cross_entropy(logits, targets, weights, factors))

    def factors(self, columns: int) -> np.ndarray:
        """`pos_weight` of so many columns; raise ValueError if it has another number of them."""
        if self.pos_weight is None:
            return np.ones(columns)
        if self.pos_weight.size not in (1, columns):
            raise ValueError(
                f"BCEWithLogitsLoss: pos_weight has {self.pos_weight.size} numbers; expected "
                f"{columns}, one a column"
            )
        return np.broadcast_to(self.pos_weight, (columns,))

    def __repr__(self) -> str:
        given = "" if self.pos_weight is None else f"pos_weight={self.pos_weight.tolist()}"
        return f"BCEWithLogitsLoss({given})"


def averages_elements(loss) -> bool:
    """Whether a loss, which may be the user's own, is a mean over all elements."""
    return bool(getattr(loss, "by_element", False))


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
