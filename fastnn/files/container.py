"""The file format of models and checkpoints: tensors and a JSON description, in safetensors.

The metadata of the safetensors file has one entry, `fastnn`: JSON with the format's version, the
description, and a checksum of all content. The checksum is optional, so that other programs can
change a file. Reading never executes code from a file.
"""

from __future__ import annotations

import json
import math
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from fastnn.files import plain

FORMAT_VERSION = 1
"""Version of the format that is written; earlier versions can be read."""

METADATA_KEY = "fastnn"
"""Key of fastnn's entry in the metadata."""

_DTYPES: dict[Any, np.dtype] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_LONGEST = 1000  # characters of a message
_LENGTH = 8  # bytes before the header, which hold its length
_TENSOR, _NUMBER = "$tensor", "$number"


class ModelFileError(ValueError):
    """A file is damaged, is no model or checkpoint of fastnn, or is not the expected one.

    The message names the file and what was found in it.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn import ModelFileError, load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     with open(path, "w") as file:
    ...         _ = file.write("something else")
    ...     try:
    ...         load(path)
    ...     except ModelFileError:
    ...         print("no model")
    no model
    """


def packed(description: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of a file with these tensors and this description.

    Version and checksum are added to the description. Raises ValueError for a description with
    numbers that are not finite.
    """
    description = {"format_version": FORMAT_VERSION, **description}
    # safetensors writes an array's memory as it is, whatever its strides.
    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    description["checksum"] = _checksum(description, tensors)
    metadata = {METADATA_KEY: json.dumps(description, allow_nan=False)}
    return safetensors.numpy.save(tensors, metadata)


class Content(NamedTuple):
    """Content of a file; fastnn's has a `description`, and is `checked` if it had a checksum."""

    description: dict[str, Any] | None
    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]
    checked: bool


def read(path: str | os.PathLike[str]) -> Content:
    """Read a safetensors file of fastnn or of another program.

    Raises FileNotFoundError or another OSError if the file cannot be opened, and ModelFileError,
    which names the file, if it is damaged or of another kind.
    """
    with named(path):
        content = _content(path)
        tensors, metadata = _tensors(content), _metadata(content)
        description, checked = None, False
        if METADATA_KEY in metadata:
            description = _description(metadata[METADATA_KEY])
            checked = _check_checksum(description, tensors)
    return Content(description, tensors, metadata, checked)


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's name before the message of a ModelFileError, and make that a single line."""
    try:
        yield
    except ModelFileError as error:
        line = " ".join(str(error).split())
        if len(line) > _LONGEST:  # quoted content may be of any length
            line = f"{line[:_LONGEST]} ..."
        raise ModelFileError(f"{os.fspath(path)}: {line}") from error.__cause__


# -------------------------------------------------------------- trees of values and arrays


def separated(tree: Any, name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Split a tree of dicts, lists, plain values and arrays into JSON values and arrays by name.

    Tuples become lists. Raises TypeError, naming the place, for other types.
    """
    tensors: dict[str, np.ndarray] = {}
    return _plain(tree, name, tensors), tensors


def joined(plain: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    """Return the tree that `separated` split; raise KeyError if a tensor is missing."""
    if isinstance(plain, list):
        return [joined(each, tensors) for each in plain]
    if not isinstance(plain, dict):
        return plain
    if _TENSOR in plain:
        return tensors[plain[_TENSOR]]
    if _NUMBER in plain:
        return float(plain[_NUMBER])
    return {key: joined(each, tensors) for key, each in plain.items()}


def _plain(tree: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(tree, np.generic):
        tree = tree.item()
    if isinstance(tree, np.ndarray):
        if tree.dtype.newbyteorder("<") not in _DTYPES.values():
            raise TypeError(f"{name} is an array of {tree.dtype}, which a checkpoint cannot keep")
        tensors[name] = tree
        return {_TENSOR: name}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {_NUMBER: str(tree)}
    if tree is None or isinstance(tree, (str, int, float)):
        return tree
    if isinstance(tree, (list, tuple)):
        return [_plain(each, f"{name}.{i}", tensors) for i, each in enumerate(tree)]
    if isinstance(tree, dict) and not any(
        not isinstance(key, str) or key.startswith("$") for key in tree
    ):
        return {key: _plain(each, f"{name}.{key}", tensors) for key, each in tree.items()}
    raise TypeError(
        f"{name} is {tree!r}; a checkpoint keeps None, numbers, text, arrays, and lists and dicts "
        "(by text that does not begin with $) of them"
    )


# -------------------------------------------------------------- from a file's bytes


def _content(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file, after checking that it can be a whole safetensors file."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # whose opening may wait without end
        raise ModelFileError("found no ordinary file; expected a model saved by fastnn")
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        beginning = file.read(_LENGTH)
        header = int.from_bytes(beginning, "little")
        if len(beginning) < _LENGTH or header > status.st_size - _LENGTH:
            raise _not_whole(status.st_size, "its header is longer than the file")
        return beginning + file.read()


def _not_whole(size: int, reason: str) -> ModelFileError:
    return ModelFileError(
        f"found {size:,} bytes that are no whole safetensors file ({reason}); "
        "expected a model saved by fastnn"
    )


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing: ")
        raise _not_whole(len(content), reason) from error
    by_name = dict(entries)  # in no documented order
    return {name: _array(name, by_name[name]) for name in sorted(by_name)}


def _array(name: str, entry: Mapping[str, Any]) -> np.ndarray:
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype != "BF16" and dtype not in _DTYPES:
        raise ModelFileError(
            f"found tensor {name!r} of {dtype}; expected one of BF16, {', '.join(_DTYPES)}"
        )
    if dtype == "BF16":  # the upper half of a float32
        flat = (np.frombuffer(entry["data"], "<u2").astype("<u4") << 16).view("<f4")
    else:
        flat = np.frombuffer(entry["data"], _DTYPES[dtype])
    try:
        return flat.reshape(shape)
    except (ValueError, OverflowError) as error:
        raise ModelFileError(
            f"found tensor {name!r} of {len(shape)} dimensions, {shape}; expected a shape that "
            f"NumPy can have: {error}"
        ) from error


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file, known to be whole."""
    length = int.from_bytes(content[:_LENGTH], "little")
    try:
        return plain.loads(content[_LENGTH : _LENGTH + length]).get("__metadata__") or {}
    except ValueError as error:
        raise _not_whole(len(content), str(error)) from error


def _description(text: str) -> dict[str, Any]:
    """Return the description from its JSON text, after checking its version."""
    try:
        description = plain.loads(text)
    except ValueError as error:
        raise ModelFileError(f"found an architecture that cannot be read: {error}") from error
    _check_version(description)
    return description


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


def _check_checksum(description: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> bool:
    """Remove the checksum from a description and check it; return True if there was one."""
    expected = description.pop("checksum", None)
    if expected is not None and (found := _checksum(description, tensors)) != expected:
        raise ModelFileError(
            f"found contents with checksum {found}; expected {expected}: the file is damaged"
        )
    return expected is not None


def _checksum(description: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of a description and tensors."""
    checksum = zlib.crc32(json.dumps(description, sort_keys=True).encode())
    for part in _parts(tensors):
        checksum = zlib.crc32(part, checksum)
    return checksum


def _parts(tensors: Mapping[str, np.ndarray]) -> Iterator[Any]:
    for name, array in sorted(tensors.items()):
        yield f"{name} {array.dtype.name} {array.shape}".encode()
        yield array.astype(array.dtype.newbyteorder("<"), "C", copy=False).data
