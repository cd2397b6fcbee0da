"""Losses: a number for a batch, and its gradient with respect to the predictions."""

from __future__ import annotations

import numpy as np

import kernels
from kernels.functions.losses import compare


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

    def masses(self, targets: np.ndarray, weights: np.ndarray | None, dtype) -> np.ndarray | None:
        """What the mean is divided by, a number for each row; None where each counts 1.

        `targets` and `weights` are arrays of rows, `dtype` is that of the predictions.
        """
        return weights

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


def _weights_of(loss: str, name: str, value, of: str) -> np.ndarray | None:
    """A list of weights, or None; raises ValueError for numbers that are not finite, or below 0."""
    if value is None:
        return None
    array = np.atleast_1d(kernels.base.arrays.floating(name, value)).astype(np.float64)
    if array.ndim != 1 or not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(
            f"{loss}: {name} is {array.tolist()}; expected finite numbers of 0 or more, one a {of}"
        )
    return array


class _ClassLoss(Loss):
    """A loss of classes, which may have weights: torch's `weight`."""

    def __init__(self, weight=None):
        self.weight = _weights_of(type(self).__name__, "weight", weight, "class")

    def factors(self, classes: int) -> np.ndarray:
        """`weight` of so many classes; raises ValueError if it has another number of them."""
        if self.weight is None:
            return np.ones(classes)
        if self.weight.size != classes:
            raise ValueError(
                f"{type(self).__name__}: weight has {self.weight.size} numbers; expected "
                f"{classes}, one a class"
            )
        return self.weight

    def masses(self, targets, weights, dtype):
        """Weights of rows, times those of their classes where the targets are class indices."""
        if self.weight is None or targets.ndim != 1:
            return weights
        of_classes = self.weight.astype(dtype)[targets]  # as kernels multiply them, in that dtype
        return of_classes if weights is None else weights * of_classes


class CrossEntropyLoss(_ClassLoss):
    """Mean of -sum_j t_ij log softmax(z)_ij over the rows.

    Targets are class indices (rows,), one-hot or probabilities (rows, classes). With
    `label_smoothing` e (C. Szegedy et al., 2016) they become (1 - e) t + e / classes, and
    `weight` c (classes,) makes that c_j t_ij. `weights` (rows,) weigh the rows. The sum is
    divided by that of the weights of rows, for class indices times those of their classes.
    Raises TypeError or ValueError for other shapes, dtypes, or indices out of range.
    """

    def __init__(self, weight=None, label_smoothing: float = 0.0):
        super().__init__(weight)
        try:
            kernels.base.arrays.number("label_smoothing", label_smoothing, 0.0, 1.0)
        except (TypeError, ValueError) as error:
            raise type(error)(f"CrossEntropyLoss: {error}") from None
        self.label_smoothing = float(label_smoothing)

    def __call__(self, logits, targets, weights=None) -> float:
        """Loss of a batch of logits (rows, classes)."""
        classes = None
        if self.weight is not None:
            classes = self.factors(np.shape(logits)[-1])
        return self._keep(
            kernels.softmax_cross_entropy(logits, targets, weights, classes, self.label_smoothing)
        )

    def __repr__(self) -> str:
        given = [] if self.weight is None else [f"weight={self.weight.tolist()}"]
        if self.label_smoothing:
            given.append(f"label_smoothing={self.label_smoothing}")
        return f"CrossEntropyLoss({', '.join(given)})"


class NLLLoss(_ClassLoss):
    """Mean of -x_i[t_i] over the rows, for logarithms of probabilities, as `LogSoftmax` gives.

    Targets are class indices (rows,); `weight` (classes,) and `weights` (rows,) are as in
    `CrossEntropyLoss`. Raises TypeError or ValueError for other shapes, dtypes, or indices
    out of range.
    """

    def __call__(self, log_probabilities, targets, weights=None) -> float:
        """Loss of a batch (rows, classes)."""
        x = kernels.base.arrays.matrix("log_probabilities", log_probabilities)
        if self.weight is not None:
            labels = kernels.base.arrays.class_indices("targets", targets, *x.shape)
            weights, _ = kernels.base.arrays.row_weights(weights, len(x), x.dtype)
            self.factors(x.shape[1])
            weights = self.masses(labels, weights, x.dtype)
        return self._keep(kernels.negative_log_likelihood(x, targets, weights))

    def __repr__(self) -> str:
        return f"NLLLoss({'' if self.weight is None else f'weight={self.weight.tolist()}'})"


class _ErrorLoss(Loss):
    """A mean over all elements of what a prediction misses its target by."""

    by_element = True

    def __call__(self, predictions, targets, weights=None) -> float:
        """Loss of a batch of predictions (rows, columns)."""
        predictions = kernels.base.arrays.matrix("predictions", predictions)
        targets = regression_targets(targets, predictions.shape[-1], predictions.dtype)
        factors = self.factors(predictions.shape[1])
        return self._keep(compare(self.kernel, predictions, targets, weights, factors))

    kernel: str
    """Name of the loss in `kernels.functions.losses.ERRORS`."""

    def factors(self, columns: int) -> np.ndarray:
        """Return the numbers that the kernel takes, one for each of so many columns."""
        return np.ones(columns)


class MSELoss(_ErrorLoss):
    """Mean of (y - t)^2 over all elements.

    Targets have the shape of the predictions; class indices (rows,) stand for their
    one-hot rows where there is more than one column, and numbers (rows,) for one column.
    `weights` (rows,) weigh the mean. Raises TypeError or ValueError for others.
    """

    kernel = "squared"


class L1Loss(_ErrorLoss):
    """Mean of |y - t| over all elements, whose slope at 0 is 0; targets as for `MSELoss`."""

    kernel = "absolute"


class HuberLoss(_ErrorLoss):
    """Mean of h(y - t): h(e) = e^2 / 2 up to `delta`, beyond it delta (|e| - delta / 2).

    Targets are as for `MSELoss`. Raises ValueError unless `delta` is a positive number.
    """

    kernel = "huber"

    def __init__(self, delta: float = 1.0):
        if not 0 < delta < np.inf:
            raise ValueError(f"HuberLoss: delta is {delta!r}; expected a number above 0")
        self.delta = float(delta)

    def factors(self, columns: int) -> np.ndarray:
        """Return `delta`, for each column."""
        return np.full(columns, self.delta)

    def __repr__(self) -> str:
        return f"HuberLoss(delta={self.delta})"


class PoissonNLLLoss(_ErrorLoss):
    """Mean of exp(z) - t z over all elements, for logarithms z of the rates of events.

    Targets t are counts, or other numbers of 0 or more, otherwise as for `MSELoss`; it is
    torch's `PoissonNLLLoss` as that is by default. Raises TypeError or ValueError for others.
    """

    kernel = "poisson"


class BCEWithLogitsLoss(Loss):
    """Mean of -(p t log s(z) + (1 - t) log s(-z)) over all elements, s the sigmoid.

    Each column is a yes or no of its own. Targets t, from 0 to 1, have the shape of the
    logits z, or (rows,) for one column; class indices (rows,) stand for their one-hot rows
    where there is more than one column. `pos_weight` p is one number a column (default 1),
    and weighs what should be 1. A row counts as right when all its logits are on the right
    side of 0. Raises TypeError or ValueError for other shapes, dtypes or numbers.
    """

    by_element = True
    kernel = "binary_cross_entropy"

    def __init__(self, pos_weight=None):
        self.pos_weight = _weights_of("BCEWithLogitsLoss", "pos_weight", pos_weight, "column")

    def __call__(self, logits, targets, weights=None) -> float:
        """Loss of a batch of logits (rows, columns)."""
        logits = kernels.base.arrays.matrix("logits", logits)
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


def masses_of(loss, targets: np.ndarray, weights: np.ndarray | None, dtype) -> np.ndarray | None:
    """What the mean of a loss, which may be the user's own, is divided by; None for ones."""
    own = getattr(loss, "masses", None)
    return weights if own is None else own(targets, weights, dtype)


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
    labels = kernels.base.arrays.class_indices("targets", targets, len(targets), columns)
    return kernels.base.arrays.one_hot(labels, columns, dtype)
