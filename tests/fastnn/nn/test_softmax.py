import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import LogSoftmax, Softmax

DTYPES = st.sampled_from([np.float32, np.float64])
SIZES = st.integers(1, 40)
few = settings(max_examples=25, deadline=None)
PAIRS = {
    "Softmax": lambda: (Softmax(), torch.nn.Softmax(1)),
    "LogSoftmax": lambda: (LogSoftmax(), torch.nn.LogSoftmax(1)),
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
    check_backward(PAIRS[name]()[0], numbers(3, 5, scale=2.0))


@pytest.mark.parametrize("name", PAIRS)
def test_saved_and_loaded(tmp_path, name):
    model = fastnn.Sequential(fastnn.Linear(3, 4, seed=0), PAIRS[name]()[0])
    fastnn.save(model, tmp_path / "m")
    other = fastnn.load(tmp_path / "m")
    assert repr(other[1]) == repr(model[1])
    x = numbers(5, 3, np.float32)
    np.testing.assert_array_equal(other(x), model(x))


@pytest.mark.parametrize("name", PAIRS)
def test_a_batch_has_two_dimensions(name):
    with pytest.raises(ValueError, match=f"{name}: x has shape"):
        PAIRS[name]()[0](np.zeros(3))


def test_log_softmax_with_its_loss_is_cross_entropy():
    x, y = numbers(60, 4, np.float32), np.arange(60) % 3
    results = []
    for last, loss in (
        ([], fastnn.CrossEntropyLoss()), ([LogSoftmax()], fastnn.NLLLoss())
    ):  # fmt: skip
        model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0), *last)
        optimizer = fastnn.SGD(model.parameters(), lr=0.1)
        history = fastnn.fit(model, x, y, loss=loss, optimizer=optimizer, epochs=3, batch_size=16,
                             seed=0)  # fmt: skip
        results.append((history.loss, history.accuracy, model[0].weight.data))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    assert results[0][1] == results[1][1]
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=1e-4, atol=1e-6)
