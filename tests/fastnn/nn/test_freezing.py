"""Parameters that do not learn: in layers, steps by hand, `fit`, checkpoints and torch."""

import copy
import pickle

import numpy as np
import pytest
import torch

from fastnn import (
    SGD,
    Adam,
    BatchNorm1d,
    Callback,
    CrossEntropyLoss,
    LayerNorm,
    Linear,
    Sequential,
    Tanh,
    fit,
    from_torch,
)

X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)
FROZEN = [["0.weight", "0.bias"], ["1.weight"], ["3.weight"], ["3.bias", "1.bias"], ["0.weight"]]


class Own(Tanh):
    """Layer of the user's own, so that training steps in Python."""


def network(kind=Tanh, norm=BatchNorm1d):
    return Sequential(Linear(6, 8, seed=0), norm(8), kind(), Linear(8, 3, seed=1))


def freeze(model, names):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in names


def trained(model, *, optimizer=None, **how):
    optimizer = optimizer or Adam(model.parameters(), lr=0.01, weight_decay=0.1)
    how = {"epochs": 3, "batch_size": 8, "seed": 0} | how
    fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, **how)
    return model.state_dict()


def same(one, other):
    return all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.filterwarnings("ignore:.*training steps in Python")
@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("norm", [BatchNorm1d, LayerNorm])
@pytest.mark.parametrize("names", FROZEN, ids=" ".join)
def test_fit_leaves_them_alone_with_the_same_bits_compiled_and_in_python(names, norm, clip_norm):
    found = []
    for kind in (Tanh, Own):
        model = network(kind, norm)
        before = model.state_dict()
        freeze(model, names)
        after = trained(model, clip_norm=clip_norm)
        for name, _ in model.named_parameters():
            assert np.array_equal(before[name], after[name]) == (name in names), name
        found.append(after)
    assert same(*found)


@pytest.mark.parametrize("names", FROZEN, ids=" ".join)
def test_steps_by_hand_leave_them_alone_and_without_a_gradient(names):
    model, loss = network(Tanh, LayerNorm), CrossEntropyLoss()
    model.layers.pop(1)  # a chain that steps in two compiled calls
    model = Sequential(*model.layers)
    names = [name.replace("3.", "2.") for name in names if not name.startswith("1.")]
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    before = model.state_dict()
    for frozen in ([], names, []):
        freeze(model, frozen)
        optimizer.zero_grad()
        loss(model(X), Y)
        model.backward(loss.backward())
        for name, parameter in model.named_parameters():
            assert parameter.grad.any() == (name not in frozen), name
        optimizer.step()
        for name, after in model.state_dict().items():
            assert np.array_equal(after, before[name]) == (name in frozen), name
        before = model.state_dict()


def test_requires_grad_sets_all_and_returns_the_object_itself():
    model = Sequential(Linear(2, 2), Sequential(Linear(2, 2), Tanh()))
    assert model.requires_grad_(False) is model
    assert not any(each.requires_grad for each in model.parameters())
    assert model[1].requires_grad_() is model[1]
    assert [each.requires_grad for each in model.parameters()] == [False, False, True, True]


def test_copies_and_pickles_keep_it():
    model = network()
    freeze(model, FROZEN[0])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        learning = [each.requires_grad for each in other.parameters()]
        assert learning == [False, False, True, True, True, True]


def test_torch_has_it_too():
    model = network()
    freeze(model, FROZEN[0])
    module = model.to_torch()
    learning = [False, False, True, True, True, True]
    assert [each.requires_grad for each in module.parameters()] == learning
    assert [each.requires_grad for each in from_torch(module).parameters()] == learning
    assert all(
        each.requires_grad
        for each in from_torch(torch.nn.Sequential(torch.nn.Linear(2, 2))).parameters()
    )


class Thaw(Callback):
    """Lets everything learn from the third epoch on."""

    def on_epoch_end(self, training):
        if training.epoch == 2:
            training.model.requires_grad_(True)


def test_interrupted_and_resumed_gives_the_same_bits(tmp_path):
    def begun():
        model = network()
        freeze(model, FROZEN[0])
        return model

    whole = trained(begun(), epochs=5, callbacks=[Thaw()])
    path = tmp_path / "checkpoint.safetensors"
    for epochs in (1, 3, 5):
        parts = trained(
            begun(), epochs=epochs, callbacks=[Thaw()], checkpoint=path, resume=epochs > 1
        )
    assert same(whole, parts)
