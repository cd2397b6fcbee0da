import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.runs.search import READERS, Range, grid, key_of, read_choices, sample
from fastnn.runs.settings import SettingError, Settings

FIXED = {"dataset": "digits"}


@pytest.mark.parametrize(
    ("setting", "text", "values"),
    [
        ("hidden", "32,64,128", [(32,), (64,), (128,)]),
        ("hidden", "64-64, 0", [(64, 64), (0,)]),
        ("lr", "0.01,1e-1", [0.01, 0.1]),
        ("optimizer", "sgd, adam,sgd", ["sgd", "adam"]),
        ("batch_size", "16,32", [16, 32]),
        ("seed", "0,1,2", [0, 1, 2]),
        ("lr", "0.001:0.1", Range(0.001, 0.1, True, False)),
        ("dropout", "0:0.5", Range(0.0, 0.5, False, False)),
        ("hidden", "16:256", Range(16.0, 256.0, True, True)),
        ("batch_size", "8:128", Range(8.0, 128.0, True, True)),
        ("seed", "0:9", Range(0.0, 9.0, False, True)),
    ],
)
def test_choices_as_text(setting, text, values):
    assert read_choices(setting, text) == values


@pytest.mark.parametrize(
    ("setting", "text", "message"),
    [
        ("hidden", "32,x", r"'32,x'; expected widths such as .*range"),
        ("hidden", "32;64", "expected widths"),
        ("lr", "0.1,,0.2", "expected numbers apart by commas or a range low:high"),
        ("lr", "0.1:0.01", "expected numbers"),
        ("lr", "0:1", "expected numbers"),
        ("lr", "1:inf", "expected numbers"),
        ("lr", "1:2:3", "expected numbers"),
        ("seed", "1.5", "expected integers"),
        ("epochs", "", "expected integers"),
    ],
)
def test_text_that_is_no_choices(setting, text, message):
    with pytest.raises(SettingError, match=message) as caught:
        read_choices(setting, text)
    assert caught.value.setting == setting


def test_readers_are_settings():
    assert set(READERS) <= set(vars(Settings()))


def test_a_grid_has_each_combination_once():
    choices = {"hidden": [(8,), (0,)], "lr": [0.1, 0.2, 0.1], "seed": [0, 1]}
    points = grid(FIXED, choices)
    found = [(each.hidden, each.lr, each.seed) for each in points]
    assert found == [(h, lr, s) for h in ((8,), ()) for lr in (0.1, 0.2) for s in (0, 1)]


def test_momentum_is_for_those_that_have_it():
    points = grid(FIXED, {"optimizer": ["sgd", "adam"], "momentum": [0.0, 0.5, 0.9]})
    assert [(each.optimizer, each.momentum) for each in points] == [
        ("sgd", 0.0), ("sgd", 0.5), ("sgd", 0.9), ("adam", None),
    ]  # fmt: skip


def test_no_choices_are_one_run():
    assert grid(FIXED, {}) == [Settings()]


@pytest.mark.parametrize(
    ("choices", "setting"),
    [
        ({"lr": [0.1, -1.0]}, "lr"),
        ({"optimizer": ["sgd", "sgdx"]}, "optimizer"),
        ({"hidden": [(8, 0)]}, "hidden"),
        ({"lr": Range(0.1, 1.0)}, "lr"),
    ],
)
def test_what_is_not_allowed_is_named(choices, setting):
    with pytest.raises(SettingError) as caught:
        grid(FIXED, choices)
    assert caught.value.setting == setting


@given(
    st.floats(1e-6, 1e6), st.floats(1.0001, 1e4), st.booleans(), st.integers(1, 30),
    st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, max_examples=50)
def test_random_points_lie_in_their_ranges(low, ratio, logarithmic, count, seed):
    lr = Range(low, low * ratio, logarithmic)
    choices = {"lr": lr, "hidden": Range(4.0, 40.0, True, True), "optimizer": ["sgd", "adam"]}
    points = sample(FIXED, choices, count, seed)
    assert len(points) == count
    assert len({key_of(each) for each in points}) == count
    for each in points:
        assert low <= each.lr <= low * ratio
        (width,) = each.hidden
        assert 4 <= width <= 40
        assert isinstance(width, int)


def test_a_logarithmic_range_is_even_in_the_logarithm():
    points = sample(FIXED, {"lr": Range(1e-4, 1.0, True)}, 400, 0)
    middle = sum(math.log10(each.lr) for each in points) / len(points)
    assert -2.2 < middle < -1.8
    assert len({f"{each.lr:.2g}" for each in points}) > 100


def test_the_first_random_points_stay_the_first():
    choices = {"lr": Range(0.01, 0.1, True), "hidden": [(8,), (16,)], "seed": [0, 1, 2]}
    assert sample(FIXED, choices, 20, 5)[:7] == sample(FIXED, choices, 7, 5)
    assert sample(FIXED, choices, 7, 6) != sample(FIXED, choices, 7, 5)
    few = {"hidden": [(8,), (16,), (32,)], "seed": [0, 1, 2]}
    assert sample(FIXED, few, 5, 0)[:3] == sample(FIXED, few, 3, 0)


def test_no_more_random_points_than_there_are():
    choices = {"hidden": [(8,), (16,)], "seed": [0, 1]}
    assert sample(FIXED, choices, 9, 0) == grid(FIXED, choices)
    whole = {"seed": Range(0.0, 2.0, False, True)}
    assert {each.seed for each in sample(FIXED, whole, 9, 0)} == {0, 1, 2}


def test_threads_do_not_make_another_run():
    assert key_of(Settings(threads=1)) == key_of(Settings(threads=2))
    assert key_of(Settings(seed=1)) != key_of(Settings())
