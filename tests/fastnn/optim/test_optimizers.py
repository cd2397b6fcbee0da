import copy
import itertools
import math
import pickle
import warnings

import numpy as np
import pytest
import torch

from fastnn import (
    SGD,
    Adam,
    AdamW,
    CrossEntropyLoss,
    Linear,
    MSELoss,
    Parameter,
    RMSprop,
    Sequential,
    Tanh,
    fit,
)
from kernels.functions import updates

SHAPES = [(3, 5), (5,), (40, 33), (1, 1), (130,)]
DTYPES = ["float32", "float64"]


def transposed(block):
    return block[:, :40].T


def parameters(dtype, seed=0):
    """Parameters of all shapes, one of them with gaps in memory; not in one block."""
    rng = np.random.default_rng(seed)
    made = [Parameter(rng.normal(size=shape).astype(dtype)) for shape in SHAPES]
    made[2] = Parameter(made[2].data, (33, 48), transposed)
    return made


def gradients(step, like):
    rng = np.random.default_rng(1000 + step)
    return [rng.normal(size=each.shape).astype(each.dtype) for each in like]


def compare(ours, theirs, dtype, *, clip_value=None, clip_norm=None, before=None, **settings):
    """Ten steps of an optimizer and of torch's give the same parameters."""
    mine = parameters(dtype)
    tensors = [torch.nn.Parameter(torch.from_numpy(np.array(p.data))) for p in mine]
    optimizer = ours(mine, clip_value=clip_value, clip_norm=clip_norm, **settings)
    expected = theirs(tensors, **settings)
    for step in range(10):
        for parameter, tensor, g in zip(mine, tensors, gradients(step, mine), strict=True):
            parameter.grad[...] = g
            tensor.grad = torch.from_numpy(g.copy())
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(tensors, clip_norm)
        if clip_value is not None:
            torch.nn.utils.clip_grad_value_(tensors, clip_value)
        if before is not None:
            before(step, optimizer, expected)
        optimizer.step()
        expected.step()
    assert optimizer.steps == 10
    for parameter, tensor in zip(mine, tensors, strict=True):
        torch.testing.assert_close(torch.from_numpy(np.array(parameter.data)), tensor.data)
        gaps = parameter.memory.copy()
        parameter.seen_in(gaps)[...] = 0
        assert not gaps.any()
    return mine


# ---------------------------------------------------------------------- against torch

SGD_SETTINGS = [
    {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": decay,
     "nesterov": nesterov}
    for lr, momentum, dampening, decay, nesterov in itertools.product(
        [1e-3, 0.3], [0.0, 0.5, 0.9], [0.0, 0.4], [0.0, 0.1], [False, True]
    )
    if not nesterov or (momentum and not dampening)
]  # fmt: skip
ADAM_SETTINGS = [
    {"lr": lr, "betas": betas, "eps": eps, "weight_decay": decay, "amsgrad": largest}
    for lr, betas, eps, decay, largest in itertools.product(
        [1e-3, 0.1], [(0.9, 0.999), (0.5, 0.5), (0.0, 0.9)], [1e-8, 1e-2], [0.0, 0.1],
        [False, True],
    )
]  # fmt: skip
RMSPROP_SETTINGS = [
    {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": decay, "momentum": momentum,
     "centered": centered}
    for lr, alpha, eps, decay, momentum, centered in itertools.product(
        [1e-3, 0.1], [0.99, 0.5], [1e-8, 1e-2], [0.0, 0.1], [0.0, 0.9], [False, True]
    )
]  # fmt: skip


def short(settings):
    return ",".join(str(value) for value in settings.values())


@pytest.mark.parametrize("settings", SGD_SETTINGS, ids=short)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd(settings, dtype):
    compare(SGD, torch.optim.SGD, dtype, **settings)


@pytest.mark.parametrize("settings", ADAM_SETTINGS, ids=short)
@pytest.mark.parametrize("dtype", DTYPES)
def test_adam(settings, dtype):
    compare(Adam, torch.optim.Adam, dtype, **settings)


@pytest.mark.parametrize("settings", ADAM_SETTINGS, ids=short)
@pytest.mark.parametrize("dtype", DTYPES)
def test_adamw(settings, dtype):
    compare(AdamW, torch.optim.AdamW, dtype, **settings)


@pytest.mark.parametrize("settings", RMSPROP_SETTINGS, ids=short)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rmsprop(settings, dtype):
    compare(RMSprop, torch.optim.RMSprop, dtype, **settings)


@pytest.mark.parametrize("ours", [SGD, Adam, AdamW, RMSprop])
def test_defaults(ours):
    compare(ours, getattr(torch.optim, ours.__name__), "float64")


@pytest.mark.parametrize(
    "clipping", [(0.5, None), (None, 1.0), (0.01, 3.0), (1e3, 1e6), (0.0, None)]
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ours", [SGD, Adam, RMSprop])
def test_clipping(ours, dtype, clipping):
    clip_value, clip_norm = clipping
    settings = {"lr": 0.1, "weight_decay": 0.1} | ({} if ours is Adam else {"momentum": 0.9})
    theirs = getattr(torch.optim, ours.__name__)
    compare(ours, theirs, dtype, clip_value=clip_value, clip_norm=clip_norm, **settings)


@pytest.mark.parametrize("ours", [SGD, Adam, AdamW, RMSprop])
def test_settings_may_change_between_steps(ours):
    def change(step, optimizer, expected):
        optimizer.lr = expected.param_groups[0]["lr"] = 0.1 / (step + 1)
        optimizer.weight_decay = expected.param_groups[0]["weight_decay"] = 0.01 * step
        if ours in (Adam, AdamW):
            optimizer.betas = expected.param_groups[0]["betas"] = (0.9 - 0.05 * step, 0.9)
        if ours is RMSprop:
            optimizer.alpha = expected.param_groups[0]["alpha"] = 0.9 - 0.05 * step

    settings = {"momentum": 0.9} if ours in (SGD, RMSprop) else {}
    compare(ours, getattr(torch.optim, ours.__name__), "float64", before=change, **settings)


def test_clipping_may_be_switched_off_between_steps():
    one, other = parameters("float64"), parameters("float64")
    clipped, plain = SGD(one, lr=0.1, clip_norm=1e-3), SGD(other, lr=0.1)
    for parameter, same, g in zip(one, other, gradients(0, one), strict=True):
        parameter.grad[...] = same.grad[...] = g
    before = one[0].data.copy()
    clipped.step()
    assert np.abs(one[0].data - before).max() <= 1e-4
    for parameter, same in zip(one, other, strict=True):
        parameter.data[...] = same.data
    clipped.clip_norm = None
    clipped.step()
    plain.step()
    for parameter, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(parameter.data, same.data)


def test_a_gradient_whose_squares_overflow_is_clipped():
    parameter = Parameter(np.zeros(2, np.float32))
    parameter.grad[...] = 3e20, -4e20
    SGD([parameter], lr=1.0, clip_norm=1.0).step()
    np.testing.assert_allclose(parameter.data, [-0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("ours", [SGD, Adam, AdamW, RMSprop])
def test_nothing_is_learned_from_a_gradient_that_is_not_finite(ours, bad):
    parameter = Parameter(np.ones(2, np.float32))
    optimizer = ours([parameter], lr=0.1, clip_norm=1.0, weight_decay=0.1)
    parameter.grad[...] = 1.0, bad
    with pytest.warns(RuntimeWarning, match="infinite or NaN; nothing is learned"):
        optimizer.step()
    optimizer.step()  # it is said once: warnings are errors here
    assert parameter.data.tolist() == [1, 1]
    assert not any(each.any() for each in optimizer.memory.values())
    parameter.grad[...] = 1.0
    optimizer.step()
    assert (parameter.data < 1).all()


@pytest.mark.parametrize("kind", [MSELoss, type("Own", (MSELoss,), {})], ids=["compiled", "eager"])
def test_training_skips_a_batch_whose_gradient_is_not_finite(kind):
    model = Sequential(Linear(1, 1, init="zeros"))
    optimizer = SGD(model.parameters(), lr=0.1, clip_norm=1.0)
    x, y = np.array([[3e38], [3e38], [1.0]], np.float32), np.full((3, 1), 2.0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit(model, x, y, loss=kind(), optimizer=optimizer, epochs=1, batch_size=1, shuffle=False)
    assert sum("nothing is learned" in str(each.message) for each in said) == 1
    assert model[0].bias.data == pytest.approx(0.1 / 2**0.5, rel=1e-5)


@pytest.mark.parametrize("ours", [SGD, Adam, AdamW, RMSprop])
def test_what_does_not_learn_stays_and_does_not_count_in_the_norm(ours):
    both = parameters("float32")
    alone = parameters("float32")[1:]
    before, frozen = both[0].data.copy(), both[0].requires_grad_(False)
    how = {"lr": 0.1, "weight_decay": 0.1, "clip_norm": 0.5}
    one, other = ours(both, **how), ours(alone, **how)
    for step in range(3):
        for parameter, g in zip(both, gradients(step, both), strict=True):
            parameter.grad[...] = g
        for parameter, same in zip(alone, both[1:], strict=True):
            parameter.grad[...] = same.grad
        one.step()
        other.step()
    np.testing.assert_array_equal(frozen.data, before)
    assert not one.memories_of(frozen).any()
    for parameter, same in zip(alone, both[1:], strict=True):
        np.testing.assert_array_equal(parameter.data, same.data)
    frozen.requires_grad = True
    one.step()
    assert (frozen.data != before).any()


# ------------------------------------------------------------- where arrays lie


@pytest.mark.parametrize("ours", [SGD, Adam, RMSprop])
def test_arrays_stay_where_they_are(ours):
    optimizer = ours(parameters("float32"), lr=0.1)
    dtype = np.dtype(np.float32)
    places = optimizer.settings.ctypes.data, optimizer.memory[dtype].ctypes.data
    optimizer.settings = 2 * optimizer.settings
    optimizer.memory = {dtype: optimizer.memory[dtype] + 3}
    optimizer.memory[dtype] = None
    optimizer.memory[dtype].flags.writeable = False
    assert places == (optimizer.settings.ctypes.data, optimizer.memory[dtype].ctypes.data)
    assert optimizer.lr == 0.2
    assert (optimizer.memory[dtype] == 3).all()
    with pytest.raises(ValueError, match=r"settings has shape \(\d+,\); it was given \(3,\)"):
        optimizer.settings = np.ones(3)
    with pytest.raises(AttributeError):
        optimizer.parameters = []


def test_unpickled_arrays_are_writable():
    """Joblib maps large arrays from files, read-only."""
    optimizer = Adam(parameters("float64"), lr=0.1)
    advance(optimizer, 0, 2)
    state = optimizer.__getstate__()
    state["_memory"] = {dtype: array.copy() for dtype, array in optimizer.memory.items()}
    for array in state["_memory"].values():
        array.flags.writeable = False
    other = Adam.__new__(Adam)
    other.__setstate__(state)
    other._parameters = tuple(parameters("float64"))
    for one, same in zip(optimizer.parameters, other.parameters, strict=True):
        same.data = one.data
    advance(optimizer, 2, 4)
    advance(other, 2, 4)
    for one, same in zip(optimizer.parameters, other.parameters, strict=True):
        np.testing.assert_array_equal(one.data, same.data)


@pytest.mark.parametrize("ours", [SGD, Adam, AdamW, RMSprop])
@pytest.mark.parametrize("chosen", [[0], [1], [0, 3], [2, 1], [3, 2, 1, 0]])
def test_a_subset_leaves_the_others_alone(ours, chosen):
    model = Sequential(Linear(4, 3, seed=0), Tanh(), Linear(3, 2, seed=1))
    full = Sequential(Linear(4, 3, seed=0), Tanh(), Linear(3, 2, seed=1))
    every = list(model.parameters())
    before = [np.asarray(p) for p in every]
    optimizers = ours([every[i] for i in chosen], lr=0.1), ours(full.parameters(), lr=0.1)
    for step in range(3):
        for group in (every, list(full.parameters())):
            for parameter, g in zip(group, gradients(step, group), strict=True):
                parameter.grad[...] = g
        for each in optimizers:
            each.step()
    for i, (parameter, moved) in enumerate(zip(every, full.parameters(), strict=True)):
        np.testing.assert_array_equal(parameter.data, moved.data if i in chosen else before[i])


def test_zero_grad_is_of_its_own_parameters():
    every = parameters("float32")
    for parameter in every:
        parameter.grad[...] = 1
    SGD(every[:2]).zero_grad()
    assert [parameter.grad.any() for parameter in every] == [False, False, True, True, True]


def test_both_dtypes_in_one_optimizer():
    single, double = parameters("float32"), parameters("float64")
    optimizer = Adam([single[0], double[0], single[1]], lr=0.1)
    alone = Adam([copy.deepcopy(double[0])], lr=0.1)
    for each in (single[0], double[0], single[1], *alone.parameters):
        each.grad[...] = 0.5
    optimizer.step()
    alone.step()
    np.testing.assert_array_equal(double[0].data, alone.parameters[0].data)


def test_gradients_stay_as_they_were():
    every = parameters("float64")
    optimizer = SGD(every, lr=0.1, momentum=0.9, weight_decay=0.1, clip_value=0.1, clip_norm=0.1)
    for parameter, g in zip(every, gradients(0, every), strict=True):
        parameter.grad[...] = g
    optimizer.step()
    for parameter, g in zip(every, gradients(0, every), strict=True):
        np.testing.assert_array_equal(parameter.grad, g)


# ------------------------------------------------------------------------ state_dict


def advance(optimizer, first, last):
    for step in range(first, last):
        every = optimizer.parameters
        for parameter, g in zip(every, gradients(step, every), strict=True):
            parameter.grad[...] = g
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1),
        lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, clip_norm=0.5),
        lambda p: Adam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-4, clip_value=0.3),
        lambda p: AdamW(p, lr=0.1),
        lambda p: Adam(p, lr=0.1, amsgrad=True),
        lambda p: RMSprop(p, lr=0.1, alpha=0.8, momentum=0.9, clip_norm=0.5),
        lambda p: RMSprop(p, lr=0.1, centered=True),
    ],
    ids=["SGD", "Nesterov", "Adam", "AdamW", "AMSGrad", "RMSprop", "centered"],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_state_goes_on_with_the_same_bits(make, dtype):
    whole = make(parameters(dtype))
    advance(whole, 0, 10)
    first = make(parameters(dtype))
    advance(first, 0, 4)
    state = pickle.loads(pickle.dumps(first.state_dict()))
    values = [np.asarray(p) for p in first.parameters]
    advance(first, 4, 6)  # a state is a copy
    kind = {name: True for name in ("amsgrad", "centered") if getattr(first, name, False)}
    second = type(first)(parameters(dtype, seed=7), **kind)
    second.load_state_dict(state)
    for parameter, value in zip(second.parameters, values, strict=True):
        parameter.assign(value)
    assert second.steps == 4
    assert repr(second) == repr(whole)
    assert (second.clip_norm, second.clip_value) == (whole.clip_norm, whole.clip_value)
    advance(second, 4, 10)
    for one, other in zip(whole.parameters, second.parameters, strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def amsgrad(parameters):
    return Adam(parameters, amsgrad=True)


def centered(parameters):
    return RMSprop(parameters, centered=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SGD, Adam), (Adam, SGD), (Adam, AdamW), (AdamW, Adam), (Adam, RMSprop), (RMSprop, AdamW),
        (amsgrad, Adam), (Adam, amsgrad), (centered, RMSprop), (centered, amsgrad),
    ],
)  # fmt: skip
def test_the_state_of_another_kind_is_refused(one, other):
    optimizer = other(parameters("float32"))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=rf"{type(optimizer).__name__}: the state"):
        optimizer.load_state_dict(one(parameters("float32")).state_dict())
    np.testing.assert_array_equal(optimizer.settings, before["settings"])


def test_a_state_without_the_settings_of_later_rules():
    """As older versions wrote it: without a rule's name, and with fewer settings."""
    optimizer = Adam(parameters("float32"), lr=0.5, clip_value=2.0)
    advance(optimizer, 0, 3)
    state = optimizer.state_dict()
    del state["rule"]
    state["settings"] = state["settings"][: updates.ALPHA]
    other = Adam(parameters("float32"))
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.settings, optimizer.settings)
    assert (other.lr, other.clip_value, other.steps) == (0.5, 2.0, 3)


def test_the_state_of_another_network_is_refused():
    optimizer = Adam(parameters("float32"))
    state = Adam(parameters("float32")[:3]).state_dict()
    with pytest.raises(ValueError, match=r"Adam: the state remembers arrays of shapes .* expected"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("make", [Adam, amsgrad, centered])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_model_and_optimizer_are_copied_together(copied, make):
    model = Sequential(Linear(4, 3, seed=0), Tanh(), Linear(3, 2, seed=1))
    optimizer = make(model.parameters())
    x, y = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 2
    run = {"loss": CrossEntropyLoss(), "batch_size": 8, "seed": 0}
    fit(model, x, y, optimizer=optimizer, epochs=2, **run)
    twin, its = copied((model, optimizer))
    for one, own in ((model, optimizer), (twin, its)):
        fit(one, x, y, optimizer=own, epochs=2, **run)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(twin.state_dict()[name], values)
    assert its.steps == optimizer.steps == 12


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("ours", "settings", "message"),
    [
        (SGD, {"lr": -0.1}, "SGD: lr is -0.1; expected a number of 0 or more"),
        (SGD, {"lr": math.nan}, "SGD: lr is nan"),
        (SGD, {"lr": math.inf}, "SGD: lr is inf"),
        (SGD, {"weight_decay": math.inf}, "SGD: weight_decay is inf"),
        (SGD, {"momentum": -1}, "SGD: momentum is -1; expected a number of 0 or more"),
        (SGD, {"dampening": math.nan}, "SGD: dampening is nan; expected a number"),
        (SGD, {"weight_decay": -1}, "SGD: weight_decay is -1"),
        (SGD, {"nesterov": True}, "nesterov needs momentum above 0 and dampening of 0"),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov needs momentum"),
        (SGD, {"clip_norm": -1}, "clip_norm is -1; expected a number of 0 or more, or None"),
        (SGD, {"clip_value": -1}, "clip_value is -1; expected a number of 0 or more, or None"),
        (Adam, {"lr": -1}, "Adam: lr is -1"),
        (Adam, {"betas": (1.0, 0.9)}, "Adam: beta1 is 1.0; expected a number from 0 to below 1"),
        (Adam, {"betas": (0.9, -0.1)}, "Adam: beta2 is -0.1"),
        (AdamW, {"eps": -1}, "AdamW: eps is -1"),
        (RMSprop, {"alpha": 1.5}, "RMSprop: alpha is 1.5; expected a number from 0 to 1"),
        (RMSprop, {"momentum": -1}, "RMSprop: momentum is -1"),
        (RMSprop, {"eps": math.nan}, "RMSprop: eps is nan"),
    ],
)
def test_settings_out_of_range(ours, settings, message):
    with pytest.raises(ValueError, match=message):
        ours(parameters("float32"), **settings)


@pytest.mark.parametrize("value", ["0.1", None, [0.1], 1j])
def test_settings_that_are_no_numbers(value):
    with pytest.raises(TypeError, match=r"SGD: lr is .*; expected a number of 0 or more"):
        SGD(parameters("float32"), lr=value)


def test_settings_are_checked_when_changed():
    optimizer = Adam(parameters("float32"), lr=0.5)
    with pytest.raises(ValueError, match="Adam: lr is -1"):
        optimizer.lr = -1
    with pytest.raises(ValueError, match="beta2 is 2"):
        optimizer.betas = (0.9, 2)
    assert optimizer.lr == 0.5
    optimizer.clip_value, optimizer.clip_norm = 1.5, 2.5
    assert (optimizer.clip_value, optimizer.clip_norm) == (1.5, 2.5)
    optimizer.clip_value = optimizer.clip_norm = None
    assert optimizer.clip_value is optimizer.clip_norm is None


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.uint64])
def test_a_count_of_steps_does_not_overflow(kind):
    optimizer = Adam(parameters("float32"), lr=0.1)
    optimizer.steps = kind(127)
    advance(optimizer, 0, 200)
    assert optimizer.steps == 327


@pytest.mark.parametrize("value", [-1, 2.5, math.nan, "3", None, True, 2**63])
def test_counts_of_steps_that_are_refused(value):
    optimizer = Adam(parameters("float32"), lr=0.1)
    optimizer.steps = 7
    with pytest.raises(ValueError, match=r"Adam: steps is .*; expected an integer of 0 or more"):
        optimizer.steps = value
    assert optimizer.steps == 7


def test_parameters_that_cannot_be_optimized():
    with pytest.raises(ValueError, match="SGD: there are no parameters to optimize"):
        SGD([])
    with pytest.raises(TypeError, match="Adam: got a ndarray; expected Parameters"):
        Adam([np.zeros(3)])
    one = Parameter(np.zeros(3))
    with pytest.raises(ValueError, match="twice"):
        SGD([one, one])


def test_repr():
    every = parameters("float32")
    assert repr(SGD(every, lr=0.1, momentum=0.9)) == (
        "SGD(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)"
    )
    assert repr(Adam(every)) == "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"
    assert repr(AdamW(every, lr=1)).startswith("AdamW(lr=1.0, ")
    assert repr(AdamW(every, amsgrad=True)).endswith(", weight_decay=0.01, amsgrad=True)")
    assert repr(RMSprop(every, centered=True)) == (
        "RMSprop(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=0.0, momentum=0.0, centered=True)"
    )
