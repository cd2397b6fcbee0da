"""Normalize, the layer for preprocessing at the start of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnn.nn.layer import Layer, dtype_of, gradient_of, kept_by
from fastnn.nn.twins import TorchTwin
from kernels.functions import gathering

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


__all__ = ["Normalize"]


class Normalize(Layer):
    """Preprocessing as the first layer of a model, y = (x - mean) / std, column by column.

    Integer inputs, such as images of uint8, are converted to `dtype`.

    Parameters
    ----------
    mean : float or array_like, default 0.0
        A number, or one for each column.
    std : float or array_like, default 1.0
        A positive number, or one for each column.
    dtype : dtype, default float32
        Dtype of the output: float32 or float64.

    Raises
    ------
    ValueError
        If `dtype` is not float32 or float64, `std` is not positive, or the mean or 1 / std is not
        finite in `dtype`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Normalize
    >>> Normalize(0, 255)(np.array([[0, 255]], np.uint8))
    array([[0., 1.]], dtype=float32)
    """

    torch_twin = TorchTwin("Normalize", ("mean", "std"), typed=True)

    def __init__(self, mean: ArrayLike = 0.0, std: ArrayLike = 1.0, dtype: DTypeLike = np.float32):
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError("Normalize: mean and std must be finite")
        if not (self.std > 0).all():
            raise ValueError("Normalize: std must be positive")
        self.computes_in = self.dtype = dtype_of(self, dtype)
        with np.errstate(over="ignore"):
            used = [each.astype(self.dtype) for each in (self.mean, 1.0 / self.std)]
        if not all(np.isfinite(each).all() for each in used):
            raise ValueError(f"Normalize: mean and 1 / std must be finite in {self.dtype}")
        columns = max(self.mean.size, self.std.size)
        self.columns_in = self.columns_out = columns if columns > 1 else None

    def tables(self, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and 1 / std for each column, (columns,), in `dtype`."""
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

    def output_columns(self, columns: int) -> int:
        """Return the same number; `tables` checks that it is the number of means."""
        return columns

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return (x - mean) / std."""
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(f"Normalize: x has shape {x.shape}; expected two dimensions")
        self._shape = x.shape
        return gathering.normalize(x, *self.tables(x.shape[1]))

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return g / std."""
        _, columns = shape = kept_by(self, "_shape")
        return gradient_of(self, gradient, shape) * self.tables(columns)[1]

    def describe(self) -> dict:
        """Return mean and std."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    def settings(self) -> tuple:
        """Return the bytes of mean and std, which may be changed in place, and the dtype."""
        return self.mean.tobytes(), self.std.tobytes(), self.dtype

    def to_onnx(self, graph, place, x) -> str:
        """Add (x - mean) factor with factor = 1 / std, as the kernel computes it."""
        mean = graph.constant(f"{place}.mean", self.mean)
        factor = graph.constant(f"{place}.factor", 1.0 / self.std)
        return graph.add("Mul", graph.add("Sub", x, mean), factor)

    def __repr__(self) -> str:
        columns = max(self.mean.size, self.std.size)
        return super().__repr__() if columns == 1 else f"Normalize({columns} columns)"
