import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables.relation import connect
from fastnn.data.tables.sql import as_text, base, clean, identifier, listed, quoted, spaced

TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=8)
SPACED = st.text(st.sampled_from(" \t\n\r\v\f\u00a0a'é"), max_size=6)


def answer(selected, *values):
    with connect() as connection:
        return connection.execute(f"SELECT {selected}", list(values)).fetchone()[0]


@settings(deadline=None)  # a first query takes long
@given(TEXTS)
def test_a_quoted_text_is_that_text(text):
    assert answer(quoted(text)) == text


@settings(deadline=None)  # a first query takes long
@given(TEXTS.filter(bool))
def test_an_identifier_names_its_column(name):
    with connect() as connection:
        connection.execute(f"SELECT 1 AS {identifier(name)}")
        assert connection.description[0][0] == name


def test_listed():
    texts = listed(["a", "o'x"])
    assert answer(f"'o''x' IN ({texts})")
    assert not answer(f"'o' IN ({texts})")


@settings(deadline=None)  # a first query takes long
@given(SPACED)
def test_a_clean_text_has_no_spaces_around_it(text):
    trimmed = text.strip(" \t\n\r\v\f\u00a0")
    assert answer(clean("CAST(? AS VARCHAR)", [""]), text, text) == (trimmed or None)


@settings(deadline=None)  # a first query takes long
@given(SPACED)
def test_a_text_that_is_not_spaced_needs_no_trim(text):
    cell = quoted(text)
    assert answer(spaced(cell)) or text == text.strip(" \t\n\r\v\f\u00a0")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("DECIMAL(18,3)", "DECIMAL"), ("ENUM('a', 'b')", "ENUM"), ("DOUBLE[]", "DOUBLE[]")],
)
def test_base(kind, name):
    assert base(kind) == name


@pytest.mark.parametrize(
    ("cell", "kind", "text"),
    [
        ("3.0::DOUBLE", "DOUBLE", "3"),
        ("2.5::DOUBLE", "DOUBLE", "2.5"),
        ("'nan'::DOUBLE", "DOUBLE", None),
        ("1e300::DOUBLE", "DOUBLE", "1e+300"),
        ("4.00::DECIMAL(5,2)", "DECIMAL", "4"),
        ("true", "BOOLEAN", "True"),
        ("NULL::BOOLEAN", "BOOLEAN", None),
        ("DATE '2024-02-29'", "DATE", "2024-02-29"),
    ],
)
def test_as_text(cell, kind, text):
    assert answer(as_text(cell, kind)) == text
