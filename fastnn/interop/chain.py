"""A chain as exports read it: its layers by place, its columns, and the checks before a graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from fastnn.nn.kinds import LAYERS
from fastnn.nn.layer import Layer, named_dtype
from fastnn.nn.sequential import Sequential, columns_of, model_dtype
from fastnn.training.eager import predict_eagerly

INPUT_DTYPES = ("uint8", "float32", "float64")


def layers_of(model: Sequential, function: str) -> list[tuple[str, Layer]]:
    """Return (place, layer) for the layers of a chain and its chains, as in the state dict.

    Raises TypeError, in the name of the `function`, if layers have no operators; the message names
    all of them.
    """
    if type(model) is not Sequential:
        raise TypeError(f"{function}: got a {type(model).__name__}; expected a fastnn.Sequential")
    chain = list(_named_layers(model, ""))
    known = {name: kind for name, kind in LAYERS.items() if kind.to_onnx is not Layer.to_onnx}
    unknown = [
        f"{place} ({type(layer).__name__})"
        for place, layer in chain
        if type(layer) not in known.values()
    ]
    if unknown:
        raise TypeError(
            f"{function}: no operators for {', '.join(unknown)}; there are some for "
            f"{', '.join(known)}"
        )
    return chain


def _named_layers(chain: Sequential, name: str) -> Iterator[tuple[str, Layer]]:
    for number, layer in enumerate(chain):
        place = f"{name}{number}"
        if type(layer) is Sequential:
            yield from _named_layers(layer, f"{place}.")
        else:
            yield place, layer


def read_input_dtype(name: DTypeLike | None, model: Sequential, function: str) -> np.dtype:
    """Return the dtype of the input, by default the model's; raise ValueError for another one."""
    if name is None:
        return model_dtype(model)
    dtype = named_dtype(name)
    if dtype.name not in INPUT_DTYPES:
        raise ValueError(f"{function}: input_dtype is {name!r}; expected {', '.join(INPUT_DTYPES)}")
    return dtype


def widths(model: Sequential, columns: int | None = None) -> tuple[int | None, int | None]:
    """Return the numbers of input and output columns, None if any number is possible.

    `columns` is the number of input columns where no layer fixes it. Raises the errors of layers
    that do not fit each other.
    """
    fixed, _ = columns_of(model)
    columns = columns if fixed is None else fixed
    if columns is None:
        return None, None
    zeros = np.zeros((1, columns), model_dtype(model))
    return columns, predict_eagerly(model, zeros, 1).shape[1]
