import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import (
    SGD,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LayerNorm,
    Linear,
    MSELoss,
    Normalize,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
    predict,
)
from fastnn.nn.sequential import columns_of, flat_layers


def small(dtype=np.float32, seed=0):
    return Sequential(
        Linear(4, 6, dtype=dtype, seed=seed), Tanh(), Linear(6, 3, dtype=dtype, seed=seed + 1)
    )


def batch(rows=5, columns=4, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


class Scale(Layer):
    """y = a x, with a number a that learns: a user's own layer."""

    def __init__(self, start=2.0, dtype=np.float32):
        self.factor = Parameter(np.array([start], dtype))

    def forward(self, x):
        self._x = x
        return x * self.factor.data

    def backward(self, gradient):
        self.factor.grad[0] += (gradient * self._x).sum()
        return gradient * self.factor.data

    def named_parameters(self):
        yield "factor", self.factor


class Duck:
    """A user's own layer of no family, whose parameters have no names."""

    def __init__(self, dtype=np.float32):
        self.offset = Parameter(np.zeros(3, dtype))

    def forward(self, x):
        return x + self.offset.data

    def backward(self, gradient):
        self.offset.grad[...] += gradient.sum(axis=0)
        return gradient

    def parameters(self):
        return [self.offset]


# ---------------------------------------------------------------------- against torch


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=5),
    st.sampled_from([ReLU, Tanh, Sigmoid]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 30),
)
def test_chains_are_torch(same_as_torch, torch_twin, widths, activation, dtype, rows):
    layers = []
    for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers += [Linear(inputs, outputs, dtype=dtype, seed=place), activation()]
    model = Sequential(*layers)
    x = np.random.default_rng(0).normal(size=(rows, widths[0])).astype(dtype)
    same_as_torch(model, torch_twin(model), x)


def test_names_are_torch_s(torch_twin):
    model = small()
    assert list(model.state_dict()) == list(torch_twin(model).state_dict())
    assert [name for name, _ in model.named_parameters()] == list(model.state_dict())
    nested = Sequential(ReLU(), Sequential(Linear(2, 3), Tanh(), Linear(3, 1, bias=False)))
    assert list(nested.state_dict()) == ["1.0.weight", "1.0.bias", "1.2.weight"]


# ----------------------------------------------------------------------- state_dict


def test_state_goes_into_torch_and_back(torch_twin):
    model, other = small(seed=0), small(seed=7)
    twin = torch_twin(model)
    other.load_state_dict(twin.state_dict())
    x = batch()
    np.testing.assert_array_equal(other(x), model(x))
    torch.testing.assert_close(torch.from_numpy(other(x)), twin(torch.from_numpy(x)).detach())


def test_state_is_a_copy():
    model = small()
    state = model.state_dict()
    assert state["0.weight"].shape == (6, 4)
    assert all(array.flags.c_contiguous and array.flags.owndata for array in state.values())
    expected = model(batch())
    for array in state.values():
        array[...] = 0
    np.testing.assert_array_equal(model(batch()), expected)
    model.load_state_dict(state)
    assert not model(batch()).any()
    state["0.weight"][...] = 1
    assert not model[0].weight.data.any()


@pytest.mark.parametrize(("dtype", "other"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_state_of_the_other_dtype_is_converted(dtype, other):
    model = small(dtype)
    state = small(other, seed=5).state_dict()
    model.load_state_dict(state)
    assert model[0].weight.dtype == dtype
    np.testing.assert_array_equal(model[0].weight, state["0.weight"].astype(dtype))


def broken(**changes):
    state = small(seed=9).state_dict()
    for name, value in changes.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (broken(**{"2.bias": None}), KeyError, "missing 2.bias"),
        (broken(extra=np.zeros(3)), KeyError, "model: unknown extra"),
        (
            broken(**{"2.weight": np.zeros((6, 3))}),
            ValueError,
            r"2.weight has shape \(3, 6\), in the state \(6, 3\)",
        ),
        (broken(**{"2.bias": 0.0}), ValueError, r"2.bias has shape \(3,\), in the state \(\)"),
        (broken(**{"2.bias": ["a", "b", "c"]}), TypeError, "2.bias holds <U1; expected numbers"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(bits, state, error, message):
    model = small()
    before = bits(model)
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    assert bits(model) == before


def test_not_strict_takes_what_fits(bits):
    model = small()
    before = model.state_dict()
    model.load_state_dict({"0.bias": np.arange(6), "unknown": np.zeros(1)}, strict=False)
    np.testing.assert_array_equal(model[0].bias, np.arange(6))
    np.testing.assert_array_equal(model[0].weight, before["0.weight"])
    with pytest.raises(ValueError, match=r"0.bias has shape"):
        model.load_state_dict({"0.bias": np.zeros(7)}, strict=False)


# -------------------------------------------------------------------------- the chain


def test_repr_shows_the_chain_and_counts():
    model = Sequential(Linear(784, 128), ReLU(), Sequential(Dropout(0.5), Linear(128, 10)))
    assert repr(model).splitlines()[:3] == [
        "Sequential(",
        "  (0): Linear(in_features=784, out_features=128, bias=True)",
        "  (1): ReLU()",
    ]
    assert repr(model).endswith(")  # 101,770 parameters")
    assert "Dropout(p=0.5)" in repr(model)
    assert "Linear(in_features=128, out_features=10, bias=True)" in repr(model)


def test_layers_are_there_by_place():
    model = small()
    assert len(model) == 3
    assert isinstance(model[1], Tanh)
    assert list(model) == [model[0], model[1], model[2]]
    assert model[-1] is model[2]


@pytest.mark.parametrize("part", [slice(3), slice(-2, None), slice(None, None, 2), slice(0)])
def test_a_slice_is_a_chain_of_the_same_layers(part):
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), Tanh()).eval()
    found = model[part]
    assert type(found) is Sequential
    assert list(map(id, found)) == list(map(id, model.layers[part]))
    assert not found.training
    assert len(model) == len(list(model)) == 4


def test_a_part_of_a_chain_learns_with_the_whole():
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2))
    model[:1].layers[0].weight[:] = 0
    assert (model.state_dict()["0.weight"] == 0).all()
    assert model[-1] is model.layers[2]
    assert model[1] in model
    assert Tanh() not in model
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(model[2:](model[:2](x)), model(x))


def test_notebooks_show_a_table():
    own = type("<b>Own", (), {"forward": 0, "backward": 0, "__repr__": lambda self: "<b>"})
    own.forward = own.backward = lambda self, x: x
    model = Sequential(Linear(3, 400), Sequential(Tanh(), Linear(400, 2)), own())
    html = model._repr_html_()
    assert "<caption>Sequential, 2,402 parameters</caption>" in html
    assert "<td>0</td><td>Linear(in_features=3, out_features=400, bias=True)</td><td>1,600" in html
    assert "<td>1.1</td><td>Linear(in_features=400, out_features=2, bias=True)</td>" in html
    assert "<td>2</td><td>&lt;b&gt;</td><td>0</td>" in html


def test_train_and_eval_reach_every_layer():
    inner = Dropout(0.5)
    model = Sequential(Linear(2, 2), Duck(), Sequential(inner, Tanh()))
    assert model.eval() is model
    assert [each.training for each in (model, inner, model[0])] == [False] * 3
    assert model.train() is model
    assert model.training
    assert inner.training


def test_chains_may_share_layers():
    model = small()
    before = bits_of(model)
    views = [parameter.data for parameter in model.parameters()]
    other = Sequential(*model.layers, Softmax())
    assert bits_of(model) == before
    pairs = zip(model.parameters(), other.parameters(), views, strict=True)
    assert all(one is same and np.shares_memory(one.data, view) for one, same, view in pairs)


def bits_of(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def test_zero_grad():
    model = small()
    model.backward(np.ones_like(model(batch())))
    assert all(parameter.grad.any() for parameter in model.parameters())
    model.zero_grad()
    assert not any(parameter.grad.any() for parameter in model.parameters())


def test_an_empty_chain_gives_what_it_got():
    model, x = Sequential(), batch()
    assert model(x) is x
    assert model.backward(x) is x
    assert model.state_dict() == {}
    assert repr(model).endswith("# 0 parameters")


def test_a_chain_in_a_chain_is_the_chain(bits):
    def layers():
        return [Linear(4, 6, seed=0), Tanh(), Linear(6, 5, seed=1), Sigmoid(), Linear(5, 3, seed=2)]

    flat = layers()
    nested = layers()
    nested = Sequential(
        nested[0], Sequential(nested[1], Sequential(nested[2], nested[3])), nested[4]
    )
    x, y = batch(40), np.arange(40) % 3
    results = []
    for model in (Sequential(*flat), nested):
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=3, batch_size=16,
            seed=0)  # fmt: skip
        results.append((list(bits(model).values()), predict(model, x).tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("wrong", [Tanh, "relu", 3, None, np.tanh, torch.nn.Tanh()])
def test_wrong_things_in_a_chain(wrong):
    with pytest.raises(
        TypeError, match=r"layer 1 is .*; expected an object with forward and backw"
    ):
        Sequential(Linear(2, 2), wrong)


def test_parameters_of_another_kind():
    class Mine(Duck):
        def parameters(self):
            return [np.zeros(3)]

    with pytest.raises(TypeError, match=r"parameter 1.0 is a ndarray; expected a fastnn.Parameter"):
        Sequential(Linear(2, 3), Mine())


@pytest.mark.parametrize("make", [lambda: Linear(2, 2), Tanh, Duck])
def test_a_layer_twice(make):
    layer = make()
    for chain in (
        lambda: Sequential(layer, layer),
        lambda: Sequential(Sequential(layer), layer),
        lambda: Sequential(layer, Sequential(Tanh(), Sequential(layer))),
    ):
        with pytest.raises(ValueError, match="a layer is in the chain twice"):
            chain()


def test_a_chain_of_another_chain_s_layers(bits):
    """A model of some of a model's layers shares their weights, whichever trains."""
    model = small()
    head = Sequential(model[0], model[1])
    x, y = batch(20), np.arange(20) % 3
    optimizer = SGD(model.parameters(), lr=0.5)
    before = head(x)
    fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2, batch_size=8, seed=0)
    alone = small()
    optimizer = SGD(alone.parameters(), lr=0.5)
    fit(alone, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2, batch_size=8, seed=0)
    assert bits(model) == bits(alone)
    assert (head(x) != before).any()
    np.testing.assert_array_equal(head(x), alone[1](alone[0](x)))


# ------------------------------------------------------------------------- own layers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_own_layers_in_a_chain(check_backward, dtype):
    model = Sequential(Linear(4, 3, dtype=dtype, seed=0), Scale(3.0, dtype), Duck(dtype), Softmax())
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.factor", "2.0"]
    np.testing.assert_array_equal(model.state_dict()["1.factor"], [3.0])
    if dtype is np.float64:
        check_backward(model, batch())


def test_own_layers_in_a_hand_written_loop():
    model = Sequential(Linear(4, 3, seed=0), Scale(), Duck())
    x, y = batch(50), batch(50, 3, seed=1) * 0.1
    loss_fn, losses = MSELoss(), []
    optimizer = SGD(model.parameters(), lr=0.1)
    for _ in range(60):
        losses.append(loss_fn(model(x), y))
        optimizer.zero_grad()
        model.backward(loss_fn.backward())
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]
    assert model[1].factor.data[0] != 2.0
    assert model[2].offset.data.all()


# ----------------------------------------------------------------------------- copies


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("used", [False, True])
def test_copies_stand_alone_and_train_alike(bits, copied, used):
    model = Sequential(Linear(4, 40, seed=0), Tanh(), Dropout(0.1, seed=0), Linear(40, 3, seed=1))
    model.classes = ("a", "b", "c")
    x, y = batch(64), np.arange(64) % 3

    def train(model):
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2, batch_size=16,
            seed=0)  # fmt: skip

    if used:
        train(model)
    other = copied(model)
    assert bits(other) == bits(model)
    assert other.classes == model.classes
    assert repr(other) == repr(model)
    for one, copy_of_one in zip(model.parameters(), other.parameters(), strict=True):
        assert not np.shares_memory(one.memory, copy_of_one.memory)
    before = bits(model)
    train(other)
    assert bits(model) == before
    assert bits(other) != before
    train(model)
    assert bits(model) == bits(other)


def test_backward_of_a_chain_by_differences(check_backward):
    linear = [Linear(i, o, dtype=np.float64, seed=i) for i, o in ((4, 6), (6, 5), (5, 3))]
    inner = Sequential(Sigmoid(), linear[2], Softmax())
    check_backward(Sequential(linear[0], Tanh(), linear[1], inner), batch(3).astype(np.float64))


def test_flat_layers_of_chains_in_chains():
    a, b, c, d, e = layers = [Linear(2, 2), Tanh(), Softmax(), Identity(), Sigmoid()]
    assert flat_layers(Sequential(a, Sequential(b, Sequential(c), d), e)) == layers


@pytest.mark.parametrize(
    ("layers", "columns"),
    [
        ([], (None, None)),
        ([ReLU(), Flatten()], (None, None)),
        ([Linear(3, 5), ReLU(), Sequential(Tanh(), Linear(5, 2))], (3, 2)),
        ([Tanh(), LayerNorm(4)], (4, 4)),
        ([Normalize([1, 2, 3]), Linear(3, 5)], (3, 5)),
        ([Normalize(1, 2), Linear(3, 5)], (3, 5)),
        ([Scale(), Linear(3, 5), Scale()], (3, 5)),
    ],
)
def test_columns_that_a_chain_takes_and_gives(layers, columns):
    assert columns_of(Sequential(*layers)) == columns
