"""Softmax and LogSoftmax, which turn rows into probabilities or their logarithms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn.nn.layer import Layer, batch_of, kept_by
from fastnn.nn.twins import TorchTwin
from kernels.functions import softmax as functions

__all__ = ["LogSoftmax", "Softmax"]

_OF_ROWS = {"dim": (1, -1, None)}


class _Rowwise(Layer):
    """A function of each row whose gradient is computed from its output."""

    function: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]
    operator: str
    """Name of the function in ONNX."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, of the shape and dtype of `x`."""
        self._output = self.function(batch_of(self, x))
        return self._output

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to x."""
        return self.gradient(kept_by(self, "_output"), gradient)

    def to_onnx(self, graph, place, x) -> str:
        """Add one operator."""
        return graph.add(self.operator, x, axis=1)


class Softmax(_Rowwise):
    """Probabilities of the columns, y_i = exp(x_i) / sum_j exp(x_j).

    A classifier that is trained with `CrossEntropyLoss`, which takes logits, needs no Softmax.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Softmax
    >>> Softmax()(np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    operator = "Softmax"
    function, gradient = staticmethod(functions.softmax), staticmethod(functions.softmax_gradient)
    torch_twin = TorchTwin("Softmax", fixed=_OF_ROWS)


class LogSoftmax(_Rowwise):
    """Logarithms of probabilities, y_i = x_i - log sum_j exp(x_j), for `NLLLoss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import LogSoftmax
    >>> np.exp(LogSoftmax()(np.zeros((1, 4))))
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    operator = "LogSoftmax"
    function = staticmethod(functions.log_softmax)
    gradient = staticmethod(functions.log_softmax_gradient)
    torch_twin = TorchTwin("LogSoftmax", fixed=_OF_ROWS)
