"""Checks of the arguments that Python passes to kernels, with their error messages.

What was checked is a view of its own, whose shape no other thread can change. Class indices are
copied first, because they are places in memory to the kernels.
"""

from __future__ import annotations

import math
import operator

import numpy as np

FLOATING = (np.dtype(np.float32), np.dtype(np.float64))
"""The dtypes that kernels are compiled for."""

LARGEST = 2**63 - 1
"""The largest size and count: kernels read them as int64."""


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


def is_number(value) -> bool:
    """Return True for a real number."""
    return isinstance(value, (int, float, np.integer, np.floating))


def as_integer(value) -> int | None:
    """Return an integer of any kind as Python's int; None for anything else, True and False too.

    Sums and products of Python's integers do not overflow, as those of NumPy's do.
    """
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def integer(name: str, value, low: float, high: float) -> int:
    """Return Python's int; raise TypeError if it is no integer, ValueError outside the range."""
    found = as_integer(value)
    if found is None:
        raise TypeError(f"{name} is {value!r}; expected an integer {_range(low, high)}")
    return number(name, found, low, high)


def count(name: str, value, low: float = 1, high: float = LARGEST, or_none: str = "") -> int:
    """Return Python's int; raise ValueError for anything but an integer from `low` to `high`.

    `or_none`, ", or None", ends the message where the caller takes None.
    """
    found = as_integer(value)
    if found is None or not low <= found <= high:
        if low == 1:
            expected = "a positive integer" + (f" up to {high}" if high < LARGEST else "")
        else:
            expected = f"an integer {_range(low, high)}".rstrip()
        raise ValueError(f"{name} is {value!r}; expected {expected}{or_none}")
    return found


def _range(low: float, high: float) -> str:
    """Return the range of a number in words, nothing for one without bounds."""
    if high >= LARGEST:
        return "" if low == -math.inf else f"of {low} or more"
    return f"from {low} to {high}"


def check_size(name: str, shape: tuple[int, ...], dtype) -> None:
    """Raise ValueError, with the numbers, for an array of more bytes than can be counted."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > LARGEST:
        raise ValueError(
            f"{name} of shape {shape} and {np.dtype(dtype)} has {size} bytes; expected at most "
            f"{LARGEST}"
        )


def output(name: str, out, shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return `out`, or a new array if `out` is None.

    Raises TypeError if `out` is no array, ValueError if it cannot hold the result.
    """
    if out is None:
        check_size(name, shape, dtype)
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
    """Return one row for each label, with 1 at the class index and 0 elsewhere.

    The row of a negative label holds zeros only.
    """
    rows = np.zeros((len(labels), classes), dtype)
    known = np.flatnonzero(labels >= 0)
    rows[known, labels[known]] = 1
    return rows


def class_indices(name: str, labels, rows: int, classes: int) -> np.ndarray:
    """Return labels as a new int64 array of `rows` numbers below `classes`.

    Raises TypeError for labels that are not integers, ValueError for another shape
    or a label out of range.
    """
    return known_indices(name, labels, rows, classes)[0]


def known_indices(
    name: str, labels, rows: int, classes: int, ignore_index: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels as `class_indices` does, and which of them are known, None if all are.

    Labels that equal `ignore_index` are not known, and become -1.
    """
    array = np.array(labels, order="C")
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name} has dtype {array.dtype}; expected integers")
    if array.shape != (rows,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({rows},)")
    indices, known = np.ascontiguousarray(array, np.int64), None
    inside = _all_below(indices, classes)
    if ignore_index is not None and (not inside or 0 <= ignore_index < classes):
        known = array != ignore_index
        array = array[known]  # a copy: `indices` may be `array`
        indices[~known] = -1
        inside = _all_below(array.astype(np.int64), classes)
    if not inside:
        other = "" if ignore_index is None else f", or ignore_index, which is {ignore_index}"
        raise ValueError(
            f"{name} ranges from {array.min()} to {array.max()}; "
            f"expected class indices from 0 to {classes - 1}{other}"
        )
    return indices, None if known is None or known.all() else known


def _all_below(indices: np.ndarray, classes: int) -> bool:
    """Return whether all are from 0 to `classes` - 1.

    A negative number is a large one without its sign, so one pass finds either.
    """
    return not indices.size or bool(np.maximum.reduce(indices.view(np.uint64)) < classes)


def counted(
    known: np.ndarray | None, weights: np.ndarray, total: float
) -> tuple[np.ndarray, float]:
    """Return the weights of rows, 0 for those that are not known, and their sum.

    `known` comes from `known_indices`, `weights` and `total` from `row_weights`.
    """
    if known is None:
        return weights, total
    return row_weights(np.where(known, weights, 0), len(known), weights.dtype)
