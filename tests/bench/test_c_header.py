import numpy as np
import pytest

import fastnn
from bench.c_header import CHeader, seconds_per_call
from c_headers import COMPILERS

pytestmark = pytest.mark.skipif(not COMPILERS, reason="there is no C compiler here: gcc or clang")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_header_is_timed_and_compared(dtype):
    model = fastnn.Sequential(fastnn.Linear(3, 4, dtype=dtype), fastnn.Tanh())
    row = np.array([1, 2, 3], dtype)
    header = CHeader(model, row, ["-O1"])
    assert header.error < 1e-6
    assert 0 < header.seconds(10) < 1
    assert 0 < seconds_per_call(model, row, ["-O1"]) < 1


def test_outputs_of_a_classifier_are_timed_without_softmax():
    model = fastnn.Sequential(fastnn.Linear(3, 4))
    model.classes = tuple("abcd")
    assert CHeader(model, np.ones(3, np.float32), ["-O1"]).error < 1e-6
