"""The base class of the two estimators: parameters, validation, fitting and attributes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import pairwise
from numbers import Integral, Real
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, _fit_context, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn.estimators.epochs import Epochs
from fastnn.estimators.lbfgs import minimize
from fastnn.estimators.network import Network, outputs
from fastnn.estimators.stochastic import Stochastic, Validation, check_finite, make_optimizer
from fastnn.nn.layer import named_dtype
from fastnn.training.inputs import all_finite
from kernels.base.arrays import FLOATING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


STOCHASTIC = ("sgd", "adam")
"""Solvers that train on batches."""

_ROWS = 4096  # samples predicted at a time
_KEPT = 2**16  # largest size of X whose program `partial_fit` keeps for the next call

CONSTRAINTS: dict[str, list] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
    "solver": [StrOptions({"lbfgs", *STOCHASTIC})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "callbacks": [list, tuple, None],
    "dtype": [StrOptions({"float32", "float64"}), type, np.dtype, None],
    "threads": [Interval(Integral, 1, None, closed="left"), None],
    "restore_best_weights": ["boolean"],
}
"""Valid values of the parameters; `fit` checks again whether dtypes are floating."""


class BaseMLP(BaseEstimator):
    """Base class of the two estimators, with validation, fitting and prediction."""

    _parameter_constraints: ClassVar[dict[str, list]] = CONSTRAINTS

    # Set by the constructors of the two estimators.
    hidden_layer_sizes: Any
    activation: str
    solver: str
    loss: str
    alpha: float
    batch_size: Any
    shuffle: bool
    random_state: Any
    max_iter: int
    warm_start: bool
    early_stopping: bool
    validation_fraction: float
    dropout: float
    callbacks: Iterable | None
    dtype: Any
    threads: int | None

    _last: tuple[tuple, Epochs] | None = None
    """Key and epochs of the previous `partial_fit`."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the network to samples, and return the estimator itself.

        Parameters
        ----------
        X : array-like or sparse matrix
            Samples, (samples, features).
        y : array-like
            Targets, (samples,) or (samples, outputs).
        sample_weight : array-like, optional
            Weights of the samples in the loss, (samples,).

        Returns
        -------
        object
            The estimator itself.

        Raises
        ------
        ValueError
            For data that scikit-learn refuses, and if weights become infinite or NaN.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    # ------------------------------------------------------------------------- fitting

    def _fit(self, X, y, sample_weight, incremental: bool):
        sizes = self.hidden_layer_sizes
        sizes = list(map(index, sizes if hasattr(sizes, "__iter__") else [sizes]))
        if min(sizes, default=1) <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y, labels = self._validate_input(X, y, incremental, first)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        weights = self._weigh_classes(weights, labels, incremental)
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        dtype = self._dtype(X)
        if first:
            self._initialize([X.shape[1], *sizes, self.n_outputs_], dtype)
        else:
            self._check_continues(sizes)
        network = self._build(keep=incremental and not first)
        X = dense(X, network.dtype)
        if self.solver == "lbfgs":
            minimize(self, network, X, y, weights)
        else:
            self._fit_batches(network, X, y, weights, incremental)
        check_finite(network)
        return self

    def _check_continues(self, sizes: list[int]) -> None:
        """Raise ValueError for settings that the weights of the previous call do not have.

        Curves that its solver or `early_stopping` did not need begin now.
        """
        before = [coef.shape[1] for coef in self.coefs_[:-1]]
        if sizes != before:
            raise ValueError(
                f"hidden_layer_sizes is {sizes}, and the previous call had {before}; expected the "
                "same to go on with its weights, or fit with warm_start=False"
            )
        if self.out_activation_ != self._out_activation():
            raise ValueError(
                f"the output activation would be {self._out_activation()!r}, and the previous call "
                f"had {self.out_activation_!r}; expected the same to go on with its weights, or "
                "fit with warm_start=False"
            )
        scores = getattr(self, "validation_scores_", None)
        if self.solver in STOCHASTIC and (
            not hasattr(self, "loss_curve_") or (scores is not None) != self.early_stopping
        ):
            self._begin_curves()

    def _fit_batches(self, network: Network, X, y, weights, incremental: bool) -> None:
        validation = None
        if self.early_stopping:
            X, y, weights, validation = self._hold_back(network, X, y, weights)
        settings = self._batch_size(len(X)), self.alpha, self.threads
        keep = incremental and weights is None and X.size <= _KEPT
        epochs = self._make_epochs(network, X, y, weights, settings, incremental, keep)
        try:
            run = Stochastic(self, network, epochs, validation)
            run.run(self._random_state, int(self.max_iter), incremental)
        finally:
            epochs.close()
        if keep and epochs.threads == 1:
            self._last = (network, X.shape, settings), epochs

    def _make_epochs(
        self,
        network: Network,
        X,
        y,
        weights,
        settings: tuple[int, float, int | None],
        incremental: bool,
        keep: bool,
    ) -> Epochs:
        """Return epochs for samples; reuse those of the last `partial_fit` if shapes are equal.

        Making a program takes longer than running it on few samples.
        """
        last, self._last = self._last, None
        if keep and last is not None and last[0] == (network, X.shape, settings):
            last[1].take(X, y)
            return last[1]
        if keep:  # the next call writes its samples into these
            X, y = np.array(X), np.array(y)
        most = 1 if incremental else int(self.max_iter)
        return Epochs(network, X, y, weights, *settings, most)

    def _hold_back(self, network: Network, X, y, weights):
        """Return training samples and the validation of held-out ones, split as in scikit-learn."""
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        arrays = [X, y] if weights is None else [X, y, weights]
        parts = train_test_split(
            *arrays,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        held = parts[1::2]
        if len(held[0]) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        if weights is not None and not all(each[-1].any() for each in (parts[::2], held)):
            raise ValueError("Sample weights must contain at least one non-zero number.")
        x_held, y_held, weights_held = [*held, None][:3]
        x_held, labels = np.ascontiguousarray(x_held), self._decode(y_held)
        validation = Validation(self, network, x_held, y_held, labels, weights_held, self.threads)
        x_train, y_train, weights_train = [*parts[::2], None][:3]
        return np.ascontiguousarray(x_train), y_train, weights_train, validation

    def _batch_size(self, samples: int) -> int:
        if self.batch_size == "auto":
            return min(200, samples)
        if self.batch_size > samples:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=6,
            )
        return int(min(self.batch_size, samples))

    def _dtype(self, X) -> np.dtype:
        if self.dtype is None:
            return X.dtype
        dtype = named_dtype(self.dtype)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype is {self.dtype!r}; expected float32, float64 or None")
        return dtype

    def _initialize(self, sizes: list[int], dtype) -> None:
        """Draw initial weights as X. Glorot and Y. Bengio (2010) propose, and set attributes."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._out_activation()
        self.coefs_, self.intercepts_ = [], []
        for inputs, width in pairwise(sizes):
            bound = np.sqrt((2.0 if self.activation == "logistic" else 6.0) / (inputs + width))
            uniform = self._random_state.uniform
            self.coefs_.append(uniform(-bound, bound, (inputs, width)).astype(dtype, copy=False))
            self.intercepts_.append(uniform(-bound, bound, width).astype(dtype, copy=False))
        if self.solver in STOCHASTIC:
            self._begin_curves()

    def _begin_curves(self) -> None:
        """Set the attributes that watch epochs to those before the first one."""
        early = self.early_stopping
        self._best_coefs = [array.copy() for array in self.coefs_]
        self._best_intercepts = [array.copy() for array in self.intercepts_]
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_ = None if early else np.inf
        self.validation_scores_: list[float] | None = [] if early else None
        self.validation_loss_curve_: list[float] | None = [] if early else None
        self.best_validation_score_ = -np.inf if early else None

    def _build(self, keep: bool) -> Network:
        """Return a network with the weights; with `keep` reuse network and optimizer state."""
        before: Network | None = getattr(self, "_network", None)
        settings = self.activation, self.out_activation_, self.dropout
        if keep and before is not None and before.holds(self.coefs_, self.intercepts_, settings):
            return before
        network = Network(self.coefs_, self.intercepts_, *settings)
        for stream, layer in enumerate(network.dropouts):
            layer.reseed(self._random_state.randint(2**31), stream)
        if self.solver in STOCHASTIC:
            network.optimizer = make_optimizer(self, network)
            state = getattr(self, "_optimizer_state", None)
            if before is not None and before.resembles(network):  # its arrays were replaced
                state = before.optimizer.state_dict()
            if keep and state is not None:
                network.optimizer.load_state_dict(state)
        self._optimizer_state = None
        self._network, self.coefs_, self.intercepts_ = network, network.coefs, network.intercepts
        return network

    def __getstate__(self):
        # Programs cannot be pickled; the optimizer's state is pickled in place of the network.
        state = dict(super().__getstate__())
        network = state.pop("_network", None)
        state.pop("_last", None)
        if network is not None and self.solver in STOCHASTIC:
            state["_optimizer_state"] = network.optimizer.state_dict()
        return state

    # ---------------------------------------------------------------------- prediction

    def _outputs(self, X) -> np.ndarray:
        """Return the network's outputs for samples, before the output activation."""
        if not self._is_plain(X):
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
            X = X.tocsr() if scipy.sparse.issparse(X) else X
        dtype, samples = self._dtype_of_outputs(X), X.shape[0]
        coefs = [each.astype(dtype, copy=False) for each in self.coefs_]
        intercepts = [each.astype(dtype, copy=False) for each in self.intercepts_]
        weights = coefs, intercepts, self.activation
        if samples <= _ROWS:
            return outputs(dense(X, dtype), *weights)
        return np.concatenate(
            [outputs(dense(X[i : i + _ROWS], dtype), *weights) for i in range(0, samples, _ROWS)]
        )

    def _dtype_of_outputs(self, X) -> np.dtype:
        """Return the dtype to predict in: NumPy's of the samples and the weights, or `dtype`."""
        own = self.coefs_[0].dtype
        if self.dtype is not None or X.dtype == own:
            return own
        return own if np.result_type(X.dtype, own) == own else np.dtype(np.float64)

    def _is_plain(self, X) -> bool:
        """Return True for samples in which scikit-learn's check, which is slow, finds nothing."""
        if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in FLOATING or X.size == 0:
            return False
        own = vars(self)
        known = "coefs_" in own and "feature_names_in_" not in own
        return known and X.shape[1] == own.get("n_features_in_") and all_finite(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ------------------------------------------------------- hooks of the subclasses

    def _validate_input(self, X, y, incremental: bool, reset: bool):
        """Return samples, targets as numbers, and targets as given."""
        raise NotImplementedError

    def _weigh_classes(self, weights, labels, incremental: bool):
        """Return the weights of samples times those of their classes."""
        return weights

    def _out_activation(self) -> str:
        """Return the name of the output activation."""
        raise NotImplementedError

    def _decode(self, y):
        """Return targets for `_score_outputs` from rows of numbers."""
        return y

    def _score_outputs(self, z, y, weights) -> float:
        """Return the score of outputs before their activation; NaN if they are not finite."""
        raise NotImplementedError


def takes_batches(estimator) -> bool:
    """Return True if an estimator has `partial_fit`; otherwise raise AttributeError."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. "
            f"{estimator.solver} is not stochastic."
        )
    return True


def dense(X, dtype) -> np.ndarray:
    """Return the samples of an array or a sparse matrix as a contiguous array of a dtype."""
    if scipy.sparse.issparse(X):
        X = X.toarray()
    return np.ascontiguousarray(X, dtype)
