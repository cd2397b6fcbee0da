"""Linear, the layer that multiplies by a weight and adds a bias."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fastnn.nn.initializers import Initializer, initializer
from fastnn.nn.layer import (
    Layer,
    batch_of,
    constants_of,
    dtype_of,
    gradient_of,
    kept_by,
)
from fastnn.nn.parameters import Parameter
from fastnn.nn.seeds import fresh_seed
from fastnn.nn.twins import TorchTwin
from kernels.base import arrays
from kernels.base.memory import leading_dimension
from kernels.product.affine import affine, affine_gradient
from kernels.product.matmul import add_column_sums, matmul

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = ["Linear"]


class Linear(Layer):
    """Linear layer, y = x W^T + b.

    Parameters
    ----------
    in_features : int
        Columns of the input x.
    out_features : int
        Columns of the output y.
    bias : bool, default True
        Whether there is a bias b, of shape (out_features,).
    dtype : dtype, default float32
        Dtype of parameters and output: float32 or float64.
    init : str or callable, default "default"
        Initializer of the weight W, of shape (out_features, in_features): a name in
        `fastnn.initializers.INITIALIZERS` or a function of a shape and a generator. The default
        is torch's, U(-k, k) with k = 1 / sqrt(in_features). The bias is drawn from the
        same U(-k, k) by default, and is 0 for any other `init`.
    seed : int or numpy.random.Generator, optional
        Seed of the initial parameters; None draws one.

    Raises
    ------
    ValueError
        If sizes are not positive integers, `dtype` is not float32 or float64, or `init` returns
        another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Linear
    >>> layer = Linear(3, 2, seed=0)
    >>> layer.weight.shape, layer(np.ones((4, 3), np.float32)).shape
    ((2, 3), (4, 2))
    """

    sizes, keeps = ("in_features", "out_features"), "_input"
    torch_twin = TorchTwin("Linear", ("in_features", "out_features", "bias"), typed=True)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        init: str | Initializer = "default",
        seed: int | np.random.Generator | None = None,
    ):
        in_features = arrays.count("Linear: in_features", in_features)
        out_features = arrays.count("Linear: out_features", out_features)
        self.computes_in = dtype = dtype_of(self, dtype)
        arrays.check_size("Linear: a weight", (out_features, in_features), np.float64)
        self.has_bias = bool(bias)
        self._init, self._seed = init, fresh_seed() if seed is None else None
        rng = np.random.default_rng(self._seed if seed is None else seed)
        weight, offset = self._draw(in_features, out_features, rng)
        # The memory of the weight is (in, out) with padded rows, so that outputs fill SIMD vectors.
        block = (in_features, leading_dimension(out_features, dtype))
        self._weight = Parameter(weight.astype(dtype), block, partial(_transposed, out_features))
        # A layer without bias keeps zeros, which no optimizer gets.
        self._bias = Parameter(offset.astype(dtype))

    def _draw(
        self, in_features: int, out_features: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return initial values of the weight and of the bias."""
        shape = out_features, in_features
        weight = np.asarray(initializer(self._init)(shape, rng))
        if weight.shape != shape:
            raise ValueError(f"Linear: init gave shape {weight.shape}; expected {shape}")
        if self._init != "default" or not self.has_bias:
            return weight, np.zeros(out_features)
        bound = 1.0 / math.sqrt(in_features)
        return weight, rng.uniform(-bound, bound, out_features)

    def __getstate__(self) -> dict:
        """Return the attributes for copies and pickles, with an initializer by name only."""
        init = self._init if isinstance(self._init, str) else None
        return {**vars(self), "_init": init}

    def reset_parameters(self, seed: int | None = None) -> None:
        """Draw the initial parameters anew by `init`, in place.

        Parameters
        ----------
        seed : int, optional
            Seed of the parameters; None draws one.

        Raises
        ------
        ValueError
            In a copy of a layer whose `init` is a function, which copies do not keep.
        """
        if getattr(self, "_init", None) is None:
            raise ValueError("Linear: a copy does not keep the function that is its init")
        self._seed = fresh_seed() if seed is None else None
        rng = np.random.default_rng(self._seed if seed is None else seed)
        weight, offset = self._draw(self.in_features, self.out_features, rng)
        self._weight.assign(weight)
        self._bias.assign(offset)

    def begins_anew(self) -> bool:
        """Return True if the parameters are still those of a seed that was not given."""
        if getattr(self, "_seed", None) is None or self._init is None:
            return False
        rng = np.random.default_rng(self._seed)
        drawn = self._draw(self.in_features, self.out_features, rng)
        own = self._weight.data, self._bias.data
        return all(
            np.array_equal(each, values.astype(each.dtype))
            for each, values in zip(own, drawn, strict=True)
        )

    @property
    def in_features(self) -> int:
        """Columns of the input."""
        return self._weight.shape[1]

    @property
    def out_features(self) -> int:
        """Columns of the output."""
        return self._weight.shape[0]

    columns_in, columns_out = in_features, out_features

    @property
    def multiply_adds(self) -> int:  # type: ignore[override]
        """Number of multiply-adds of `forward` for a row."""
        return self.in_features * self.out_features

    @property
    def weight(self) -> Parameter:
        """W, of shape (out_features, in_features); assigning copies values into it."""
        return self._weight

    @weight.setter
    def weight(self, value) -> None:
        self._weight.set_by(value, "weight")

    @property
    def bias(self) -> Parameter | None:
        """The bias b, of shape (out_features,), or None; assigning copies values into it."""
        return self._bias if self.has_bias else None

    @bias.setter
    def bias(self, value) -> None:
        if not self.has_bias:
            raise ValueError("this Linear layer has no bias to assign to")
        self._bias.set_by(value, "bias")

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the parameters and of the output."""
        return self._weight.dtype

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Return `weight`, and `bias` if there is one."""
        yield "weight", self._weight
        if self.has_bias:
            yield "bias", self._bias

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x W^T + b for a batch (rows, in_features)."""
        x = batch_of(self, x, self.dtype)
        if x.shape[1] != self.in_features:
            raise ValueError(f"Linear: x has shape {x.shape}; expected (rows, {self.in_features})")
        self._input = x
        return affine(x, self._weight.data.T, self._bias.data)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Add g^T x to the gradient of W, and the column sums of g to that of b; return g W.

        Parameters that do not learn get no gradient.
        """
        x = kept_by(self, "_input")
        g = batch_of(self, gradient_of(self, gradient, (len(x), self.out_features)), self.dtype)
        if self._weight.requires_grad:
            matmul(x.T, g, self._weight.grad.T, accumulate=True)
        if self._bias.requires_grad:
            add_column_sums(g, self._bias.grad)
        return affine_gradient(g, self._weight.data.T)

    def describe(self) -> dict:
        """Return in_features, out_features and bias."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.has_bias,
        }

    def settings(self) -> tuple:
        """Return the parameters, whose places a program fixes."""
        return self._weight, self._bias, self.has_bias

    @classmethod
    def shapes(cls, arguments) -> dict[str, tuple[int, ...]]:
        """Return the weight's shape, (out_features, in_features)."""
        return {"weight": (arguments["out_features"], arguments["in_features"])}

    def to_onnx(self, graph, place, x) -> str:
        """Add one product, x W^T + b."""
        return graph.add("Gemm", x, *constants_of(self, graph, place), transB=1)


def _transposed(columns: int, block: np.ndarray) -> np.ndarray:
    """Return the first columns of a block of memory, transposed."""
    return block[:, :columns].T
