"""Chains to ONNX files: a table of layers and the functions that write their operators.

Only operators of the standard set are written, in forms that runtimes compute in float32 and
float64 alike.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import DTypeLike
from onnx import helper, numpy_helper

import fastnn
from fastnn import layers
from fastnn.eager import predict_eagerly
from fastnn.files import replacing
from fastnn.inputs import model_dtype
from fastnn.layers import Layer
from fastnn.sequential import Sequential

OPSET = 17
"""Version of the operators that are written; onnxruntime knows it since 1.12."""
IR_VERSION = 8
"""Version of the file's format."""

_INPUT_DTYPES = ("uint8", "float32", "float64")
_MOST_BYTES = 2**31 - 2**20  # protobuf's limit, less what is not weights


def to_onnx(
    model: Sequential, path: str | os.PathLike[str], *, input_dtype: DTypeLike | None = None
) -> None:
    """See `fastnn.to_onnx`."""
    content = _proto(model, input_dtype).SerializeToString(deterministic=True)
    with replacing(path) as file:
        file.write(content)


def _proto(model: Sequential, input_dtype: DTypeLike | None) -> onnx.ModelProto:
    """ONNX's form of a model, checked."""
    if type(model) is not Sequential:
        raise TypeError(f"to_onnx: got a {type(model).__name__}; expected a fastnn.Sequential")
    chain = list(_named_layers(model, ""))
    _check_layers(chain)
    _check_size(model)
    dtype = model_dtype(model)
    given = dtype if input_dtype is None else _read_dtype(input_dtype)
    columns, outputs = _widths(model, chain, dtype)

    graph = _Graph()
    x = graph.input("x", given, columns)
    if given != dtype:
        x = graph.add("Cast", x, to=_element_type(dtype))
    for place, layer in chain:
        x = _WRITERS[type(layer)](graph, layer, place, x)
    graph.output("y", x, dtype, outputs)
    return graph.proto(model)


def _read_dtype(name: DTypeLike) -> np.dtype:
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.name not in _INPUT_DTYPES:
        raise ValueError(f"to_onnx: input_dtype is {name!r}; expected {', '.join(_INPUT_DTYPES)}")
    return dtype


def _named_layers(chain: Sequential, name: str):
    """Layers of a chain and of the chains in it, with their places as in the state dict."""
    for number, layer in enumerate(chain):
        place = f"{name}{number}"
        if type(layer) is Sequential:
            yield from _named_layers(layer, f"{place}.")
        else:
            yield place, layer


def _check_layers(chain: list[tuple[str, Layer]]) -> None:
    unknown = [f"{p} ({type(each).__name__})" for p, each in chain if type(each) not in _WRITERS]
    if unknown:
        raise TypeError(
            f"to_onnx: no operators for {', '.join(unknown)}; there are some for "
            f"{', '.join(kind.__name__ for kind in _WRITERS)}"
        )


def _check_size(model: Sequential) -> None:
    size = sum(each.size * each.dtype.itemsize for each in model.parameters())
    if size > _MOST_BYTES:
        raise ValueError(
            f"to_onnx: the weights take {size:,} bytes; an ONNX file holds {_MOST_BYTES:,} at most"
        )


def _widths(model, chain, dtype) -> tuple[int | str, int | str]:
    """Columns of input and output, or a name where any will do; raises as the layers do."""
    columns = next(filter(None, map(_columns, (layer for _, layer in chain))), None)
    if columns is None:
        return "columns", "columns"
    return columns, predict_eagerly(model, np.zeros((1, columns), dtype), 1).shape[1]


def _columns(layer: Layer) -> int | None:
    """How many columns a layer takes, where that is fixed."""
    if isinstance(layer, layers.Linear):
        return layer.in_features
    if isinstance(layer, layers.Normalize):
        size = np.broadcast(layer.mean, layer.std).size
        return size if size > 1 else None
    return None


# ------------------------------------------------------------------------- the file


class _Graph:
    """A graph as it grows: values are known by name, and each operator gives a new one."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype, columns: int | str) -> str:
        """Declare the input; gives its name."""
        self._inputs.append(_rows(name, dtype, columns))
        return name

    def output(self, name: str, value: str, dtype, columns: int | str) -> None:
        """Declare the output: a value, under another name."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name))
        self._outputs.append(_rows(name, dtype, columns))

    def constant(self, name: str, values: np.ndarray) -> str:
        """Keep an array in the file; gives its name."""
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Add an operator; gives the name of its result."""
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def proto(self, model: Sequential) -> onnx.ModelProto:
        """Give the whole file's content, checked by onnx."""
        graph = helper.make_graph(
            self._nodes, "fastnn", self._inputs, self._outputs, self._constants
        )
        proto = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="fastnn",
            producer_version=fastnn.__version__,
        )
        if model.classes:
            helper.set_model_props(
                proto, {"classes": json.dumps([str(each) for each in model.classes])}
            )
        onnx.checker.check_model(proto, full_check=True)
        return proto


def _element_type(dtype) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _rows(name: str, dtype, columns: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _element_type(dtype), ["batch", columns])


# ----------------------------------------------------------------- operators by layer

_Writer = Callable[[_Graph, Layer, str, str], str]


def _as_it_is(graph: _Graph, layer: Layer, place: str, x: str) -> str:
    """What does nothing in use, on a batch of rows."""
    return x


def _plain(operator: str, **attributes) -> _Writer:
    """One operator without weights."""

    def write(graph: _Graph, layer: Layer, place: str, x: str) -> str:
        return graph.add(operator, x, **attributes)

    return write


def _linear(graph: _Graph, layer: Layer, place: str, x: str) -> str:
    """x W^T + b."""
    parameters = [
        graph.constant(f"{place}.{name}", each.data) for name, each in layer.named_parameters()
    ]
    return graph.add("Gemm", x, *parameters, transB=1)


def _normalize(graph: _Graph, layer: Layer, place: str, x: str) -> str:
    """(x - mean) factor, as the kernel computes it."""
    assert isinstance(layer, layers.Normalize)
    mean = graph.constant(f"{place}.mean", layer.mean.astype(layer.dtype))
    factor = graph.constant(f"{place}.factor", (1.0 / layer.std).astype(layer.dtype))
    return graph.add("Mul", graph.add("Sub", x, mean), factor)


_WRITERS: dict[type[Layer], _Writer] = {
    layers.Linear: _linear,
    layers.ReLU: _plain("Relu"),
    layers.Tanh: _plain("Tanh"),
    layers.Sigmoid: _plain("Sigmoid"),
    layers.Softmax: _plain("Softmax", axis=1),
    layers.Dropout: _as_it_is,
    layers.Flatten: _as_it_is,
    layers.Identity: _as_it_is,
    layers.Normalize: _normalize,
}
