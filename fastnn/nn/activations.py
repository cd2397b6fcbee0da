"""Activations, the layers that apply a function to each element.

The gradient of an `Activation` is computed from its output, that of a `Rectifier` from its
input. A new one needs a function among the kernels and a class here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from fastnn.nn.layer import Layer, kept_by
from fastnn.nn.twins import TorchTwin
from kernels.base import arrays
from kernels.functions import activations as functions
from kernels.functions import rectifiers

__all__ = [
    "ELU",
    "GELU",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "SmoothClip",
    "Softplus",
    "Tanh",
]


class _Elementwise(Layer):
    """Base of elementwise layers, y = f(x)."""

    name: str
    """Name of the function among the kernels."""

    def __init_subclass__(cls) -> None:
        """Derive the name on the command line from that of the class: leaky-relu for LeakyReLU."""
        super().__init_subclass__()
        cls.command_name = re.sub(r"(?<=[a-z]{2})(?=[A-Z])", "-", cls.__name__).lower()


class Activation(_Elementwise):
    """Base of elementwise layers, y = f(x), whose derivative is computed from y.

    `name` is the function's name in `kernels.ACTIVATIONS`.
    """

    keeps = "_output"
    function: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]
    operator: str
    """Name of the function in ONNX."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return f(x), of the shape and dtype of `x`."""
        self._output = self.function(x)
        return self._output

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return g f'(x)."""
        return self.gradient(kept_by(self, "_output"), gradient)

    def to_onnx(self, graph, place, x) -> str:
        """Add one operator."""
        return graph.add(self.operator, x)


class Rectifier(_Elementwise):
    """Base of elementwise layers, y = f(x), whose derivative is computed from x.

    `name` is the function's name in `kernels.functions.rectifiers.RECTIFIERS`.
    """

    keeps = "_input"

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """The function's two parameters; 0 for unused ones."""
        return 0.0, 0.0

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return f(x), of the shape and dtype of `x`."""
        self._input = arrays.floating("x", x)
        return rectifiers.rectify(self.name, self._input, *self.parameters_of_function)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return g f'(x)."""
        return rectifiers.rectify_gradient(
            self.name, kept_by(self, "_input"), gradient, *self.parameters_of_function
        )

    def to_c(self, graph, place, x) -> str:
        """Add the kernel's function."""
        return graph.function(self.name, x, *self.parameters_of_function)

    def _number(self, name: str, value) -> float:
        if not arrays.is_number(value) or not math.isfinite(value):
            raise ValueError(f"{type(self).__name__}: {name} is {value!r}; expected a number")
        return float(value)


class ReLU(Activation):
    """Rectified linear unit, y = max(x, 0).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import ReLU
    >>> ReLU()(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    name, operator = "relu", "Relu"
    function, gradient = staticmethod(functions.relu), staticmethod(functions.relu_gradient)
    torch_twin = TorchTwin("ReLU")


class Tanh(Activation):
    """Hyperbolic tangent, y = tanh(x).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Tanh
    >>> Tanh()(np.array([[0.0, 100.0]]))
    array([[0., 1.]])
    """

    name, operator = "tanh", "Tanh"
    function, gradient = staticmethod(functions.tanh), staticmethod(functions.tanh_gradient)
    torch_twin = TorchTwin("Tanh")


class Sigmoid(Activation):
    """Logistic function, y = 1 / (1 + exp(-x)).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Sigmoid
    >>> Sigmoid()(np.array([[0.0, 100.0]]))
    array([[0.5, 1. ]])
    """

    name, operator = "sigmoid", "Sigmoid"
    function, gradient = staticmethod(functions.sigmoid), staticmethod(functions.sigmoid_gradient)
    torch_twin = TorchTwin("Sigmoid")


class LeakyReLU(Rectifier):
    """Leaky rectified linear unit, y = x where x > 0, else `negative_slope` x.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope below 0.

    Raises
    ------
    ValueError
        If `negative_slope` is not a finite number.

    References
    ----------
    A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier nonlinearities improve neural network
    acoustic models", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import LeakyReLU
    >>> LeakyReLU(0.25)(np.array([[-1.0, 2.0]]))
    array([[-0.25,  2.  ]])
    """

    name = "leaky_relu"
    torch_twin = TorchTwin("LeakyReLU", ("negative_slope",))

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = self._number("negative_slope", negative_slope)

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """The slope, and 0."""
        return self.negative_slope, 0.0

    def describe(self) -> dict:
        """Return negative_slope."""
        return {"negative_slope": self.negative_slope}

    def to_onnx(self, graph, place, x) -> str:
        """Add one operator."""
        return graph.add("LeakyRelu", x, alpha=self.negative_slope)


class ELU(Rectifier):
    """Exponential linear unit, y = x where x > 0, else alpha (e^x - 1).

    Parameters
    ----------
    alpha : float, default 1.0
        Scale of the exponential function; -alpha is the limit of y below 0.

    Raises
    ------
    ValueError
        If `alpha` is not a finite number.

    References
    ----------
    D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning by
    exponential linear units (ELUs)", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import ELU
    >>> ELU()(np.array([[-100.0, 2.0]]))
    array([[-1.,  2.]])
    """

    name = "elu"
    torch_twin = TorchTwin("ELU", ("alpha",))

    def __init__(self, alpha: float = 1.0):
        self.alpha = self._number("alpha", alpha)

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """Alpha, and 0."""
        return self.alpha, 0.0

    def describe(self) -> dict:
        """Return alpha."""
        return {"alpha": self.alpha}

    def to_onnx(self, graph, place, x) -> str:
        """Add max(x, 0) + alpha (exp(min(x, 0)) - 1)."""
        zero, one = graph.constant(f"{place}.zero", 0), graph.constant(f"{place}.one", 1)
        alpha = graph.constant(f"{place}.alpha", self.alpha)
        below = graph.add("Sub", graph.add("Exp", graph.add("Min", x, zero)), one)
        return graph.add("Add", graph.add("Max", x, zero), graph.add("Mul", alpha, below))


class GELU(Rectifier):
    """Gaussian error linear unit, y = x Phi(x), Phi the standard normal distribution function.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        With "tanh", y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Raises
    ------
    ValueError
        If `approximate` is another value.

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import GELU
    >>> GELU()(np.array([[-100.0, 0.0, 100.0]])) + 0.0
    array([[  0.,   0., 100.]])
    """

    torch_twin = TorchTwin("GELU", ("approximate",))

    def __init__(self, approximate: str = "none"):
        try:
            self.name = rectifiers.gelu_name(approximate)
        except ValueError as error:
            raise ValueError(f"GELU: {error}") from None
        self.approximate = approximate

    def describe(self) -> dict:
        """Return approximate."""
        return {"approximate": self.approximate}

    def to_onnx(self, graph, place, x) -> str:
        """Add x (1 + erf(x / sqrt(2))) / 2, or the approximation with tanh."""
        if self.approximate == "tanh":
            cube = graph.add("Mul", x, graph.add("Mul", x, x))
            cubic = graph.add("Mul", cube, graph.constant(f"{place}.cubic", 0.044715))
            scale = graph.constant(f"{place}.scale", math.sqrt(2 / math.pi))
            bend = graph.add("Tanh", graph.add("Mul", scale, graph.add("Add", x, cubic)))
        else:
            scaled = graph.add("Mul", x, graph.constant(f"{place}.scale", math.sqrt(0.5)))
            # Runtimes have erf only in float32; little is lost, since it is between -1 and 1.
            bend = graph.cast(graph.add("Erf", graph.cast(scaled, np.float32)), graph.dtype)
        half = graph.add("Mul", x, graph.constant(f"{place}.half", 0.5))
        return graph.add("Mul", half, graph.add("Add", bend, graph.constant(f"{place}.one", 1)))


class SiLU(Rectifier):
    """Sigmoid linear unit, also called swish, y = x / (1 + e^-x).

    References
    ----------
    S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import SiLU
    >>> SiLU()(np.array([[0.0, 100.0]]))
    array([[  0., 100.]])
    """

    name = "silu"
    torch_twin = TorchTwin("SiLU")

    def to_onnx(self, graph, place, x) -> str:
        """Add x sigmoid(x), or -(-x sigmoid(x)) in float64.

        For the first, some versions of ONNX Runtime take an operator that has float32 only.
        """
        gate = graph.add("Sigmoid", x)
        if graph.dtype == np.float64:
            return graph.add("Neg", graph.add("Mul", graph.add("Neg", x), gate))
        return graph.add("Mul", x, gate)


class Softplus(Rectifier):
    """Smooth ReLU, y = log(1 + e^(beta x)) / beta, and x where beta x > `threshold`.

    Parameters
    ----------
    beta : float, default 1.0
        Sharpness of the bend at 0.
    threshold : float, default 20.0
        Value of beta x above which y is x.

    Raises
    ------
    ValueError
        If a number is not finite, or `beta` is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Softplus
    >>> Softplus()(np.array([[-100.0, 100.0]])).round(6)
    array([[  0., 100.]])
    """

    name = "softplus"
    torch_twin = TorchTwin("Softplus", ("beta", "threshold"))

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = self._number("beta", beta), self._number("threshold", threshold)
        if self.beta == 0:
            raise ValueError("Softplus: beta is 0; expected another number")

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """Beta and threshold."""
        return self.beta, self.threshold

    def describe(self) -> dict:
        """Return beta and threshold."""
        return {"beta": self.beta, "threshold": self.threshold}

    def to_onnx(self, graph, place, x) -> str:
        """Add (max(z, 0) + log(1 + exp(-|z|))) / beta, z = beta x, and x where z > threshold."""
        zero, one = graph.constant(f"{place}.zero", 0), graph.constant(f"{place}.one", 1)
        beta = graph.constant(f"{place}.beta", self.beta)
        threshold = graph.constant(f"{place}.threshold", self.threshold)
        z = graph.add("Mul", x, beta)
        small = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
        tail = graph.add("Log", graph.add("Add", small, one))
        y = graph.add("Div", graph.add("Add", graph.add("Max", z, zero), tail), beta)
        return graph.add("Where", graph.add("Greater", z, threshold), x, y)


class Mish(Rectifier):
    """Smooth function that dips below 0 before it rises, y = x tanh(log(1 + e^x)).

    References
    ----------
    D. Misra, "Mish: a self regularized non-monotonic activation function", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Mish
    >>> Mish()(np.array([[-1.0, 0.0, 100.0]])).round(4)
    array([[ -0.3034,   0.    , 100.    ]])
    """

    name = "mish"
    torch_twin = TorchTwin("Mish")

    def to_onnx(self, graph, place, x) -> str:
        """Add x n / (n + 2), n = e (e + 2), e = exp(min(x, 22)); opset 17 has no Mish."""
        two = graph.constant(f"{place}.two", 2)
        e = graph.add("Exp", graph.add("Min", x, graph.constant(f"{place}.straight", 22)))
        n = graph.add("Mul", e, graph.add("Add", e, two))
        return graph.add("Mul", x, graph.add("Div", n, graph.add("Add", n, two)))


class Hardswish(Rectifier):
    """Piecewise approximation of SiLU, y = x min(max(x + 3, 0), 6) / 6.

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Hardswish
    >>> Hardswish()(np.array([[-1.5, 0.0, 100.0]]))
    array([[ -0.375,   0.   , 100.   ]])
    """

    name = "hardswish"
    torch_twin = TorchTwin("Hardswish")

    def to_onnx(self, graph, place, x) -> str:
        """Add x (min(max(x + 3, 0), 6) / 6): runtimes have HardSwish only in float32."""
        zero, three, six = (
            graph.constant(f"{place}.{name}", value)
            for name, value in (("zero", 0), ("three", 3), ("six", 6))
        )
        risen = graph.add("Max", graph.add("Add", x, three), zero)
        return graph.add("Mul", x, graph.add("Div", graph.add("Min", risen, six), six))


class Hardtanh(Rectifier):
    """Clipping, y = min(max(x, min_val), max_val).

    Parameters
    ----------
    min_val, max_val : float, defaults -1.0 and 1.0
        Smallest and largest value of y.

    Raises
    ------
    ValueError
        If a number is not finite, or `min_val` is not below `max_val`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Hardtanh
    >>> Hardtanh(0.0, 6.0)(np.array([[-1.5, 2.0, 100.0]]))
    array([[0., 2., 6.]])
    """

    name = "hardtanh"
    torch_twin = TorchTwin("Hardtanh", ("min_val", "max_val"))

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        self.min_val, self.max_val = (
            self._number("min_val", min_val),
            self._number("max_val", max_val),
        )
        if not self.min_val < self.max_val:
            raise ValueError(
                f"Hardtanh: min_val is {min_val!r}; expected less than max_val, {max_val!r}"
            )

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.min_val, self.max_val

    def describe(self) -> dict:
        """Return min_val and max_val."""
        return {"min_val": self.min_val, "max_val": self.max_val}

    def to_onnx(self, graph, place, x) -> str:
        """Add min(max(x, min_val), max_val)."""
        low = graph.constant(f"{place}.min_val", self.min_val)
        high = graph.constant(f"{place}.max_val", self.max_val)
        return graph.add("Min", graph.add("Max", x, low), high)


class SmoothClip(Rectifier):
    """Smooth clipping, y = x / sqrt(1 + (x / bound)^2): about x near 0, within `bound` elsewhere.

    An outlier, however far away, becomes at most `bound`, and stays farther away than any nearer
    value.

    Parameters
    ----------
    bound : float, default 3.0
        Limit of y for large x.

    Raises
    ------
    ValueError
        If `bound` is not a finite number above 0.

    References
    ----------
    D. Holzmueller, L. Grinsztajn and I. Steinwart, "Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import SmoothClip
    >>> SmoothClip()(np.array([[0.0, 4.0, 1e30]]))
    array([[0. , 2.4, 3. ]])
    """

    name = "smooth_clip"
    torch_twin = TorchTwin("SmoothClip", ("bound",))

    def __init__(self, bound: float = 3.0):
        self.bound = self._number("bound", bound)
        if self.bound <= 0:
            raise ValueError(f"SmoothClip: bound is {bound!r}; expected a number above 0")

    @property
    def parameters_of_function(self) -> tuple[float, float]:
        """The bound, and 0."""
        return self.bound, 0.0

    def describe(self) -> dict:
        """Return bound."""
        return {"bound": self.bound}

    def to_onnx(self, graph, place, x) -> str:
        """Add bound s / sqrt(1 + s^2), s = x / bound, kept so small that its square is finite."""
        bound = graph.constant(f"{place}.bound", self.bound)
        one = graph.constant(f"{place}.one", 1)
        least, most = (
            graph.constant(f"{place}.{n}", v) for n, v in (("least", -1e12), ("most", 1e12))
        )
        share = graph.add("Min", graph.add("Max", graph.add("Div", x, bound), least), most)
        root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", share, share), one))
        return graph.add("Mul", graph.add("Div", share, root), bound)
