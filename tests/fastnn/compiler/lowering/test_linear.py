import numpy as np
import pytest

from fastnn import SGD, Adam, Dropout, Linear, ReLU, Sequential, Sigmoid, Tanh
from kernels.base.jit import real_type
from kernels.base.memory import address
from kernels.functions.activations import ACTIVATIONS
from kernels.product import choice, panels
from kernels.product import linear as products

UPDATE, GRADIENT = "linear_update", "linear_input_gradient"


def only(found, name):
    return [each for each in found if each.name == name]


def test_an_activation_behind_is_a_part_of_the_product(training, names):
    layers = Linear(4, 6), Tanh(), Linear(6, 3), Sigmoid(), ReLU()
    found = training(*layers, columns=4, outputs=3)
    assert names(found) == ["linear", "linear", "activation"]
    codes = [each.operands["activation"] for each in only(found, "linear")]
    assert codes == [ACTIVATIONS["tanh"], ACTIVATIONS["sigmoid"]]
    # Its gradient is taken by whoever computes that of the block: here, that of the last layer's
    # output, and that of the input of the second.
    backward = ["activation_gradient", "activation_gradient", GRADIENT, UPDATE, UPDATE]
    assert names(found, backward=True) == backward
    (gradient,) = only(found, GRADIENT)
    assert gradient.operands["activation"] == ACTIVATIONS["tanh"]


def test_nothing_needs_the_gradient_of_the_samples(training, names):
    found = training(Dropout(0.5), Linear(4, 3), columns=4, outputs=3)
    assert names(found, backward=True) == [UPDATE]
    found = training(Linear(4, 3), Dropout(0.5), Linear(3, 3), columns=4, outputs=3)
    assert names(found, backward=True) == [GRADIENT, UPDATE, "dropout_gradient", UPDATE]


def test_weights_and_bias_are_updated_by_their_own_memories(training):
    layer = Linear(4, 3)
    optimizer = Adam([*Sequential(layer).parameters()])
    (update,) = only(training(layer, columns=4, outputs=3, optimizer=optimizer), UPDATE)
    rule = optimizer.rule.routine.address(real_type(np.float32))
    for name, parameter in (("of_w", layer._weight), ("of_bias", layer._bias)):
        assert update.operands[name].rule == rule
        assert update.operands[name].decays == parameter.decays
    assert update.operands["w_memory"] != update.operands["bias_memory"]


@pytest.mark.parametrize("known", ["weight", "bias"])
def test_the_gradient_of_what_does_not_learn_goes_where_nobody_reads(training, known):
    layer = Linear(4, 3)
    model = Sequential(layer)
    learning = {"weight": layer._weight, "bias": layer._bias}
    (update,) = only(
        training(model, columns=4, outputs=3, optimizer=SGD([learning[known]])), UPDATE
    )
    rules = {"weight": update.operands["of_w"].rule, "bias": update.operands["of_bias"].rule}
    places = {"weight": update.operands["w"].pointer, "bias": update.operands["bias"]}
    for name, parameter in learning.items():
        assert bool(rules[name]) == (name == known)
        # Neither what Python sees nor its gradient: a copy, or spare memory.
        assert places[name] not in map(address, (parameter.memory, parameter.gradient_memory))


@pytest.mark.parametrize("how", ["not the optimizer's", "without requires_grad"])
def test_layers_that_do_not_learn_are_not_updated_and_the_first_need_no_gradient(
    training, names, how
):
    for learning, backward in ((2, [UPDATE]), (0, [GRADIENT, GRADIENT, UPDATE])):
        layers = Linear(4, 6), Linear(6, 5), Linear(5, 3)
        model, optimizer = Sequential(*layers), SGD(layers[learning].parameters())
        if how == "without requires_grad":
            optimizer = SGD(model.requires_grad_(False).parameters())
            layers[learning].requires_grad_(True)
        found = training(model, columns=4, outputs=3, optimizer=optimizer)
        assert names(found, backward=True) == backward


def test_gradients_are_written_where_python_sees_them_to_be_clipped(training, names):
    layers = Linear(4, 6), Linear(6, 3)
    model = Sequential(*layers)
    parameters = list(model.parameters())
    optimizer = SGD(parameters, clip_norm=1.0)
    found = training(model, columns=4, outputs=3, optimizer=optimizer)
    clipping = [*["gradient_squares"] * 4, "clip_norm", *["update"] * 4]
    assert names(found, backward=True) == [GRADIENT, UPDATE, UPDATE, *clipping]
    for update, layer in zip(only(found, UPDATE), reversed(layers), strict=True):
        assert update.operands["of_w"].rule == update.operands["of_bias"].rule == 0
        assert update.operands["w"].pointer == address(layer._weight.gradient_memory)
        assert update.operands["bias"] == address(layer._bias.gradient_memory)
    updated = [address(each.operands["g"]) for each in only(found, "update")]
    assert updated == [address(each.gradient_memory) for each in parameters]


def test_wide_weights_lie_in_panels_where_they_are_updated_at_once(training, evaluation):
    span, few = panels.span_of(np.float32), choice.FEW
    wide = max(span, few) + 1
    sizes = {"columns": 20, "outputs": wide}
    (found,) = only(training(Linear(20, wide), **sizes), "linear")
    assert found.operands["w"].panel > 0
    clipped = Linear(20, wide)
    optimizer = SGD(list(Sequential(clipped).parameters()), clip_norm=1.0)
    (found,) = only(training(clipped, **sizes, optimizer=optimizer), "linear")
    assert found.operands["w"].panel == 0
    layer = Linear(20, wide)
    (found,) = only(evaluation(layer, **sizes), "linear")
    assert found.operands["w"].panel == 0
    for narrow in {few, span}:
        (found,) = only(training(Linear(20, narrow), columns=20, outputs=narrow), "linear")
        assert found.operands["w"].panel == 0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_sum_halves_of_what_each_has_computed(training, threads):
    layers = Linear(20, 128), ReLU(), Linear(128, 10)
    found = training(*layers, columns=20, outputs=10, batch=20, threads=threads)
    halves = only(found, "linear_halves")
    assert len(halves) == (threads > 1)
    if halves:
        first, *_ = only(found, "linear")
        assert first.operands["y"].panel > 0
        assert first.wait == (threads > 2)  # each of two reads what it has written alone
        assert halves[0].operands["x"] is first.operands["y"]
        (add,) = only(found, "linear_from_halves")
        assert add.operands["sums"] == halves[0].operands["sums"]
        assert not add.wait  # the loss takes the same rows


@pytest.mark.parametrize("sizes", [(300, 5, 3), (3, 900, 3), (3, 5, 4000)])
def test_scratch_memory_is_for_the_widest_layer(training, sizes):
    inputs, hidden, outputs = sizes
    training(Linear(inputs, hidden), Linear(hidden, outputs), columns=inputs, outputs=outputs)
    assert training.program.scratch == products.scratch_size(np.float32, max(sizes))
