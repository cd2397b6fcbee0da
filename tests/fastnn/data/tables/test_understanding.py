import numpy as np
import pytest

from fastnn.data.tables.columns import Category, Flag, Moment, Number
from fastnn.data.tables.numbers import Spelling
from fastnn.data.tables.table import TableError
from fastnn.data.tables.understanding import MOST_CATEGORIES, Understanding, Wishes
from tables import table

N = 60


def understood(cells, rows=None, delimiter=",", **wishes):
    """What is understood of a column a with these cells, and what is noted."""
    content = f"a{delimiter}b\n" + "".join(
        f'"{each}"{delimiter}x{i}\n' for i, each in enumerate(cells)
    )
    found = table(content, header=True, delimiter=delimiter)
    rows = np.arange(len(cells)) if rows is None else rows
    (column,) = Understanding(found, Wishes(**wishes)).columns(["a"], rows)
    return column, "\n".join(column.notes)


def column_of(cells, **options):
    return understood(cells, **options)[0].column


# numbers


@pytest.mark.parametrize(
    ("write", "spelling", "word"),
    [
        ("{:.3f}", Spelling(), ""),
        ("{:.2e}", Spelling(), ""),
        ("{:.2f}%", Spelling(symbol="%"), "in %"),
        ("{:.2f} %", Spelling(symbol="%"), "in %"),
        ("${:.2f}", Spelling(symbol="$"), "in $"),
        ("€ {:.2f}", Spelling(symbol="€"), "in €"),
        ("{:,.2f}", Spelling(thousands=","), "',' between thousands"),
        ("${:,.2f}", Spelling(thousands=",", symbol="$"), "in $"),
        ("{:.2f} EUR", Spelling(symbol="EUR"), "in EUR"),
    ],
)
def test_numbers_are_known_however_a_column_spells_them(write, spelling, word):
    values = [1e6 + 12345.5 * i for i in range(N)]
    found, notes = understood([write.format(each) for each in values])
    assert isinstance(found.column, Number)
    assert found.column.spelling == spelling
    assert word in notes
    assert bool(notes) == bool(word)


@pytest.mark.parametrize(
    ("sign", "spelling"),
    [
        (lambda text: f"({text})", Spelling(negative="(1)")),
        (lambda text: f"{text}-", Spelling(negative="1-")),
        (lambda text: f"\u2212{text}", Spelling(negative="−1")),
        (lambda text: f"-{text}", Spelling()),
    ],
)
@pytest.mark.parametrize("every", [2, 59])
def test_minus_is_known_however_a_column_writes_it(sign, spelling, every):
    texts = [f"{i}.50" for i in range(1, 400)]  # the first 300 are looked at
    negative = [sign(text) if i % every == every - 1 else text for i, text in enumerate(texts)]
    found, notes = understood(negative)
    assert found.column.spelling == spelling
    assert ("negative ones as" in notes) == (not spelling.plain)
    rare = understood([*texts, sign("7.25")])[0]
    assert rare.column.spelling == spelling


def test_a_plus_is_of_numbers():
    assert column_of([f"{'+' if i % 2 else '-'}{i}.5" for i in range(N)]).spelling == Spelling()


def test_one_odd_text_does_not_change_how_minus_is_written():
    found, notes = understood([f"{i}.5" for i in range(N)] + ["see (1)"])
    assert found.column.spelling == Spelling()
    assert "negative" not in notes


@pytest.mark.parametrize(
    ("gap", "shown"),
    [(".", "."), ("'", "'"), (" ", " "), ("\u00a0", " "), ("\u2009", " "), ("\u202f", " ")],
)
def test_decimal_commas_and_signs_between_thousands(gap, shown):
    texts = [f"{1e6 + 12345.25 * i:,.2f}" for i in range(N)]
    if gap == "'":
        texts = [each.replace(",", "'") for each in texts]
    else:
        texts = [each.translate(str.maketrans(",.", f"{gap},")) for each in texts]
    found, notes = understood(texts, delimiter=";")
    assert found.column.spelling == Spelling("." if gap == "'" else ",", shown)
    assert "between thousands" in notes


def test_columns_agree_on_the_sign_before_decimals():
    cells = [f"{i},{i % 10}" for i in range(N)]
    assert column_of(cells, delimiter=";").spelling == Spelling(",")


@pytest.mark.parametrize(
    "cells",
    [
        ["1_1", "1_2", "11"], ["007", "008", "010"], ["A1", "A2"], ["1/2", "3/4"], ["1-2", "3-4"],
        ["1.2.3", "1.2.4"], ["1 m", "2 m"], ["$1", "€2"], ["+49 1", "+49 2"],
    ],
)  # fmt: skip
def test_codes_are_categories(cells):
    found = column_of(cells * 20)
    assert isinstance(found, Category)
    assert found.categories == tuple(sorted(cells))


def test_odd_texts_among_numbers_are_missing_and_shown():
    cells = [f"{i}.5" for i in range(N)] + ["unknown", "", "unknown", "?"]
    found, notes = understood(cells)
    assert isinstance(found.column, Number)
    assert found.missing == 4
    assert found.example == "0.5"  # not the most frequent text
    assert "in 2 rows 'unknown': missing (--categorical makes" in notes


@pytest.mark.parametrize("far", ["-999", "99", "9999"])
def test_numbers_far_from_all_others_may_be_missing_and_are_said(far):
    cells = [f"{i}.5" for i in range(40)] + [far] * 3
    notes = understood(cells)[1]
    assert (
        f"holds {far} in 3 rows, far from all others; if it stands for nothing: --missing" in notes
    )
    for usual in (cells[:-2], [*cells, str(int(far) - 5), str(int(far) + 5)]):
        assert "far from" not in understood(usual)[1]


def test_texts_among_too_few_numbers_are_categories():
    assert isinstance(column_of(["1", "2", "x"] * 20), Category)
    assert isinstance(column_of(["1", "2", "x"] * 20, numeric=["a"]), Number)


# other kinds


@pytest.mark.parametrize(
    "pair",
    [("true", "False"), ("TRUE", "FALSE"), ("yes", "no"), ("Y", "N"), ("on", "off"), ("t", "f")],
)  # fmt: skip
def test_a_boolean_is_one_column(pair):
    found = column_of([*pair, ""] * 20)
    assert isinstance(found, Flag)
    assert found.width == 1
    assert found.values == tuple(sorted(each.lower() for each in pair))


@pytest.mark.parametrize("pair", [("red", "blue"), ("yes", "false"), ("true", "maybe")])
def test_other_pairs_are_categories(pair):
    assert isinstance(column_of([*pair] * 20), Category)


@pytest.mark.parametrize(
    ("cells", "spelling", "clock"),
    [
        ([f"2024-01-{i:02d}" for i in range(1, 29)], "ISO", False),
        ([f"2024-01-{i:02d} 12:30:00" for i in range(1, 29)], "ISO", True),
        ([f"2024-01-{i:02d}T12:30:00Z" for i in range(1, 29)], "ISO", True),
        ([f"{i:02d}.01.2024" for i in range(1, 29)], "%d.%m.%Y", False),
        ([f"1/{i}/2024" for i in range(1, 29)], "%m/%d/%Y", False),
        ([f"{i}/1/2024" for i in range(1, 29)], "%d/%m/%Y", False),
        ([f"Jan {i}, 2024" for i in range(1, 29)], "%b %d, %Y", False),
        ([f"{i}/1/2024 10:30 PM" for i in range(1, 29)], "%d/%m/%Y %I:%M %p", True),
        ([f"{i % 24:02d}:30" for i in range(28)], "%H:%M", True),
        ([f"{['Jan', 'Apr', 'Dec'][i % 3]} {2000 + i}" for i in range(28)], "%b %Y", False),
        ([f"{2000 + i}-{1 + i % 12:02d}" for i in range(28)], "%Y-%m", False),
    ],
)
def test_dates_and_times_are_known(cells, spelling, clock):
    found, notes = understood(cells)
    assert isinstance(found.column, Moment)
    assert (found.column.spelling, found.column.clock) == (spelling, clock)
    assert "column 'a' holds" in notes


def test_numbers_are_dates_where_that_is_said():
    cells = [f"202401{i:02d}" for i in range(1, 29)][::-2]
    found, notes = understood(cells)
    assert isinstance(found.column, Number)
    assert "holds numbers like 20240102; --dates reads them as dates" in notes
    assert not understood([f"{20240101 + 50 * i}" for i in range(28)])[1]


def test_odd_texts_among_dates_are_missing_and_shown():
    found, notes = understood([f"2024-01-{i:02d}" for i in range(1, 29)] + ["soon"])
    assert isinstance(found.column, Moment)
    assert "in 1 row 'soon': missing" in notes


def test_categories_beyond_a_number_are_one():
    cells = [f"c{i}" for i in range(MOST_CATEGORIES) for _ in range(4)] + ["r1", "r2", "r3"]
    found, notes = understood(cells)
    assert found.column.other
    assert len(found.column.categories) == MOST_CATEGORIES
    assert not {"r1", "r2", "r3"} & {*found.column.categories}
    assert f"{MOST_CATEGORIES + 3} different texts" in notes


def test_categories_are_those_of_the_rows_to_learn_from():
    found, notes = understood(["x", "y", "z"] * 20, rows=np.flatnonzero(np.arange(60) % 3 < 2))
    assert found.column.categories == ("x", "y")
    assert "20 rows hold 'z', which training had not" in notes


# what is left out


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (range(N), "is a running index"),
        (range(N, 0, -1), "is a running index"),
        ([5] * N, "is 5 in all rows"),
        (["x"] * N, "is 'x' in all rows"),
        (["x", *[""] * (N - 1)], "is 'x' in all rows"),
        ([""] * N, "holds no values"),
        ([f"name {i}" for i in range(N)], "has its own text in each row"),
        ([f"name {i // 3 if i < 9 else i}" for i in range(N)], "different texts"),
    ],
)
def test_columns_that_tell_nothing_are_left_out_and_said(cells, why):
    found, notes = understood([*cells])
    assert found.column is None
    assert found.became == "left out"
    assert why in notes
    if "no values" not in why:
        assert "--keep 'a' takes it" in notes
        assert column_of([*cells], keep=["a"]) is not None


def test_notes_are_short_however_long_a_text_is():
    cells = [f"{i}.5" for i in range(40)] + ["x" * 100_000]
    for notes in (understood(cells)[1], understood(["y" * 100_000] * 20)[1]):
        assert len(notes) < 300


def test_few_rows_are_no_index_and_no_texts_of_their_own():
    assert isinstance(column_of(range(5)), Number)
    assert isinstance(column_of(["p", "q", "r"]), Category)


@pytest.mark.parametrize("wish", ["numeric", "dates"])
def test_a_column_that_is_not_what_is_said(wish):
    with pytest.raises(TableError, match=r"column 'a' is said to .* and holds 'x', 'y'; expected"):
        understood(["x", "y"] * 20, **{wish: ["a"]})


@pytest.mark.parametrize("text", ["item {}", "{}.1.2024"])
def test_few_spellings_of_dates_are_looked_for_in_all_rows(text, monkeypatch):
    rows = 5000
    found = table("a,b\n" + "".join(f"{text.format(i % 28 + 1)},{i}\n" for i in range(rows)))
    read, count = [], type(found).count

    def counted(self, name, readers, some=None):
        read.append((len(readers), some))
        return count(self, name, readers, some)

    monkeypatch.setattr(type(found), "count", counted)
    (column,) = Understanding(found, Wishes()).columns(["a"], np.arange(rows))
    assert column.kind == ("date" if "2024" in text else "category")
    assert all(readers < 10 or some < rows for readers, some in read)
