"""MLPClassifier."""

from __future__ import annotations

from typing import ClassVar

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


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multi-layer perceptron for classes or yes-or-no labels, as scikit-learn's.

    Parameters and attributes of `sklearn.neural_network.MLPClassifier` mean here what they
    mean there; one `random_state` draws the same weights and batches.

    Further parameters: `class_weight` (a dict from label to weight, or "balanced", for
    labels a list of dicts) weighs the loss; `dropout` is the probability with which a
    hidden unit is dropped in training; `callbacks` are those of `fastnn.fit`; `dtype`
    ("float32", "float64") is what the network computes in, None that of `X`; `threads`
    None takes as many as the work pays for; `restore_best_weights=False` keeps the last
    weights after early stopping, not those of the best score.

    Further attribute: `validation_loss_curve_`, the loss of the samples that early stopping
    holds back, after each epoch, without the penalty.

    A sparse `X` is made dense to train on.
    """

    loss = "log_loss"

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **CONSTRAINTS,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
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
        class_weight=None,
        dropout=0.0,
        callbacks=None,
        dtype=None,
        threads=None,
        restore_best_weights=True,
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
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train one epoch more, on a part of the data, and give the estimator itself.

        `classes`, all there will be, is needed in the first call, unless `y` are yes-or-no
        labels; the other arguments and errors are those of `fit`.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer.fit(y if several else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Labels of samples (samples, features): (samples,), or (samples, labels) of 0 and 1."""
        return self._decode(activate(self._outputs(X), self.out_activation_))

    def predict_proba(self, X):
        """Probabilities (samples, classes), columns in the order of `classes_`."""
        probabilities = activate(self._outputs(X), self.out_activation_)
        if self.n_outputs_ == 1:
            return np.hstack([1 - probabilities, probabilities])
        return probabilities

    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`, -inf where a probability is 0."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # --------------------------------------------------------------------- for the base

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
            dtype=(np.float64, np.float32), reset=reset,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        return X, self._indicators(y), y

    def _indicators(self, y) -> np.ndarray:
        """Which class, or which labels, each sample has: (samples, outputs) of bool.

        For classes this is what the binarizer gives, which looks at all of `y` twice more.
        """
        if y.ndim == 1 and len(self.classes_) > 1:
            return y[:, np.newaxis] == self.classes_[1 if len(self.classes_) == 2 else 0 :]
        return self._label_binarizer.transform(y).astype(bool)

    def _check_classes(self, found) -> None:
        """Raise ValueError for other classes than before."""
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
        return self._label_binarizer.inverse_transform(y.ravel() if y.shape[1] == 1 else y)

    def _score_outputs(self, z, y, weights):
        if not np.isfinite(z).all():
            return np.nan
        right = self._decode(activate(z, self.out_activation_)) == y
        right = right if right.ndim == 1 else right.all(axis=1)
        return float(np.average(right, weights=weights))
