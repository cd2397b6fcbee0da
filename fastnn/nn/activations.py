"""Activations that need their input for the gradient, and LogSoftmax; the others are layers too."""

from __future__ import annotations

import math

import numpy as np

import kernels
from fastnn.nn.layers import Activation, Layer, batch_of, kept_by  # noqa: F401
from kernels.functions import rectifiers


class Rectifier(Layer):
    """y = f(x) element by element, its gradient written in terms of x."""

    name: str
    """Name of the function in `kernels.functions.rectifiers.RECTIFIERS`."""

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """The two numbers that the function takes; 0 for those it does not use."""
        return 0.0, 0.0

    def forward(self, x: np.ndarray) -> np.ndarray:
        """f(x), of the shape and dtype of `x`."""
        self._input = kernels.base.arrays.floating("x", x)
        return rectifiers.rectify(self.name, self._input, *self.parameters_of_function)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """g f'(x)."""
        return rectifiers.rectify_gradient(
            self.name, kept_by(self, "_input"), gradient, *self.parameters_of_function
        )

    def _number(self, name: str, value) -> float:
        if not isinstance(value, (int, float, np.integer, np.floating)) or not math.isfinite(value):
            raise ValueError(f"{type(self).__name__}: {name} is {value!r}; expected a number")
        return float(value)


class LeakyReLU(Rectifier):
    """y = x where x > 0, else `negative_slope` x (A. L. Maas et al., 2013)."""

    name = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = self._number("negative_slope", negative_slope)

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """The slope."""
        return self.negative_slope, 0.0

    def describe(self) -> dict:
        """negative_slope."""
        return {"negative_slope": self.negative_slope}


class ELU(Rectifier):
    """y = x where x > 0, else alpha (e^x - 1) (D.-A. Clevert et al., 2016)."""

    name = "elu"

    def __init__(self, alpha: float = 1.0):
        self.alpha = self._number("alpha", alpha)

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """alpha."""
        return self.alpha, 0.0

    def describe(self) -> dict:
        """alpha."""
        return {"alpha": self.alpha}


class GELU(Rectifier):
    """y = x Phi(x), Phi the normal distribution (D. Hendrycks & K. Gimpel, 2016).

    With `approximate` "tanh" y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. Raises
    ValueError unless it is that or "none".
    """

    def __init__(self, approximate: str = "none"):
        try:
            self.name = rectifiers.gelu_name(approximate)
        except ValueError as error:
            raise ValueError(f"GELU: {error}") from None
        self.approximate = approximate

    def describe(self) -> dict:
        """approximate."""
        return {"approximate": self.approximate}


class SiLU(Rectifier):
    """y = x / (1 + e^-x), also called swish (S. Elfwing et al., 2018)."""

    name = "silu"


class Softplus(Rectifier):
    """y = log(1 + e^(beta x)) / beta, and x where beta x > `threshold`."""

    name = "softplus"

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = self._number("beta", beta), self._number("threshold", threshold)
        if self.beta == 0:
            raise ValueError("Softplus: beta is 0; expected another number")

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """beta and the threshold."""
        return self.beta, self.threshold

    def describe(self) -> dict:
        """beta, threshold."""
        return {"beta": self.beta, "threshold": self.threshold}


class LogSoftmax(Layer):
    """y_i = x_i - log sum_j exp(x_j) over the columns: what `NLLLoss` takes."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Logarithms of probabilities, of the shape and dtype of `x`."""
        self._output = kernels.log_softmax(batch_of(self, x))
        return self._output

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """g - exp(y) sum_j g_j."""
        return kernels.log_softmax_gradient(kept_by(self, "_output"), gradient)
