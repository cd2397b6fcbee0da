"""Chains to ONNX files: a table of layers and the functions that write their operators.

Only operators of the standard set are written, in forms that runtimes compute in float32 and
float64 alike.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import helper, numpy_helper

import fastnn
from fastnn.files.atomic import replacing
from fastnn.nn.layers import Layer
from fastnn.nn.sequential import Sequential
from fastnn.training.eager import predict_eagerly
from fastnn.training.inputs import model_dtype

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

    graph = _Graph(dtype)
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
    if isinstance(layer, fastnn.Linear):
        return layer.in_features
    if isinstance(layer, (fastnn.LayerNorm, fastnn.BatchNorm1d)):
        return layer.columns
    if isinstance(layer, fastnn.Normalize):
        size = np.broadcast(layer.mean, layer.std).size
        return size if size > 1 else None
    return None


# ------------------------------------------------------------------------- the file


class _Graph:
    """A graph as it grows: values are known by name, and each operator gives a new one."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
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

    def constant(self, name: str, values: ArrayLike) -> str:
        """Keep an array, or a number, in the file, of the graph's dtype; gives its name."""
        array = np.array(values, self.dtype, order="C")
        self._constants.append(numpy_helper.from_array(array, name))
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
        helper.set_model_props(proto, _metadata(model))
        onnx.checker.check_model(proto, full_check=True)
        return proto


def _metadata(model: Sequential) -> dict[str, str]:
    """What a model says of its inputs and outputs, as JSON."""
    found: dict[str, Any] = {}
    if model.classes:
        found["classes"] = [str(each) for each in model.classes]
    if model.schema is not None:
        found["schema"] = model.schema.to_dict()
    return {name: json.dumps(value) for name, value in found.items()}


def _element_type(dtype) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _rows(name: str, dtype, columns: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _element_type(dtype), ["batch", columns])


# ----------------------------------------------------------------- operators by layer

_Writer = Callable[[_Graph, Any, str, str], str]
"""Writes a layer of a place's operators, given the name of its input; gives that of its output."""


def _as_it_is(graph: _Graph, layer: Layer, place: str, x: str) -> str:
    """What does nothing in use, on a batch of rows."""
    return x


def _plain(operator: str, **attributes) -> _Writer:
    """One operator without weights."""
    return lambda graph, layer, place, x: graph.add(operator, x, **attributes)


def _linear(graph: _Graph, layer: fastnn.Linear, place: str, x: str) -> str:
    """x W^T + b."""
    return graph.add("Gemm", x, *_parameters(graph, layer, place), transB=1)


def _parameters(graph: _Graph, layer: Layer, place: str) -> list[str]:
    """Keep a layer's parameters by their names in the state dict."""
    return [graph.constant(f"{place}.{name}", p.data) for name, p in layer.named_parameters()]


def _normalize(graph: _Graph, layer: fastnn.Normalize, place: str, x: str) -> str:
    """(x - mean) factor, as the kernel computes it."""
    mean = graph.constant(f"{place}.mean", layer.mean)
    factor = graph.constant(f"{place}.factor", 1.0 / layer.std)
    return graph.add("Mul", graph.add("Sub", x, mean), factor)


def _leaky_relu(graph: _Graph, layer: fastnn.LeakyReLU, place: str, x: str) -> str:
    """x, and below 0 slope x."""
    return graph.add("LeakyRelu", x, alpha=layer.negative_slope)


def _elu(graph: _Graph, layer: fastnn.ELU, place: str, x: str) -> str:
    """max(x, 0) + alpha (exp(min(x, 0)) - 1)."""
    zero, one = graph.constant(f"{place}.zero", 0), graph.constant(f"{place}.one", 1)
    alpha = graph.constant(f"{place}.alpha", layer.alpha)
    below = graph.add("Sub", graph.add("Exp", graph.add("Min", x, zero)), one)
    return graph.add("Add", graph.add("Max", x, zero), graph.add("Mul", alpha, below))


def _gelu(graph: _Graph, layer: fastnn.GELU, place: str, x: str) -> str:
    """x (1 + erf(x / sqrt(2))) / 2, or with the tanh that stands for erf."""
    if layer.approximate == "tanh":
        cube = graph.add("Mul", x, graph.add("Mul", x, x))
        cubic = graph.add("Mul", cube, graph.constant(f"{place}.cubic", 0.044715))
        scale = graph.constant(f"{place}.scale", math.sqrt(2 / math.pi))
        bend = graph.add("Tanh", graph.add("Mul", scale, graph.add("Add", x, cubic)))
    else:
        scaled = graph.add("Mul", x, graph.constant(f"{place}.scale", math.sqrt(0.5)))
        # Runtimes have erf in float32 alone; it is between -1 and 1, so little is lost.
        bend = graph.add("Cast", scaled, to=_element_type(np.float32))
        bend = graph.add("Cast", graph.add("Erf", bend), to=_element_type(graph.dtype))
    half = graph.add("Mul", x, graph.constant(f"{place}.half", 0.5))
    return graph.add("Mul", half, graph.add("Add", bend, graph.constant(f"{place}.one", 1)))


def _silu(graph: _Graph, layer: fastnn.SiLU, place: str, x: str) -> str:
    """x sigmoid(x)."""
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _softplus(graph: _Graph, layer: fastnn.Softplus, place: str, x: str) -> str:
    """(max(z, 0) + log(1 + exp(-|z|))) / beta with z = beta x, and x where z > threshold."""
    zero, one = graph.constant(f"{place}.zero", 0), graph.constant(f"{place}.one", 1)
    beta = graph.constant(f"{place}.beta", layer.beta)
    threshold = graph.constant(f"{place}.threshold", layer.threshold)
    z = graph.add("Mul", x, beta)
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
    tail = graph.add("Log", graph.add("Add", small, one))
    y = graph.add("Div", graph.add("Add", graph.add("Max", z, zero), tail), beta)
    return graph.add("Where", graph.add("Greater", z, threshold), x, y)


def _layer_norm(graph: _Graph, layer: fastnn.LayerNorm, place: str, x: str) -> str:
    """Each row to mean 0 and variance 1, times w, plus b."""
    parameters = _parameters(graph, layer, place)
    if not parameters:
        parameters = [graph.constant(f"{place}.weight", np.ones(layer.columns))]
    return graph.add("LayerNormalization", x, *parameters, axis=-1, epsilon=layer.eps)


def _batch_norm(graph: _Graph, layer: fastnn.BatchNorm1d, place: str, x: str) -> str:
    """Each column by its running mean and variance, or by the batch's; times w, plus b."""
    weight, bias = _parameters(graph, layer, place) or (
        graph.constant(f"{place}.weight", np.ones(layer.columns)),
        graph.constant(f"{place}.bias", np.zeros(layer.columns)),
    )
    if layer.track_running_stats:
        moments = [
            graph.constant(f"{place}.{name}", getattr(layer, name))
            for name in ("running_mean", "running_var")
        ]
        return graph.add("BatchNormalization", x, weight, bias, *moments, epsilon=layer.eps)
    centred = graph.add("Sub", x, graph.add("ReduceMean", x, axes=[0]))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[0])
    eps = graph.constant(f"{place}.eps", layer.eps)
    scaled = graph.add("Div", centred, graph.add("Sqrt", graph.add("Add", variance, eps)))
    return graph.add("Add", graph.add("Mul", scaled, weight), bias)


_WRITERS: dict[type[Layer], _Writer] = {
    fastnn.Linear: _linear,
    fastnn.ReLU: _plain("Relu"),
    fastnn.LeakyReLU: _leaky_relu,
    fastnn.ELU: _elu,
    fastnn.GELU: _gelu,
    fastnn.SiLU: _silu,
    fastnn.Softplus: _softplus,
    fastnn.Tanh: _plain("Tanh"),
    fastnn.Sigmoid: _plain("Sigmoid"),
    fastnn.Softmax: _plain("Softmax", axis=1),
    fastnn.LogSoftmax: _plain("LogSoftmax", axis=1),
    fastnn.LayerNorm: _layer_norm,
    fastnn.BatchNorm1d: _batch_norm,
    fastnn.Dropout: _as_it_is,
    fastnn.Flatten: _as_it_is,
    fastnn.Identity: _as_it_is,
    fastnn.Normalize: _normalize,
}
