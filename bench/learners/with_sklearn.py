"""scikit-learn's MLPClassifier, with the initial weights and the order of rows of all libraries."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from bench import data
from bench.data import Samples
from bench.workloads import Workload

warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed


class _Shuffles(np.random.RandomState):
    """Random state that shuffles row numbers into the orders of `bench.data`, one a call.

    `fit` shuffles the previous order again. `partial_fit` starts from 0, 1, ... each
    time, so that with `anew` the previous order is kept here.
    """

    def __init__(self, seed: int | None, anew: bool):
        super().__init__(seed)
        self._rng, self._anew = np.random.default_rng(seed), anew
        self._order: np.ndarray | None = None

    def shuffle(self, x) -> None:
        if not self._anew:
            self._rng.shuffle(x)
            return
        if self._order is None:
            self._order = np.array(x)
        self._rng.shuffle(self._order)
        x[...] = self._order


class _Classifier(MLPClassifier):
    """MLPClassifier with the initial weights of a workload."""

    def _initialize(self, *arguments) -> None:
        super()._initialize(*arguments)
        for place, (weight, bias) in enumerate(self.first_parameters):
            self.coefs_[place][...] = weight.T
            self.intercepts_[place][...] = bias


def _check(workload: Workload) -> None:
    """Raise NotImplementedError if scikit-learn lacks the network of a workload."""
    lacks = {
        "one output for two classes": workload.sizes[-1] == 2,
        "no dropout": bool(workload.dropout),
        "no clipping": workload.clip_value is not None,
        "no activation before the softmax": bool(workload.output),
        "no squared error": workload.loss != "cross-entropy",
        "no bytes": workload.storage != "float32",
    }
    for lack, wanted in lacks.items():
        if wanted:
            raise NotImplementedError(f"MLPClassifier has {lack}")


class Learner:
    """scikit-learn's `bench.learners.Learner`; each call of `train` starts over."""

    compiles = False

    def __init__(self, workload: Workload, samples: Samples, threads: int | None = None):
        _check(workload)
        self.workload, self.samples = workload, samples
        if threads is not None:
            threadpool_limits(threads)

    def reset(self, seed: int) -> None:
        """Do nothing, because `train` makes a new classifier."""

    def _classifier(self, epochs: int, seed: int | None, anew: bool) -> MLPClassifier:
        workload = self.workload
        made = _Classifier(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation=workload.activation,
            alpha=0.0,
            solver=workload.optimizer.lower(),
            learning_rate_init=workload.lr,
            momentum=workload.momentum,
            nesterovs_momentum=False,
            batch_size=workload.batch,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
            tol=0.0,
            random_state=_Shuffles(seed, anew),
        )
        made.first_parameters = list(data.parameters(workload))
        return made

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train by one `fit`, or with `after_epoch` by one `partial_fit` an epoch."""
        x, y = self.samples.x, self.samples.y
        self.model = self._classifier(epochs, seed, after_epoch is not None)
        if after_epoch is None:
            self.model.fit(x, y)
            return
        for _ in range(epochs):
            self.model.partial_fit(x, y, classes=np.arange(self.workload.sizes[-1]))
            if after_epoch():
                break

    def score(self) -> tuple[float, float]:
        """Return the mean loss, and the accuracy in percent, over the test samples."""
        found = self.model.predict_proba(self.samples.x_test)
        y = self.samples.y_test
        right = np.maximum(found[np.arange(len(y)), y], np.finfo(found.dtype).tiny)
        return -float(np.log(right).mean()), 100 * float((found.argmax(axis=1) == y).mean())
