"""What users have instead of arrays: tensors, and frames and series of pandas and polars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def as_array(name: str, value: Any) -> np.ndarray:
    """Return a value as an array; raise TypeError or ValueError, with its name, if it is none.

    Masked and sparse arrays are refused, because NumPy would drop the mask of the first and make
    one object of the second. So are missing values of frames and series.
    """
    if type(value) is np.ndarray:
        return value
    if np.ma.is_masked(value):
        raise ValueError(f"{name} has masked elements; expected numbers everywhere")
    if hasattr(value, "tocsr"):
        raise TypeError(f"{name} is sparse; expected an ordinary array, as {name}.toarray() gives")
    if hasattr(value, "collect_schema") and not hasattr(value, "shape"):
        raise TypeError(f"{name} is a lazy frame; expected a frame, as {name}.collect() gives")
    try:
        array = np.asarray(_without_tensors(value))
    except (TypeError, ValueError, RuntimeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name} cannot be read as an array: {error}") from None
    if array.dtype.hasobject and _holds_columns(value):
        check_missing(name, value)
        return _stacked(name, value, array.ndim)
    return array


def check_missing(name: str, value: Any) -> None:
    """Raise ValueError, with the place of the first one, for missing values of a frame or series.

    Does nothing for other values.
    """
    if not _holds_columns(value):
        return
    for title, column in _columns(value):
        missing = np.asarray(column.isna() if hasattr(column, "isna") else column.is_null())
        if missing.any():
            place = f"row {int(missing.argmax())}" + ("" if title is None else f" of {title!r}")
            raise ValueError(
                f"{name} has missing values, the first in {place}; expected numbers everywhere"
            )


def _without_tensors(value: Any) -> Any:
    """Return a tensor of torch, or a list of them, as arrays, and any other value unchanged."""
    if hasattr(value, "detach"):
        try:
            return value.numpy(force=True)
        except TypeError:  # NumPy has no bfloat16
            return value.float().numpy(force=True)
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "detach"):
        return [_without_tensors(each) for each in value]
    return value


def _holds_columns(value: Any) -> bool:
    """Return whether a value is a frame or a series."""
    return type(value) is not np.ndarray and (
        hasattr(value, "isna") or hasattr(value, "null_count")
    )


def _columns(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the names and columns of a frame; of a series None and the series."""
    if not hasattr(value, "columns"):
        yield None, value
    elif hasattr(value, "iter_columns"):
        yield from zip(value.columns, value.iter_columns(), strict=True)
    else:
        yield from value.items()


def _stacked(name: str, value: Any, dimensions: int) -> np.ndarray:
    """Return the columns of a frame, whose dtypes differ, as one array of numbers."""
    found = []
    for title, column in _columns(value):
        array = np.asarray(column)
        if array.dtype.kind not in "biuf":
            place = "" if title is None else f" in {title!r}"
            raise TypeError(
                f"{name} has values of dtype {column.dtype}{place}; expected numbers "
                "(fastnn.tables.fit reads texts, dates and categories, too)"
            )
        found.append(array)
    return np.stack(found, axis=1) if dimensions == 2 else found[0]
