"""The network behind an estimator, and scikit-learn's losses in terms of fastnn's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import xlogy

import kernels
from fastnn.nn.activations import ReLU, Sigmoid, Tanh
from fastnn.nn.dropout import Dropout
from fastnn.nn.kinds import dropouts
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.loss import Loss
from fastnn.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, PoissonNLLLoss
from fastnn.nn.sequential import Sequential
from fastnn.optim.optimizer import Optimizer

_LAYERS: dict[str, type[Layer] | None] = {
    "identity": None,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
}
_FUNCTIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
"""scikit-learn's activations: the layers for training, and the kernels' names for prediction."""

_LOSSES: dict[str, type[Loss]] = {
    "softmax": CrossEntropyLoss,
    "logistic": BCEWithLogitsLoss,
    "identity": MSELoss,
    "exp": PoissonNLLLoss,
}


class Network:
    """Network with given weights, and the loss that belongs to its output activation.

    For `logistic` and `exp` outputs scikit-learn sums the losses of the columns, and fastnn takes
    their mean; scikit-learn also halves squared errors. `gradient_scale` and `loss_scale` convert
    fastnn's gradient and sum of losses to those of scikit-learn. Biases do not decay.
    """

    optimizer: Optimizer

    def __init__(
        self,
        coefs: Sequence,
        intercepts: Sequence,
        activation: str,
        out_activation: str,
        dropout: float,
    ):
        self._settings = activation, out_activation, dropout
        layers: list[Layer] = []
        self._linear: list[Linear] = []
        kind = _LAYERS[activation]
        for coef, intercept in zip(coefs, intercepts, strict=True):
            if layers and kind is not None:
                layers.append(kind())
            if layers and dropout > 0:
                layers.append(Dropout(dropout))
            linear = Linear(coef.shape[0], coef.shape[1], dtype=coef.dtype, init="zeros")
            linear._weight.assign(coef.T)
            linear._bias.assign(intercept)
            linear._bias.decays = False
            layers.append(linear)
            self._linear.append(linear)
        self._layers = layers
        self.model = Sequential(*layers)
        self.out_activation = out_activation
        self.loss = _LOSSES[out_activation]()
        self.columns = coefs[-1].shape[1]
        of_mean = {"softmax": 1.0, "identity": self.columns / 2}
        self.gradient_scale = of_mean.get(out_activation, float(self.columns))
        self.loss_scale = 0.5 / self.columns if out_activation == "identity" else 1.0
        self.dtype = coefs[0].dtype
        # Made once, because `holds` compares identities.
        self.coefs = [linear._weight.data.T for linear in self._linear]
        self.intercepts = [linear._bias.data for linear in self._linear]

    @property
    def dropouts(self) -> list[Dropout]:
        """Dropout layers, in order."""
        return dropouts(self.model)

    def check_layers(self) -> None:
        """Raise ValueError if the model has other layers than at first."""
        if self.model.layers != self._layers:
            raise ValueError(
                "a callback changed the layers of the estimator's model; expected only their "
                "weights and settings to change"
            )

    def holds(self, coefs: Sequence, intercepts: Sequence, settings: tuple) -> bool:
        """Return whether arrays and settings are this network's own."""
        if settings != self._settings:
            return False
        own, given = [*self.coefs, *self.intercepts], [*coefs, *intercepts]
        return len(own) == len(given) and all(a is b for a, b in zip(own, given, strict=True))

    def resembles(self, other: Network) -> bool:
        """Return whether another network has the same shapes, dtype and kind of optimizer."""
        shapes, others = ([each.shape for each in network.coefs] for network in (self, other))
        kinds = (type(getattr(network, "optimizer", None)) for network in (self, other))
        return self.dtype == other.dtype and shapes == others and len(set(kinds)) == 1

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Return targets (rows, columns) in the form that the loss takes."""
        if self.out_activation == "softmax":
            return y.argmax(axis=1).astype(np.int64)
        return np.ascontiguousarray(y, self.dtype)


def outputs(x: np.ndarray, coefs: Sequence, intercepts: Sequence, activation: str) -> np.ndarray:
    """Return the outputs (samples, columns) of a network, before the output activation."""
    function = _FUNCTIONS[activation]
    for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
        x = kernels.matmul(x, coef, bias=intercept, activation=function)
    return kernels.matmul(x, coefs[-1], bias=intercepts[-1])


def activate(z: np.ndarray, out_activation: str) -> np.ndarray:
    """Return the output activation of `z`: probabilities, rates, or `z` itself."""
    if out_activation == "identity":
        return z
    function = {"softmax": kernels.softmax, "logistic": kernels.sigmoid, "exp": kernels.exp}
    return function[out_activation](z)


def row_losses(z: np.ndarray, y: np.ndarray, out_activation: str) -> np.ndarray:
    """Return scikit-learn's loss of each row, float64, for outputs `z` before their activation.

    `y` holds rows of 0 and 1, or of numbers.
    """
    z, y = z.astype(np.float64), np.asarray(y, np.float64)
    if out_activation == "softmax":
        top = z.max(axis=1)
        return np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - (z * y).sum(axis=1)
    if out_activation == "logistic":
        return (np.logaddexp(0.0, z) - z * y).sum(axis=1)
    if out_activation == "exp":
        return (np.exp(z) - y * z + poisson_constant(y)).sum(axis=1)
    return 0.5 * np.square(z - y).mean(axis=1)


def poisson_constant(y: np.ndarray) -> np.ndarray:
    """Return half the Poisson deviance minus `PoissonNLLLoss`: y log y - y."""
    return xlogy(y, y) - y
