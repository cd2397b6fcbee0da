"""Parameters: arrays that learn, their gradients, and the memory of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.base.arrays import FLOATING
from kernels.base.memory import lasting, lasting_zeros, padded

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


__all__ = ["Parameter"]

_VIEWS = "_data", "_grad", "_shape"


class Parameter:
    """Array that learns, and its gradient of the same shape, each in flat memory.

    The memory stays where it is as long as the parameter lives, so a program that holds its
    address never reads anything else: whoever sets `data` or `grad` copies values into it. The
    elements may lie in another order, with padding; read and write the two as ordinary arrays.

    Parameters
    ----------
    value : array_like
        Initial values, of float32 or float64.
    memory_shape : tuple of int, optional
        Shape of the memory that holds the values; the default is the shape of `value`.
    view : callable, optional
        Function that returns a view, of the shape of `value`, of an array of `memory_shape`; the
        default is the array itself.

    Raises
    ------
    TypeError
        If values are of another dtype.

    Attributes
    ----------
    decays : bool
        Whether weight decay applies; True by default.
    requires_grad : bool
        Whether the parameter learns; True by default. Optimizers leave one alone that does not:
        they change neither its values nor what they remember of it, and clipping by norm ignores
        its gradient. It may be set at any time. Model files do not hold it, checkpoints do.

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

    decays = requires_grad = True

    def __init__(
        self,
        value: ArrayLike,
        memory_shape: tuple[int, ...] | None = None,
        view: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        value = np.asarray(value)
        dtype = value.dtype.newbyteorder("=")
        if dtype not in FLOATING:
            raise TypeError(f"Parameter: value is of {dtype}; expected float32 or float64")
        self._memory_shape, self._view = memory_shape or value.shape, view
        span = padded(math.prod(self.memory_shape), dtype)
        both = lasting_zeros(2 * span, dtype)
        self._settle(both[:span], both[span:])
        self.data[...] = value

    def __getstate__(self) -> dict:
        kept = {name: value for name, value in vars(self).items() if name not in _VIEWS}
        return {**kept, "_memory": self.memory, "_gradient": self.gradient_memory}

    def __setstate__(self, state: dict) -> None:
        # Unpickled arrays may be read-only, mapped from a file, or not aligned.
        state = _in_own_memory(state)
        vars(self).update(state)
        self._settle(lasting(state["_memory"]), lasting(state["_gradient"]))

    def _settle(self, memory: np.ndarray, gradient: np.ndarray) -> None:
        """Set the memory for good; its views and shape are asked for in every step."""
        self._memory, self._gradient = memory, gradient
        self._data, self._grad = self.seen_in(memory), self.seen_in(gradient)
        self._shape = self._data.shape

    @property
    def memory_shape(self) -> tuple[int, ...]:
        """Shape of the memory that holds the values."""
        return self._memory_shape

    @property
    def span(self) -> int:
        """Number of elements of `memory`."""
        return self._memory.size

    @property
    def memory(self) -> np.ndarray:
        """Flat memory of the values with padding, as a view."""
        return self._memory[:]

    @property
    def gradient_memory(self) -> np.ndarray:
        """Flat memory of the gradient with padding, as a view."""
        return self._gradient[:]

    @property
    def data(self) -> np.ndarray:
        """The values, as a writable view; assigning copies values into it."""
        return self._data[...]

    @data.setter
    def data(self, value: ArrayLike) -> None:
        self.assign(value, "data")

    @property
    def grad(self) -> np.ndarray:
        """The gradient, as a writable view; assigning copies values into it."""
        return self._grad[...]

    @grad.setter
    def grad(self, value: ArrayLike) -> None:
        copy_into(self.grad, value, "grad")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `data` and `grad`."""
        return self._shape

    @property
    def size(self) -> int:
        """Number of elements, without padding."""
        return math.prod(self._shape)

    @property
    def dtype(self) -> np.dtype:
        """Dtype, float32 or float64."""
        return self._memory.dtype

    def seen_in(self, memory: np.ndarray) -> np.ndarray:
        """Return a view of a flat array, laid out as `memory`, in the parameter's shape."""
        block = memory[: math.prod(self.memory_shape)].reshape(self.memory_shape)
        return self._view(block) if self._view else block

    def requires_grad_(self, requires_grad: bool = True) -> Parameter:
        """Set whether the parameter learns; return the parameter itself."""
        self.requires_grad = bool(requires_grad)
        return self

    def assign(self, value: ArrayLike, name: str = "parameter") -> None:
        """Copy values into this parameter.

        Raises ValueError for another shape, and TypeError for values that are no real numbers.
        """
        copy_into(self.data, value, name)

    def set_by(self, value: ArrayLike, name: str) -> None:
        """Copy values into this parameter, which a layer was told to set.

        Raises TypeError for another layer's parameter, which would seem to be shared from then on.
        """
        if isinstance(value, Parameter) and value is not self:
            raise TypeError(
                f"{name} was given a Parameter, and layers share none; to copy its values, assign "
                f"those: layer.{name} = other.{name}.data"
            )
        self.assign(value, name)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype) if copy is not False else np.asarray(self.data, dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.data[index]

    def __setitem__(self, index: Any, value: ArrayLike) -> None:
        self.data[index] = value

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


def copy_into(array: np.ndarray, value, name: str) -> None:
    """Copy values into an array that stays where it is.

    Raises ValueError for another shape, and TypeError for values that are no real numbers; the
    array keeps its values then.
    """
    value = np.asarray(value)
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{name} was given {value.dtype}; expected numbers")
    if value.shape != array.shape:
        raise ValueError(f"{name} has shape {array.shape}; it was given {value.shape}")
    array[...] = value


def _in_own_memory(state: dict) -> dict:
    """Return the state of a parameter, also if it was pickled when models had a common block."""
    if "block" not in state:
        return state
    here = slice(state["start"], state["start"] + state["span"])
    return {
        "_memory_shape": state["memory_shape"],
        "_view": state["_view"],
        "_memory": state["block"][here],
        "_gradient": state["gradient_block"][here],
        **({"decays": state["decays"]} if "decays" in state else {}),
    }
