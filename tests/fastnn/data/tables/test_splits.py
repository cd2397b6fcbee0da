from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables.splits import (
    Split,
    ends_of_times,
    forward_chain,
    groups_apart,
    mixed_order,
)

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


# folds


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=8, max_size=60),
    st.booleans(),
    st.integers(0, 99),
    st.data(),
)
def test_no_group_is_in_two_folds(groups, classes, seed, data):
    groups = np.array([*groups, 7, 8])
    count = data.draw(st.integers(1, len(np.unique(groups))))
    y = np.arange(len(groups)) % 3
    folds = groups_apart(y if classes else y.astype(float), groups, count, seed)
    assert sorted(np.concatenate(folds)) == list(range(len(groups)))
    owners = [set(groups[rows]) for rows in folds]
    assert all(owners)
    assert sum(map(len, owners)) == len(np.unique(groups))
    for rows in folds:  # one group lies behind another
        assert (np.diff(groups[rows]) != 0).sum() == len(set(groups[rows])) - 1


def test_groups_are_dealt_by_class_and_by_size():
    sizes = np.array([40, *[4] * 40])
    groups = np.repeat(np.arange(41), sizes)
    folds = groups_apart(np.zeros(len(groups)), groups, 5, 0)
    assert [len(rows) for rows in folds] == [40] * 5
    y = (groups % 10 == 0).astype(int)  # a class of five groups
    for seed in range(9):
        assert all(y[rows].any() for rows in groups_apart(y, groups, 5, seed))
    first, other = (np.concatenate(groups_apart(y, groups, 5, seed)) for seed in (0, 1))
    assert not np.array_equal(first, other)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.data())
def test_a_chain_goes_forward_in_time(times, data):
    times = np.array([0, 0, 31, *times, 32], float)
    most = len(ends_of_times(times))
    count = data.draw(st.integers(1, most))
    chain = forward_chain(times, count)
    assert len(chain) == count
    for kept, held_out in chain:
        assert len(kept) >= 2
        assert times[kept].max() < times[held_out].min()
        assert (np.diff(times[kept]) >= 0).all()
    for (before, now), (kept, _) in pairwise(chain):
        np.testing.assert_array_equal(kept, [*before, *now])
    assert sorted([*chain[-1][0], *chain[-1][1]]) == list(range(len(times)))


def test_stretches_of_a_chain_are_of_one_length():
    times = np.random.default_rng(0).permutation(60)
    assert [(len(kept), len(rows)) for kept, rows in forward_chain(times, 5)] == [
        (10, 10), (20, 10), (30, 10), (40, 10), (50, 10),
    ]  # fmt: skip
    years = np.repeat([2020, 2021, 2022, 2023], [5, 80, 5, 5])
    assert [(len(kept), len(rows)) for kept, rows in forward_chain(years, 3)] == [
        (5, 80), (85, 5), (90, 5),
    ]  # fmt: skip
