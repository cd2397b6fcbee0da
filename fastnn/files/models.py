"""Model files: a chain's parameters and its architecture, in one safetensors file.

The tensors have torch's names and shapes, so that torch's tools can read them. The description
(`fastnn.files.container`) holds the layers with their arguments, the names of the classes, and
the schema of the data if there is one (`fastnn.data.tables.schema`). Preprocessing is a
`Normalize` layer, saved like the other layers.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.data.tables.schema import Schema
from fastnn.files import container
from fastnn.files.atomic import replacing
from fastnn.files.container import ModelFileError
from fastnn.nn.kinds import LAYERS, is_known
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.sequential import Sequential

__all__ = ["ModelFileError", "load", "save"]

TRAINING = "training"
"""Key of a description, and prefix of tensors' names, for the state of a training."""

_LINKS: list[Any] = ["softmax", "sigmoid"]
_FEW = 1_000_000  # numbers that a layer of any file may hold


class UnknownLayerError(TypeError):
    """A layer is not one of fastnn's, so a file cannot describe it."""


def save(model: Sequential, path: str | os.PathLike[str]) -> None:
    """Save a model to a file, which replaces an old one only once it is written as a whole.

    Parameters
    ----------
    model : Sequential
        The model.
    path : str or path-like
        Name of the file, usually ending in `.safetensors`.

    Raises
    ------
    TypeError
        For a layer that is not one of fastnn's.
    ValueError
        For a layer whose arguments are not finite.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn import Linear, Sequential, load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Sequential(Linear(3, 2)), os.path.join(folder, "model.safetensors"))
    ...     load(os.path.join(folder, "model.safetensors"))
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
    )  # 8 parameters
    """
    content = dumps(model)
    with replacing(path) as file:
        file.write(content)


def dumps(model: Sequential) -> bytes:
    """Return the bytes that `save` writes; raise TypeError and ValueError as `save` does."""
    return container.packed(description_of(model), model.state_dict())


def check(model: Sequential) -> None:
    """Raise TypeError or ValueError, as `save` does, for a model that cannot be saved."""
    description_of(model)


def load(path: str | os.PathLike[str], into: Sequential | None = None) -> Sequential:
    """Load a model that `save` wrote; its outputs are the same, to the bit.

    The model is in evaluation mode: dropout is off until `train()` or `fit` is called. A
    safetensors file of torch can be loaded if all its tensors belong to a chain of linear layers;
    this warns, since such a file does not describe the layers in between.

    Parameters
    ----------
    path : str or path-like
        Name of the file.
    into : Sequential, optional
        Model to copy the tensors into, converted to its dtype, instead of making a model. The
        file may be any safetensors file with the same names, such as one of a torch state dict.

    Returns
    -------
    Sequential
        The model, or `into`.

    Raises
    ------
    FileNotFoundError
        If there is no such file; another OSError if it cannot be read.
    ModelFileError
        A ValueError: if the file is damaged or holds no model that this version knows, or if its
        tensors do not fit `into`, which then stays as it was.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn import Linear, Sequential, load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Sequential(Linear(3, 2)), os.path.join(folder, "model.safetensors"))
    ...     len(load(os.path.join(folder, "model.safetensors")))
    1
    """
    if into is not None and not isinstance(into, Sequential):
        raise TypeError(f"load: into is {into!r}; expected a fastnn.Sequential")
    description, tensors, metadata, _ = container.read(path)
    with container.named(path):
        if TRAINING in (description or {}):
            tensors = parameters_among(tensors)
        if into is not None:
            _pour(into, tensors)
            return into
        if description is None:
            model = _linear_chain(tensors, metadata)
            _pour(model, tensors)
        else:
            model = _model(description, tensors)
    if description is None:
        warnings.warn(
            f"{os.fspath(path)} holds no architecture: made a chain of its linear layers alone",
            stacklevel=2,
        )
    model.eval()
    return model


# -------------------------------------------------------------- from layers to a description


def description_of(model: Sequential) -> dict[str, Any]:
    """Return the description of a model; raise TypeError and ValueError as `save` does."""
    if type(model) is not Sequential:
        raise UnknownLayerError(f"save: got a {type(model).__name__}; expected a fastnn.Sequential")
    description: dict[str, Any] = {"model": _described(model, "model")}
    if model.schema is not None:
        description["schema"] = model.schema.to_dict()
    if model.link is not None:
        description["link"] = model.link
    return description


def _described(layer: Layer, place: str) -> dict[str, Any]:
    """Return the description of a layer, or of a chain and its layers."""
    kind = type(layer)
    if isinstance(layer, Sequential) and kind is Sequential:
        if not all(isinstance(name, str) for name in layer.classes):
            raise TypeError(f"save: the classes are {layer.classes!r}; expected names")
        inner = [_described(each, f"{place}[{i}]") for i, each in enumerate(layer)]
        return {"class": "Sequential", "layers": inner, "classes": list(layer.classes)}
    if not is_known(layer):
        raise UnknownLayerError(
            f"save: {place} is a {kind.__name__}, which is not a layer of fastnn's, so nobody "
            f"could load it; known: {', '.join(LAYERS)}"
        )
    described: dict[str, Any] = {"class": kind.__name__, "arguments": layer.describe()}
    if layer.computes_in is not None:
        described["dtype"] = layer.computes_in.name
    try:
        json.dumps(described, allow_nan=False)
    except ValueError:
        raise ValueError(f"save: {place}, {layer!r}, has arguments that are not finite") from None
    return described


# -------------------------------------------------------------- from a description to layers


def parameters_among(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors of a checkpoint that belong to the model."""
    return {name: array for name, array in tensors.items() if not name.startswith(TRAINING)}


def _model(description: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Sequential:
    """Return the model that a file describes, with its tensors."""
    if description["model"] is None:
        raise ModelFileError(
            "found the checkpoint of a model with layers of somebody's own; load(path, into=chain) "
            "and fit(..., resume=True) can read it, with such a model"
        )
    model = made(description["model"], "model", tensors)
    model.schema = _schema(description.get("schema"))
    model.link = _link(description.get("link"))
    _fill(model, tensors)
    return model


class _Room:
    """The numbers that all layers of a file may hold: somewhat more than its tensors do.

    Layers whose parameters do not learn hold some without a tensor.
    """

    def __init__(self, numbers: int):
        self.numbers = numbers

    def take(self, kind: type[Layer], arguments: Mapping[str, Any]) -> None:
        """Raise ValueError for a layer that would hold far more numbers than the file."""
        widths: list[Any] = []
        for name in kind.sizes:
            value = arguments.get(name, 1)
            widths += value if isinstance(value, list) else [value]
        if kind.sizes and all(type(width) is int for width in widths):
            self.numbers -= math.prod(widths)
        if self.numbers < 0:
            given = ", ".join(f"{name} is {arguments.get(name)}" for name in kind.sizes)
            raise ValueError(f"{given}, far more than the file holds numbers")


def made(described: Any, place: str, tensors: Mapping[str, np.ndarray]) -> Sequential:
    """Return a chain made from its description; `tensors` are only checked."""
    room = _Room(_FEW + sum(array.size for array in tensors.values()))
    return _chain(described, place, tensors, room)


def _chain(
    described: Any, place: str, tensors: Mapping[str, np.ndarray], room: _Room
) -> Sequential:
    """Return a chain for whose layers there is room."""
    try:
        if (name := described["class"]) != "Sequential":
            raise ModelFileError(f"found a {name!r} as {place}; expected a Sequential")
        parts = [
            _layer(each, f"{place}[{i}]", tensors, room)
            for i, each in enumerate(described["layers"])
        ]
        chain = Sequential(*parts)
        chain.classes = _class_names(described.get("classes", ()), place)
    except (LookupError, TypeError, RecursionError) as error:
        raise ModelFileError(f"found a description of {place} that makes no chain") from error
    return chain


def _layer(described: Any, place: str, tensors: Mapping[str, np.ndarray], room: _Room) -> Layer:
    """Return a layer or a chain made from its description."""
    name = described["class"]
    if name == "Sequential":
        return _chain(described, place, tensors, room)
    if name not in LAYERS:
        raise ModelFileError(
            f"found a {name!r} as {place}; expected one of Sequential, {', '.join(LAYERS)}"
        )
    kind: Any = LAYERS[name]
    _check_shapes(kind, described, place, tensors)
    try:
        arguments = dict(described["arguments"])
        room.take(kind, arguments)
        if "dtype" in described:
            arguments["dtype"] = described["dtype"]
        return kind(**arguments)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ModelFileError(
            f"found a {name} as {place} with arguments that it does not take: {error}"
        ) from error


def _check_shapes(
    kind: type[Layer], described: Any, place: str, tensors: Mapping[str, np.ndarray]
) -> None:
    """Raise ModelFileError if a layer's tensors are not in the file, before allocating any."""
    for own, shape in kind.shapes(described["arguments"]).items():
        name = ".".join([*re.findall(r"\d+", place), own])
        if name not in tensors:
            raise ModelFileError(f"found no tensor {name!r}; expected one of shape {shape}")
        if tensors[name].shape != shape:
            raise _differs(name, tensors[name], shape, described.get("dtype"))


def _differs(name: str, found: np.ndarray, shape: Any, dtype: Any) -> ModelFileError:
    return ModelFileError(
        f"found tensor {name!r} of shape {found.shape} and {found.dtype}; "
        f"expected {shape} and {dtype}"
    )


def _schema(plain: Any) -> Schema | None:
    """Return the schema made from its description, or None."""
    if plain is None:
        return None
    try:
        return Schema.from_dict(plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"found a schema that cannot be read: {error}") from error


def _class_names(names: Any, place: str) -> tuple[str, ...]:
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"found classes {names!r} of {place}; expected a list of names")
    return tuple(names)


def _link(name: Any) -> str | None:
    """Return the link of a description; raise ModelFileError for another value."""
    if name is not None and name not in _LINKS:
        raise ModelFileError(f"found link {name!r}; expected one of {', '.join(_LINKS)}")
    return name


def _linear_chain(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Sequential:
    """Return the chain of linear layers with these tensors; raise ModelFileError if none fits."""
    parts: list[Linear] = []
    names: set[str] = set()
    while (weight := tensors.get(f"{len(parts)}.weight")) is not None and weight.ndim == 2:
        own = {f"{len(parts)}.weight", f"{len(parts)}.bias"} & tensors.keys()
        columns, width, dtype = *weight.T.shape, np.result_type(weight, np.float32)
        try:
            parts.append(Linear(columns, width, len(own) == 2, dtype, init="zeros"))
        except ValueError as error:
            raise ModelFileError(f"found tensors of no linear layer: {error}") from error
        names |= own
    fitting = all(a.out_features == b.in_features for a, b in itertools.pairwise(parts))
    whole = bool(parts) and names == tensors.keys() and fitting
    # Metadata beyond torch's "format" may be a damaged entry of fastnn's.
    if not whole or not metadata.keys() <= {"format"}:
        few = ", ".join([*sorted(tensors)[:8], *(["..."] if len(tensors) > 8 else [])])
        raise ModelFileError(
            f"found {len(tensors)} tensors ({few}) and metadata {sorted(metadata)}; expected "
            f"{container.METADATA_KEY!r} among them, which holds the architecture, or a chain with "
            "tensors of these names and shapes to load them into: load(path, into=chain)"
        )
    return Sequential(*parts)


def _fill(model: Sequential, tensors: Mapping[str, np.ndarray]) -> None:
    """Copy tensors into all parameters and buffers of a model."""
    check_tensors(model, tensors)
    model.load_state_dict(tensors)


def check_tensors(model: Sequential, tensors: Mapping[str, np.ndarray]) -> None:
    """Raise ModelFileError, with names and shapes, unless the tensors are exactly a model's."""
    expected = model.state_dict()
    missing, extra = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    if missing or extra:
        raise ModelFileError(
            f"found {len(tensors)} tensors; expected {len(expected)}: "
            f"missing {missing}, not expected {extra}"
        )
    for name, own in expected.items():
        if (tensors[name].shape, tensors[name].dtype) != (own.shape, own.dtype):
            raise _differs(name, tensors[name], own.shape, own.dtype)


def _pour(model: Sequential, tensors: Mapping[str, np.ndarray]) -> None:
    """Copy tensors of any dtype into a model; raise ModelFileError if names or shapes differ."""
    try:
        model.load_state_dict(tensors)
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"found a {error.args[0]}") from None
