"""Data and models at the edge: what `fit`, `evaluate` and `predict` accept, and the errors."""

from __future__ import annotations

import numpy as np

import kernels
from fastnn.compiler.program import flat_layers
from fastnn.nn.kinds import LAYERS
from fastnn.nn.layers import Layer, Linear, Normalize
from fastnn.nn.losses import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Loss,
    NLLLoss,
    regression_targets,
)
from fastnn.nn.norms import BatchNorm1d, LayerNorm
from fastnn.nn.sequential import Sequential
from fastnn.optim.optimizers import Optimizer
from fastnn.training.eager import predict_eagerly


def model_dtype(model: Sequential) -> np.dtype:
    """Dtype that a model computes in, float32 where nothing tells; raise ValueError for two."""
    dtypes = {parameter.dtype for parameter in model.parameters()}
    known = Normalize, LayerNorm, BatchNorm1d
    dtypes |= {layer.dtype for layer in flat_layers(model) if isinstance(layer, known)}
    if len(dtypes) > 1:
        raise ValueError("the model mixes float32 and float64 layers; make all of one dtype")
    return dtypes.pop() if dtypes else np.dtype(np.float32)


def takes_rows(model: Sequential) -> bool:
    """Whether a model's first layer is one of fastnn's, or derived from one.

    A layer of a user's own gets samples in the shape they have.
    """
    kinds = [kind for layer in flat_layers(model)[:1] for kind in type(layer).__mro__]
    ours = [kind for kind in kinds if kind.__module__.partition(".")[0] == "fastnn"]
    return not kinds or bool(set(ours) - {Layer})


def read_samples(name: str, x, dtype: np.dtype, rows: bool = True) -> np.ndarray:
    """Samples, contiguous, of the model's dtype, or of bytes as they are; as `rows` or as given.

    Raises TypeError or ValueError for other dtypes, no samples, or numbers that are not
    finite.
    """
    array = _read_array(name, x)
    if array.ndim < 2:
        raise ValueError(f"{name} has shape {array.shape}; expected (samples, columns)")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected at least one sample and column")
    if array.dtype != np.uint8:
        array = kernels.base.arrays.floating(name, array)
        with np.errstate(over="ignore"):
            if not _all_finite(array, dtype):
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(array.astype(dtype)))[0])
                raise ValueError(
                    f"{name} holds {array[place]} at {place}; expected finite numbers of {dtype}"
                )
        array = array.astype(dtype, copy=False)
    array = np.ascontiguousarray(array)
    return array.reshape(len(array), -1) if rows else array


def _all_finite(array: np.ndarray, dtype: np.dtype) -> bool:
    """Whether all numbers are finite in a dtype."""
    if array.dtype == dtype and array.flags.c_contiguous:
        flat = array.reshape(-1)
        if np.isfinite(np.vdot(flat, flat)):  # nothing reads faster; it may overflow
            return True
    return bool(np.isfinite(np.array([array.min(), array.max()]).astype(dtype)).all())


def _read_array(name: str, value) -> np.ndarray:
    """An array of what was given; raise TypeError or ValueError, with its name, for what is none.

    NumPy would drop the mask of a masked array, and make one object of a sparse one.
    """
    if np.ma.is_masked(value):
        raise ValueError(f"{name} has masked elements; expected numbers everywhere")
    if hasattr(value, "tocsr"):
        raise TypeError(f"{name} is sparse; expected an ordinary array, as {name}.toarray() gives")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name} cannot be read as an array: {error}") from None


def output_columns(name: str, model: Sequential, samples: np.ndarray) -> int:
    """Columns of a model's output for such samples; raise ValueError if it cannot take them."""
    columns = samples.shape[1]
    for layer in flat_layers(model):
        if type(layer) not in LAYERS.values():  # only the layer itself can tell
            output = predict_eagerly(model, samples[:1], 1)
            if output.ndim != 2 or len(output) != 1:
                raise ValueError(
                    f"the model's output for one sample has shape {output.shape}; expected (1, "
                    "columns)"
                )
            return output.shape[1]
        if isinstance(layer, (LayerNorm, BatchNorm1d)) and columns != layer.columns:
            raise ValueError(
                f"{name} has {samples.shape[1]} columns, and {layer!r} gets {columns} columns; "
                f"expected {layer.columns}"
            )
        if isinstance(layer, Linear):
            if columns != layer.in_features:
                raise ValueError(
                    f"{name} has {samples.shape[1]} columns, and {layer!r} gets {columns} columns; "
                    f"expected {layer.in_features}"
                )
            columns = layer.out_features
    return columns


def read_targets(name: str, y, samples: int, columns: int, loss: Loss, dtype) -> np.ndarray:
    """Targets as a program reads them: int64 class indices or rows of numbers.

    Raises TypeError or ValueError for other shapes, dtypes, class indices out of range,
    or numbers that are not finite.
    """
    array = _read_array(name, y)
    if isinstance(loss, (CrossEntropyLoss, NLLLoss)):
        loss.factors(columns)  # as many as there are classes
    if isinstance(loss, NLLLoss) or (isinstance(loss, CrossEntropyLoss) and array.ndim == 1):
        return kernels.base.arrays.class_indices(name, array, samples, columns)
    array = regression_targets(array, columns, dtype)
    array = kernels.base.arrays.floating(name, array)
    if array.shape != (samples, columns):
        raise ValueError(f"{name} has shape {np.shape(y)}; expected ({samples}, {columns})")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(array, dtype)
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds numbers that are not finite in {dtype}")
    if isinstance(loss, CrossEntropyLoss) and rows.min() < 0:
        raise ValueError(f"{name} holds {rows.min():g}; CrossEntropyLoss expects probabilities")
    if isinstance(loss, BCEWithLogitsLoss) and not (0 <= rows.min() <= rows.max() <= 1):
        raise ValueError(
            f"{name} ranges from {rows.min():g} to {rows.max():g}; BCEWithLogitsLoss expects "
            "numbers from 0 to 1"
        )
    return rows


def classifies_by(loss: Loss, y, columns: int) -> bool:
    """Whether accuracy means something: the targets are classes, or rows with one largest."""
    array = np.asarray(y)
    if isinstance(loss, (CrossEntropyLoss, NLLLoss)):
        return True
    if isinstance(loss, BCEWithLogitsLoss):
        return bool(np.isin(array, (0, 1)).all()) or (array.ndim == 1 and columns > 1)
    if array.ndim == 1:
        return columns > 1 and array.dtype.kind in "iub"
    return columns > 1 and bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all())


def check_positive(**numbers) -> None:
    """Raise ValueError for a named number that is not a positive integer."""
    for name, value in numbers.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a positive integer")


def check_bound(**numbers) -> None:
    """Raise TypeError or ValueError for a named number that is not None, or below 0."""
    for name, value in numbers.items():
        if value is None:
            continue
        if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; expected a number of 0 or more, or None")
        if not value >= 0:
            raise ValueError(f"{name} is {value!r}; expected a number of 0 or more, or None")


def check_seed(seed) -> None:
    """Raise ValueError for a seed that is neither None nor an integer of 0 or more."""
    integer = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if seed is not None and not (integer and seed >= 0):
        raise ValueError(f"seed is {seed!r}; expected an integer of 0 or more, or None")


def check_model(model) -> None:
    """Raise TypeError for what is not a model."""
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {model!r}; expected a Sequential")


def check_kinds(model, loss, optimizer=None) -> None:
    """Raise TypeError for things that are not a model, a loss, or an optimizer."""
    check_model(model)
    if isinstance(loss, type) or not callable(loss) or not hasattr(loss, "backward"):
        raise TypeError(f"loss is {loss!r}; expected one such as CrossEntropyLoss()")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; expected one such as SGD(model.parameters())")
