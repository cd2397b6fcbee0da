"""What all layers have in common.

A layer maps a batch (rows, columns) to a batch; `backward` takes the gradient of the
loss with respect to the output of the last `forward` call, adds to the gradients of
its parameters, and returns the gradient with respect to the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.nn.parameters import Parameter
from fastnn.nn.twins import OnnxGraph, TorchTwin
from kernels.base import arrays

__all__ = ["Layer"]


class Layer:
    """The base of all layers; a layer of your own overrides `forward` and `backward`.

    If it has parameters, it also overrides `named_parameters`. The other attributes and
    methods tell what the rest of fastnn has to know of a layer; those of a layer of your
    own need not be set.

    Attributes
    ----------
    training : bool
        Whether the layer behaves as in training (dropout drops) or as in use.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Layer
    >>> class Doubled(Layer):
    ...     def forward(self, x):
    ...         return 2 * x
    ...
    ...     def backward(self, gradient):
    ...         return 2 * gradient
    >>> Doubled()(np.ones((1, 3), np.float32))
    array([[2., 2., 2.]], dtype=float32)
    """

    training = True

    columns_in: int | None = None
    """Columns of the input; None where any number is taken."""
    columns_out: int | None = None
    """Columns of the output; None where there are as many as in the input."""
    computes_in: np.dtype | None = None
    """The dtype of the result; None where it is that of the input."""
    multiply_adds = 0
    """Multiplications and additions of `forward`, in pairs, for a row."""
    least_rows = 1
    """Rows that a batch must have in training."""
    sizes: tuple[str, ...] = ()
    """Names of the arguments that say how many numbers the layer holds."""
    command_name: str | None = None
    """Its name on the command line; None where it is not offered there."""
    torch_twin: TorchTwin | None = None
    """The module of torch that does the same; None where there is none."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output for a batch.

        Parameters
        ----------
        x : numpy.ndarray
            The batch, (rows, columns).

        Returns
        -------
        numpy.ndarray
            The output, (rows, columns of the output).
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Add to the gradients of the parameters; return that with respect to the input.

        Parameters
        ----------
        gradient : numpy.ndarray
            The gradient of the loss with respect to the output of the last `forward` call,
            of that output's shape.

        Returns
        -------
        numpy.ndarray
            The gradient of the loss with respect to the input of that call.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the output for a batch, as `forward` does."""
        return self.forward(x)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Return names and parameters, in order."""
        return iter(())

    def parameters(self) -> Iterator[Parameter]:
        """Return the parameters in order."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Return names and arrays that are kept but do not learn, in order; write them in place."""
        return iter(())

    def train(self, mode: bool = True) -> Layer:
        """Behave as in training, or with `mode=False` as in use; return the layer itself."""
        self.training = mode
        return self

    def eval(self) -> Layer:
        """Behave as in use: `train(False)`."""
        return self.train(False)

    def describe(self) -> dict:
        """Return the arguments that make the same layer again, as plain values."""
        return {}

    def output_columns(self, columns: int) -> int:
        """Return the columns of the output for those of the input.

        Raises ValueError for a number of columns that the layer does not take.
        """
        if self.columns_in not in (None, columns):
            raise ValueError(f"{self!r} gets {columns} columns; expected {self.columns_in}")
        return columns if self.columns_out is None else self.columns_out

    def batch_counter(self) -> str | None:
        """Return the name of the attribute that counts training batches, None if none does now."""
        return None

    @classmethod
    def shapes(cls, arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return shapes, by name, of parameters that must fit before there is memory for them.

        `arguments` are those of the layer, as a file has them.
        """
        return {}

    def to_onnx(self, graph: OnnxGraph, place: str, x: str) -> str:
        """Add the layer's operators to a graph; return the name of the output.

        `place` is the layer's place in the chain, `x` the name of its input.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define to_onnx")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.describe().items())
        return f"{type(self).__name__}({arguments})"


_SILENT = Layer()


def as_layer(layer: Any) -> Layer:
    """Return a layer, or for one that is not derived from `Layer` one that answers as `Layer`.

    It answers for the layer; it does not compute.
    """
    return layer if isinstance(layer, Layer) else _SILENT


# ------------------------------------------------------------------- for those who write layers


def kept_by(layer: Layer, name: str) -> Any:
    """Return what the last `forward` has kept; raise RuntimeError where there was none."""
    try:
        return vars(layer)[name]
    except KeyError:
        raise RuntimeError(f"{type(layer).__name__}: backward() before forward()") from None


def gradient_of(layer: Layer, gradient, shape: tuple[int, ...]) -> np.ndarray:
    """Return a gradient as an array of a shape; raise ValueError, naming the layer, for another."""
    array = np.asarray(gradient)
    if array.shape != shape:
        raise ValueError(
            f"{type(layer).__name__}: gradient has shape {array.shape}; expected {shape}"
        )
    return array


def batch_of(layer: Layer, x, dtype=None) -> np.ndarray:
    """Return `x` as a floating batch of two dimensions; name the layer if it cannot be."""
    try:
        return arrays.matrix("x", x, dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{type(layer).__name__}: {error}") from None


def dtype_of(layer: Layer, dtype) -> np.dtype:
    """Return a dtype that kernels compute in; raise ValueError, naming the layer, for another."""
    dtype = np.dtype(dtype)
    if dtype not in arrays.FLOATING:
        raise ValueError(f"{type(layer).__name__}: dtype is {dtype}; expected float32 or float64")
    return dtype


def is_number(value: Any) -> bool:
    """Return whether a value is a real number."""
    return isinstance(value, (int, float, np.integer, np.floating))


def constants_of(layer: Layer, graph: OnnxGraph, place: str) -> list[str]:
    """Keep a layer's parameters in a graph, by their names in the state dict; return these."""
    return [graph.constant(f"{place}.{name}", p.data) for name, p in layer.named_parameters()]
