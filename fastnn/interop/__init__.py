"""Conversion of chains from and to PyTorch, and to ONNX.

PyTorch and onnx are optional: they are imported when a function here is called.
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
    """Return a chain of the same layers as a `torch.nn.Sequential`, with copies of its weights.

    Nested `torch.nn.Sequential` become nested chains. Weights, running statistics, dtypes (float32
    or float64) and the training mode of each module are kept; children are named by their numbers.

    Parameters
    ----------
    module : torch.nn.Sequential
        The modules to convert.

    Returns
    -------
    Sequential
        The chain, which computes the same.

    Raises
    ------
    TypeError
        If fastnn has no layer for some modules; the message names all of them.
    ValueError
        If modules have settings that fastnn's layers lack; the message names all of them.
    ImportError
        If PyTorch is not installed.

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
    """Return a `torch.nn.Sequential` of the same layers as a chain, with copies of its weights.

    Nested chains become nested modules. Names in the state dict are those of the chain, so files
    of `fastnn.save` can be loaded into the result. `Normalize` becomes
    `fastnn.interop.torch.Normalize`, whose mean and std are not part of the state dict.

    Parameters
    ----------
    model : Sequential
        The chain to convert.

    Returns
    -------
    torch.nn.Sequential
        The modules, which compute the same.

    Raises
    ------
    TypeError
        If the chain has layers that torch lacks; the message names all of them.
    ImportError
        If PyTorch is not installed.

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
    """Write a chain in evaluation mode (without dropout) to an ONNX file.

    The input is `x`, of shape (batch, columns) for any batch; the output is `y`, of shape (batch,
    outputs) and the model's dtype, as from `fastnn.predict`. `Normalize` layers are part of the
    graph. The metadata hold, as JSON, the names of the `classes` and the `schema`, which says how
    rows of a table become columns of `x`. The versions of operators and format are
    `fastnn.interop.onnx.OPSET` and `IR_VERSION`. The file is written completely or not at all.

    Parameters
    ----------
    model : Sequential
        The chain to write.
    path : str or path-like
        Name of the file.
    input_dtype : {"uint8", "float32", "float64"}, optional
        Dtype of `x`; by default the model's.

    Raises
    ------
    TypeError
        If the chain has layers without ONNX operators; the message names all of them.
    ValueError
        If layers do not fit each other, `input_dtype` is unknown, or the weights take 2 GB or
        more, which the format cannot hold.
    OSError
        If `path` cannot be written.
    ImportError
        If onnx is not installed.

    References
    ----------
    .. [1] ONNX, "Open Neural Network Exchange Intermediate Representation Specification",
       https://onnx.ai/onnx/repo-docs/IR.html

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
    """Return the module of fastnn.interop that needs an optional package; import it."""
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
