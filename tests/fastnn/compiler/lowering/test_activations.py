import pytest

from fastnn import (
    ELU,
    GELU,
    Dropout,
    Flatten,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    Linear,
    Mish,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    SmoothClip,
    Softplus,
    Tanh,
)
from kernels.functions.activations import ACTIVATIONS, IDENTITY
from kernels.functions.rectifiers import RECTIFIERS

RECTIFIER_LAYERS = {
    "leaky_relu": (LeakyReLU(0.2), 0.2),
    "elu": (ELU(0.7), 0.7),
    "gelu": (GELU(), 0.0),
    "gelu_tanh": (GELU("tanh"), 0.0),
    "silu": (SiLU(), 0.0),
    "softplus": (Softplus(2.0, 15.0), 2.0),
    "mish": (Mish(), 0.0),
    "hardswish": (Hardswish(), 0.0),
    "hardtanh": (Hardtanh(-0.5, 2.0), -0.5),
    "smooth_clip": (SmoothClip(2.0), 2.0),
}


@pytest.mark.parametrize("layer", [ReLU(), Tanh(), Sigmoid()], ids=repr)
def test_an_activation_behind_no_product_is_an_instruction(training, names, layer):
    chain = Linear(4, 3), Dropout(0.5), layer
    found = training(*chain, columns=4, outputs=3)
    assert names(found) == ["linear", "dropout", "activation"]
    backward = ["activation_gradient", "dropout_gradient", "linear_update"]
    assert names(found, backward=True) == backward
    there, back = (each for each in found if each.name.startswith("activation"))
    for each in (there, back):
        assert each.operands["activation"] == ACTIVATIONS[layer.name]
    assert there.operands["y"] == back.operands["y"]
    # The gradient is taken here, not by whoever computes that of this block.
    assert there.operands["y"].activation == IDENTITY


def test_there_is_a_layer_for_each_rectifier():
    assert RECTIFIER_LAYERS.keys() == RECTIFIERS.keys()


@pytest.mark.parametrize("name", RECTIFIER_LAYERS)
def test_a_rectifier_is_an_instruction_whose_gradient_needs_its_input(training, names, name):
    layer, a = RECTIFIER_LAYERS[name]
    found = training(Linear(4, 3), layer, columns=4, outputs=3)
    assert names(found) == ["linear", name]
    assert names(found, backward=True) == [f"{name}_gradient", "linear_update"]
    there, back = (each for each in found if each.name.startswith(name))
    for each in (there, back):
        assert (each.operands["a"], each.operands["b"]) == layer.parameters_of_function
        assert each.operands["a"] == a
    assert there.operands["x"] is back.operands["x"]
    assert back.operands["g"] is back.operands["out"]


def test_a_rectifier_behind_an_activation_takes_the_gradient_of_that_too(training, names):
    found = training(Linear(4, 3), Tanh(), SiLU(), columns=4, outputs=3)
    backward = ["silu_gradient", "activation_gradient", "linear_update"]
    assert names(found, backward=True) == backward


def test_layers_that_do_nothing_to_rows_are_left_out(training, names):
    chain = Identity(), Flatten(), Linear(4, 3), Sequential(Identity(), Flatten()), Tanh()
    found = training(*chain, columns=4, outputs=3)
    assert names(found) == ["linear"]
    (linear,) = (each for each in found if each.name == "linear")
    assert linear.operands["activation"] == ACTIVATIONS["tanh"]
