"""fastnn among its neighbours: chains from and to PyTorch, and to ONNX.

PyTorch and onnx are extras: they are imported when a function here is called.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from numpy.typing import DTypeLike

    from fastnn.nn.sequential import Sequential

__all__ = ["from_torch", "to_onnx"]


def from_torch(module: torch.nn.Sequential) -> Sequential:
    """Return the chain that a `torch.nn.Sequential` is, nested ones too, its weights copied.

    Weights, running statistics, dtypes (float32, float64) and whether each layer is in training
    are taken over; names of children become their numbers.

    Parameters
    ----------
    module : torch.nn.Sequential
        The modules.

    Returns
    -------
    Sequential
        The chain.

    Raises
    ------
    TypeError
        For modules for which fastnn has no layer; it names all of them.
    ValueError
        For settings that a module's layer does not have; it names all of them.
    ImportError
        Where PyTorch is not installed.

    Examples
    --------
    >>> import torch
    >>> from fastnn import from_torch
    >>> from_torch(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()))
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
    )  # 8 parameters
    """
    return _part("from_torch", "torch").from_torch(module)


def to_torch(model: Sequential) -> torch.nn.Sequential:
    """Return a `torch.nn.Sequential` of a chain, nested ones too, with copies of its weights.

    Its state dict has the names of the chain's, so that `fastnn.save`'s files load into it.
    `Normalize` becomes `fastnn.interop.torch.Normalize`, which is not part of the state dict.

    Parameters
    ----------
    model : Sequential
        The chain.

    Returns
    -------
    torch.nn.Sequential
        The modules.

    Raises
    ------
    TypeError
        For layers of a user's own; it names all of them.
    ImportError
        Where PyTorch is not installed.

    Examples
    --------
    >>> from fastnn import Linear, ReLU, Sequential
    >>> Sequential(Linear(3, 2), ReLU()).to_torch()
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    return _part("to_torch", "torch").to_torch(model)


def to_onnx(
    model: Sequential, path: str | os.PathLike[str], *, input_dtype: DTypeLike | None = None
) -> None:
    """Write a chain to an ONNX file, whole or not at all, as it is in use (dropout off).

    The file's one input is `x`, (batch, columns) for any batch; its one output is `y`, (batch,
    columns), of the model's dtype, as from `fastnn.predict`. `Normalize` layers are part of the
    file, and so are, as JSON in its metadata, the names of the `classes` and the `schema`, which
    tells how rows of a table become columns of `x`. The opset and the format's version are
    `fastnn.interop.onnx.OPSET` and `IR_VERSION`.

    Parameters
    ----------
    model : Sequential
        The chain.
    path : str or path-like
        Name of the file.
    input_dtype : {"uint8", "float32", "float64"}, optional
        Dtype of `x`; by default the model's.

    Raises
    ------
    TypeError
        For layers of a user's own; it names all of them.
    ValueError
        For layers that do not fit each other, an unknown `input_dtype`, or weights of 2 GB and
        more, which the format cannot hold.
    OSError
        Where `path` cannot be written.
    ImportError
        Where onnx is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn import Linear, Sequential, to_onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(Sequential(Linear(3, 2)), os.path.join(folder, "model.onnx"))
    ...     os.listdir(folder)
    ['model.onnx']
    """
    _part("to_onnx", "onnx").to_onnx(model, path, input_dtype=input_dtype)


def _part(function: str, package: str) -> ModuleType:
    """Import the part of fastnn that needs an optional package."""
    try:
        return importlib.import_module(f"fastnn.interop.{package}")
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f"fastnn.{function} needs {package}, which is not installed: "
            f"pip install 'fastnn[{package}]'",
            name=package,
        ) from None
