"""The base class of layers, and helpers for those who write layers.

A layer maps a batch (rows, columns) to a batch; `backward` takes the gradient of the
loss with respect to the output of the last `forward` call, adds to the gradients of
its parameters, and returns the gradient with respect to the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.nn.parameters import Parameter
from fastnn.nn.twins import CGraph, OnnxGraph, TorchTwin
from kernels.base import arrays

__all__ = ["Layer"]


class Layer:
    """Base class of layers; a layer of your own overrides `forward` and `backward`.

    A layer with parameters also overrides `named_parameters`. The other attributes and
    methods describe a layer to the rest of fastnn; a layer of your own may leave them as
    they are.

    Attributes
    ----------
    training : bool
        True in training mode (dropout drops), False in evaluation mode.

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
    """Columns of the input; None if the layer takes any number."""
    columns_out: int | None = None
    """Columns of the output; None if there are as many as in the input."""
    computes_in: np.dtype | None = None
    """Dtype of the output; None if it is that of the input."""
    multiply_adds = 0
    """Number of multiply-adds of `forward` for a row."""
    least_rows = 1
    """Smallest number of rows of a batch in training."""
    sizes: tuple[str, ...] = ()
    """Names of the arguments that set the number of parameters."""
    command_name: str | None = None
    """Name on the command line; None if the layer is not offered there."""
    keeps: str | None = None
    """Attribute in which `forward` keeps all that `backward` needs: `_input` or `_output`."""
    torch_twin: TorchTwin | None = None
    """The equivalent module of torch; None if there is none."""

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
        """Add to the gradients of the parameters; return the gradient with respect to the input.

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

    def requires_grad_(self, requires_grad: bool = True) -> Layer:
        """Set whether all parameters learn; return the layer itself.

        Examples
        --------
        >>> from fastnn import Linear, ReLU, Sequential
        >>> model = Sequential(Linear(8, 4), ReLU(), Linear(4, 2))
        >>> frozen = model[0].requires_grad_(False)
        >>> [parameter.requires_grad for parameter in model.parameters()]
        [False, False, True, True]
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Return names and arrays of state that does not learn, in order; change them in place."""
        return iter(())

    def reset_parameters(self, seed: int | None = None) -> None:
        """Draw the initial parameters anew, by a seed; None draws one.

        A layer without random numbers gets those that it began with.
        """

    def begins_anew(self) -> bool:
        """Return True if initial parameters came from no given seed, and are still what they were.

        `Sequential(..., seed=0)` draws those anew.
        """
        return False

    def train(self, mode: bool = True) -> Layer:
        """Set training mode, or with `mode=False` evaluation mode; return the layer itself."""
        self.training = mode
        return self

    def eval(self) -> Layer:
        """Set evaluation mode, as `train(False)` does; return the layer itself."""
        return self.train(False)

    def describe(self) -> dict:
        """Return the arguments of the constructor as plain values, by name."""
        return {}

    def settings(self) -> tuple:
        """Return the values that a program fixes; if they change, a new program is made."""
        return tuple(self.describe().values())

    def output_columns(self, columns: int) -> int:
        """Return the number of columns of the output for that of the input.

        Raises ValueError for a number of columns that the layer does not take.
        """
        if self.columns_in not in (None, columns):
            raise ValueError(f"{self!r} gets {columns} columns; expected {self.columns_in}")
        return columns if self.columns_out is None else self.columns_out

    def batch_counter(self) -> str | None:
        """Return the name of the attribute that counts training batches, or None."""
        return None

    @classmethod
    def shapes(cls, arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of parameters by name, to check a file before allocating memory.

        `arguments` are the layer's arguments from the file.
        """
        return {}

    def to_onnx(self, graph: OnnxGraph, place: str, x: str) -> str:
        """Add the layer's operators to an ONNX graph; return the name of the output.

        `place` is the layer's place in the model, `x` the name of its input.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define to_onnx")

    def to_c(self, graph: CGraph, place: str, x: str) -> str:
        """Add the layer's operators to a C function as `to_onnx` does, by default the same ones."""
        return self.to_onnx(graph, place, x)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.describe().items())
        return f"{type(self).__name__}({arguments})"


_SILENT = Layer()
_METHODS = {"forward", "backward"}


def as_layer(layer: Any) -> Layer:
    """Return the layer, or if it is not derived from `Layer` a plain `Layer` in its place.

    The plain layer only has the default attributes of `Layer`; it does not compute.
    """
    return layer if isinstance(layer, Layer) else _SILENT


def replaces_methods(layer: Any) -> bool:
    """Return True for an object that was given a `forward` or `backward` beside its class's."""
    return not _METHODS.isdisjoint(vars(layer))


# ------------------------------------------------------------------- for those who write layers


def kept_by(layer: Layer, name: str) -> Any:
    """Return an attribute that `forward` sets; raise RuntimeError if there was no `forward` yet."""
    try:
        return vars(layer)[name]
    except KeyError:
        raise RuntimeError(f"{type(layer).__name__}: backward() before forward()") from None


def gradient_of(layer: Layer, gradient, shape: tuple[int, ...]) -> np.ndarray:
    """Return a gradient as an array; raise ValueError, naming the layer, for another shape."""
    array = np.asarray(gradient)
    if array.shape != shape:
        raise ValueError(
            f"{type(layer).__name__}: gradient has shape {array.shape}; expected {shape}"
        )
    return array


def batch_of(layer: Layer, x, dtype=None) -> np.ndarray:
    """Return `x` as a two-dimensional floating-point batch; name the layer in errors."""
    try:
        return arrays.matrix("x", x, dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{type(layer).__name__}: {error}") from None


def named_dtype(name) -> np.dtype:
    """Return the dtype of a name, that of objects if there is none."""
    try:
        return np.dtype(name)
    except (SyntaxError, TypeError, ValueError):  # NumPy parses texts as Python does
        return np.dtype(object)


def dtype_of(layer: Layer, dtype) -> np.dtype:
    """Return float32 or float64; raise ValueError, naming the layer, for another dtype."""
    found = named_dtype(dtype)
    if found not in arrays.FLOATING:
        shown = repr(dtype)[:100] if found.hasobject else found
        raise ValueError(f"{type(layer).__name__}: dtype is {shown}; expected float32 or float64")
    return found


def constants_of(layer: Layer, graph: OnnxGraph, place: str) -> list[str]:
    """Add a layer's parameters to a graph by their names in the state dict; return the names."""
    return [graph.constant(f"{place}.{name}", p.data) for name, p in layer.named_parameters()]
