"""scikit-learn's MLPClassifier, given the weights and the order of rows that all have."""

from __future__ import annotations

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from bench import data, estimators
from bench.peers import Case
from bench.workloads import Workload

VERSIONS = {"scikit-learn": sklearn.__version__}

warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given


def set_threads(count: int | None) -> None:
    """Let BLAS use so many threads."""
    threadpool_limits(count)


class _Shuffles(np.random.RandomState):
    """Random state that shuffles as `numpy.random.default_rng` does."""

    def __init__(self, seed: int | None):
        super().__init__(seed)
        self._rng = np.random.default_rng(seed)

    def shuffle(self, x) -> None:
        self._rng.shuffle(x)


class _Classifier(MLPClassifier):
    """MLPClassifier that begins with the weights of a workload."""

    def _initialize(self, *arguments) -> None:
        super()._initialize(*arguments)
        for place, (weight, bias) in enumerate(self.first_parameters):
            self.coefs_[place][...] = weight.T
            self.intercepts_[place][...] = bias


def classifier(workload: Workload, epochs: int, seed: int | None) -> MLPClassifier:
    """The estimator of a workload; raise NotImplementedError if scikit-learn has none."""
    lacks = {
        "one output for two classes": workload.sizes[-1] == 2,
        "no dropout": bool(workload.dropout),
        "no clipping": workload.clip_value is not None,
        "no activation before the softmax": bool(workload.output),
        "no classifier by squared error": workload.loss != "cross-entropy",
        "no bytes": workload.storage != "float32",
    }
    for lack, wanted in lacks.items():
        if wanted:
            raise NotImplementedError(f"MLPClassifier has {lack}")
    made = _Classifier(
        hidden_layer_sizes=workload.sizes[1:-1], activation=workload.activation, alpha=0.0,
        solver=workload.optimizer.lower(), learning_rate_init=workload.lr,
        momentum=workload.momentum, nesterovs_momentum=False, batch_size=workload.batch,
        max_iter=epochs, n_iter_no_change=epochs + 1, tol=0.0,
        random_state=_Shuffles(seed),
    )  # fmt: skip
    made.first_parameters = list(data.parameters(workload))
    return made


def training(**settings) -> Case:
    """Epochs of training a workload by `fit`, shuffling included."""
    workload = Workload(**settings)
    x, y, x_test, y_test = data.samples(workload)
    classifier(workload, 1, None)

    def check() -> dict[str, float]:
        made = classifier(workload, workload.epochs_to_learn, 0).fit(x, y)
        proba = made.predict_proba(x_test)
        loss = -np.log(proba[np.arange(len(proba)), y_test]).mean()
        return {"loss": float(loss), "accuracy": 100 * float(made.score(x_test, y_test))}

    return Case(lambda: classifier(workload, workload.epochs, None).fit(x, y), check)


def estimator(name: str) -> Case:
    """`fit` of an estimator on a data set."""
    return estimators.fitting(MLPClassifier, MLPRegressor, name)


OPERATIONS = {"training": training, "estimator": estimator}
