import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

import fastnn
from fastnn.data.tables.schema import Schema
from fastnn.metrics import (
    calibration,
    classification_scores,
    link_of,
    predicted,
    probabilities,
    regression_scores,
    scores,
)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 50))
def test_regression_scores_are_scikit_learns(seed, n):
    rng = np.random.default_rng(seed)
    y, p = rng.normal(3, 5, n), rng.normal(3, 5, n)
    assert (
        scores(y, p)
        == regression_scores(y, p)
        == {
            "r2": metrics.r2_score(y, p),
            "mae": metrics.mean_absolute_error(y, p),
            "rmse": metrics.root_mean_squared_error(y, p),
        }
    )


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 50), st.integers(2, 5))
def test_classification_scores_are_scikit_learns(seed, n, classes):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n)])
    shares = rng.dirichlet(np.ones(classes), len(y))
    chosen = shares.argmax(axis=1)
    area = (
        metrics.roc_auc_score(y, shares[:, 1])
        if classes == 2
        else metrics.roc_auc_score(y, shares, multi_class="ovr", average="macro")
    )
    assert (
        scores(y, shares)
        == classification_scores(y, shares)
        == pytest.approx(
            {
                "accuracy": metrics.accuracy_score(y, chosen),
                "balanced_accuracy": metrics.balanced_accuracy_score(y, chosen),
                "macro_f1": metrics.f1_score(y, chosen, average="macro"),
                "log_loss": metrics.log_loss(y, shares),
                "roc_auc": area,
            },
            rel=1e-12,
        )
    )


def test_the_scores_of_four_rows_by_hand():
    shares = np.array([[0.8, 0.2], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    assert classification_scores(np.array([0, 1, 1, 1]), shares) == pytest.approx(
        {
            "accuracy": 3 / 4,
            "balanced_accuracy": (1 + 2 / 3) / 2,
            "macro_f1": (2 / 3 + 4 / 5) / 2,
            "log_loss": -np.log([0.8, 0.4, 0.6, 0.9]).mean(),
            "roc_auc": 1,
        }
    )


def test_of_a_class_that_is_not_in_the_rows_there_is_no_area_but_all_else(recwarn):
    shares = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.2, 0.3, 0.5]])
    found = classification_scores(np.array([0, 1, 1]), shares)
    assert np.isnan(found.pop("roc_auc"))
    assert np.isfinite(list(found.values())).all()
    assert found["balanced_accuracy"] == 3 / 4
    assert not recwarn.list


def test_outputs_mean_probabilities_or_numbers():
    model = fastnn.Sequential(fastnn.Linear(2, 2, seed=0))
    outputs = np.array([[0, np.log(3)]], np.float32)
    np.testing.assert_array_equal(predicted(model, outputs), [0])
    model.classes = ("a", "b")
    np.testing.assert_allclose(predicted(model, outputs), [[0.25, 0.75]], rtol=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200, 1e300])
def test_numbers_of_any_size_have_scores(size, recwarn):
    y, p = np.array([1.0, 2, 4, 5]), np.array([1.5, 2, 3, 5])
    expected = regression_scores(y, p)
    found = regression_scores(size * y, size * p)
    assert found["r2"] == pytest.approx(expected["r2"])
    assert found["mae"] == pytest.approx(size * expected["mae"], rel=1e-12, abs=0)
    assert found["rmse"] == pytest.approx(size * expected["rmse"], rel=1e-12, abs=0)
    assert not recwarn.list


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_have_no_scores(value):
    y = np.array([0, 1, 1])
    for told in (np.array([0, 1, value]), np.array([[1, 0], [0, 1], [value, 0]])):
        found = scores(y, told)
        assert len(found) in (3, 5)
        assert np.isnan(list(found.values())).all()


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
