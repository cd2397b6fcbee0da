import collections
import copy
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import fastnn
from fastnn import (
    Dropout,
    Flatten,
    Identity,
    Linear,
    Normalize,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from fastnn.interop import torch as interop
from own_layers import Doubled

DTYPES = (np.float32, np.float64)
# torch.testing.assert_close's own.
TOLERANCES = {np.float32: (1.3e-6, 1e-5), np.float64: (1e-7, 1e-7)}


def batch(columns, dtype=np.float32, rows=9):
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(dtype)


def same_bits(model, net):
    """State dicts of a chain and of torch's are one: names in order, shapes, dtypes, bits."""
    ours, theirs = model.state_dict(), net.state_dict()
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        other = theirs[name].numpy()
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        assert array.tobytes() == other.tobytes()


def same_outputs(model, net, x):
    """In use, a chain and torch's give the same."""
    dtype = next(iter(model.parameters())).dtype.type
    model.eval()
    net.eval()
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    rtol, atol = TOLERANCES[dtype]
    np.testing.assert_allclose(model(x), expected, rtol, atol)


# -------------------------------------------------------------------------- both ways

LEAVES = {
    "relu": nn.ReLU, "relu in place": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid, "leaky": lambda: nn.LeakyReLU(0.2, inplace=True),
    "elu": lambda: nn.ELU(0.7), "gelu": nn.GELU, "gelu by tanh": lambda: nn.GELU("tanh"),
    "silu": nn.SiLU, "mish": nn.Mish, "hardswish": nn.Hardswish,
    "hardtanh": lambda: nn.Hardtanh(-0.5, 2.0),
    "mish in place": lambda: nn.Mish(inplace=True),
    "softplus": nn.Softplus, "softplus of beta": lambda: nn.Softplus(2.5, 1.5),
    "log-softmax": lambda: nn.LogSoftmax(dim=-1), "softmax": lambda: nn.Softmax(dim=1),
    "softmax of the last": lambda: nn.Softmax(dim=-1), "dropout": lambda: nn.Dropout(0.3),
    "dropout in place": lambda: nn.Dropout(0.2, inplace=True), "flatten": nn.Flatten,
    "identity": nn.Identity, "identity of anything": lambda: nn.Identity(3, what="ever"),
}  # fmt: skip


NORMS = {
    "layer": nn.LayerNorm,
    "layer without bias": lambda n: nn.LayerNorm((n,), eps=1e-3, bias=False),
    "layer without weights": lambda n: nn.LayerNorm([n], elementwise_affine=False),
    "batch": nn.BatchNorm1d,
    "batch of a momentum": lambda n: nn.BatchNorm1d(n, eps=1e-3, momentum=0.3),
    "batch by all": lambda n: nn.BatchNorm1d(n, momentum=None, affine=False),
    "batch without statistics": lambda n: nn.BatchNorm1d(n, track_running_stats=False),
    "batch of nothing": lambda n: nn.BatchNorm1d(n, affine=False, track_running_stats=False),
}


def used(net, x):
    """Change weights and statistics from their first values, by a pass in training."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.linspace(-0.5, 0.5, parameter.numel()).reshape(parameter.shape))
        net.train()(torch.from_numpy(x))
    return net


@st.composite
def nets(draw, columns, depth=0):
    """A chain of torch's that takes so many columns, and the columns it gives."""
    modules = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["linear", "leaf", "norm", "chain"]))
        if kind == "linear":
            width = draw(st.integers(1, 40))
            modules.append(nn.Linear(columns, width, bias=draw(st.booleans())))
            columns = width
        elif kind == "chain" and depth < 3:
            inner, columns = draw(nets(columns, depth + 1))
            modules.append(inner)
        elif kind == "norm":
            modules.append(NORMS[draw(st.sampled_from(sorted(NORMS)))](columns))
        else:
            modules.append(LEAVES[draw(st.sampled_from(sorted(LEAVES)))]())
    return nn.Sequential(*modules).train(draw(st.booleans())), columns


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 40), st.sampled_from(DTYPES))
def test_chains_come_from_torch_and_go_back(data, columns, dtype):
    net, width = data.draw(nets(columns))
    net = nn.Sequential(nn.Linear(columns, columns), net, nn.Linear(width, 3))
    net.to(torch.float64 if dtype is np.float64 else torch.float32)
    modes = [module.training for module in net.modules()]
    used(net, batch(columns, dtype))
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
    model = fastnn.from_torch(net)
    back = model.to_torch()
    same_bits(model, net)
    same_bits(model, back)
    assert [module.training for module in back.modules()] == modes
    # In float64: norms multiply the rounding errors of rows that are all but alike.
    model = fastnn.from_torch(net.double())
    same_outputs(model, net, batch(columns, np.float64))
    same_outputs(model, back.double(), batch(columns, np.float64))


@pytest.mark.parametrize("kind", LEAVES)
def test_every_kind_of_module(kind):
    net = nn.Sequential(nn.Linear(5, 7), LEAVES[kind](), nn.Linear(7, 3))
    model = fastnn.from_torch(net)
    back = model.to_torch()
    assert type(back[1]) is type(net[1])
    same_outputs(model, net, batch(5))
    same_outputs(model, back, batch(5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", NORMS)
def test_every_kind_of_norm(kind, dtype):
    """Also one without weights of its own has the chain's dtype; bits and statistics pass."""
    net = nn.Sequential(NORMS[kind](5), nn.Linear(5, 3))
    net.to(torch.float64 if dtype is np.float64 else torch.float32)
    used(net, batch(5, dtype) * 3 + 1)
    model = fastnn.from_torch(net)
    back = model.to_torch()
    assert model[0].dtype == dtype
    assert repr(back) == repr(net)
    same_bits(model, net)
    same_bits(model, back)
    same_outputs(model, net, batch(5, dtype))
    same_outputs(model, back, batch(5, dtype))
    for each in (model, net, back):
        each.train()
    x = batch(5, dtype)
    expected = net(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model(x), expected, *TOLERANCES[dtype])
    for name, array in net.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], array.numpy(), *TOLERANCES[dtype])


def test_layers_keep_their_settings():
    layers = [
        Linear(4, 3, bias=False), Dropout(0.125), Normalize([0.1, 0.2, 0.3], 1 / 3), ReLU(),
        Tanh(), Sigmoid(), Softmax(), Identity(), Flatten(), Sequential(Linear(3, 2), Tanh()),
        fastnn.LeakyReLU(0.3), fastnn.ELU(0.2), fastnn.GELU("tanh"), fastnn.SiLU(),
        fastnn.Softplus(0.5, 3.0), fastnn.LogSoftmax(), fastnn.LayerNorm(2, 1e-3, bias=False),
        fastnn.BatchNorm1d(2, 1e-3, None, affine=False), fastnn.Mish(), fastnn.Hardswish(),
        fastnn.Hardtanh(), fastnn.SmoothClip(),
    ]  # fmt: skip
    model = Sequential(*layers)
    back = fastnn.from_torch(model.to_torch())
    assert repr(back) == repr(model)
    same_bits(back, model.to_torch())


def test_extreme_weights_keep_their_bits():
    net = nn.Sequential(nn.Linear(3, 2, dtype=torch.float64))
    bits = [0x7FF8000000000123, 0xFFF0000000000000, 0x8000000000000000, 1, 2**52, 2**63 - 1]
    values = np.array(bits, np.uint64).view(np.float64)
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(values.reshape(2, 3)))
    model = fastnn.from_torch(net)
    assert np.array(model[0].weight).tobytes() == values.tobytes()
    same_bits(model, model.to_torch())


def test_weights_are_copies():
    net = nn.Sequential(nn.Linear(3, 2))
    model = fastnn.from_torch(net)
    back = model.to_torch()
    before = model.state_dict()
    with torch.no_grad():
        net[0].weight.zero_()
        back[0].weight.zero_()
    np.testing.assert_array_equal(model[0].weight, before["0.weight"])
    model[0].weight = np.ones((2, 3))
    assert not net[0].weight.any()
    assert not back[0].weight.any()


def test_a_chain_from_torch_trains_and_so_does_one_that_went_there():
    x, y = batch(5, rows=64), np.arange(64) % 3
    model = fastnn.from_torch(nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3)))
    net = model.to_torch()
    optimizer = fastnn.SGD(model.parameters(), lr=0.1, momentum=0.9)
    fastnn.fit(model, x, y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=20,
               batch_size=64, shuffle=False)  # fmt: skip
    theirs = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(20):
        theirs.zero_grad()
        nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        theirs.step()
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, net.state_dict()[name].numpy(), rtol=1e-4, atol=1e-6)


def test_torch_s_random_numbers_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Sequential(Linear(3, 4), Linear(4, 2)).to_torch()
    assert torch.equal(torch.rand(3), expected)


def test_an_empty_chain():
    assert len(fastnn.from_torch(nn.Sequential())) == 0
    assert len(Sequential().to_torch()) == 0


def test_weights_that_do_not_learn_or_are_strided():
    net = nn.Sequential(nn.Linear(3, 2).requires_grad_(False))
    net[0].weight.data = torch.arange(6.0).reshape(3, 2).T
    same_bits(fastnn.from_torch(net), net)


# --------------------------------------------------------------------------- from torch


def test_names_of_children_become_numbers():
    net = nn.Sequential(
        collections.OrderedDict(
            hidden=nn.Linear(3, 4), act=nn.Tanh(), head=nn.Sequential(nn.Linear(4, 2))
        )
    )
    model = fastnn.from_torch(net)
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]
    same_outputs(model, net, batch(3))


class Perceptron(nn.Sequential):
    """A common habit: a chain that makes its own layers."""

    def __init__(self):
        super().__init__(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class MyLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_chain_of_a_derived_kind():
    net = Perceptron()
    same_outputs(fastnn.from_torch(net), net, batch(3))


def test_one_module_without_weights_in_two_places():
    act = nn.Tanh()
    net = nn.Sequential(nn.Linear(3, 3), act, nn.Linear(3, 2), act)
    model = fastnn.from_torch(net)
    assert len(model) == 4
    same_outputs(model, net, batch(3))


def test_modules_without_a_layer_are_all_named():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), nn.Flatten(),
        MyLinear(8, 4), Residual(nn.Linear(4, 4)), nn.AlphaDropout(), nn.LazyLinear(3),
    )  # fmt: skip
    with pytest.raises(TypeError) as caught:
        fastnn.from_torch(net)
    message = str(caught.value)
    assert message.startswith(
        "from_torch: no layer for 0 (Conv2d), 1.1 (MaxPool2d), 3 (MyLinear), 4 (Residual), "
        "5 (AlphaDropout), 6 (LazyLinear); there are some for Sequential, Linear, "
    )


def test_names_in_errors_are_torch_s():
    net = nn.Sequential(
        collections.OrderedDict(a=nn.Sequential(collections.OrderedDict(b=nn.GRU(1, 1))))
    )
    with pytest.raises(TypeError, match=r"no layer for a\.b \(GRU\)"):
        fastnn.from_torch(net)


def with_hook():
    linear = nn.Linear(2, 2)
    linear.register_forward_hook(lambda module, inputs, output: output + 1)
    return linear


def tied():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    return nn.Sequential(first, second)


def twice():
    linear = nn.Linear(2, 2)
    return nn.Sequential(linear, nn.Tanh(), linear)


def mixed():
    linear = nn.Linear(2, 2)
    linear.bias = nn.Parameter(linear.bias.double())
    return linear


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: nn.Softmax(dim=0), r"0 \(Softmax\): dim is 0; expected 1"),
        (lambda: nn.LogSoftmax(0), r"0 \(LogSoftmax\): dim is 0; expected 1"),
        (lambda: nn.LayerNorm((2, 3)), r"0 \(LayerNorm\): .*\(2, 3\)"),
        (lambda: nn.Flatten(0), r"0 \(Flatten\): start_dim is 0; expected 1"),
        (lambda: nn.Flatten(1, 2), r"0 \(Flatten\): end_dim is 2; expected -1"),
        (lambda: nn.Linear(2, 2).half(), r"0 \(Linear\): its numbers are torch.float16; expected"),
        (lambda: nn.Linear(2, 2).to(torch.bfloat16), "numbers are torch.bfloat16"),
        (lambda: nn.Linear(2, 2, device="meta"), "it has no numbers: it lies on the device meta"),
        (lambda: nn.Linear(2, 0), "out_features is 0; expected a positive integer"),
        (mixed, "it mixes float32 and float64"),
        (with_hook, r"0 \(Linear\): it has hooks on forward"),
        (tied, r"0\.1\.weight is 0\.0\.weight, and layers share no weights"),
        (twice, r"0\.2\.weight is 0\.0\.weight, .*; 0\.2\.bias is 0\.0\.bias"),
        (lambda: nn.utils.weight_norm(nn.Linear(2, 2)), "it has hooks on forward"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*(weight_norm|zero-element)")
def test_settings_that_no_layer_has(module, message):
    with pytest.raises(ValueError, match=message):
        fastnn.from_torch(nn.Sequential(module()))


def test_everything_wrong_is_named_at_once():
    net = nn.Sequential(nn.Softmax(0), nn.GRU(1, 1), nn.Linear(2, 2).half())
    with pytest.raises(TypeError, match=r"no layer for 1 .*; 0 .*dim is 0.*; 2 .*torch.float16"):
        fastnn.from_torch(net)


@pytest.mark.parametrize(
    "wrong", [nn.Linear(2, 2), nn.Sequential, None, {}, Sequential(), Residual()]
)
def test_what_is_no_chain_of_torch_s(wrong):
    with pytest.raises(TypeError, match=r"got a \w+; expected a torch.nn.Sequential"):
        fastnn.from_torch(wrong)


# ----------------------------------------------------------------------------- to torch


class OtherSequential(Sequential):
    def forward(self, x):
        return -super().forward(x)


def test_layers_without_a_module_are_all_named():
    model = Sequential(Linear(2, 2), Doubled(), Sequential(Tanh(), OtherSequential()))
    with pytest.raises(TypeError) as caught:
        model.to_torch()
    assert str(caught.value).startswith(
        "to_torch: no module of torch for 1 (Doubled), 2.1 (OtherSequential); there are some for "
    )
    with pytest.raises(TypeError, match=r"got a OtherSequential; expected a fastnn.Sequential"):
        OtherSequential().to_torch()


# --------------------------------------------------------------------------- Normalize


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mean", "std"), [(33.3, 78.6), ([1, 2, 3, 0.1], [1 / 3, 1, 2, 9])])
def test_preprocessing_goes_along_to_the_bit(mean, std, dtype):
    ours = Normalize(mean, std, dtype)
    theirs = Sequential(ours).to_torch()[0]
    bytes_ = np.arange(20, dtype=np.uint8).reshape(5, 4) * 12
    for x in (bytes_, batch(4, np.float32), batch(4, np.float64)):
        got = theirs(torch.from_numpy(x)).numpy()
        np.testing.assert_array_equal(got, ours(x), strict=True)


def test_preprocessing_is_no_part_of_the_state_dict():
    model = Sequential(Normalize([1.0, 2.0], 3.0), Linear(2, 2))
    assert list(model.to_torch().state_dict()) == ["1.weight", "1.bias"]


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["deepcopy", "pickle"],
)
def test_preprocessing_in_copies_and_other_dtypes(copied):
    model = Sequential(Normalize([1.0, 2.0], 1 / 3), Linear(2, 2))
    net = copied(model.to_torch()).double()
    back = fastnn.from_torch(net)
    assert back[0].dtype == np.float64
    assert back[0].std == 1 / 3
    same_outputs(back, net, batch(2, np.float64))
    assert "mean=[1.0, 2.0], std=0.333" in repr(net)
    assert isinstance(net[0], interop.Normalize)


# --------------------------------------------------------------------------- files


def test_a_saved_model_loads_into_torch(tmp_path):
    model = Sequential(Normalize(1.0, 2.0), Linear(3, 4), Tanh(), Sequential(Linear(4, 2)))
    fastnn.save(model, tmp_path / "model.safetensors")
    net = Sequential(Normalize(1.0, 2.0), Linear(3, 4), Tanh(), Sequential(Linear(4, 2))).to_torch()
    assert safetensors.torch.load_model(net, tmp_path / "model.safetensors") == (set(), [])
    same_bits(model, net)
    same_outputs(model, net, batch(3))


def test_torch_s_file_loads_into_a_model(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    safetensors.torch.save_file(net.state_dict(), tmp_path / "net.safetensors")
    other = fastnn.from_torch(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    fastnn.load(tmp_path / "net.safetensors", into=other)
    same_bits(other, net)
