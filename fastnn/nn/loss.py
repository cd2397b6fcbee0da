"""The base class of losses, and the description of a loss of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.base import arrays

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


class Loss:
    """Base class of losses: call `loss(predictions, targets)`, then `loss.backward()`.

    A loss that can weigh rows takes their weights (rows,) as a third argument. The other
    attributes and methods describe a loss to the rest of fastnn.
    """

    command_name: str | None = None
    """Name on the command line; None if the loss is not offered there."""
    of_classes = False
    """True if targets are classes, and predictions are logits or logarithms of probabilities."""
    by_element = False
    """True if the mean is over all elements of the targets, not over rows."""
    link: str | None = None
    """Function that makes probabilities of predictions: softmax or sigmoid; None for others."""
    correct: int
    """Number of correct rows of the last batch."""
    _gradient: np.ndarray | None = None

    def __call__(
        self, predictions: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Compute and return the loss of a batch, and keep its gradient for `backward`."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def backward(self) -> np.ndarray:
        """Return the gradient of the last loss with respect to its predictions."""
        if self._gradient is None:
            raise RuntimeError(f"{type(self).__name__}: backward() before a loss was computed")
        return self._gradient

    def target_columns(self, columns: int) -> int:
        """Return the number of columns of the targets for that of the predictions."""
        return columns

    def read_targets(
        self, name: str, targets: np.ndarray, samples: int, columns: int, dtype: DTypeLike
    ) -> np.ndarray:
        """Return targets in the form that programs read: int64 class indices, or rows of `dtype`.

        `columns` is the number of columns of the predictions. Raises TypeError or ValueError, with
        the `name` of the targets, for other shapes or dtypes, and for numbers that are not finite
        or that the loss does not take.
        """
        expected = samples, self.target_columns(columns)
        array = arrays.floating(name, regression_targets(targets, expected[1], dtype))
        if array.shape != expected:
            raise ValueError(f"{name} has shape {targets.shape}; expected {expected}")
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(array, dtype)
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} holds numbers that are not finite in {dtype}")
        return rows

    def classifies(self, targets: np.ndarray, columns: int) -> bool:
        """Return True if accuracy is defined: each row has one class of several columns."""
        if targets.ndim == 1:
            return columns > 1 and targets.dtype.kind in "iub"
        return columns > 1 and bool(
            np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all()
        )

    def terms(self, targets: np.ndarray) -> int:
        """Return the number of terms of a row in the mean, for targets from `read_targets`."""
        return targets.shape[1] if self.by_element else 1

    def ignored(self, targets: np.ndarray) -> np.ndarray | None:
        """Return which rows do not count, as bools (rows,), or None if all do.

        `targets` come from `read_targets`. Such rows are given the weight 0.
        """
        return None

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """Return targets from `read_targets` as programs read them: negative for ignored rows."""
        return targets

    def masses(
        self, targets: np.ndarray, weights: np.ndarray | None, dtype: DTypeLike
    ) -> np.ndarray | None:
        """Return each row's share of the mean's divisor, or None if all rows count 1.

        `targets` and `weights` are arrays of rows, `dtype` is that of the predictions.
        """
        return weights

    def _keep(self, result) -> float:
        """Keep the gradient of a kernel's result, and return the loss."""
        self._gradient, self.correct = result.gradient, result.correct
        return result.loss

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Own(Loss):
    """Description of a user's own loss that is not derived from `Loss`; it does not compute.

    It takes the loss's `by_element` and `masses` if there are any, else the defaults.
    """

    def __init__(self, loss: Any):
        self.by_element = bool(getattr(loss, "by_element", False))
        self._masses = getattr(loss, "masses", None) or super().masses

    def masses(self, targets, weights, dtype):
        """Return the masses by the loss's own method, or the weights."""
        return self._masses(targets, weights, dtype)


def as_loss(loss: Any) -> Loss:
    """Return the loss, or if it is not derived from `Loss` a description of it.

    A loss of the user's own needs only `backward`; optional `by_element` and `masses` define
    the divisor of its mean.
    """
    return loss if isinstance(loss, Loss) else _Own(loss)


def regression_targets(targets, columns: int, dtype) -> np.ndarray:
    """Return targets as rows of numbers, for this number of columns.

    Class indices become one-hot rows if there are several columns. Raises ValueError for an
    index out of range; the caller compares shapes.
    """
    targets = np.asarray(targets)
    if targets.ndim != 1:
        return targets
    if columns == 1:
        return targets[:, None]
    if targets.dtype.kind not in "iub":
        return targets
    labels = arrays.class_indices("targets", targets, len(targets), columns)
    return arrays.one_hot(labels, columns, dtype)
