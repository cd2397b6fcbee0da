"""Data and models at the edge: what `fit`, `evaluate` and `predict` accept, and the errors."""

from __future__ import annotations

import numpy as np

import kernels
from fastnn.eager import predict_eagerly
from fastnn.kinds import LAYERS
from fastnn.layers import Linear, Normalize
from fastnn.losses import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Loss,
    NLLLoss,
    regression_targets,
)
from fastnn.norms import BatchNorm1d, LayerNorm
from fastnn.optimizers import Optimizer
from fastnn.program import flat_layers
from fastnn.sequential import Sequential


def model_dtype(model: Sequential) -> np.dtype:
    """Dtype that a model computes in, float32 where nothing tells; raise ValueError for two."""
    dtypes = {parameter.dtype for parameter in model.parameters()}
    known = Normalize, LayerNorm, BatchNorm1d
    dtypes |= {layer.dtype for layer in flat_layers(model) if isinstance(layer, known)}
    if len(dtypes) > 1:
        raise ValueError("the model mixes float32 and float64 layers; make all of one dtype")
    return dtypes.pop() if dtypes else np.dtype(np.float32)


def read_samples(name: str, x, dtype: np.dtype) -> np.ndarray:
    """Samples as contiguous rows of the model's dtype, or of bytes as they are.

    Raises TypeError or ValueError for other dtypes, no samples, or numbers that are not
    finite.
    """
    array = np.asarray(x)
    if array.ndim < 2:
        raise ValueError(f"{name} has shape {array.shape}; expected (samples, columns)")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected at least one sample and column")
    if array.dtype != np.uint8:
        array = kernels.arrays.floating(name, array)
        with np.errstate(over="ignore"):
            if not np.isfinite(np.array([array.min(), array.max()]).astype(dtype)).all():
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(array.astype(dtype)))[0])
                raise ValueError(
                    f"{name} holds {array[place]} at {place}; expected finite numbers of {dtype}"
                )
        array = array.astype(dtype, copy=False)
    return np.ascontiguousarray(array).reshape(len(array), -1)


def output_columns(name: str, model: Sequential, samples: np.ndarray) -> int:
    """Columns of a model's output for such samples; raise ValueError if it cannot take them."""
    columns = samples.shape[1]
    for layer in flat_layers(model):
        if type(layer) not in LAYERS.values():  # only the layer itself can tell
            return predict_eagerly(model, samples[:1], 1).shape[1]
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
    array = np.asarray(y)
    if isinstance(loss, (CrossEntropyLoss, NLLLoss)):
        loss.factors(columns)  # as many as there are classes
    if isinstance(loss, NLLLoss) or (isinstance(loss, CrossEntropyLoss) and array.ndim == 1):
        return kernels.arrays.class_indices(name, array, samples, columns)
    array = regression_targets(array, columns, dtype)
    array = kernels.arrays.floating(name, array)
    if array.shape != (samples, columns):
        raise ValueError(f"{name} has shape {np.shape(y)}; expected ({samples}, {columns})")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(array, dtype)
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds numbers that are not finite in {dtype}")
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


def check_kinds(model, loss, optimizer=None) -> None:
    """Raise TypeError for things that are not a model, a loss, or an optimizer."""
    if not isinstance(model, Sequential):
        raise TypeError(f"model is {model!r}; expected a Sequential")
    if loss is not None and (
        isinstance(loss, type) or not callable(loss) or not hasattr(loss, "backward")
    ):
        raise TypeError(f"loss is {loss!r}; expected one such as CrossEntropyLoss()")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; expected one such as SGD(model.parameters())")
