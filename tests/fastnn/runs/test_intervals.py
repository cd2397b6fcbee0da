import numpy as np
import pytest

from fastnn.metrics import scores
from fastnn.runs.intervals import intervals

RNG = np.random.default_rng(0)


def classified(n, classes):
    """Classes, and probabilities that are right more often than not."""
    y = RNG.integers(0, classes, n)
    logits = RNG.normal(size=(n, classes))
    logits[np.arange(n), y] += 1
    shares = np.exp(logits)
    return y, shares / shares.sum(axis=1, keepdims=True)


def numbers(n):
    y = RNG.normal(1000, 5, n)
    return y, y + RNG.normal(0.3, 2, n)


CASES = {
    "few rows": classified(120, 2),
    "three classes": classified(250, 3),
    "groups": classified(1700, 2),
    "few numbers": numbers(100),
    "groups of numbers": numbers(1700),
}


@pytest.mark.parametrize("name", CASES)
def test_intervals_are_those_of_resampled_rows_scored_by_scikit_learn(name):
    y, predicted = CASES[name]
    found, whole = intervals(y, predicted), scores(y, predicted)
    drawn = [
        scores(y[rows], predicted[rows])
        for rows in (RNG.integers(0, len(y), len(y)) for _ in range(400))
    ]
    assert found.keys() == whole.keys()
    for score, (low, high) in found.items():
        expected = np.nanquantile([each[score] for each in drawn], [0.025, 0.975])
        assert low < whole[score] < high
        # 400 draws give the ends of an interval to about a tenth of its width.
        np.testing.assert_allclose([low, high], expected, atol=0.2 * np.ptp(expected))


def test_intervals_hold_the_truth_nineteen_times_of_twenty():
    held = 0
    for _ in range(200):
        right = RNG.random(300) < 0.8
        shares = np.where(right, 0.9, 0.1)
        low, high = intervals(np.ones(300, int), np.stack([1 - shares, shares], 1))["accuracy"]
        held += low <= 0.8 <= high
    assert 178 <= held <= 199  # of a binomial with 0.95, all but one in ten thousand


def test_the_same_rows_have_the_same_interval():
    assert intervals(*CASES["groups"]) == intervals(*CASES["groups"])


def test_more_rows_have_a_narrower_interval():
    y, p = numbers(100_000)
    wide, narrow = (intervals(y[:n], p[:n])["rmse"] for n in (1000, 100_000))
    assert np.ptp(narrow) == pytest.approx(np.ptp(wide) / 10, rel=0.3)


def test_what_is_all_right_has_an_interval_of_one_point():
    y = np.array([0, 1, 2, 1])
    found = intervals(y, np.eye(3)[y])
    for score in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc"):
        assert found[score] == (1, 1)
    assert found["log_loss"] == (0, 0)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_are_no_error(n, recwarn):
    for y, predicted in (numbers(n), (np.zeros(n, int), np.full((n, 2), 0.5))):
        low, high = zip(*intervals(y, predicted).values(), strict=True)
        assert (np.isnan(low) | (np.array(low) <= high)).all()
    assert not recwarn.list


@pytest.mark.parametrize("size", [2.0**-900, 2.0**900])
def test_numbers_of_any_size_have_intervals(size, recwarn):
    y, p = numbers(200)
    expected, found = intervals(y, p), intervals(size * y, size * p)
    assert found["r2"] == expected["r2"]
    np.testing.assert_array_equal(found["rmse"], size * np.array(expected["rmse"]))
    assert not recwarn.list


def test_of_a_missing_class_there_is_no_area():
    _, shares = classified(50, 2)
    found = intervals(np.zeros(50, int), shares)
    assert np.isnan(found["roc_auc"]).all()
    assert np.isfinite(found["accuracy"]).all()
