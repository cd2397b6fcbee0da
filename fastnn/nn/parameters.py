"""Parameters: arrays that learn, their gradients, and the memory of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from kernels.base.memory import address, aligned_zeros, padded

__all__ = ["Parameter"]


class Parameter:
    """Array that learns, and its gradient of the same shape, each in flat memory.

    All parameters of a model share one block of memory, so that an optimizer, a copy or
    a sum handles them in one pass. `data` and `grad` are views of the memory, whose
    elements may be in another order, with padding; read and write them as ordinary arrays.

    Parameters
    ----------
    value : array_like
        Initial values, of float32 or float64.
    memory_shape : tuple of int, optional
        Shape of the memory that holds the values; the default is the shape of `value`.
    view : callable, optional
        Function that returns a view, of the shape of `value`, of an array of `memory_shape`; the
        default is the array itself.

    Attributes
    ----------
    decays : bool
        Whether weight decay applies; set it before making an optimizer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Parameter
    >>> parameter = Parameter(np.ones((2, 3), np.float32))
    >>> parameter
    Parameter(shape=(2, 3), dtype=float32)
    >>> parameter.grad.sum()
    np.float32(0.0)
    """

    decays = True

    def __init__(
        self,
        value,
        memory_shape: tuple[int, ...] | None = None,
        view: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        value = np.asarray(value)
        self.memory_shape = memory_shape or value.shape
        self._view = view
        self.block = self.gradient_block = np.empty(0, value.dtype)
        self.span = padded(math.prod(self.memory_shape), value.dtype)
        block, gradient_block = (aligned_zeros(self.span, value.dtype) for _ in range(2))
        self._lie_in(block, gradient_block, 0)
        self.data[...] = value

    def _lie_in(self, block: np.ndarray, gradient_block: np.ndarray, start: int) -> None:
        self.block, self.gradient_block, self.start = block, gradient_block, start

    @property
    def memory(self) -> np.ndarray:
        """Flat memory of the values with padding, from element `start` of `block`."""
        return self.block[self.start : self.start + self.span]

    @property
    def gradient_memory(self) -> np.ndarray:
        """Flat memory of the gradient with padding, from element `start` of `gradient_block`."""
        return self.gradient_block[self.start : self.start + self.span]

    @property
    def address(self) -> int:
        """Address of `memory`."""
        return address(self.block) + self.start * self.block.itemsize

    @property
    def gradient_address(self) -> int:
        """Address of `gradient_memory`."""
        return address(self.gradient_block) + self.start * self.block.itemsize

    def _seen(self, memory: np.ndarray) -> np.ndarray:
        block = memory[: math.prod(self.memory_shape)].reshape(self.memory_shape)
        return self._view(block) if self._view else block

    @property
    def data(self) -> np.ndarray:
        """The values, as a writable view."""
        return self._seen(self.memory)

    @property
    def grad(self) -> np.ndarray:
        """The gradient, as a writable view."""
        return self._seen(self.gradient_memory)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `data` and `grad`."""
        return self.data.shape

    @property
    def size(self) -> int:
        """Number of elements, without padding."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        """Dtype, float32 or float64."""
        return self.block.dtype

    def move(self, block: np.ndarray, gradient_block: np.ndarray, start: int) -> None:
        """Move values and gradient to other blocks, from element `start`."""
        values, gradient = self.memory, self.gradient_memory
        self._lie_in(block, gradient_block, start)
        self.memory[:], self.gradient_memory[:] = values, gradient

    def seen_in(self, memory: np.ndarray) -> np.ndarray:
        """Return a view of another flat array, laid out as `memory`, in the parameter's shape."""
        return self._seen(memory)

    def assign(self, value, name: str = "parameter") -> None:
        """Copy values into this parameter.

        Raises ValueError for another shape, and TypeError for values that are no real numbers.
        """
        value = np.asarray(value)
        if value.dtype.kind not in "fiub":
            raise TypeError(f"{name} was given {value.dtype}; expected numbers")
        if value.shape != self.shape:
            raise ValueError(f"{name} has shape {self.shape}; it was given {value.shape}")
        self.data[...] = value

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.data, dtype) if copy is not False else np.asarray(self.data, dtype)

    def __getitem__(self, index):
        return self.data[index]

    def __setitem__(self, index, value):
        self.data[index] = value

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


def place_together(parameters: Iterable[Parameter]) -> None:
    """Move parameters, in order, into one block of memory, and their gradients into another."""
    parameters = list(parameters)
    for dtype in {parameter.dtype for parameter in parameters}:
        group = [parameter for parameter in parameters if parameter.dtype == dtype]
        total = sum(parameter.span for parameter in group)
        block, gradient_block = aligned_zeros(total, dtype), aligned_zeros(total, dtype)
        start = 0
        for parameter in group:
            parameter.move(block, gradient_block, start)
            start += parameter.span


def blocks_of(parameters: Iterable[Parameter]) -> list[np.ndarray]:
    """Return the distinct blocks of memory that hold parameters."""
    return list({id(each.block): each.block for each in parameters}.values())
