"""MLPClassifier: the estimator for classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import validate_data

from fastnn.estimators.base import CONSTRAINTS, BaseMLP, takes_batches
from fastnn.estimators.network import activate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from fastnn.training.callbacks.callback import Callback


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron for classes or multi-label targets, compatible with scikit-learn.

    Parameters and attributes of `sklearn.neural_network.MLPClassifier` have the same meaning, and
    a `random_state` draws the same weights and batches. The loss is the cross-entropy. Sparse
    samples are made dense for training.

    Parameters
    ----------
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
    class_weight : dict, list of dict or "balanced", optional
        Weights of the classes in the loss: a dict from label to weight, for multi-label targets a
        list of dicts, or "balanced": samples / (classes * class's samples).
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
    classes_ : numpy.ndarray
        Labels of the classes.
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
    >>> from fastnn.datasets import disk
    >>> from fastnn.estimators import MLPClassifier
    >>> data = disk(n_train=300, n_test=100)
    >>> estimator = MLPClassifier((16,), solver="lbfgs", random_state=0)
    >>> estimator.fit(data.x_train, data.y_train).score(data.x_test, data.y_test) > 0.9
    True
    """

    loss = "log_loss"

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **CONSTRAINTS,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
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
        class_weight: Mapping[Any, float] | str | None = None,
        dropout: float = 0.0,
        callbacks: Iterable[Callback] | None = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
        restore_best_weights: bool = True,
    ):
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
        self.class_weight = class_weight
        self.dropout = dropout
        self.callbacks = callbacks
        self.dtype = dtype
        self.threads = threads
        self.restore_best_weights = restore_best_weights

    @available_if(takes_batches)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train one more epoch on a part of the data, and return the estimator itself.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Samples, targets and weights, as in `fit`.
        classes : array-like, optional
            All labels of the classes; needed in the first call, unless `y` is multi-label.

        Returns
        -------
        MLPClassifier
            The estimator itself.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer.fit(y if several else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted labels of samples.

        Parameters
        ----------
        X : array-like or sparse matrix
            Samples, (samples, features).

        Returns
        -------
        numpy.ndarray
            Labels (samples,), or for multi-label targets (samples, labels) of 0 and 1.
        """
        return self._decode(activate(self._outputs(X), self.out_activation_))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix
            Samples, (samples, features).

        Returns
        -------
        numpy.ndarray
            Probabilities, (samples, classes), in the order of `classes_`.
        """
        probabilities = activate(self._outputs(X), self.out_activation_)
        if self.n_outputs_ == 1:
            return np.hstack([1 - probabilities, probabilities])
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix
            Samples, (samples, features).

        Returns
        -------
        numpy.ndarray
            Logarithms of `predict_proba`, -inf for a probability of 0.
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # Hooks of the base class.

    def _validate_input(self, X, y, incremental, reset):
        if not reset and incremental and self._is_plain(X) and self._are_known(y, len(X)):
            return X, self._indicators(y), y
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        return X, self._indicators(y), y

    def _are_known(self, y, samples: int) -> bool:
        """Return True for labels of known classes, in which scikit-learn finds nothing."""
        classes = self.classes_
        if type(y) is not np.ndarray or y.shape != (samples,) or y.dtype != classes.dtype:
            return False
        if y.dtype.hasobject or len(classes) < 2 or self.warm_start:
            return False
        places = np.searchsorted(classes, y)
        return bool((classes.take(places, mode="clip") == y).all())

    def _indicators(self, y) -> np.ndarray:
        """Return the classes or labels of samples one-hot encoded, (samples, outputs) of bool.

        For classes the comparison gives the binarizer's result with two passes over `y` fewer.
        """
        if y.ndim == 1 and len(self.classes_) > 1:
            return y[:, np.newaxis] == self.classes_[1 if len(self.classes_) == 2 else 0 :]
        return self._label_binarizer.transform(y).astype(bool)

    def _check_classes(self, found) -> None:
        """Raise ValueError for classes that differ from those of the first call."""
        if self.warm_start:
            if set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous "
                    f"call to fit. Previously got {self.classes_}, `y` has {found}"
                )
        elif len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. `self.classes_` has "
                f"{self.classes_}. 'y' has {found}."
            )

    def _weigh_classes(self, weights, labels, incremental):
        if self.class_weight is None:
            return weights
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight is 'balanced', which a part of the data cannot tell; give "
                "partial_fit a dict, such as sklearn.utils.compute_class_weight computes"
            )
        of_classes = compute_sample_weight(self.class_weight, labels)
        return of_classes if weights is None else weights * of_classes

    def _out_activation(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _decode(self, y):
        # As the binarizer does, which takes long for few rows.
        if self._label_binarizer.y_type_ == "multiclass":
            return self.classes_.take(y.argmax(axis=1))
        if y.shape[1] == 1 and len(self.classes_) == 2:
            return self.classes_.take(y[:, 0] > 0.5)
        return self._label_binarizer.inverse_transform(y.ravel() if y.shape[1] == 1 else y)

    def _score_outputs(self, z, y, weights):
        if not np.isfinite(z).all():
            return np.nan
        right = self._decode(activate(z, self.out_activation_)) == y
        right = right if right.ndim == 1 else right.all(axis=1)
        return float(np.average(right, weights=weights))
