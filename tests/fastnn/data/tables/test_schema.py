import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn.data.images import Conversion
from fastnn.data.tables.columns import Category, Flag, Moment, Number
from fastnn.data.tables.numbers import Spelling
from fastnn.data.tables.schema import Schema, UnseenCategoryWarning
from fastnn.data.tables.sources import open_source
from fastnn.data.tables.splits import Split
from fastnn.data.tables.table import TableError
from fastnn.data.tables.target import Target
from fastnn.files.container import ModelFileError
from tables import source as rows

SCHEMA = Schema(
    (Number("age", 40.0), Category("city", "Ulm", ("Bonn", "Ulm")), Number("rooms")),
    Target("price", "regression", 10.0, 2.0),
    split=Split(0.2, 0, 10, 99),
)


def test_numbers_stay_and_categories_become_columns():
    x = SCHEMA.encode(rows("age,city,rooms\n30,Bonn,2\n50.5,Ulm,-1\n"))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[30, 1, 0, 2], [50.5, 0, 1, -1]])
    assert SCHEMA.width == 4
    assert SCHEMA.features == ["age", "city=Bonn", "city=Ulm", "rooms"]


def test_columns_are_found_by_name_and_others_left_out():
    text = "price,rooms,city,age,name\n,2,Bonn,30,x\n"
    np.testing.assert_array_equal(SCHEMA.encode(rows(text), np.float64), [[30, 1, 0, 2]])


def test_what_is_missing_is_filled_where_there_is_something_to_fill_it_with():
    np.testing.assert_array_equal(SCHEMA.encode(rows("age,city,rooms\n,,3\n")), [[40, 0, 1, 3]])
    with pytest.raises(TableError, match=r"rows.csv: values are missing in rooms \(2\) of 3 rows"):
        SCHEMA.encode(rows("age,city,rooms\n,,\n,,3\n,,NA\n"))


def test_unseen_categories_are_said_and_are_no_category():
    text = "age,city,rooms\n1,Berlin,1\n1,Ulm,1\n1,Berlin,1\n1,Rom,1\n"
    with pytest.warns(UnseenCategoryWarning) as warned:
        x = SCHEMA.encode(rows(text))
    assert str(warned[0].message) == (
        "column 'city': 3 rows hold 'Berlin', 'Rom', which training had not; they are none of "
        "them; known: 'Bonn', 'Ulm'"
    )
    np.testing.assert_array_equal(x[:, 1:3], [[0, 0], [0, 1], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,city\n1,Ulm\n", "column rooms is missing; found age, city"),
        ("age,city,rooms\n1,Ulm,many\n", "column 'rooms' holds 'many' in row 1; expected numbers"),
        ("age,city,rooms\n1,Ulm,inf\n", "column 'rooms' holds 'inf' in row 1; expected numbers"),
        ("1,2\n3,4\n", "found 2 columns; expected the 3 that the model takes: age, city, rooms"),
    ],
)
def test_rows_that_do_not_fit(text, message):
    with pytest.raises(TableError, match=f"^rows.csv: {message}"):
        SCHEMA.encode(rows(text))


def test_columns_without_names_are_taken_by_place():
    schema = Schema.of_numbers(3)
    expected = [[1, 2, 3], [4, 5, 6]]
    for text in ("1,2,3\n4,5,6\n", "a,b,c\n1,2,3\n4,5,6\n"):
        np.testing.assert_array_equal(schema.encode(rows(text)), expected)
    np.testing.assert_array_equal(
        Schema((Number("a"), Number("b"), Number("c"))).encode(rows("1,2,3\n4,5,6\n")), expected
    )
    with pytest.raises(TableError, match="found 2 columns; expected the 3"):
        schema.encode(rows("1,2\n"))


def test_a_target_among_the_columns_is_passed_over():
    schema = Schema((Number("0"), Number("2")), named=False)  # 1 was the target
    np.testing.assert_array_equal(schema.encode(rows("1,9,3\n")), [[1, 3]])
    np.testing.assert_array_equal(schema.encode(rows("1,3\n")), [[1, 3]])


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5000), st.integers(1, 4))
def test_blocks_of_rows_make_the_whole(n, width):
    rng = np.random.default_rng(n)
    array = rng.normal(size=(n, width))
    kinds = rng.choice(["a", "b", "c"], n).astype(object)
    table = open_source({**{str(i): array[:, i] for i in range(width)}, "kind": kinds})
    schema = Schema((*Schema.of_numbers(width).columns, Category("kind", None, ("a", "b", "c"))))
    x = schema.encode(table, np.float64)
    np.testing.assert_array_equal(x[:, :width], array)
    np.testing.assert_array_equal(x[:, width:], kinds[:, None] == ["a", "b", "c"])


def test_odd_texts_among_numbers_count_as_missing_and_are_said():
    with pytest.warns(UnseenCategoryWarning, match="'age': 2 rows hold 'old': missing"):
        x = SCHEMA.encode(rows("age,city,rooms\nold,Ulm,1\n30,Ulm,1\nold,Ulm,2\n"))
    np.testing.assert_array_equal(x[:, 0], [40, 30, 40])


def test_columns_of_all_kinds_are_read_as_in_training():
    schema = Schema(
        (
            Number("price", 0.0, Spelling(",", ".", "€")),
            Flag("new", "no", ("no", "yes")),
            Category("kind", "a", ("a",), True),
            Moment("day", 0.0, "%d.%m.%Y", False, 0.0),
        )
    )
    text = 'price;new;kind;day\n"1.234,5 €";YES;z;03.01.1970\n3 €;;;02.01.1970\n'
    with pytest.warns(UnseenCategoryWarning, match='count as "other"'):
        x = schema.encode(rows(text), np.float64)
    np.testing.assert_array_equal(x[:, :4], [[1234.5, 1, 0, 1], [3, 0, 1, 0]])
    np.testing.assert_array_equal(x[:, [4, 11]], [[1970, 2], [1970, 1]])


def test_numbers_and_dates_of_frames_need_no_spelling():
    schema = Schema(
        (
            Number("price", 0.0, Spelling(",", ".", "€")),
            Flag("new", "no", ("no", "yes")),
            Moment("day", 0.0, "%d.%m.%Y", False, 0.0),
        )
    )
    day = np.array(["1970-01-03", "1970-01-02"], "M8[D]")
    for frame in (
        {"price": ["1.234,5 €", "3 €"], "new": ["YES", "no"], "day": ["03.01.1970", "2.1.1970"]},
        {"price": [1234.5, 3.0], "new": [1, 0], "day": day},
        {"price": [1234.5, 3.0], "new": np.array([True, False]), "day": day.astype("M8[s]")},
        {"price": [1234.5, 3.0], "new": ["true", "0"], "day": ["1970-01-03", "1970-01-02"]},
    ):
        found = schema.encode(open_source(frame), np.float64)
        np.testing.assert_array_equal(found[:, :2], [[1234.5, 1], [3, 0]])
        assert found[:, 9].tolist() == [2, 1]  # days


def test_signs_of_numbers_may_be_told():
    schema = Schema((Number("a", 0.0), Number("b", 0.0, Spelling(",", ".", "€"))))
    german, english = rows("a;b\n1,5;2,5 €\n"), rows("a;b\n1.5;2,000.5 €\n")
    np.testing.assert_array_equal(schema.told(",", None).encode(german), [[1.5, 2.5]])
    np.testing.assert_array_equal(schema.told(".", ",").encode(english), [[1.5, 2000.5]])
    assert schema.told(None, None) == schema


def test_a_column_of_nothing_but_odd_texts_is_an_error():
    content = "price\n" + "".join(f"{i}.000,5\n" for i in range(1, 40))  # more than are shown
    with pytest.raises(TableError, match=r"column 'price' holds '1.000,5' in row 1; expected"):
        Schema((Number("price", 0.0),)).encode(rows(content, delimiter=";"))


def test_odd_texts_are_counted_together():
    content = "price\n1\n2\n" + "".join(f"x{i}\n" for i in range(9)) + "NA\n"
    (message,) = _messages(Schema((Number("price", 0.0),)), rows(content))
    assert message == "column 'price': 9 rows hold 'x0', 'x1', 'x2' and 2 more: missing"


def _messages(schema, source):
    return schema.check(schema.table(source), schema.names_in(source))


# plain values

texts = st.text(max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False)
columns = st.one_of(
    st.builds(Number, texts, st.none() | numbers),
    st.builds(Category, texts, st.none() | texts, st.lists(texts, min_size=1).map(tuple)),
)
schemas = st.builds(
    Schema,
    st.lists(columns, min_size=1, max_size=4).map(tuple),
    st.none() | st.builds(Target, texts, st.just("regression"), numbers, st.floats(1e-3, 1e3)),
    st.none()
    | st.builds(Conversion, box=st.integers(1, 28), centre=st.sampled_from(["mass", "middle"])),
    st.none() | st.builds(Split, st.floats(0, 0.9), st.integers(0), st.integers(0), st.integers(0)),
    st.booleans(),
    st.sampled_from(["softmax", "identity"]),
)


@settings(deadline=None)
@given(schemas)
def test_a_schema_is_the_same_after_json(schema):
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def places(plain, path=()):
    """Paths to all values in a structure."""
    yield path
    if isinstance(plain, (dict, list)):
        for key in plain if isinstance(plain, dict) else range(len(plain)):
            yield from places(plain[key], (*path, key))


@settings(deadline=None, max_examples=300)
@given(
    st.data(),
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.lists(st.none())
    | st.dictionaries(texts, st.integers(), max_size=2),
)  # fmt: skip
def test_a_schema_with_any_value_changed_is_read_or_refused(data, value):
    schema = Schema(SCHEMA.columns, SCHEMA.target, Conversion(), SCHEMA.split, link="identity")
    plain = {"schema": json.loads(json.dumps(schema.to_dict()))}
    *way, last = data.draw(st.sampled_from([*places(plain)][1:]))
    inner = plain
    for key in way:
        inner = inner[key]
    inner[last] = value
    try:
        found = Schema.from_dict(plain["schema"])
    except (TypeError, ValueError):
        return
    assert found.width >= 0
    json.dumps(found.to_dict())


def test_a_schema_is_kept_in_the_model_file(tmp_path):
    model = fastnn.Sequential(fastnn.Linear(4, 1, seed=0))
    model.schema = SCHEMA
    fastnn.save(model, tmp_path / "model.safetensors")
    assert fastnn.load(tmp_path / "model.safetensors").schema == SCHEMA
    model.schema = None
    fastnn.save(model, tmp_path / "model.safetensors")
    assert fastnn.load(tmp_path / "model.safetensors").schema is None


def test_a_model_file_with_a_broken_schema_is_refused(tmp_path, monkeypatch):
    model = fastnn.Sequential(fastnn.Linear(4, 1, seed=0))
    model.schema = SCHEMA
    monkeypatch.setattr(Schema, "to_dict", lambda self: {"columns": [{"name": 3}]})
    fastnn.save(model, tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match=r"model.safetensors: found a schema that cannot"):
        fastnn.load(tmp_path / "model.safetensors")
