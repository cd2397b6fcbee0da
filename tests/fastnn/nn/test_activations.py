import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import (
    ELU,
    GELU,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    SmoothClip,
    Softplus,
    Tanh,
)
from fastnn.interop import torch as interop_torch

DTYPES = st.sampled_from([np.float32, np.float64])
SIZES = st.integers(1, 40)
few = settings(max_examples=25, deadline=None)
PAIRS = {
    "ReLU": lambda: (ReLU(), torch.nn.ReLU()),
    "Tanh": lambda: (Tanh(), torch.nn.Tanh()),
    "Sigmoid": lambda: (Sigmoid(), torch.nn.Sigmoid()),
    "LeakyReLU": lambda: (LeakyReLU(), torch.nn.LeakyReLU()),
    "LeakyReLU(-0.3)": lambda: (LeakyReLU(-0.3), torch.nn.LeakyReLU(-0.3)),
    "ELU": lambda: (ELU(), torch.nn.ELU()),
    "ELU(1.7)": lambda: (ELU(1.7), torch.nn.ELU(1.7)),
    "GELU": lambda: (GELU(), torch.nn.GELU()),
    "GELU tanh": lambda: (GELU("tanh"), torch.nn.GELU("tanh")),
    "SiLU": lambda: (SiLU(), torch.nn.SiLU()),
    "Softplus": lambda: (Softplus(), torch.nn.Softplus()),
    "Softplus(0.5, 2)": lambda: (Softplus(0.5, 2), torch.nn.Softplus(0.5, 2)),
    "Mish": lambda: (Mish(), torch.nn.Mish()),
    "Hardswish": lambda: (Hardswish(), torch.nn.Hardswish()),
    "Hardtanh": lambda: (Hardtanh(), torch.nn.Hardtanh()),
    "Hardtanh(-0.3, 2)": lambda: (Hardtanh(-0.3, 2), torch.nn.Hardtanh(-0.3, 2)),
    "SmoothClip": lambda: (SmoothClip(), interop_torch.SmoothClip()),
    "SmoothClip(0.5)": lambda: (SmoothClip(0.5), interop_torch.SmoothClip(0.5)),
}


def numbers(rows, columns, dtype=np.float64, seed=0, scale=3.0):
    return (np.random.default_rng(seed).normal(size=(rows, columns)) * scale).astype(dtype)


@pytest.mark.parametrize("name", PAIRS)
@few
@given(SIZES, SIZES, DTYPES, st.sampled_from([0.1, 3.0, 30.0]), st.integers(0, 100))
def test_layers_are_torchs(same_as_torch, name, rows, columns, dtype, scale, seed):
    ours, theirs = PAIRS[name]()
    same_as_torch(ours, theirs, numbers(rows, columns, dtype, seed, scale), seed=seed)


@pytest.mark.parametrize("name", PAIRS)
def test_backward_by_central_differences(check_backward, name):
    x = numbers(3, 5, scale=2.0)
    x[np.abs(x) < 0.05] = 0.7  # away from corners
    check_backward(PAIRS[name]()[0], x)


@pytest.mark.parametrize("name", PAIRS)
def test_saved_and_loaded(tmp_path, name):
    model = fastnn.Sequential(fastnn.Linear(3, 4, seed=0), PAIRS[name]()[0])
    fastnn.save(model, tmp_path / "m")
    other = fastnn.load(tmp_path / "m")
    assert repr(other[1]) == repr(model[1])
    x = numbers(5, 3, np.float32)
    np.testing.assert_array_equal(other(x), model(x))


def test_repr():
    assert repr(LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)"
    assert repr(GELU("tanh")) == "GELU(approximate='tanh')"
    assert [repr(each()) for each in (SiLU, Mish, Hardswish)] == ["SiLU()", "Mish()", "Hardswish()"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeakyReLU("0.1"), "LeakyReLU: negative_slope is '0.1'; expected a number"),
        (lambda: ELU(np.nan), "ELU: alpha is nan"),
        (lambda: GELU("erf"), "GELU: approximate is 'erf'; expected 'none' or 'tanh'"),
        (lambda: Softplus(0), "Softplus: beta is 0"),
    ],
)
def test_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
