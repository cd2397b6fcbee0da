"""MLPRegressor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from fastnn.estimators.base import CONSTRAINTS, BaseMLP, takes_batches
from fastnn.estimators.network import activate


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron for numbers, as scikit-learn's.

    Parameters and attributes of `sklearn.neural_network.MLPRegressor` mean here what they
    mean there; one `random_state` draws the same weights and batches. `loss` is
    "squared_error" or "poisson", half the Poisson deviance of exp of the last layer.

    Further parameters and attributes are those of `fastnn.estimators.MLPClassifier`, but
    for `class_weight`.
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        dropout=0.0,
        callbacks=None,
        dtype=None,
        threads=None,
        restore_best_weights=True,
    ):
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.callbacks = callbacks
        self.dtype = dtype
        self.threads = threads
        self.restore_best_weights = restore_best_weights

    @available_if(takes_batches)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train one epoch more, on a part of the data, and give the estimator itself.

        Arguments and errors are those of `fit`.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Numbers for samples (samples, features): (samples,), or (samples, outputs)."""
        return _single(activate(self._outputs(X), self.out_activation_))

    # --------------------------------------------------------------------- for the base

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
            dtype=(np.float64, np.float32), reset=reset,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y, y

    def _out_activation(self):
        return "exp" if self.loss == "poisson" else "identity"

    def _score_outputs(self, z, y, weights):
        values = activate(z, self.out_activation_)
        if not np.isfinite(values).all():
            return np.nan
        return r2_score(y, values, sample_weight=weights)


def _single(values: np.ndarray) -> np.ndarray:
    """Rows of one number as the numbers themselves."""
    return values.ravel() if values.shape[1] == 1 else values
