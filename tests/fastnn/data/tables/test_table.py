import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn.data.tables.table import few, number_text, shown, told_apart


@pytest.mark.parametrize(
    ("number", "text"),
    [(3.0, "3"), (-0.0, "0"), (2.5, "2.5"), (True, "True"), (float("nan"), None)],
)
def test_numbers_as_texts(number, text):
    assert number_text(number) == text


def test_the_first_names_and_how_many_more():
    assert few(["a", "b"]) == "a, b"
    assert few([str(i) for i in range(2000)], 2) == "0, 1 and 1,998 more"


@pytest.mark.parametrize("names", ["x,y", "x,x", "x,x,x.1", "x.1,x,x,x.1", "x,x,x,y,y", "x,X"])
def test_repeated_names_are_told_apart_as_pandas_does(names):
    pandas = pytest.importorskip("pandas")
    assert [*told_apart(names.split(","))] == [*pandas.read_csv(io.StringIO(names)).columns]


@given(st.lists(st.sampled_from(["x", "x.1", "x.2", "x.1.1", "y"]), max_size=12))
def test_names_that_are_told_apart_are_different(names):
    told = told_apart(names)
    assert len({*told}) == len(names)
    assert all(new.startswith(old) for new, old in zip(told, names, strict=True))
    assert [*told_apart(told)] == [*told]


def test_long_texts_are_cut_in_messages():
    assert shown("it's") == '"it\'s"'
    assert shown("x" * 60) == repr("x" * 60)
    assert shown("x" * 1000) == repr("x" * 59 + "…")
