"""BatchNorm1d and LayerNorm, as in torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.nn.layer import (
    Layer,
    batch_of,
    constants_of,
    dtype_of,
    gradient_of,
    kept_by,
)
from fastnn.nn.parameters import Parameter, copy_into
from fastnn.nn.twins import TorchTwin
from kernels.base import arrays
from kernels.base.memory import lasting, lasting_zeros
from kernels.functions import normalization

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = ["BatchNorm1d", "LayerNorm"]


class _Norm(Layer):
    """Base of norms, with a gain and a shift for each column that can learn."""

    def __init__(self, columns: Any, eps: float, affine: bool, bias: bool, dtype: DTypeLike):
        columns = arrays.count(f"{self._name}: {self.sizes[0]}", columns)
        if not arrays.is_number(eps) or not 0 <= eps < np.inf:
            raise ValueError(f"{self._name}: eps is {eps!r}; expected a number of 0 or more")
        self.computes_in = dtype = dtype_of(self, dtype)
        arrays.check_size(f"{self._name}: a weight", (columns,), dtype)
        self.eps = float(eps)
        # Those that do not learn are ones and zeros, which no optimizer gets.
        self._weight, self._bias = (
            Parameter(np.ones(columns, dtype)),
            Parameter(np.zeros(columns, dtype)),
        )
        self.has_weight, self.has_bias = bool(affine), bool(affine and bias)

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def columns(self) -> int:
        """Columns of the input and of the output."""
        return self._weight.size

    columns_in = columns_out = columns

    @property
    def weight(self) -> Parameter | None:
        """Gain of each column, or None; assigning copies values into it."""
        return self._weight if self.has_weight else None

    @weight.setter
    def weight(self, value) -> None:
        self._assign(self.weight, value, "weight")

    @property
    def bias(self) -> Parameter | None:
        """Shift of each column, or None; assigning copies values into it."""
        return self._bias if self.has_bias else None

    @bias.setter
    def bias(self, value) -> None:
        self._assign(self.bias, value, "bias")

    def _assign(self, parameter: Parameter | None, value, name: str) -> None:
        if parameter is None:
            raise ValueError(f"this {self._name} layer has no {name} to assign to")
        parameter.set_by(value, name)

    def reset_parameters(self, seed: int | None = None) -> None:
        """Set gains to 1 and shifts to 0, as at first; there is nothing to draw."""
        self._weight.data, self._bias.data = np.ones(self.columns), np.zeros(self.columns)

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the parameters and of the output."""
        return self._weight.dtype

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Return `weight` and `bias`, if there are any."""
        if self.has_weight:
            yield "weight", self._weight
        if self.has_bias:
            yield "bias", self._bias

    def settings(self) -> tuple:
        """Return the parameters, whose places a program fixes, and eps."""
        return self._weight, self._bias, self.has_weight, self.has_bias, self.eps

    _input: np.ndarray

    def _read(self, x) -> np.ndarray:
        x = batch_of(self, x, self.dtype)
        if x.shape[1] != self.columns:
            raise ValueError(
                f"{self._name}: x has shape {x.shape}; expected (rows, {self.columns})"
            )
        return x

    def _read_gradient(self, gradient) -> np.ndarray:
        shape = kept_by(self, "_input").shape
        return batch_of(self, gradient_of(self, gradient, shape), self.dtype)

    def _learn(self, of_weight: np.ndarray, of_bias: np.ndarray) -> None:
        for parameter, gradient in ((self._weight, of_weight), (self._bias, of_bias)):
            if parameter.requires_grad:
                parameter.grad[...] += gradient


class BatchNorm1d(_Norm):
    """Batch normalisation, y = w (x - mean) / sqrt(var + eps) + b by the moments of each column.

    In training the moments are those of the batch, and the running moments follow them: running +=
    `momentum` (batch - running), where the variance is the unbiased one, rows / (rows - 1) times
    the batch's. In evaluation mode the running moments normalise.

    Parameters
    ----------
    num_features : int
        Columns of the input.
    eps : float, default 1e-5
        Number that is added to the variance.
    momentum : float or None, default 0.1
        Weight of a batch in the running moments; None takes the mean of all batches.
    affine : bool, default True
        Whether w and b learn, from 1 and 0.
    track_running_stats : bool, default True
        Whether to keep running moments; without them the batch's moments always normalise.
    dtype : dtype, default float32
        Dtype of parameters and output: float32 or float64.

    Raises
    ------
    ValueError
        For settings out of range, and in training for a batch of one row.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import BatchNorm1d
    >>> BatchNorm1d(1, eps=0.0)(np.array([[1.0], [3.0]], np.float32))
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    command_name = "batch"
    least_rows = 2
    sizes = ("num_features",)
    torch_twin = TorchTwin(
        "BatchNorm1d",
        ("num_features", "eps", "momentum", "affine", "track_running_stats"),
        typed=True,
    )

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = np.float32,
    ):
        super().__init__(num_features, eps, affine, affine, dtype)
        if momentum is not None and not (arrays.is_number(momentum) and 0 <= momentum <= 1):
            raise ValueError(
                f"BatchNorm1d: momentum is {momentum!r}; expected a number from 0 to 1, or None"
            )
        self.momentum = None if momentum is None else float(momentum)
        self.track_running_stats = bool(track_running_stats)
        self._keep(np.repeat([[0.0], [1.0]], self.columns, axis=1), 0)

    def __setstate__(self, state: dict) -> None:
        # Unpickled arrays may be read-only, and older pickles have two of them.
        moments = state.pop("running_mean", None), state.pop("running_var", None)
        vars(self).update(state)
        self._keep(np.asarray(state.get("_running", moments)), state["_tracked"])

    def _keep(self, running: np.ndarray, tracked) -> None:
        """Set the memory of the running moments, (2, columns), and of the count of batches."""
        flat = lasting(running.astype(self.computes_in).reshape(-1))
        self._running, self._tracked = flat.reshape(2, -1), lasting_zeros(1, np.int64).reshape(())
        self._tracked[...] = tracked

    @property
    def num_features(self) -> int:
        """The number of columns."""
        return self.columns

    @property
    def running_mean(self) -> np.ndarray:
        """Running mean of each column, as a view; assigning copies values into it."""
        return self._running[0]

    @running_mean.setter
    def running_mean(self, value) -> None:
        copy_into(self.running_mean, value, "running_mean")

    @property
    def running_var(self) -> np.ndarray:
        """Running variance of each column, as a view; assigning copies values into it."""
        return self._running[1]

    @running_var.setter
    def running_var(self, value) -> None:
        copy_into(self.running_var, value, "running_var")

    @property
    def num_batches_tracked(self) -> int:
        """Batches that the running mean and variance have seen."""
        return int(self._tracked)

    @num_batches_tracked.setter
    def num_batches_tracked(self, value: int) -> None:
        self._tracked[...] = arrays.count("num_batches_tracked", value, 0, 2**63 - 1)

    def batch_counter(self) -> str | None:
        """Return the name of the attribute that counts batches, or None without running moments."""
        return "num_batches_tracked" if self.track_running_stats else None

    def reset_parameters(self, seed: int | None = None) -> None:
        """Set gains, shifts and running moments to what they were at first."""
        super().reset_parameters(seed)
        self.running_mean, self.running_var = np.zeros(self.columns), np.ones(self.columns)
        self._tracked[...] = 0

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Return `running_mean`, `running_var` and `num_batches_tracked`, if they are kept."""
        if self.track_running_stats:
            yield "running_mean", self.running_mean
            yield "running_var", self.running_var
            yield "num_batches_tracked", self._tracked[...]

    @property
    def uses_batch(self) -> bool:
        """True if mean and variance are the batch's now."""
        return self.training or not self.track_running_stats

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the normalised batch; in training, also update the running mean and variance."""
        self._input = x = self._read(x)
        if self.training and len(x) < self.least_rows:
            raise ValueError(
                f"BatchNorm1d: x has shape {x.shape}; expected more than one row in training"
            )
        y = np.empty_like(x)
        self._fixed = not self.uses_batch
        if self._fixed:
            self._moments = np.stack([self.running_mean, self.running_var])
        else:
            self._moments = np.empty((2, self.columns), self.dtype)
            normalization.moments[self.dtype](x, *self._moments)
        normalization.batch_norm[self.dtype](
            x, self.eps, *self._moments, self._weight.data, self._bias.data, y
        )
        if self.training and self.track_running_stats:
            self._tracked += 1
            momentum = 1.0 / self._tracked if self.momentum is None else self.momentum
            normalization.track[self.dtype](
                len(x), momentum, *self._moments, self.running_mean, self.running_var
            )
        return y

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Add sum g z to dL/dw, z the normalised x, and sum g to dL/db; return dL/dx."""
        g = self._read_gradient(gradient)
        out, learned = np.empty_like(g), np.empty((2, self.columns), self.dtype)
        normalization.batch_norm_gradient[self.dtype](
            self._input, self.eps, self._fixed, *self._moments, self._weight.data, g, out, *learned
        )
        self._learn(*learned)
        return out

    def settings(self) -> tuple:
        """Return also the momentum, and which memory holds the running moments, if any is used."""
        moments = self.momentum, self.track_running_stats, id(self._running)
        return (*super().settings(), *moments)

    def describe(self) -> dict:
        """Return num_features, eps, momentum, affine and track_running_stats."""
        return {
            "num_features": self.columns,
            "eps": self.eps,
            "momentum": self.momentum,
            "affine": self.has_weight,
            "track_running_stats": self.track_running_stats,
        }

    def to_onnx(self, graph, place, x) -> str:
        """Add one operator, or without running moments the formula with the batch's moments."""
        weight, bias = constants_of(self, graph, place) or (
            graph.constant(f"{place}.weight", np.ones(self.columns)),
            graph.constant(f"{place}.bias", np.zeros(self.columns)),
        )
        if self.track_running_stats:
            moments = [
                graph.constant(f"{place}.{name}", getattr(self, name))
                for name in ("running_mean", "running_var")
            ]
            return graph.add("BatchNormalization", x, weight, bias, *moments, epsilon=self.eps)
        centred = graph.add("Sub", x, graph.add("ReduceMean", x, axes=[0]))
        variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[0])
        eps = graph.constant(f"{place}.eps", self.eps)
        scaled = graph.add("Div", centred, graph.add("Sqrt", graph.add("Add", variance, eps)))
        return graph.add("Add", graph.add("Mul", scaled, weight), bias)


class LayerNorm(_Norm):
    """Layer normalisation, y = w (x - mean) / sqrt(var + eps) + b by the moments of each row.

    Parameters
    ----------
    normalized_shape : int or list of one int
        Columns of the input.
    eps : float, default 1e-5
        Number that is added to the variance.
    elementwise_affine : bool, default True
        Whether w and b learn, from 1 and 0.
    bias : bool, default True
        Whether there is a shift b; without it only w learns.
    dtype : dtype, default float32
        Dtype of parameters and output: float32 or float64.

    Raises
    ------
    ValueError
        For settings out of range.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import LayerNorm
    >>> LayerNorm(2, eps=0.0)(np.array([[1.0, 3.0]], np.float32))
    array([[-1.,  1.]], dtype=float32)
    """

    command_name = "layer"
    sizes = ("normalized_shape",)
    torch_twin = TorchTwin(
        "LayerNorm", ("normalized_shape", "eps", "elementwise_affine", "bias"), typed=True
    )

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ):
        if isinstance(normalized_shape, (tuple, list)) and len(normalized_shape) == 1:
            normalized_shape = normalized_shape[0]
        super().__init__(normalized_shape, eps, elementwise_affine, bias, dtype)

    @property
    def normalized_shape(self) -> tuple[int]:
        """The number of columns, as a tuple of one."""
        return (self.columns,)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the normalised batch."""
        self._input = x = self._read(x)
        y = np.empty_like(x)
        self._means, self._factors = np.empty((2, len(x)), self.dtype)
        normalization.layer_norm[self.dtype](
            x, self.eps, self._weight.data, self._bias.data, y, self._means, self._factors
        )
        return y

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Add sum g z to dL/dw, z the normalised x, and sum g to dL/db; return dL/dx."""
        g = self._read_gradient(gradient)
        out, learned = np.empty_like(g), np.empty((2, self.columns), self.dtype)
        normalization.layer_norm_gradient[self.dtype](
            self._input, self._means, self._factors, self._weight.data, g, out, *learned
        )
        self._learn(*learned)
        return out

    def describe(self) -> dict:
        """Return normalized_shape, eps, elementwise_affine and bias."""
        return {
            "normalized_shape": self.columns,
            "eps": self.eps,
            "elementwise_affine": self.has_weight,
            "bias": self.has_bias,
        }

    def to_onnx(self, graph, place, x) -> str:
        """Add one operator."""
        parameters = constants_of(self, graph, place)
        if not parameters:
            parameters = [graph.constant(f"{place}.weight", np.ones(self.columns))]
        return graph.add("LayerNormalization", x, *parameters, axis=-1, epsilon=self.eps)
