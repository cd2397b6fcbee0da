import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import Normalize

DTYPES = st.sampled_from([np.float32, np.float64])
ROWS, COLUMNS = st.integers(1, 40), st.integers(1, 70)
few = settings(max_examples=25, deadline=None)


def batch(rows, columns, dtype=np.float64, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(rows, columns)) * scale).astype(dtype)


@few
@given(ROWS, COLUMNS, DTYPES, st.booleans())
def test_normalize_is_torch(same_as_torch, rows, columns, dtype, by_column):
    rng = np.random.default_rng(0)
    shape = columns if by_column else None
    mean, std = rng.normal(size=shape), rng.uniform(0.5, 2.0, shape)
    # The mean and 1 / std are rounded to the dtype before they are used.
    mean, factor = np.asarray(mean, dtype), np.asarray(1.0 / std, dtype)
    same_as_torch(
        Normalize(mean, std, dtype),
        lambda x: (x - torch.from_numpy(mean)) * torch.from_numpy(factor),
        batch(rows, columns, dtype),
    )


def test_normalize_takes_bytes():
    x = np.arange(256, dtype=np.uint8).reshape(2, 128)
    y = Normalize(128, 255)(x)
    assert y.dtype == np.float32
    expected = (x.astype(np.float32) - 128) * np.float32(1 / 255)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "std must be positive"),
        ((0, [1, -1]), "std must be positive"),
        ((np.nan, 1), "mean and std must be finite"),
        ((0, np.inf), "mean and std must be finite"),
        ((0, 1e-300), "mean and 1 / std must be finite in float32"),
        ((1e300, 1), "mean and 1 / std must be finite in float32"),
    ],
)
def test_normalize_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Normalize(*arguments)


def test_normalize_refuses_other_columns():
    with pytest.raises(ValueError, match=r"mean has shape \(3,\).*x has 4 columns"):
        Normalize([1, 2, 3])(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"x has shape \(2,\); expected two dimensions"):
        Normalize()(np.zeros(2))
