import re

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables.numbers import NEGATIVES, PLAIN, SYMBOLS, Spelling, spellings

CONNECTION = duckdb.connect(config={"threads": 1})


def read(spelling, *texts):
    """What a spelling reads in texts: numbers, None for others."""
    query = f"SELECT {spelling.query('cell')} FROM (SELECT unnest(?) AS cell)"
    return [row[0] for row in CONNECTION.execute(query, [list(texts)]).fetchall()]


def written(value, spelling, behind=False, space=""):
    """A number as a spelling writes it, with the symbol behind it or before it."""
    text = f"{abs(value):,.2f}"
    signs = {",": spelling.thousands, ".": spelling.decimal}
    text = "".join(signs.get(sign, sign) for sign in text)
    if spelling.symbol:
        text = f"{text}{space}{spelling.symbol}" if behind else f"{spelling.symbol}{space}{text}"
    return spelling.negative.replace("1", text) if value < 0 else text


ways = st.builds(
    lambda signs, symbol, negative: Spelling(*signs, symbol, negative),
    st.sampled_from([(".", ""), (".", ","), (".", "'"), (".", " "), (",", ""), (",", ".")]),
    st.sampled_from(["", *SYMBOLS]),
    st.sampled_from(NEGATIVES),
)


# reading


@settings(deadline=None, max_examples=60)
@given(ways, st.lists(st.integers(-(10**9), 10**9), min_size=1), st.booleans(), st.booleans())
def test_what_a_spelling_writes_it_reads(spelling, cents, behind, spaced):
    values = [each / 100 for each in cents]
    space = " " if spaced else ""
    texts = [written(value, spelling, behind, space) for value in values]
    np.testing.assert_allclose(np.array(read(spelling, *texts), float), values, rtol=1e-15)
    assert all(re.fullmatch(spelling.pattern, text) for text in texts if not spelling.plain)
    found = [each for each in spellings(texts) if None not in read(each, *texts)]
    np.testing.assert_allclose(np.array(read(found[0], *texts), float), values, rtol=1e-15)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["(12.50)", "3.20", "( 1 )"], [-12.5, 3.2, -1]),
        (["($12.50)", "$3.20", "$(1)"], [-12.5, 3.2, -1]),
        (["12,50-", "3,20"], [-12.5, 3.2]),
        (["1.234,56-€", "1.234,56€-", "1.234,56 €"], [-1234.56, -1234.56, 1234.56]),
        (["\u22125", "\u201312.5", "7"], [-5, -12.5, 7]),
        (["- 5.5", "5.5"], [-5.5, 5.5]),
        (["+5", "-3", "4"], [5, -3, 4]),
        (["+5,5", "-3,5"], [5.5, -3.5]),
        (["+5 %", "-3 %"], [5, -3]),
        (["1\u00a0234,56", "-1 234,56"], [1234.56, -1234.56]),
        (["1\u202f234,56", "2\u2009345\u2009678,5"], [1234.56, 2345678.5]),
        (["\u22121\u00a0234,56"], [-1234.56]),
        (["1\u2019234.50", "1'234'567.5"], [1234.5, 1234567.5]),
        (["12,34,567.5", "-1,00,000"], [1234567.5, -100000]),
        (["EUR 12.50", "-EUR 3"], [12.5, -3]),
        (["12,50 EUR", "-3,00 EUR"], [12.5, -3]),
        (["R$ 1.234,50", "R$ 2,00"], [1234.5, 2]),
        (["120 kr", "1 250,50 kr"], [120, 1250.5]),
    ],
)
def test_numbers_as_people_write_them(texts, values):
    best = next(each for each in spellings(texts) if None not in read(each, *texts))
    assert read(best, *texts) == values


@pytest.mark.parametrize("spelling", [PLAIN, *(Spelling(negative=each) for each in NEGATIVES)])
@pytest.mark.parametrize(
    "text", ["", "x", "1_0", "(1", "1)", "((1))", "1--", "--1", "1-2", "-(1)", "(-1)", "1 2", "()"]
)
def test_what_is_no_number(spelling, text):
    assert read(spelling, text) == [None]


@pytest.mark.parametrize("text", ["1.23", "12,3456", "1,2,345", "01,234", ",123", "1,234,56"])
def test_thousands_are_parted_in_threes(text):
    expected = 1.23 if text == "1.23" else None
    assert read(Spelling(thousands=","), text) == [expected]


# what comes into question


@pytest.mark.parametrize(
    ("texts", "negatives", "symbols"),
    [
        (["1", "-2"], {"-1"}, {""}),
        (["1", "(2)"], {"-1", "(1)"}, {""}),
        (["1 $", "2-$"], {"-1", "1-"}, {"$"}),
        (["1", "\u22122", "3-"], {"-1", "−1", "1-"}, {""}),
        (["$1", "€2"], {"-1"}, {""}),
        (["R$ 1", "R$ 2"], {"-1"}, {"R$"}),
    ],
)
def test_signs_of_the_examples_come_into_question(texts, negatives, symbols):
    found = spellings(texts)
    assert {each.negative for each in found} == negatives
    assert {each.symbol for each in found} == symbols
    assert found[0] == Spelling(symbol=next(iter(symbols)))


def test_long_texts_are_no_examples():
    for text in "(1" * 500_000, "1 €" + "-" * 500_000:  # hours, were they looked at
        assert spellings(["1", text]) == spellings(["1"])


def test_known_signs_leave_fewer_spellings():
    assert spellings(["1"], ",", ".") == [Spelling(",", ".")]
    assert {each.decimal for each in spellings(["1"], ",")} == {","}
    assert spellings(["1"], None, ",") == [Spelling(".", ",")]  # no number has both as commas


@pytest.mark.parametrize(
    ("spelling", "text"),
    [
        (PLAIN, ""),
        (Spelling(","), "with decimal comma"),
        (Spelling(",", "."), "with decimal comma and '.' between thousands"),
        (Spelling(symbol="€"), "in €"),
        (Spelling(negative="(1)"), "with negative ones as (1)"),
        (
            Spelling(",", " ", "%", "1-"),
            "with decimal comma and ' ' between thousands and negative ones as 1-, in %",
        ),
    ],
)
def test_what_is_special_is_said(spelling, text):
    assert spelling.describe() == text


# plain values


@given(ways)
def test_a_spelling_is_the_same_from_plain_values(spelling):
    assert Spelling.from_dict(spelling.to_dict()) == spelling


def test_plain_values_of_usual_minus_signs_are_those_of_before():
    assert Spelling(",", ".", "€").to_dict() == {"decimal": ",", "thousands": ".", "symbol": "€"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"decimal": "x"}, {"decimal": "."}, {"thousands": "x"}, {"symbol": "x"}, {"negative": "x"},
        {"more": ""}, {"decimal": ["."]}, {"thousands": 1}, {"symbol": None},
    ],
)  # fmt: skip
def test_plain_values_that_are_no_spelling(wrong):
    with pytest.raises(ValueError, match=r"found .* as a spelling of numbers"):
        Spelling.from_dict({"decimal": ",", "thousands": ".", "symbol": ""} | wrong)
    for plain in (None, [], {"decimal": "."}):
        with pytest.raises(ValueError, match=r"found .* as a spelling of numbers"):
            Spelling.from_dict(plain)
