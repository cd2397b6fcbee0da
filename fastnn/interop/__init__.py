"""Conversion of chains from and to PyTorch, to ONNX and to C.

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

__all__ = ["from_torch", "to_c", "to_onnx"]


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


def to_c(
    model: Sequential,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    probabilities: bool | None = None,
    input_dtype: DTypeLike | None = None,
    columns: int | None = None,
) -> None:
    """Write a chain in evaluation mode (without dropout) to a C header, for embedded work.

    The header is C99, and C++, of one function, which computes a row y from a row x ::

        static void NAME_predict(const float *x, float *y)

    with `double` for a model of float64. It needs only the standard headers `math.h`, `stdint.h`
    and `string.h`, allocates nothing and keeps no state; its first lines say how much memory it
    needs. `Normalize` layers are part of it. A comment names the columns of x and y where the model
    has a `schema` or `classes`. The file is written completely or not at all.

    y is what `fastnn.predict` returns, to 4 units in the last place of the row's largest number:
    operations are those of fastnn's kernels, in the same order, also in long rows. With GCC and
    Clang use `-O3 -march=native`: where a processor has no fused multiply-add, or the compiler is
    not told of it, a product and its sum are computed in double and rounded once for float32, and
    by `fma` of `math.h` for float64, which takes several times as long.

    Parameters
    ----------
    model : Sequential
        The chain to write.
    path : str or path-like
        Name of the file, usually ending in `.h`.
    name : str, optional
        NAME, which all names in the header begin with: letters of ASCII, digits and `_`, a letter
        first. By default made from the name of the file, with `_` for other characters.
    probabilities : bool, optional
        Whether y are probabilities. By default they are for a classifier: a model that `fit`
        trained with a loss of classes, one with names of `classes`, or one whose schema has a
        target of classes. After `fit` with `CrossEntropyLoss` or `NLLLoss` softmax is applied to
        the outputs, after `BCEWithLogitsLoss` a sigmoid to each, as by `fastnn.predict_proba`.
        Where the loss is not known (`model.link` is None), outputs stay as they are if the last
        layer is `Softmax` or `Sigmoid`; where the schema's `link` is "identity", negative ones
        count as 0 and all are divided by their sum, but a single one stays; else softmax is applied
        to several outputs, and a sigmoid to a single one, which is the probability of the second
        class. If False, y are what `fastnn.predict` returns.
    input_dtype : {"uint8", "float32", "float64"}, optional
        Dtype of x; by default the model's.
    columns : int, optional
        Number of columns of x, needed where neither a layer nor the schema fixes it.

    Raises
    ------
    TypeError
        If the chain has layers without operators; the message names all of them.
    ValueError
        If layers do not fit each other, or `name`, `input_dtype` or `columns` is not as above.
    OSError
        If `path` cannot be written.

    Notes
    -----
    The sums of one or two outputs, of `Softmax` and of `LayerNorm` have as many parts as vectors of
    the processor on which `to_c` runs have lanes. The batch of a `BatchNorm1d` without running
    moments is the one row. Numbers below the smallest normal one, 1.2e-38 in float32, count as 0 in
    `fastnn.predict` and may be kept in C. Where fastnn itself runs without fused multiply-add, on
    x86-64 before AVX2, it rounds products, and headers are closer to the exact sums. A million
    weights are 15 MB of text, for which GCC 12 takes 6 s and 300 MB.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn import Linear, Sequential, to_c
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_c(Sequential(Linear(3, 2)), os.path.join(folder, "model.h"))
    ...     os.listdir(folder)
    ['model.h']
    """
    from fastnn.interop import c

    c.to_c(
        model,
        path,
        name=name,
        probabilities=probabilities,
        input_dtype=input_dtype,
        columns=columns,
    )


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
