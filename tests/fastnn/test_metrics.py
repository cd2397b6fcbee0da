import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score, root_mean_squared_error

import fastnn
from fastnn.data.tables.schema import Schema
from fastnn.metrics import calibration, link_of, probabilities, regression_scores


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 50))
def test_regression_scores_are_scikit_learns(seed, n):
    rng = np.random.default_rng(seed)
    y, p = rng.normal(3, 5, n), rng.normal(3, 5, n)
    scores = regression_scores(y, p)
    assert scores["r2"] == pytest.approx(r2_score(y, p), rel=1e-12, abs=1e-12)
    assert scores["rmse"] == pytest.approx(root_mean_squared_error(y, p), rel=1e-12)


def test_r2_of_a_constant_is_not_a_number():
    assert np.isnan(regression_scores(np.ones(3), np.zeros(3))["r2"])


def test_logits_become_probabilities_as_in_torch():
    logits = np.random.default_rng(0).normal(size=(7, 4)) * 300
    expected = torch.softmax(torch.from_numpy(logits), 1)
    torch.testing.assert_close(torch.from_numpy(probabilities(logits)), expected)


def test_numbers_become_probabilities_as_they_are():
    shares = probabilities(np.array([[0.25, 0.75], [-1, 3.0], [-1, -2]]), "identity")
    np.testing.assert_allclose(shares, [[0.25, 0.75], [0, 1], [0.5, 0.5]], atol=1e-300)


def test_calibration_of_one_that_is_right():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 200_000)
    y = (rng.random(len(p)) > p).astype(int)  # class 0 with probability p
    result = calibration(np.stack([p, 1 - p], 1), y)
    assert result.error < 0.005
    np.testing.assert_allclose(result.accuracy, result.confidence, atol=0.02)
    assert result.rows.sum() == len(p)


def test_bins_that_are_empty_are_left_out_and_certainty_has_one():
    result = calibration(np.array([[1.0, 0.0], [0.55, 0.45]]), np.array([1, 0]))
    np.testing.assert_allclose(result.confidence, [0.55, 1])
    np.testing.assert_allclose(result.accuracy, [1, 0])
    assert result.error == pytest.approx((0.45 + 1) / 2)


def test_the_link_is_that_of_the_last_layer_or_the_schema():
    model = fastnn.Sequential(fastnn.Linear(2, 2, seed=0))
    assert link_of(model) == "softmax"
    model.schema = Schema(link="identity")
    assert link_of(model) == "identity"
    assert link_of(fastnn.Sequential(fastnn.Linear(2, 2, seed=0), fastnn.Softmax())) == "identity"
