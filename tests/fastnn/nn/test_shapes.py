import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import Flatten

DTYPES = st.sampled_from([np.float32, np.float64])
few = settings(max_examples=25, deadline=None)


@few
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), DTYPES)
def test_flatten_is_torch_on_images(same_as_torch, shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    same_as_torch(Flatten(), torch.nn.Flatten(), x)


def test_flatten_refuses_one_dimension():
    with pytest.raises(ValueError, match=r"Flatten: x has shape \(3,\); expected at least two"):
        Flatten()(np.zeros(3))
