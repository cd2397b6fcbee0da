"""Flatten and Identity, layers that only change the shape of a batch, or nothing."""

from __future__ import annotations

import math

import numpy as np

from fastnn.nn.layer import Layer, gradient_of, kept_by
from fastnn.nn.twins import TorchTwin

__all__ = ["Flatten", "Identity"]


class Flatten(Layer):
    """Layer that reshapes a batch of any shape (rows, ...) to (rows, columns).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Flatten
    >>> Flatten()(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    torch_twin = TorchTwin("Flatten", fixed={"start_dim": (1,), "end_dim": (-1,)})

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the batch reshaped, without a copy where NumPy can."""
        x = np.asarray(x)
        if x.ndim < 2:
            raise ValueError(f"Flatten: x has shape {x.shape}; expected at least two dimensions")
        self._shape = x.shape
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient in the input's shape."""
        rows, *columns = kept_by(self, "_shape")
        return gradient_of(self, gradient, (rows, math.prod(columns))).reshape(self._shape)

    def to_onnx(self, graph, place, x) -> str:
        """Add nothing, since a graph's batches are (rows, columns) already."""
        return x


class Identity(Layer):
    """Layer that changes nothing, y = x.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Identity
    >>> Identity()(np.ones((1, 2)))
    array([[1., 1.]])
    """

    torch_twin = TorchTwin("Identity")

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x."""
        return x

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return g."""
        return gradient

    def to_onnx(self, graph, place, x) -> str:
        """Add nothing."""
        return x
