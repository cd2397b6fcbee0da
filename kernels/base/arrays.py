"""Checks of the arguments that Python passes to kernels, with their error messages.

What was checked is a view of its own, whose shape no other thread can change. Class indices are
copied first, because they are places in memory to the kernels.
"""

from __future__ import annotations

import numpy as np

FLOATING = (np.dtype(np.float32), np.dtype(np.float64))
"""The dtypes that kernels are compiled for."""


def floating(name: str, value) -> np.ndarray:
    """Return `value` as a float32 or float64 array.

    Integers and booleans become float64 as in NumPy, half precision becomes float32.
    Raises TypeError for any other dtype.
    """
    array = np.asarray(value)[...]
    if array.dtype in FLOATING and array.dtype.isnative and array.flags.aligned:
        return array
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32)
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    raise TypeError(f"{name} has dtype {array.dtype}; expected float32, float64 or integers")


def matrix(name: str, value, dtype=None) -> np.ndarray:
    """Return `value` as a C-contiguous 2-d floating array; raise ValueError if it is not 2-d."""
    array = floating(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; expected two dimensions")
    return np.ascontiguousarray(array, dtype)


def vector(name: str, value, size: int, dtype=None) -> np.ndarray:
    """Return `value` as a contiguous floating array (size,), of `dtype` if one is given.

    Raises TypeError as `floating` does, ValueError for another shape.
    """
    array = floating(name, value)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({size},)")
    return np.ascontiguousarray(array, dtype)


def row_weights(weights, rows: int, dtype) -> tuple[np.ndarray, float]:
    """Return the weights of rows as an array, all 1 if they are None, and their sum.

    The weights are added one after the other, as in the compiled epoch. Raises TypeError as
    `floating` does, ValueError for another shape.
    """
    if weights is None:
        return np.ones(rows, dtype), float(rows)
    array = floating("weights", weights)
    if array.shape != (rows,):
        raise ValueError(f"weights have shape {array.shape}; expected ({rows},)")
    array = np.ascontiguousarray(array, dtype)
    return array, float(np.add.accumulate(array, dtype=np.float64)[-1]) if rows else 0.0


def number(name: str, value, low: float, high: float):
    """Return `value`; raise TypeError if it is no number, ValueError outside `low` to `high`."""
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} is {value!r}; expected a number from {low} to {high}")
    if not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; expected a number from {low} to {high}")
    return value


def integer(name: str, value, low: int, high: int) -> int:
    """Return `value`; raise TypeError if it is no integer, ValueError outside `low` to `high`."""
    if not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; expected an integer from {low} to {high}")
    return int(number(name, value, low, high))


def output(name: str, out, shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return `out`, or a new array if `out` is None.

    Raises TypeError if `out` is no array, ValueError if it cannot hold the result.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} is of type {type(out).__name__}; expected a NumPy array")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"{name} has shape {out.shape} and dtype {out.dtype}; expected {shape} and {dtype}"
        )
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only; expected an array that can be written")
    return out


def same_shape(name: str, array: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Raise ValueError unless the two arrays have the same shape."""
    if array.shape != other.shape:
        raise ValueError(
            f"{name} has shape {array.shape} and {other_name} {other.shape}; expected the same"
        )


def one_hot(labels: np.ndarray, classes: int, dtype) -> np.ndarray:
    """Return one row for each label, with 1 at the class index and 0 elsewhere."""
    rows = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def class_indices(name: str, labels, rows: int, classes: int) -> np.ndarray:
    """Return labels as a new int64 array of `rows` numbers below `classes`.

    Raises TypeError for labels that are not integers, ValueError for another shape
    or a label out of range.
    """
    array = np.array(labels, order="C")
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name} has dtype {array.dtype}; expected integers")
    if array.shape != (rows,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({rows},)")
    low, high = (array.min(), array.max()) if rows else (0, 0)
    if rows and not 0 <= low <= high < classes:
        raise ValueError(
            f"{name} ranges from {low} to {high}; expected class indices from 0 to {classes - 1}"
        )
    return np.ascontiguousarray(array, np.int64)
