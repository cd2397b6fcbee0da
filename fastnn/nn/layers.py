"""Layers: forward, explicit backward, and the parameters that learn.

A layer maps a batch (rows, columns) to a batch; `backward` takes the gradient of the
loss with respect to the output of the last `forward` call, adds to the gradients of
its parameters, and gives the gradient with respect to the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import kernels
from fastnn.nn.initializers import Initializer, initializer
from fastnn.nn.parameters import Parameter
from kernels.base.memory import leading_dimension
from kernels.product.affine import affine, affine_gradient


class Layer:
    """What layers have in common; a layer of your own overrides `forward` and `backward`.

    If it has parameters, it also overrides `named_parameters`.
    """

    training = True
    """Whether the layer is to behave as in training (dropout drops) or as in use."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Give the output for a batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Give the gradient with respect to the input of the last `forward` call."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Give the output for a batch: `forward`."""
        return self.forward(x)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters, in order."""
        return iter(())

    def parameters(self) -> Iterator[Parameter]:
        """Give the parameters in order."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Names and arrays that are kept but do not learn, in order; to be written in place."""
        return iter(())

    def train(self, mode: bool = True) -> Layer:
        """Behave as in training, or with `mode=False` as in use; gives the layer itself."""
        self.training = mode
        return self

    def eval(self) -> Layer:
        """Behave as in use: `train(False)`."""
        return self.train(False)

    def describe(self) -> dict:
        """Arguments that make the same layer again, as plain values."""
        return {}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.describe().items())
        return f"{type(self).__name__}({arguments})"


def kept_by(layer: Layer, name: str) -> Any:
    """What the last `forward` has kept; raise RuntimeError where there was none."""
    try:
        return vars(layer)[name]
    except KeyError:
        raise RuntimeError(f"{type(layer).__name__}: backward() before forward()") from None


def gradient_of(layer: Layer, gradient, shape: tuple[int, ...]) -> np.ndarray:
    """Give a gradient as an array of a shape; name the layer if it is of another."""
    array = np.asarray(gradient)
    if array.shape != shape:
        raise ValueError(
            f"{type(layer).__name__}: gradient has shape {array.shape}; expected {shape}"
        )
    return array


def batch_of(layer: Layer, x, dtype=None) -> np.ndarray:
    """Give `x` as a floating batch of two dimensions; name the layer if it cannot be."""
    try:
        return kernels.base.arrays.matrix("x", x, dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{type(layer).__name__}: {error}") from None


def _transposed(columns: int, block: np.ndarray) -> np.ndarray:
    return block[:, :columns].T


class Linear(Layer):
    """y = x W^T + b.

    W has shape (out_features, in_features) and is drawn by `init` (a name in
    `fastnn.initializers.INITIALIZERS` or a function; default torch's, U(-k, k) with
    k = 1/sqrt(in_features)); b has shape (out_features,) and is drawn by `bias_init`
    (by default from the same U(-k, k), for other `init` zeros). `seed` is an integer,
    a numpy Generator, or None for fresh numbers.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype=np.float32,
        *,
        init: str | Initializer = "default",
        seed: int | np.random.Generator | None = None,
    ):
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not integer or value < 1:
                raise ValueError(f"Linear: {name} is {value!r}; expected a positive integer")
        dtype = np.dtype(dtype)
        if dtype not in kernels.base.arrays.FLOATING:
            raise ValueError(f"Linear: dtype is {dtype}; expected float32 or float64")
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.has_bias = bool(bias)
        rng = np.random.default_rng(seed)
        shape = self.out_features, self.in_features
        weight = np.asarray(initializer(init)(shape, rng))
        if weight.shape != shape:
            raise ValueError(f"Linear: init gave shape {weight.shape}; expected {shape}")
        bound = 1.0 / math.sqrt(in_features)
        default = init == "default"
        offset = rng.uniform(-bound, bound, out_features) if default else np.zeros(out_features)
        # In memory the weight lies as (in, out), rows padded: outputs fill vectors.
        block = (self.in_features, leading_dimension(self.out_features, dtype))
        self._weight = Parameter(
            weight.astype(dtype), block, partial(_transposed, self.out_features)
        )
        # Without bias it stays, as zeros that no optimizer is shown.
        self._bias = Parameter((offset if bias else np.zeros(out_features)).astype(dtype))

    @property
    def weight(self) -> Parameter:
        """W, of shape (out_features, in_features); assigning copies values into it."""
        return self._weight

    @weight.setter
    def weight(self, value) -> None:
        self._weight.assign(value, "weight")

    @property
    def bias(self) -> Parameter | None:
        """Give b, of shape (out_features,), or None; assigning copies values into it."""
        return self._bias if self.has_bias else None

    @bias.setter
    def bias(self, value) -> None:
        if not self.has_bias:
            raise ValueError("this Linear layer has no bias to assign to")
        self._bias.assign(value, "bias")

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the parameters and of the result."""
        return self._weight.dtype

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """`weight`, and `bias` if there is one."""
        yield "weight", self._weight
        if self.has_bias:
            yield "bias", self._bias

    def forward(self, x: np.ndarray) -> np.ndarray:
        """x W^T + b for a batch (rows, in_features)."""
        x = batch_of(self, x, self.dtype)
        if x.shape[1] != self.in_features:
            raise ValueError(f"Linear: x has shape {x.shape}; expected (rows, {self.in_features})")
        self._input = x
        return affine(x, self._weight.data.T, self._bias.data)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """dL/dW += g^T x, dL/db += the sum of g over the rows; gives dL/dx = g W."""
        x = kept_by(self, "_input")
        g = batch_of(self, gradient_of(self, gradient, (len(x), self.out_features)), self.dtype)
        kernels.matmul(x.T, g, self._weight.grad.T, accumulate=True)
        kernels.add_column_sums(g, self._bias.grad)
        return affine_gradient(g, self._weight.data.T)

    def describe(self) -> dict:
        """in_features, out_features, bias."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.has_bias,
        }


class Activation(Layer):
    """y = f(x) element by element, its gradient written in terms of y."""

    name: str
    """Name of the function in `kernels.ACTIVATIONS`."""
    function: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """f(x), of the shape and dtype of `x`."""
        self._output = self.function(x)
        return self._output

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """g f'(x)."""
        return self.gradient(kept_by(self, "_output"), gradient)


class ReLU(Activation):
    """y = max(x, 0)."""

    name = "relu"
    function, gradient = staticmethod(kernels.relu), staticmethod(kernels.relu_gradient)


class Tanh(Activation):
    """y = tanh(x)."""

    name = "tanh"
    function, gradient = staticmethod(kernels.tanh), staticmethod(kernels.tanh_gradient)


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    name = "sigmoid"
    function, gradient = staticmethod(kernels.sigmoid), staticmethod(kernels.sigmoid_gradient)


class Softmax(Layer):
    """y_i = exp(x_i) / sum_j exp(x_j) over the columns.

    For classification leave it out: `CrossEntropyLoss` takes the logits before it.
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Probabilities, of the shape and dtype of `x`."""
        self._output = kernels.softmax(batch_of(self, x))
        return self._output

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """y (g - sum_j g_j y_j)."""
        return kernels.softmax_gradient(kept_by(self, "_output"), gradient)


class Dropout(Layer):
    """y = x / (1 - p) with probability 1 - p, else 0; in use, y = x.

    Which elements are dropped follows from `seed`, `stream`, the number of training
    batches seen, and the place in the batch alone (`kernels.dropout`), for any number
    of threads. `seed` None draws one; `fit(seed=...)` sets it anew, with the layer's
    place among the model's Dropout layers as stream. Raises ValueError unless 0 <= p <= 1.
    """

    def __init__(self, p: float = 0.5, *, seed: int | None = None, stream: int = 0):
        number = isinstance(p, (int, float, np.integer, np.floating))
        if not number or not 0.0 <= p <= 1.0:
            error = ValueError if number else TypeError
            raise error(f"Dropout: p is {p!r}; expected a probability from 0 to 1")
        self.p = float(p)
        self.reseed(fresh_seed() if seed is None else seed, stream)

    def reseed(self, seed: int, stream: int = 0) -> None:
        """Begin the masks of a seed (63 bits) and stream (32 bits) from the first."""
        self.seed, self.stream, self.drawn = int(seed) & (2**63 - 1), int(stream), 0

    @property
    def drops(self) -> bool:
        """Whether anything is dropped now."""
        return self.training and self.p > 0.0

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Drop elements of a batch, or give it as it is when not training."""
        x = batch_of(self, x)
        if not self.drops:
            self._mask = None
            return x
        self._shape = x.shape
        y, self._mask = kernels.dropout(
            x, self.p, seed=self.seed, step=self.drawn, stream=self.stream
        )
        self.drawn += 1
        return y

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """g / (1 - p) where kept, 0 where dropped."""
        mask = kept_by(self, "_mask")
        if mask is None:
            return gradient
        return kernels.dropout_gradient(gradient_of(self, gradient, self._shape), mask, self.p)

    def describe(self) -> dict:
        """p."""
        return {"p": self.p}


def fresh_seed() -> int:
    """A seed that has not been used before."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))


class Flatten(Layer):
    """Batch (rows, ...) to (rows, columns)."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Reshape, without a copy where NumPy can."""
        x = np.asarray(x)
        if x.ndim < 2:
            raise ValueError(f"Flatten: x has shape {x.shape}; expected at least two dimensions")
        self._shape = x.shape
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Reshape back."""
        rows, *columns = kept_by(self, "_shape")
        return gradient_of(self, gradient, (rows, math.prod(columns))).reshape(self._shape)


class Identity(Layer):
    """y = x."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """x, as it is."""
        return x

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """g, as it is."""
        return gradient


class Normalize(Layer):
    """y = (x - mean) / std, column by column: preprocessing as the first layer of a model.

    `mean` and `std` are numbers or arrays (columns,). Integer inputs, such as images
    kept as bytes, become `dtype`. Raises ValueError unless every `std` is positive.
    """

    def __init__(self, mean=0.0, std=1.0, dtype=np.float32):
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError("Normalize: mean and std must be finite")
        if not (self.std > 0).all():
            raise ValueError("Normalize: std must be positive")
        self.dtype = np.dtype(dtype)
        if self.dtype not in kernels.base.arrays.FLOATING:
            raise ValueError(f"Normalize: dtype is {self.dtype}; expected float32 or float64")
        with np.errstate(over="ignore"):
            used = [each.astype(self.dtype) for each in (self.mean, 1.0 / self.std)]
        if not all(np.isfinite(each).all() for each in used):
            raise ValueError(f"Normalize: mean and 1 / std must be finite in {self.dtype}")

    def tables(self, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and 1 / std for each of so many columns, in `dtype`."""
        try:
            mean, factor = (
                np.ascontiguousarray(np.broadcast_to(each, (columns,)), self.dtype)
                for each in (self.mean, 1.0 / self.std)
            )
        except ValueError:
            raise ValueError(
                f"Normalize: mean has shape {self.mean.shape} and std {self.std.shape}; "
                f"x has {columns} columns"
            ) from None
        return mean, factor

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(x - mean) / std."""
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(f"Normalize: x has shape {x.shape}; expected two dimensions")
        self._shape = x.shape
        return kernels.normalize(x, *self.tables(x.shape[1]))

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """g / std."""
        _, columns = shape = kept_by(self, "_shape")
        return gradient_of(self, gradient, shape) * self.tables(columns)[1]

    def describe(self) -> dict:
        """Mean and std."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    def __repr__(self) -> str:
        columns = max(self.mean.size, self.std.size)
        return super().__repr__() if columns == 1 else f"Normalize({columns} columns)"
