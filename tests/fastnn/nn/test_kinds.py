import numpy as np
import pytest
import torch

import fastnn
from fastnn.nn import activations, norms
from fastnn.nn.kinds import LAYERS, is_known, public
from fastnn.nn.layer import Layer, as_layer
from own_layers import OtherLinear
from processes import python

ARGUMENTS = {"Linear": (3, 2), "LayerNorm": (3,), "BatchNorm1d": (3,), "Normalize": ([1, 2, 3], 2)}


def made(name, **more):
    return LAYERS[name](*ARGUMENTS.get(name, ()), **more)


class Bare:
    """A layer that derives from nothing."""

    multiply_adds = np.zeros(3)  # something else by that name

    def forward(self, x):
        return x

    def backward(self, gradient):
        return gradient


class Graph:
    """Notes what layers add, as text."""

    dtype = np.dtype(np.float32)

    def __init__(self):
        self.added, self.constants = [], {}

    def constant(self, name, values):
        self.constants[name] = np.array(values)
        return name

    def add(self, operator, *inputs, **attributes):
        self.added.append((operator, inputs, attributes))
        return f"v{len(self.added)}"

    def cast(self, value, dtype):
        return self.add("Cast", value, to=np.dtype(dtype).name)


def test_every_layer_is_known_once_and_by_its_own_name():
    assert all(kind.__name__ == name for name, kind in LAYERS.items())
    assert all(getattr(fastnn, name) is kind for name, kind in LAYERS.items())
    exported = {name for name in fastnn.__all__ if isinstance(getattr(fastnn, name), type)}
    layers = {name for name in exported if issubclass(getattr(fastnn, name), Layer)}
    assert layers == {*LAYERS, "Layer", "Sequential"}


def test_what_is_known():
    assert is_known(fastnn.Linear(2, 2))
    for other in (
        OtherLinear(2, 2),
        Layer(),
        Bare(),
        fastnn.Sequential(),
        activations.Activation(),
    ):
        assert not is_known(other)


def test_public_classes_come_in_the_order_of_their_definition():
    assert list(public(norms)) == ["BatchNorm1d", "LayerNorm"]
    assert list(public(activations))[:4] == ["ReLU", "Tanh", "Sigmoid", "LeakyReLU"]


@pytest.mark.parametrize("name", LAYERS)
def test_columns_are_those_that_forward_takes_and_gives(name):
    layer, x = made(name), np.ones((4, 3), np.float32)
    assert layer.columns_in in (None, 3)
    assert layer.output_columns(3) == layer(x).shape[1] == (layer.columns_out or 3)
    if layer.columns_in is not None:
        with pytest.raises(ValueError, match=r"5 columns|x has shape"):
            layer(np.ones((4, 5), np.float32))
    if name in ("Linear", "LayerNorm", "BatchNorm1d"):
        with pytest.raises(ValueError, match=rf"{name}\(.*\) gets 5 columns; expected 3"):
            layer.output_columns(5)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_that_of_the_result(name, dtype):
    typed = LAYERS[name].torch_twin.typed
    layer = made(name, dtype=dtype) if typed else made(name)
    assert layer.computes_in == (dtype if typed else None)
    assert layer(np.ones((4, 3), dtype)).dtype == dtype
    if typed:
        assert layer.computes_in == layer.dtype
        assert layer(np.ones((4, 3), np.uint8)).dtype == dtype


@pytest.mark.parametrize("name", LAYERS)
def test_sizes_and_shapes_are_of_arguments(name):
    layer = made(name)
    described = layer.describe()
    assert set(layer.sizes) <= described.keys()
    state = {each: parameter.shape for each, parameter in layer.named_parameters()}
    assert layer.shapes(described).items() <= state.items()
    assert bool(layer.sizes) == bool(state)


@pytest.mark.parametrize("name", LAYERS)
def test_twins_have_the_arguments_that_describe_a_layer(name):
    twin, layer = LAYERS[name].torch_twin, made(name)
    assert twin.arguments == tuple(layer.describe())
    assert hasattr(torch.nn, twin.module) or name in ("Normalize", "SmoothClip")


@pytest.mark.parametrize("name", LAYERS)
def test_layers_write_themselves_to_any_graph(name):
    graph, layer = Graph(), made(name)
    y = layer.to_onnx(graph, "7", "x")
    assert y == (f"v{len(graph.added)}" if graph.added else "x")
    assert all(each.startswith("7.") for each in graph.constants)
    known = {"x", *graph.constants}
    for place, (_, inputs, _) in enumerate(graph.added, 1):
        assert known.issuperset(inputs)
        known.add(f"v{place}")
    for each, parameter in layer.named_parameters():
        np.testing.assert_array_equal(graph.constants[f"7.{each}"], parameter.data)


def test_what_counts_batches():
    x = np.ones((4, 3), np.float32)
    counting = {name for name in LAYERS if made(name).batch_counter() is not None}
    assert counting == {"Dropout", "BatchNorm1d"}
    for layer in (made("Dropout"), made("BatchNorm1d")):
        counter = layer.batch_counter()
        layer(x)
        layer(x)
        assert getattr(layer, counter) == 2
    assert fastnn.Dropout(0.0).batch_counter() is None
    assert fastnn.Dropout().eval().batch_counter() is None
    assert fastnn.BatchNorm1d(3, track_running_stats=False).batch_counter() is None


def test_rows_and_work():
    assert {name: LAYERS[name].least_rows for name in LAYERS if LAYERS[name].least_rows != 1} == {
        "BatchNorm1d": 2
    }
    assert {name for name in LAYERS if made(name).multiply_adds} == {"Linear"}
    assert fastnn.Linear(30, 7).multiply_adds == 210


def test_a_layer_of_a_user_s_own_answers_as_the_base():
    own = OtherLinear(3, 2)
    assert as_layer(own) is own
    bare = as_layer(Bare())
    assert (bare.multiply_adds, bare.least_rows, bare.columns_in, bare.computes_in) == (
        0,
        1,
        None,
        None,
    )
    assert bare.batch_counter() is None
    with pytest.raises(NotImplementedError, match="Layer does not define to_onnx"):
        Layer().to_onnx(Graph(), "0", "x")


def test_neither_torch_nor_onnx_is_needed_to_tell_of_them():
    code = "import sys, fastnn.nn.kinds; print({'torch', 'onnx'} & set(sys.modules))"
    done = python(code)
    assert done.stdout == "set()\n"
