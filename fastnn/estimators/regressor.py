"""MLPRegressor: the estimator for numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from fastnn.estimators.base import CONSTRAINTS, BaseMLP, takes_batches
from fastnn.estimators.network import activate
from fastnn.training.inputs import all_finite
from kernels.base.arrays import FLOATING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from fastnn.training.callbacks.callback import Callback


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron for numbers, compatible with scikit-learn.

    Parameters and attributes of `sklearn.neural_network.MLPRegressor` have the same meaning, and a
    `random_state` draws the same weights and batches. Sparse samples are made dense for training.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default "squared_error"
        Half the squared error, or half the Poisson deviance with exp as output activation.
    hidden_layer_sizes : int or array-like of int, default (100,)
        Widths of the hidden layers.
    activation : {"relu", "tanh", "logistic", "identity"}, default "relu"
        Activation of the hidden layers.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
        Optimizer; "lbfgs" takes all samples at once, the others take batches.
    alpha : float, default 0.0001
        Strength of the L2 penalty, alpha / 2 |W|^2 divided by the samples of a batch.
    batch_size : int or "auto", default "auto"
        Samples of a batch; "auto" takes min(200, samples).
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        Schedule of the learning rate of "sgd": constant, divided by t^power_t after t samples, or
        divided by 5 whenever training stops improving.
    learning_rate_init : float, default 0.001
        Initial learning rate of "sgd" and "adam".
    power_t : float, default 0.5
        Exponent of "invscaling".
    max_iter : int, default 200
        Largest number of epochs, or of iterations of "lbfgs".
    shuffle : bool, default True
        Whether each epoch draws a new order of the samples.
    random_state : int, RandomState or None, default None
        Random generator of initial weights, batches, dropout and the validation split.
    tol : float, default 1e-4
        Least improvement of the loss or the validation score; gradient tolerance of "lbfgs".
    verbose : bool, default False
        Whether the loss of each epoch is printed.
    warm_start : bool, default False
        Whether `fit` starts from the weights of the previous call.
    momentum : float, default 0.9
        Momentum of "sgd", 0 to 1.
    nesterovs_momentum : bool, default True
        Whether "sgd" uses Nesterov's momentum.
    early_stopping : bool, default False
        Whether training ends when the score on held-out samples stops improving.
    validation_fraction : float, default 0.1
        Share of the samples that early stopping holds out.
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay rates of the moments of "adam".
    epsilon : float, default 1e-8
        Constant added to the denominator of "adam".
    n_iter_no_change : int, default 10
        Epochs without improvement after which "sgd" and "adam" stop.
    max_fun : int, default 15000
        Largest number of loss evaluations of "lbfgs".
    dropout : float, default 0.0
        Probability of dropping a hidden unit in training.
    callbacks : list, optional
        Callbacks of training, as in `fastnn.fit`.
    dtype : {"float32", "float64"}, optional
        Dtype of the weights and of the computation; None takes that of `X`.
    threads : int, optional
        Threads to use; None chooses the number by the amount of work.
    restore_best_weights : bool, default True
        Whether early stopping restores the weights of the best score; False keeps the last ones.

    Attributes
    ----------
    coefs_, intercepts_ : list of numpy.ndarray
        Weights (inputs, outputs) and biases (outputs,) of the layers.
    loss_ : float
        Loss of the last epoch.
    n_iter_ : int
        Number of epochs, or of iterations of "lbfgs".
    validation_loss_curve_ : list of float or None
        Loss of the held-out samples after each epoch, without the penalty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.estimators import MLPRegressor
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> estimator = MLPRegressor(hidden_layer_sizes=(16,), solver="lbfgs", random_state=0)
    >>> estimator.fit(X, X.ravel() ** 2).score(X, X.ravel() ** 2) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Sequence[int] | int = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        callbacks: Iterable[Callback] | None = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
        restore_best_weights: bool = True,
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
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train one more epoch on a part of the data, and return the estimator itself.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Samples, targets and weights, as in `fit`.

        Returns
        -------
        MLPRegressor
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted numbers for samples.

        Parameters
        ----------
        X : array-like or sparse matrix
            Samples, (samples, features).

        Returns
        -------
        numpy.ndarray
            Numbers, (samples,) or (samples, outputs).
        """
        return _single(activate(self._outputs(X), self.out_activation_))

    # Hooks of the base class.

    def _validate_input(self, X, y, incremental, reset):
        if not reset and incremental and self._is_plain(X) and _are_plain(y, len(X)):
            return X, y, y
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
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


def _are_plain(y, samples: int) -> bool:
    """Return True for numbers in which scikit-learn's checks, which are slow, find nothing."""
    plain = type(y) is np.ndarray and y.shape == (samples,) and y.dtype in FLOATING
    return plain and all_finite(y)


def _single(values: np.ndarray) -> np.ndarray:
    """Return an array of one column as (samples,), any other array unchanged."""
    return values.ravel() if values.shape[1] == 1 else values
