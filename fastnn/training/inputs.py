"""Checks and conversions of the arguments of `fit`, `evaluate` and `predict`."""

from __future__ import annotations

import math

import numpy as np

import kernels
from fastnn.nn.kinds import is_known
from fastnn.nn.layer import Layer
from fastnn.nn.loss import Loss, as_loss
from fastnn.nn.sequential import Sequential, chained_layers
from fastnn.optim.optimizer import Optimizer
from fastnn.training.eager import predict_eagerly
from fastnn.training.foreign import as_array, check_missing
from kernels.base import arrays


def takes_rows(model: Sequential) -> bool:
    """Return whether a model's first layer is built in, or derived from a built-in one.

    A custom layer gets samples in their original shape.
    """
    kinds = [kind for layer in chained_layers(model)[:1] for kind in type(layer).__mro__]
    ours = [kind for kind in kinds if kind.__module__.partition(".")[0] == "fastnn"]
    return not kinds or bool(set(ours) - {Layer})


def read_samples(name: str, x, dtype: np.dtype, rows: bool = True) -> np.ndarray:
    """Return samples as a contiguous array of the model's dtype; bytes stay bytes.

    With `rows` each sample is flattened to a row. Raises TypeError or ValueError for other
    dtypes, for an empty array, and for numbers that are not finite.
    """
    array = as_array(name, x)
    if array.ndim < 2:
        raise ValueError(f"{name} has shape {array.shape}; expected (samples, columns)")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected at least one sample and column")
    if array.dtype != np.uint8:
        array = kernels.base.arrays.floating(name, array)
        with np.errstate(over="ignore"):
            if not all_finite(array, dtype):
                check_missing(name, x)
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(array.astype(dtype)))[0])
                raise ValueError(
                    f"{name} holds {array[place]} at {place}; expected finite numbers of {dtype}"
                )
        array = array.astype(dtype, copy=False)
    array = np.ascontiguousarray(array)
    return array.reshape(len(array), -1) if rows else array


def all_finite(array: np.ndarray, dtype: np.dtype | None = None) -> bool:
    """Return whether all numbers are finite after conversion to a dtype, or as they are."""
    dtype = dtype or array.dtype
    if array.dtype == dtype and array.flags.c_contiguous:
        flat = array.reshape(-1)
        if math.isfinite(flat.dot(flat)):  # the fastest test; on overflow the next line decides
            return True
    return bool(np.isfinite(np.array([array.min(), array.max()]).astype(dtype)).all())


def output_columns(name: str, model: Sequential, samples: np.ndarray) -> int:
    """Return the number of output columns of a model; raise ValueError if samples do not fit it.

    For a model with a custom layer the number is found by computing one sample.
    """
    columns = samples.shape[1]
    for layer in chained_layers(model):
        if not is_known(layer):
            output = predict_eagerly(model, samples[:1], 1)
            if output.ndim != 2 or len(output) != 1:
                raise ValueError(
                    f"the model's output for one sample has shape {output.shape}; expected (1, "
                    "columns)"
                )
            return output.shape[1]
        try:
            columns = layer.output_columns(columns)
        except ValueError as error:
            raise ValueError(f"{name} has {samples.shape[1]} columns, and {error}") from None
    return columns


def read_targets(name: str, y, samples: int, columns: int, loss: Loss, dtype) -> np.ndarray:
    """Return targets as a program reads them: int64 class indices or rows of numbers.

    They are copied, because a program reads class indices without looking. Raises TypeError or
    ValueError for other shapes, dtypes, class indices out of range, or numbers that are not finite.
    """
    check_missing(name, y)
    given = as_array(name, y)
    read = as_loss(loss).read_targets(name, given, samples, columns, dtype)
    return read.copy() if np.may_share_memory(read, given) else read


def classifies_by(loss: Loss, y, columns: int) -> bool:
    """Return whether accuracy is defined: targets are classes, or rows with one largest number."""
    return as_loss(loss).classifies(as_array("y", y), columns)


def check_bound(**numbers) -> None:
    """Raise TypeError or ValueError for a bound that is neither None nor a number of 0 or more."""
    for name, value in numbers.items():
        if value is None:
            continue
        if not arrays.is_number(value) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; expected a number of 0 or more, or None")
        if not value >= 0:
            raise ValueError(f"{name} is {value!r}; expected a number of 0 or more, or None")


def read_seed(seed) -> int | None:
    """Return a seed; raise ValueError for one that is neither None nor an integer of 0 or more."""
    return None if seed is None else arrays.count("seed", seed, 0, math.inf, ", or None")


def check_model(model) -> None:
    """Raise TypeError unless `model` is a Sequential."""
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {model!r}; expected a Sequential")


def check_kinds(model, loss, optimizer=None) -> None:
    """Raise TypeError unless these are a model, a loss and an optimizer (or None)."""
    check_model(model)
    if isinstance(loss, type) or not callable(loss) or not hasattr(loss, "backward"):
        raise TypeError(f"loss is {loss!r}; expected one such as CrossEntropyLoss()")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; expected one such as SGD(model.parameters())")
