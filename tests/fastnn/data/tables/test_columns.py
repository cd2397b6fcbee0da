import numpy as np
import pytest

from fastnn.data.tables.columns import Target
from fastnn.data.tables.table import TableError


def column(*values):
    return np.array(values, object)


def test_targets_become_class_indices_or_numbers():
    classes = Target("y", "classification")
    assert classes.encode(column("b", "a", "b"), ["a", "b"], "t").tolist() == [1, 0, 1]
    assert classes.encode(np.array([2.0, 1.0]), ["1", "2"], "t").tolist() == [1, 0]
    numbers = Target("y", "regression").encode(column("1.5", "-2"), (), "t")
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [1.5, -2]


def test_classes_of_numbers_are_known_however_they_are_written():
    target = Target("y", "classification")
    assert target.encode(column("1.0", "2.0"), ["1", "2"], "t").tolist() == [0, 1]
    assert target.encode(column("01", "02"), ["01", "02"], "t").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("regression", column("1", None, None), "t: target 'y' is missing in 2 of 3 rows"),
        ("regression", column("1", "x"), "target 'y' holds 'x' in row 2; expected numbers"),
        ("regression", np.array([np.inf]), "target 'y' holds inf"),
        ("classification", column("a", "c"), "target 'y' holds c; expected one of a, b"),
    ],
)
def test_targets_that_do_not_fit(task, values, message):
    with pytest.raises(TableError, match=message):
        Target("y", task).encode(values, ["a", "b"], "t")
