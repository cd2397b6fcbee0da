"""Export of chains to ONNX: a graph to which layers add their operators, and its file.

Only standard operators are written, in forms that runtimes support in both float32 and float64.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import helper, numpy_helper

from fastnn._version import __version__
from fastnn.files.atomic import replacing
from fastnn.interop.chain import layers_of, read_input_dtype, widths
from fastnn.nn.sequential import Sequential, model_dtype

OPSET = 17
"""Version of the operators; onnxruntime supports it since 1.12."""
IR_VERSION = 8
"""Version of the file format."""

_MOST_BYTES = 2**31 - 2**20  # protobuf's limit, less room for all but the weights


def to_onnx(
    model: Sequential, path: str | os.PathLike[str], *, input_dtype: DTypeLike | None = None
) -> None:
    """Write a chain to an ONNX file; see `fastnn.to_onnx`."""
    content = _proto(model, input_dtype).SerializeToString(deterministic=True)
    with replacing(path) as file:
        file.write(content)


def _proto(model: Sequential, input_dtype: DTypeLike | None) -> onnx.ModelProto:
    """Return a model as a checked ONNX message."""
    chain = layers_of(model, "to_onnx")
    _check_size(model)
    dtype, given = model_dtype(model), read_input_dtype(input_dtype, model, "to_onnx")
    columns, outputs = (n or "columns" for n in widths(model))

    graph = _Graph(dtype)
    x = graph.input("x", given, columns)
    if given != dtype:
        x = graph.cast(x, dtype)
    for place, layer in chain:
        x = layer.to_onnx(graph, place, x)
    graph.output("y", x, dtype, outputs)
    return graph.proto(model)


def _check_size(model: Sequential) -> None:
    size = sum(each.size * each.dtype.itemsize for each in model.parameters())
    if size > _MOST_BYTES:
        raise ValueError(
            f"to_onnx: the weights take {size:,} bytes; an ONNX file holds {_MOST_BYTES:,} at most"
        )


# ------------------------------------------------------------------------- the file


class _Graph:
    """A graph under construction; values have names, and each operator makes a new one."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype, columns: int | str) -> str:
        """Declare the input; return its name."""
        self._inputs.append(_rows(name, dtype, columns))
        return name

    def output(self, name: str, value: str, dtype, columns: int | str) -> None:
        """Declare a value as the output, under another name."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name))
        self._outputs.append(_rows(name, dtype, columns))

    def constant(self, name: str, values: ArrayLike) -> str:
        """Add a constant array or number of the graph's dtype; return its name."""
        array = np.array(values, self.dtype, order="C")
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Add an operator; return the name of its result."""
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def cast(self, value: str, dtype: DTypeLike) -> str:
        """Convert a value to a dtype; return the name of the result."""
        return self.add("Cast", value, to=_element_type(dtype))

    def proto(self, model: Sequential) -> onnx.ModelProto:
        """Return the content of the file, checked by onnx."""
        graph = helper.make_graph(
            self._nodes, "fastnn", self._inputs, self._outputs, self._constants
        )
        proto = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="fastnn",
            producer_version=__version__,
        )
        helper.set_model_props(proto, _metadata(model))
        onnx.checker.check_model(proto, full_check=True)
        return proto


def _metadata(model: Sequential) -> dict[str, str]:
    """Return a model's classes and schema as JSON, by name."""
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
