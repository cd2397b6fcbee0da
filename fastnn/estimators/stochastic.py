"""The solvers `sgd` and `adam`: epochs until loss or validation score stops improving."""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastnn.estimators.epochs import Epochs
from fastnn.estimators.network import Network, row_losses
from fastnn.estimators.outputs import Outputs
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.optimizers import SGD, Adam
from fastnn.training.callbacks.callback import listeners, notify
from fastnn.training.history import History
from fastnn.training.training import Training

_SMALLEST_RATE = 1e-6  # training ends when an adaptive learning rate has fallen to this
_SLOWING = 5.0  # divisor of an adaptive learning rate
_NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


def make_optimizer(estimator, network: Network) -> Optimizer:
    """Return the optimizer that an estimator's parameters describe."""
    parameters, lr = network.model.parameters(), float(estimator.learning_rate_init)
    if estimator.solver == "adam":
        betas = float(estimator.beta_1), float(estimator.beta_2)
        return Adam(parameters, lr, betas, float(estimator.epsilon))
    momentum = float(estimator.momentum)
    nesterov = bool(estimator.nesterovs_momentum) and momentum > 0
    return SGD(parameters, lr, momentum, nesterov=nesterov)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate and rescale the velocity, which contains it in scikit-learn."""
    for arrays in optimizer.memory.values():
        for array in arrays:
            array *= optimizer.lr / rate
    optimizer.lr = rate


class Validation:
    """Validation of a network: its score and loss on held-out samples."""

    def __init__(self, estimator, network: Network, x, y, labels, weights, threads):
        self._estimator, self._y, self._labels, self._weights = estimator, y, labels, weights
        self._kind = network.out_activation
        self._outputs = Outputs(network, x, threads)

    def compute(self) -> tuple[float, float]:
        """Return the current score and loss; the score is NaN if outputs are not finite."""
        z = self._outputs.compute()
        with np.errstate(over="ignore", invalid="ignore"):
            losses = row_losses(z, self._y, self._kind)
            loss = float(np.average(losses, weights=self._weights))
        return self._estimator._score_outputs(z, self._labels, self._weights), loss


class Stochastic:
    """Run of `fit` or `partial_fit` on batches, which sets the estimator's attributes."""

    def __init__(self, estimator, network: Network, epochs: Epochs, validation: Validation | None):
        self._estimator, self._network = estimator, network
        self._epochs, self._validation = epochs, validation
        self._callbacks = listeners(estimator.callbacks or ())
        self._training = Training(network.model, network.loss, network.optimizer, History())
        self._training.epochs = int(estimator.max_iter)
        self._training.validating = validation is not None
        self._training.batches = self._training.batch = epochs.batches

    def run(self, random_state, most: int, incremental: bool) -> None:
        """Train up to `most` epochs, or one if `incremental`."""
        estimator = self._estimator
        estimator.n_iter_ = 0
        notify(self._callbacks, "on_train_begin", self._training)
        try:
            for _ in range(most):
                stopping = self._epoch(random_state) or self._training.stop
                if incremental or stopping:
                    break
                if estimator.n_iter_ == most:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({most}) reached and the "
                        "optimization hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=5,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        finally:
            notify(self._callbacks, "on_train_end", self._training)
            if self._validation is not None and estimator.restore_best_weights:
                _copy(estimator._best_coefs, self._network.coefs)
                _copy(estimator._best_intercepts, self._network.intercepts)

    def _epoch(self, random_state) -> bool:
        """Train an epoch; return whether it was the last one."""
        estimator, epochs = self._estimator, self._epochs
        self._training.epoch = estimator.n_iter_ + 1
        if self._callbacks:
            notify(self._callbacks, "on_epoch_begin", self._training)
            epochs.renew()
        started = time.perf_counter()
        if estimator.shuffle:
            epochs.shuffle(random_state)
        loss = epochs.run()
        seconds = time.perf_counter() - started
        estimator.n_iter_ += 1
        if loss is None:
            return self._diverged()
        estimator.t_ += len(epochs.order)
        estimator.loss_ = loss
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        score = self._watch()
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            rate = estimator.learning_rate_init / (estimator.t_ + 1) ** estimator.power_t
            self._set_rate(float(rate))
        if self._callbacks:
            val_loss = None if score is None else estimator.validation_loss_curve_[-1]
            self._training.history.add(
                loss=loss, val_loss=val_loss, val_accuracy=score, seconds=seconds
            )
            notify(self._callbacks, "on_batches_end", self._training)
            notify(self._callbacks, "on_epoch_end", self._training)
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        return self._stuck()

    def _diverged(self) -> bool:
        """End training with NaN as the last score, if better weights are kept; else raise."""
        estimator = self._estimator
        if self._validation is None or not estimator.restore_best_weights:
            raise ValueError(_NOT_FINITE)
        warnings.warn(
            f"Training diverged in iteration {estimator.n_iter_}: the loss or a weight became "
            "infinite or NaN. The weights with the best validation score are kept.",
            ConvergenceWarning,
            stacklevel=6,
        )
        estimator.loss_ = np.nan
        for numbers in (
            estimator.loss_curve_,
            estimator.validation_scores_,
            estimator.validation_loss_curve_,
        ):
            numbers.append(np.nan)
        return True

    def _set_rate(self, rate: float) -> None:
        set_rate(self._network.optimizer, rate)
        self._epochs.renew()

    def _watch(self) -> float | None:
        """Count epochs without improvement; return the validation score, or None.

        NaN counts as an improvement, as in scikit-learn.
        """
        estimator, score = self._estimator, None
        if self._validation is None:
            better = not estimator.loss_ > estimator.best_loss_ - estimator.tol
            if estimator.loss_ < estimator.best_loss_:
                estimator.best_loss_ = estimator.loss_
        else:
            score, loss = self._validation.compute()
            estimator.validation_scores_.append(score)
            estimator.validation_loss_curve_.append(loss)
            if estimator.verbose:
                print(f"Validation score: {score:f}")
            better = not score < estimator.best_validation_score_ + estimator.tol
            if score > estimator.best_validation_score_:
                estimator.best_validation_score_ = score
                estimator._best_coefs = [array.copy() for array in self._network.coefs]
                estimator._best_intercepts = [array.copy() for array in self._network.intercepts]
        estimator._no_improvement_count = 0 if better else estimator._no_improvement_count + 1
        return score

    def _stuck(self) -> bool:
        """Reduce an adaptive learning rate; return whether training is over."""
        estimator, optimizer = self._estimator, self._network.optimizer
        what = "Training loss" if self._validation is None else "Validation score"
        said = (
            f"{what} did not improve more than tol={estimator.tol:f} for "
            f"{estimator.n_iter_no_change} consecutive epochs."
        )
        adaptive = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
        over = not adaptive or optimizer.lr <= _SMALLEST_RATE
        if not over:
            self._set_rate(optimizer.lr / _SLOWING)
            estimator._no_improvement_count = 0
            said += f" Setting learning rate to {optimizer.lr:f}"
        else:
            said += " Learning rate too small. Stopping." if adaptive else " Stopping."
        if estimator.verbose:
            print(said)
        return over


def check_finite(network: Network) -> None:
    """Raise ValueError for weights that are not finite."""
    if not all(np.isfinite(array).all() for array in [*network.coefs, *network.intercepts]):
        raise ValueError(_NOT_FINITE)


def _copy(values, arrays) -> None:
    for value, array in zip(values, arrays, strict=True):
        array[...] = value
