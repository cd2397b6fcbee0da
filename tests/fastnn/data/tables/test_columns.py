import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables.columns import MISSING, UNSEEN, Category, Column, Flag, Moment, Number
from fastnn.data.tables.dates import SPELLINGS
from fastnn.data.tables.numbers import Spelling
from tables import table

GERMAN = Spelling(",", ".", "€")


def inputs(column, text, is_text=True):
    """The inputs of a column of texts, or of numbers, as the sniffer takes them."""
    rows = table(f"a\n{text}\n", ["a"] if is_text else (), header=True)
    x = np.empty((len(rows), column.width))
    column.write(rows.values(column, "a"), x)
    return x.tolist()


def test_numbers_are_inputs_of_their_own():
    text = "1\n-2.5\n1e3"
    expected = [[1], [-2.5], [1000]]
    assert inputs(Number("a"), text) == inputs(Number("a"), text, False) == expected
    assert inputs(Number("a", 7.0), "1\nNA\nx\n1_0") == [[1], [7], [7], [7]]


def test_spelled_numbers_are_read():
    assert inputs(Number("a", None, GERMAN), "1.234,5 €\n-€ 3\n7€") == [[1234.5], [-3], [7]]
    assert np.isnan(inputs(Number("a", None, GERMAN), "1.234,5\n1.23 €")).all()


def test_numbers_that_float32_cannot_hold_are_bounded():
    x = np.empty((4, 1), np.float32)
    Number("a", 2.0).write(np.array([1e300, -1e300, np.nan, np.inf]), x)
    np.testing.assert_array_equal(x[:, 0], np.float32([1e37, -1e37, 2, 2]))
    Number("a").write(np.array([1e300, -1e300, np.nan, np.inf]), x)
    np.testing.assert_array_equal(np.isfinite(x[:, 0]), [True, True, False, False])


def test_categories_are_one_hot():
    column = Category("a", "b", ("b", "c"))
    assert column.features == ["a=b", "a=c"]
    assert inputs(column, "c\nb\nNA\nz") == [[0, 1], [1, 0], [1, 0], [0, 0]]
    other = Category("a", "b", ("b", "c"), True)
    assert other.features == ["a=b", "a=c", "a=(other)"]
    assert inputs(other, "c\nNA\nz") == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_categories_may_be_numbers_in_a_later_table():
    column = Category("a", None, ("1", "2"))
    assert inputs(column, "2\n1\n3", False) == [[0, 1], [1, 0], [0, 0]]


def test_a_flag_is_one_input_however_its_texts_are_written():
    column = Flag("a", "no", ("no", "yes"))
    assert column.features == ["a"]
    assert inputs(column, "YES\nno\nYes\nNA\nmaybe") == [[1], [0], [1], [0], [0.5]]
    assert inputs(column, "1\n0\n2", False) == [[1], [0], [0.5]]


def test_a_moment_is_parts_of_a_date_and_of_a_time():
    day = Moment("a", 0.0, "ISO", False, 0.0)
    assert day.features == [
        "a year", "a month sin", "a month cos", "a day sin", "a day cos", "a weekday sin",
        "a weekday cos", "a days",
    ]  # fmt: skip
    assert inputs(day, "1970-01-03")[0][::7] == [1970, 2]
    clock = Moment("a", 0.0, "%H:%M", True, 0.0)
    assert clock.features == ["a hour sin", "a hour cos"]
    np.testing.assert_allclose(inputs(clock, "06:00\n18:00"), [[1, 0], [-1, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("column", "values", "missing"),
    [
        (Number("a"), np.array([1.0, np.nan]), [False, True]),
        (Number("a"), np.array([1, 2], np.uint8), [False, False]),
        (Category("a", None, ("x",)), np.array([0, UNSEEN, MISSING]), [False, False, True]),
        (Moment("a"), np.array([np.nan, 0.0]), [True, False]),
    ],
)
def test_what_is_missing(column, values, missing):
    assert column.missing(values).tolist() == missing


texts = st.text(max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False)
spellings = st.sampled_from([Spelling(), GERMAN, Spelling(".", ","), Spelling(".", "'", "%")])
some = st.lists(texts, min_size=1, unique=True).map(tuple)
columns = st.one_of(
    st.builds(Number, texts, st.none() | numbers, spellings),
    st.builds(Category, texts, st.none() | texts, some, st.booleans()),
    st.builds(Flag, texts, st.none() | st.just("f"), st.just(("f", "t"))),
    st.builds(
        Moment, texts, st.none() | numbers, st.sampled_from(SPELLINGS), st.booleans(), numbers
    ),
)  # fmt: skip


@settings(deadline=None)
@given(columns)
def test_a_column_is_the_same_after_json(column):
    assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column


@pytest.mark.parametrize(
    ("plain", "column"),
    [
        ({"name": "a"}, Number("a")),
        ({"name": "a", "categories": None, "fill": 2.5}, Number("a", 2.5)),
        ({"name": "a", "categories": ["x", "y"]}, Category("a", None, ("x", "y"))),
        ({"name": "a", "categories": ["x"], "fill": "x"}, Category("a", "x", ("x",))),
    ],
)
def test_columns_of_the_version_before_are_read(plain, column):
    assert Column.from_dict(plain) == column


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (None, "found None as a column"),
        ({}, "expected one with a name"),
        ({"name": "a", "kind": "colour"}, "a column of kind 'colour'; expected number, category"),
        ({"name": "a", "kind": ["number"]}, "of kind"),
        ({"name": "a", "fill": "x"}, "found fill 'x' of column 'a'; expected a finite number"),
        ({"name": "a", "fill": float("inf")}, "expected a finite number"),
        ({"name": "a", "spelling": {"decimal": ";"}}, "as a spelling of numbers"),
        ({"name": "a", "categories": []}, "expected a list of texts"),
        ({"name": "a", "categories": [1]}, "expected a list of texts"),
        ({"name": "a", "categories": ["x"], "other": 1}, "expected a list of texts"),
        ({"name": "a", "kind": "boolean", "values": ["x", "x"]}, "expected two texts"),
        ({"name": "a", "kind": "boolean", "values": ["x", "y"], "fill": "z"}, "one of its values"),
        ({"name": "a", "kind": "date", "spelling": "%c", "clock": True, "first": 0}, "of dates"),
        ({"name": "a", "kind": "date", "spelling": "ISO", "clock": 1, "first": 0}, "of dates"),
    ],
)
def test_columns_that_are_none(plain, message):
    with pytest.raises(ValueError, match=message):
        Column.from_dict(plain)
