"""Losses, which return a number for a batch and its gradient with respect to the predictions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastnn.nn.loss import Loss, regression_targets
from kernels.base import arrays
from kernels.functions.losses import compare, negative_log_likelihood
from kernels.functions.softmax import softmax_cross_entropy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
]


def _weights_of(loss: str, name: str, value, of: str) -> np.ndarray | None:
    """Return weights as an array, or None; raise ValueError unless all are finite and 0 or more."""
    if value is None:
        return None
    array = np.atleast_1d(arrays.floating(name, value)).astype(np.float64)
    if array.ndim != 1 or not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(
            f"{loss}: {name} is {array.tolist()}; expected finite numbers of 0 or more, one a {of}"
        )
    return array


_IGNORE_INDEX = -100  # torch's


class _ClassLoss(Loss):
    """Base of losses for classes, which may have weights and an index to ignore, as in torch."""

    of_classes = True

    def __init__(self, weight: ArrayLike | None = None, ignore_index: int = _IGNORE_INDEX):
        self.weight = weight
        name = f"{type(self).__name__}: ignore_index"
        self.ignore_index = arrays.integer(name, ignore_index, -arrays.LARGEST, arrays.LARGEST)

    @property
    def weight(self) -> np.ndarray | None:
        """Weights of the classes, float64, or None; assigning takes those of an array."""
        return vars(self)["weight"]

    @weight.setter
    def weight(self, value) -> None:
        vars(self)["weight"] = _weights_of(type(self).__name__, "weight", value, "class")

    def factors(self, classes: int) -> np.ndarray:
        """Return a weight for each class; raise ValueError if `weight` has another length."""
        if self.weight is None:
            return np.ones(classes)
        if self.weight.size != classes:
            raise ValueError(
                f"{type(self).__name__}: weight has {self.weight.size} numbers; expected "
                f"{classes}, one a class"
            )
        return self.weight

    def target_columns(self, columns):
        """Return the number of classes; raise ValueError if it is not that of the weights."""
        return self.factors(columns).size

    def read_targets(self, name, targets, samples, columns, dtype):
        """Return class indices, int64; raise TypeError or ValueError for other targets.

        Rows that do not count have `ignore_index`.
        """
        self.factors(columns)  # raises unless the number of weights is right
        ignored = self.ignore_index
        labels, known = arrays.known_indices(name, targets, samples, columns, ignored)
        if known is not None:
            if not known.any():
                raise ValueError(
                    f"{name} holds nothing but ignore_index, {ignored}; expected classes"
                )
            labels[~known] = ignored
        return labels

    def ignored(self, targets):
        """Return which rows have `ignore_index`; None if no row has."""
        if targets.ndim != 1 or (self.ignore_index < 0 <= np.minimum.reduce(targets)):
            return None
        found = targets == self.ignore_index
        return found if found.any() else None

    def labels(self, targets):
        """Return class indices, -1 in the place of an `ignore_index` of 0 or more."""
        if targets.ndim != 1 or self.ignore_index < 0:
            return targets
        return np.where(targets == self.ignore_index, -1, targets)

    def classifies(self, targets, columns):
        """Return True: targets are always classes."""
        return True

    def masses(self, targets, weights, dtype):
        """Return the weights of rows, times those of their classes if targets are class indices."""
        if self.weight is None or targets.ndim != 1:
            return weights
        # Kernels multiply in this dtype, too. The weights of ignored rows are 0.
        of_classes = self.weight.astype(dtype)[targets.clip(0, self.weight.size - 1)]
        return of_classes if weights is None else weights * of_classes

    def _settings(self) -> list[str]:
        """Return the settings that are not the defaults, as texts."""
        given = [] if self.weight is None else [f"weight={self.weight.tolist()}"]
        if self.ignore_index != _IGNORE_INDEX:
            given.append(f"ignore_index={self.ignore_index}")
        return given


class CrossEntropyLoss(_ClassLoss):
    """Cross-entropy of logits z, the mean of -sum_j t_ij log softmax(z)_ij over the rows.

    Targets t are class indices (rows,), or one-hot rows or probabilities (rows, classes).
    `weights` (rows,) weigh the rows. The divisor of the mean is the sum of these weights, for
    class indices each times the weight of its class.

    Parameters
    ----------
    weight : array_like, optional
        Weights c of the classes, (classes,), which replace t_ij by c_j t_ij; 1 by default.
    label_smoothing : float, default 0.0
        Share e of each target that is spread over all classes: t becomes (1 - e) t + e / classes.
    ignore_index : int, default -100
        Class index of rows that do not count: they give no loss and no gradient, and the mean is
        over the others (NaN in a call without others).

    Raises
    ------
    TypeError or ValueError
        If settings are out of range; in a call, if shapes, dtypes or indices are wrong.

    References
    ----------
    C. Szegedy et al., "Rethinking the inception architecture for computer vision", 2016, on label
    smoothing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import CrossEntropyLoss
    >>> loss = CrossEntropyLoss()
    >>> round(loss(np.zeros((1, 4)), [2]), 4)
    1.3863
    >>> loss.backward()
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """

    command_name, link = "cross-entropy", "softmax"

    def __init__(
        self,
        weight: ArrayLike | None = None,
        label_smoothing: float = 0.0,
        ignore_index: int = _IGNORE_INDEX,
    ):
        super().__init__(weight, ignore_index)
        try:
            arrays.number("label_smoothing", label_smoothing, 0.0, 1.0)
        except (TypeError, ValueError) as error:
            raise type(error)(f"CrossEntropyLoss: {error}") from None
        self.label_smoothing = float(label_smoothing)

    def __call__(
        self, logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Return the loss of a batch of logits (rows, classes)."""
        classes = None
        if self.weight is not None:
            classes = self.factors(np.shape(logits)[-1])
        smoothing, ignored = self.label_smoothing, self.ignore_index
        return self._keep(
            softmax_cross_entropy(logits, targets, weights, classes, smoothing, ignored)
        )

    def read_targets(self, name, targets, samples, columns, dtype):
        """Return class indices, int64, or rows of probabilities; raise errors for other targets."""
        if targets.ndim == 1:
            return super().read_targets(name, targets, samples, columns, dtype)
        self.factors(columns)
        rows = Loss.read_targets(self, name, targets, samples, columns, dtype)
        if rows.min() < 0:
            raise ValueError(f"{name} holds {rows.min():g}; CrossEntropyLoss expects probabilities")
        return rows

    def __repr__(self) -> str:
        given = self._settings()
        if self.label_smoothing:
            given.append(f"label_smoothing={self.label_smoothing}")
        return f"CrossEntropyLoss({', '.join(given)})"


class NLLLoss(_ClassLoss):
    """Negative log-likelihood, the mean of -x_i[t_i] over the rows.

    The predictions x are logarithms of probabilities, the output of `LogSoftmax`. Targets t are
    class indices (rows,). `weights` (rows,) weigh the rows. The divisor of the mean is the sum of
    these weights, each times the weight of its class.

    Parameters
    ----------
    weight : array_like, optional
        Weights of the classes, (classes,); 1 by default.
    ignore_index : int, default -100
        Class index of rows that do not count, as for `CrossEntropyLoss`.

    Raises
    ------
    TypeError or ValueError
        If settings are out of range; in a call, if shapes, dtypes or indices are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import NLLLoss
    >>> NLLLoss()(np.array([[-1.0, -3.0]]), [1])
    3.0
    """

    link = "softmax"  # of logarithms of probabilities, which are the probabilities

    def __call__(
        self, log_probabilities: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Return the loss of a batch (rows, classes)."""
        x = arrays.matrix("log_probabilities", log_probabilities)
        if self.weight is not None:
            rows, classes = x.shape
            labels, _ = arrays.known_indices("targets", targets, rows, classes, self.ignore_index)
            weights, _ = arrays.row_weights(weights, rows, x.dtype)
            self.factors(classes)
            weights = self.masses(labels, weights, x.dtype)
        return self._keep(negative_log_likelihood(x, targets, weights, self.ignore_index))

    def __repr__(self) -> str:
        return f"NLLLoss({', '.join(self._settings())})"


class _ElementLoss(Loss):
    """Base of losses that average a function of prediction and target over all elements."""

    by_element = True
    kernel: str
    """Name of the function in `kernels.functions.losses.ERRORS`."""
    _predictions = "predictions"

    def factors(self, columns: int) -> np.ndarray:
        """Return the kernel's factors, one for each column of the predictions."""
        return np.ones(columns)

    def __call__(
        self, predictions: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Return the loss of a batch of predictions (rows, columns)."""
        what = self._predictions
        y = arrays.matrix(what, predictions)
        targets = regression_targets(targets, self.target_columns(y.shape[1]), y.dtype)
        factors = self.factors(y.shape[1])
        return self._keep(compare(self.kernel, y, targets, weights, factors, what=what))


class MSELoss(_ElementLoss):
    """Mean squared error, the mean of (y - t)^2 over all elements.

    Targets t have the shape of the predictions y. For several columns they may also be class
    indices (rows,), which become one-hot rows, and for one column numbers (rows,). `weights`
    (rows,) weigh the mean.

    Raises
    ------
    TypeError or ValueError
        In a call, if shapes or dtypes are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import MSELoss
    >>> loss = MSELoss()
    >>> loss(np.array([[1.0], [4.0]]), [1.0, 2.0])
    2.0
    >>> loss.backward()
    array([[0.],
           [2.]])
    """

    command_name = "mse"
    kernel = "squared"


class L1Loss(_ElementLoss):
    """Mean absolute error, the mean of |y - t| over all elements, with the slope 0 at y = t.

    Targets and weights are as for `MSELoss`.

    Raises
    ------
    TypeError or ValueError
        In a call, if shapes or dtypes are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import L1Loss
    >>> L1Loss()(np.array([[1.0], [4.0]]), [1.0, 2.0])
    1.0
    """

    command_name = "l1"
    kernel = "absolute"


class HuberLoss(_ElementLoss):
    """Huber loss, the mean of h(y - t) over all elements.

    h(e) = e^2 / 2 up to `delta`, beyond it delta (|e| - delta / 2). Targets and weights are
    as for `MSELoss`.

    Parameters
    ----------
    delta : float, default 1.0
        Size of an error beyond which the loss is linear.

    Raises
    ------
    TypeError or ValueError
        If `delta` is not a positive number; in a call, if shapes or dtypes are wrong.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import HuberLoss
    >>> HuberLoss()(np.array([[1.0], [4.0]]), [1.0, 2.0])
    0.75
    """

    command_name = "huber"
    kernel = "huber"

    def __init__(self, delta: float = 1.0):
        if not 0 < delta < np.inf:
            raise ValueError(f"HuberLoss: delta is {delta!r}; expected a number above 0")
        self.delta = float(delta)

    def factors(self, columns):
        """Return `delta` for each column."""
        return np.full(columns, self.delta)

    def __repr__(self) -> str:
        return f"HuberLoss(delta={self.delta})"


class PoissonNLLLoss(_ElementLoss):
    """Negative log-likelihood of counts, the mean of exp(z) - t z over all elements.

    The predictions z are logarithms of the rates of events. Targets t are counts, or other
    numbers of 0 or more; their shapes, and weights, are as for `MSELoss`. It equals torch's
    `PoissonNLLLoss` with default settings.

    Raises
    ------
    TypeError or ValueError
        In a call, if shapes or dtypes are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import PoissonNLLLoss
    >>> PoissonNLLLoss()(np.array([[0.0], [0.0]]), [1.0, 2.0])
    1.0
    """

    kernel, _predictions = "poisson", "log_rates"


class QuantileLoss(_ElementLoss):
    """Quantile or pinball loss, the mean of max(q e, (q - 1) e) with e = t - y over all elements.

    A model trained with this loss predicts quantiles: the target of a sample is below its
    prediction with probability q. Each quantile q has a column of predictions y, and the targets
    t are numbers (rows,) or (rows, 1). A single quantile holds for all columns, with targets as
    for `MSELoss`. The slope at the corner e = 0 is 1/2 - q. `weights` (rows,) weigh the mean.

    Parameters
    ----------
    quantiles : float or array_like
        The quantile q, or one for each column, (columns,); above 0 and below 1.

    Raises
    ------
    TypeError or ValueError
        If quantiles are out of range; in a call, if shapes or dtypes are wrong.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", 1978.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import QuantileLoss
    >>> loss = QuantileLoss([0.25, 0.75])
    >>> loss(np.array([[0.0, 1.0], [1.0, 4.0]]), [1.0, 2.0])
    0.25
    >>> loss.backward()
    array([[-0.0625, -0.0625],
           [-0.0625,  0.0625]])
    """

    kernel = "pinball"

    def __init__(self, quantiles: ArrayLike):
        given = np.atleast_1d(arrays.floating("quantiles", quantiles)).astype(np.float64)
        if given.ndim != 1 or not given.size or not ((given > 0) & (given < 1)).all():
            raise ValueError(
                f"QuantileLoss: quantiles is {given.tolist()}; expected numbers above 0 and below 1"
            )
        self.quantiles = given

    def factors(self, columns: int) -> np.ndarray:
        """Return the quantile of each column; raise ValueError for another number of columns."""
        if self.quantiles.size not in (1, columns):
            raise ValueError(
                f"QuantileLoss: there are {columns} columns of predictions; expected "
                f"{self.quantiles.size}, one a quantile"
            )
        return np.broadcast_to(self.quantiles, (columns,))

    def target_columns(self, columns):
        """Return 1 if there are several quantiles, else the number of columns of predictions."""
        return columns if self.quantiles.size == 1 else 1

    def __call__(
        self, predictions: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Return the loss of a batch of predictions (rows, columns)."""
        y = arrays.matrix(self._predictions, predictions)
        rows = regression_targets(targets, self.target_columns(y.shape[1]), y.dtype)
        if self.quantiles.size > 1:
            # The same shape as the predictions': `read_targets` repeats the column.
            if rows.shape not in ((len(y), 1), y.shape):
                raise ValueError(f"targets has shape {np.shape(targets)}; expected ({len(y)}, 1)")
            rows = np.broadcast_to(rows, y.shape)
        return super().__call__(y, rows, weights)

    def read_targets(self, name, targets, samples, columns, dtype):
        """Return a target for each prediction; raise TypeError or ValueError for other targets."""
        self.factors(columns)  # raises unless the number of columns is right
        rows = super().read_targets(name, targets, samples, columns, dtype)
        return np.ascontiguousarray(np.broadcast_to(rows, (samples, columns)))

    def classifies(self, targets, columns):
        """Return False: targets are always numbers."""
        return False

    def __repr__(self) -> str:
        return f"QuantileLoss(quantiles={self.quantiles.tolist()})"


class GaussianNLLLoss(_ElementLoss):
    """Negative log-likelihood of normal distributions with predicted means and variances.

    The mean of (log v + (t - m)^2 / v) / 2 over all elements. The predictions are (rows, 2 k): k
    columns of means m, then k of variances v. Targets t are (rows, k), or (rows,) for k = 1, and
    `weights` (rows,) weigh the mean. Variances below `eps` count as `eps`, with the gradient at
    `eps`. This includes negative ones, which torch refuses and untrained linear layers may return.
    This gradient is large: a larger `eps`, or `clip_norm`, keeps the first steps small.

    Parameters
    ----------
    full : bool, default False
        Whether to add the constant log(2 pi) / 2.
    eps : float, default 1e-6
        Lower bound of variances, in the square of the targets' unit.

    Raises
    ------
    TypeError or ValueError
        If `eps` is not a positive number; in a call, if shapes or dtypes are wrong.

    References
    ----------
    D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability
    distribution", 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import GaussianNLLLoss
    >>> loss = GaussianNLLLoss()
    >>> loss(np.array([[1.0, 1.0], [4.0, 1.0]]), [1.0, 2.0])
    1.0
    >>> loss.backward()
    array([[ 0.  ,  0.25],
           [ 1.  , -0.75]])
    """

    kernel = "gaussian"

    def __init__(self, *, full: bool = False, eps: float = 1e-6):
        if not 0 < eps < np.inf:
            raise ValueError(f"GaussianNLLLoss: eps is {eps!r}; expected a number above 0")
        self.full, self.eps = bool(full), float(eps)

    def factors(self, columns: int) -> np.ndarray:
        """Return `eps` for each column of means, then the constant for each column of variances."""
        constant = 0.5 * math.log(2 * math.pi) if self.full else 0.0
        return np.repeat([self.eps, constant], self.target_columns(columns))

    def target_columns(self, columns):
        """Return half the number of columns; raise ValueError if that is odd."""
        if columns % 2:
            raise ValueError(
                f"GaussianNLLLoss: there are {columns} columns of predictions; expected as many "
                "variances as means"
            )
        return columns // 2

    def classifies(self, targets, columns):
        """Return False: targets are always numbers."""
        return False

    def __repr__(self) -> str:
        return f"GaussianNLLLoss(full={self.full}, eps={self.eps})"


class BCEWithLogitsLoss(_ElementLoss):
    """Binary cross-entropy of logits z, where each column is a binary classification.

    The mean of -(p t log s(z) + (1 - t) log s(-z)) over all elements, s the sigmoid. Targets t,
    from 0 to 1, have the shape of the logits z, or (rows,) for one column. For several columns
    they may also be class indices (rows,), which become one-hot rows. `weights` (rows,) weigh the
    mean. A row is correct if all its logits are on the right side of 0.

    Parameters
    ----------
    pos_weight : array_like, optional
        Weights p of the positive class, a number for each column or one for all; 1 by default.

    Raises
    ------
    TypeError or ValueError
        If settings are out of range; in a call, if shapes, dtypes or targets are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import BCEWithLogitsLoss
    >>> round(BCEWithLogitsLoss()(np.zeros((2, 1)), [0, 1]), 4)
    0.6931
    """

    kernel, _predictions, link = "binary_cross_entropy", "logits", "sigmoid"

    def __init__(self, pos_weight: ArrayLike | None = None):
        self.pos_weight = _weights_of("BCEWithLogitsLoss", "pos_weight", pos_weight, "column")

    def __call__(
        self, logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Return the loss of a batch of logits (rows, columns)."""
        return super().__call__(logits, targets, weights)

    def factors(self, columns: int) -> np.ndarray:
        """Return `pos_weight` of each column; raise ValueError for another number of columns."""
        if self.pos_weight is None:
            return np.ones(columns)
        if self.pos_weight.size not in (1, columns):
            raise ValueError(
                f"BCEWithLogitsLoss: pos_weight has {self.pos_weight.size} numbers; expected "
                f"{columns}, one a column"
            )
        return np.broadcast_to(self.pos_weight, (columns,))

    def read_targets(self, name, targets, samples, columns, dtype):
        """Return rows of numbers from 0 to 1; raise TypeError or ValueError for other targets."""
        rows = super().read_targets(name, targets, samples, columns, dtype)
        if not (0 <= rows.min() <= rows.max() <= 1):
            raise ValueError(
                f"{name} ranges from {rows.min():g} to {rows.max():g}; BCEWithLogitsLoss expects "
                "numbers from 0 to 1"
            )
        return rows

    def classifies(self, targets, columns):
        """Return True if all targets are 0 or 1, or class indices for several columns."""
        return bool(np.isin(targets, (0, 1)).all()) or (targets.ndim == 1 and columns > 1)

    def __repr__(self) -> str:
        given = "" if self.pos_weight is None else f"pos_weight={self.pos_weight.tolist()}"
        return f"BCEWithLogitsLoss({given})"
