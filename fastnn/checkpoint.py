"""Model files: a chain's parameters and its architecture, in one safetensors file.

The tensors carry torch's names and shapes, so torch's tools read them. The file's metadata has
one entry, `fastnn`: JSON with the format's version, the layers with the arguments that make them
again, the names of the classes, the schema of the data where there is one (`fastnn.schema`), and
a checksum, which a program that changes the file may leave out. Preprocessing is a `Normalize`
layer, and so is kept with the others.
"""

from __future__ import annotations

import itertools
import json
import os
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from fastnn.files import replacing
from fastnn.kinds import LAYERS
from fastnn.layers import Layer, Linear
from fastnn.schema import Schema
from fastnn.sequential import Sequential

FORMAT_VERSION = 1
"""Version of the format that `save` writes; `load` reads it and those before."""

_METADATA_KEY = "fastnn"
_DTYPES: dict[Any, np.dtype] = {
    "F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8"),
}  # fmt: skip
_KINDS: dict[str, Callable[..., Layer]] = dict(LAYERS)


class ModelFileError(ValueError):
    """A file is no whole model of fastnn's; the message says what was found in it."""


def save(model: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, whole or not at all: a file that was there stays until then.

    Raises TypeError for a layer that is not one of fastnn's, ValueError for one whose arguments
    are not finite, and OSError where `path` cannot be written.
    """
    description = _description(model)
    state = model.state_dict()
    description["checksum"] = _checksum(description, state)
    metadata = {_METADATA_KEY: json.dumps(description, allow_nan=False)}
    content = safetensors.numpy.save(state, metadata)
    with replacing(path) as file:
        file.write(content)


def check(model: Sequential) -> None:
    """Raise TypeError or ValueError, as `save` does, for a model that cannot be saved."""
    _description(model)


def load(path: str | os.PathLike[str], into: Sequential | None = None) -> Sequential:
    """Read a model that `save` wrote; it gives the same outputs, to the bit.

    It is ready for use: dropout is off until `train()` or `fit` is called.

    With `into`, copies the tensors into that chain instead, and gives it: tensors that `save`
    wrote, or those of any safetensors file with the same names, such as torch's of a state dict,
    converted to the chain's dtype. Without, a file of torch's gives a model where its tensors are
    those of linear layers one after another, with a warning, for it does not tell what else there
    was.

    Raises FileNotFoundError (and other OSErrors) where there is no file to read, and
    `ModelFileError`, a ValueError, for a file that is damaged or is not a model that this version
    knows, or whose tensors are not those of `into`, which then stays as it was.
    """
    if into is not None and not isinstance(into, Sequential):
        raise TypeError(f"load: into is {into!r}; expected a fastnn.Sequential")
    content = Path(path).read_bytes()
    try:
        tensors, metadata = _tensors(content), _metadata(content)
        description = _read_description(metadata) if _METADATA_KEY in metadata else None
        if description is not None:
            _check_checksum(description, tensors)
        if into is not None:
            _pour(into, tensors)
            return into
        if description is None:
            model = _linear_chain(tensors, metadata)
            _pour(model, tensors)
        else:
            model = _made(description["model"], "model")
            model.schema = _schema(description.get("schema"))
            _fill(model, tensors)
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from error.__cause__
    if description is None:
        warnings.warn(
            f"{os.fspath(path)} holds no architecture: made a chain of its linear layers alone",
            stacklevel=2,
        )
    model.eval()
    return model


# -------------------------------------------------------------- from layers to a description


def _description(model: Sequential) -> dict[str, Any]:
    if type(model) is not Sequential:
        raise TypeError(f"save: got a {type(model).__name__}; expected a fastnn.Sequential")
    description = {"format_version": FORMAT_VERSION, "model": _described(model, "model")}
    if model.schema is not None:
        description["schema"] = model.schema.to_dict()
    return description


def _described(layer: Layer, place: str) -> dict[str, Any]:
    """Class and arguments of a layer, or of a chain with the layers in it."""
    kind = type(layer)
    if isinstance(layer, Sequential) and kind is Sequential:
        if not all(isinstance(name, str) for name in layer.classes):
            raise TypeError(f"save: the classes are {layer.classes!r}; expected names")
        inner = [_described(each, f"{place}[{i}]") for i, each in enumerate(layer)]
        return {"class": "Sequential", "layers": inner, "classes": list(layer.classes)}
    if kind not in _KINDS.values():
        raise TypeError(
            f"save: {place} is a {kind.__name__}, which is not a layer of fastnn's, so nobody "
            f"could load it; known: {', '.join(_KINDS)}"
        )
    described: dict[str, Any] = {"class": kind.__name__, "arguments": layer.describe()}
    if hasattr(layer, "dtype"):
        described["dtype"] = layer.dtype.name
    try:
        json.dumps(described, allow_nan=False)
    except ValueError:
        raise ValueError(f"save: {place}, {layer!r}, has arguments that are not finite") from None
    return described


def _checksum(description: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> int:
    """CRC-32 of all that makes the model."""
    checksum = zlib.crc32(json.dumps(description, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        checksum = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), checksum)
        little_endian = array.astype(array.dtype.newbyteorder("<"), "C", copy=False)
        checksum = zlib.crc32(little_endian.data, checksum)
    return checksum


# -------------------------------------------------------------- from a file's bytes to layers


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing: ")
        raise ModelFileError(
            f"found {len(content):,} bytes that are no whole safetensors file ({reason}); "
            "expected a model saved by fastnn"
        ) from error
    by_name = dict(entries)  # in no order that is told
    return {name: _array(name, by_name[name]) for name in sorted(by_name)}


def _array(name: str, entry: Mapping[str, Any]) -> np.ndarray:
    if entry["dtype"] == "BF16":  # the upper half of a float32
        upper = np.frombuffer(entry["data"], "<u2").astype("<u4") << 16
        return upper.view("<f4").reshape(entry["shape"])
    if entry["dtype"] not in _DTYPES:
        raise ModelFileError(
            f"found tensor {name!r} of {entry['dtype']}; expected one of BF16, {', '.join(_DTYPES)}"
        )
    return np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _metadata(content: bytes) -> dict[str, str]:
    """Metadata of a safetensors file that is known to be whole."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__") or {}


def _read_description(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the architecture; check its version."""
    try:
        description = json.loads(metadata[_METADATA_KEY], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"found an architecture that cannot be read: {error}") from error
    _check_version(description)
    return description


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds the number {name}, expected finite ones")


def _check_version(description: Any) -> None:
    version = description.get("format_version") if isinstance(description, dict) else None
    if type(version) is not int or version < 1 or "model" not in description:
        raise ModelFileError(
            f"found an architecture of format version {version!r}; expected 1 to {FORMAT_VERSION}"
        )
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"found format version {version}; expected at most {FORMAT_VERSION}: a newer fastnn "
            "wrote this file, and is needed to read it"
        )


def _check_checksum(description: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    expected = description.pop("checksum", None)
    if expected is not None and (found := _checksum(description, tensors)) != expected:
        raise ModelFileError(
            f"found contents with checksum {found}; expected {expected}: the file is damaged"
        )


def _made(described: Any, place: str) -> Sequential:
    """Make a chain from its description."""
    try:
        if (name := described["class"]) != "Sequential":
            raise ModelFileError(f"found a {name!r} as {place}; expected a Sequential")
        parts = [_layer(each, f"{place}[{i}]") for i, each in enumerate(described["layers"])]
        chain = Sequential(*parts)
        chain.classes = _class_names(described.get("classes", ()), place)
    except (LookupError, TypeError, RecursionError) as error:
        raise ModelFileError(f"found a description of {place} that makes no chain") from error
    return chain


def _layer(described: Any, place: str) -> Layer:
    """Make a layer, or a chain, from its description."""
    name = described["class"]
    if name == "Sequential":
        return _made(described, place)
    if name not in _KINDS:
        raise ModelFileError(
            f"found a {name!r} as {place}; expected one of Sequential, {', '.join(_KINDS)}"
        )
    try:
        arguments = dict(described["arguments"])
        if "dtype" in described:
            arguments["dtype"] = described["dtype"]
        return _KINDS[name](**arguments)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ModelFileError(
            f"found a {name} as {place} with arguments that it does not take: {error}"
        ) from error


def _schema(plain: Any) -> Schema | None:
    """Make a schema from its description, where there is one."""
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


def _linear_chain(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Sequential:
    """A chain for tensors that are those of linear layers one after another, and nothing else."""
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
    if not whole or not metadata.keys() <= {"format"}:  # other metadata may be fastnn's, damaged
        few = ", ".join([*sorted(tensors)[:8], *(["..."] if len(tensors) > 8 else [])])
        raise ModelFileError(
            f"found {len(tensors)} tensors ({few}) and metadata {sorted(metadata)}; expected "
            f"{_METADATA_KEY!r} among them, which holds the architecture, or a chain with tensors "
            "of these names and shapes to load them into: load(path, into=chain)"
        )
    return Sequential(*parts)


def _fill(model: Sequential, tensors: Mapping[str, np.ndarray]) -> None:
    """Copy tensors into a model's parameters and buffers, of which they must be all."""
    expected = {name: (array.shape, array.dtype) for name, array in model.state_dict().items()}
    missing, extra = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    if missing or extra:
        raise ModelFileError(
            f"found {len(tensors)} tensors; expected {len(expected)}: "
            f"missing {missing}, not expected {extra}"
        )
    for name, (shape, dtype) in expected.items():
        found = tensors[name]
        if (found.shape, found.dtype) != (shape, dtype):
            raise ModelFileError(
                f"found tensor {name!r} of shape {found.shape} and {found.dtype}; "
                f"expected {shape} and {dtype}"
            )
    model.load_state_dict(tensors)


def _pour(model: Sequential, tensors: Mapping[str, np.ndarray]) -> None:
    """Copy tensors of any dtype into a model that they are to fit by name and shape."""
    try:
        model.load_state_dict(tensors)
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"found a {error.args[0]}") from None
