import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables.splits import Split, mixed_order

labels = st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array)


@settings(deadline=None)
@given(labels, st.integers(0, 2**32))
def test_an_order_holds_each_row_once(y, seed):
    for targets in (y, y.astype(float)):
        order = mixed_order(targets, seed)
        assert sorted(order) == list(range(len(y)))
        np.testing.assert_array_equal(order, mixed_order(targets, seed))


@settings(deadline=None)
@given(labels, st.integers(0, 2**32), st.data())
def test_every_stretch_holds_the_classes_in_proportion(y, seed, data):
    begin = data.draw(st.integers(0, len(y)))
    end = data.draw(st.integers(begin, len(y)))
    mixed = y[mixed_order(y, seed)]
    for label in np.unique(y):
        count = (y == label).sum()
        # The r-th of n rows lies in the r-th n-th of the order: a row either way at each end, and
        # where an end is, is known to a row of each class.
        found, share = (mixed[begin:end] == label).sum(), count * (end - begin) / len(y)
        assert abs(found - share) <= 2 + 2 * len(np.unique(y))


def test_the_test_part_is_stratified_and_the_rest_too():
    y = np.repeat([0, 1, 2], [700, 250, 50])  # sorted, as files often are
    train, test = Split.of(y, 0.2, 0).parts(y)
    assert len(test) == 200
    assert np.abs(np.bincount(y[test]) - [140, 50, 10]).max() <= 2
    assert np.abs(np.bincount(y[train[-80:]]) - [56, 20, 4]).max() <= 2  # what validates
    assert np.bincount(y[mixed_order(y, 0)][:100], minlength=3).min() > 0


def test_the_only_row_of_a_class_is_learned_from():
    y = np.array([0] * 50 + [1])
    for seed in range(20):
        train, test = Split.of(y, 0.3, seed).parts(y)
        assert 50 in train
        assert 50 not in test


def test_seeds_differ_and_a_split_knows_its_targets():
    y = np.arange(100) % 3
    split = Split.of(y, 0.25, 7)
    again = Split(**split.to_dict())
    assert again == split
    assert again.made_of(y.copy())
    assert not again.made_of(y[:-1])
    assert not again.made_of(y[::-1])
    assert not np.array_equal(split.parts(y)[1], Split.of(y, 0.25, 8).parts(y)[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 1.0},
        {"share": -0.1},
        {"share": "x"},
        {"seed": 1.5},
        {"rows": -1},
        {"checksum": None},
    ],
)
def test_a_split_is_checked(wrong):
    with pytest.raises(ValueError, match="found a s"):
        Split(**{"share": 0.2, "seed": 0, "rows": 3, "checksum": 1, **wrong})


# ------------------------------------------------------------------- by groups and times


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=2, max_size=200).map(np.array), st.integers(0, 99))
def test_a_group_is_on_one_side(by, seed):
    y = np.random.default_rng(seed).normal(size=len(by))
    train, test = Split.of(y, 0.2, seed, group="g").parts(y, by)
    assert sorted([*train, *test]) == list(range(len(by)))
    assert not set(by[train]) & set(by[test])
    if len(set(by)) > 1 and round(0.2 * len(by)):
        assert len(test) > 0
        assert len(train) > 0


def test_groups_of_one_size_are_held_out_in_proportion():
    y, by = np.zeros(1000), np.repeat(np.arange(100), 10)
    _, test = Split.of(y, 0.2, 3, group="g").parts(y, by)
    assert len(test) == 200
    assert set(by[test]) != set(by[Split.of(y, 0.2, 4, group="g").parts(y, by)[1]])


def test_the_last_rows_by_time_are_held_out():
    y, by = np.zeros(50), np.random.default_rng(0).permutation(50)
    train, test = Split.of(y, 0.2, 0, time="t").parts(y, by)
    assert by[test].tolist() == list(range(40, 50))
    assert by[train].tolist() == list(range(40))  # what validates are the last of them


@pytest.mark.parametrize("ways", [{"group": 3}, {"group": "a", "time": "b"}])
def test_a_split_by_what_is_no_name_or_by_two_is_refused(ways):
    with pytest.raises(ValueError, match=r"found a split by 3|expected one of them"):
        Split(0.2, 0, 5, 0, **ways)


def test_a_split_is_the_same_from_its_plain_values():
    for split in (Split(0.2, 0, 5, 7), Split(0.2, 0, 5, 7, time="t"), Split(0.5, 1, 2, 3, "g")):
        assert Split(**split.to_dict()) == split
    assert Split(0.2, 0, 5, 7).to_dict().keys() == {"share", "seed", "rows", "checksum"}
