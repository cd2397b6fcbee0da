import csv
import gzip
import io
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables.columns import Number
from fastnn.data.tables.delimited import DelimitedSource
from fastnn.data.tables.numbers import Spelling
from fastnn.data.tables.reading import MISSING_TEXTS
from fastnn.data.tables.table import TableError
from fastnn.datasets import load
from tables import cells, source, table, texts

CSV = "age,city,price\n30,Ulm,1.5\n,Bonn,2\n41,NA,-3e2\n"
TEXTS = {
    "age": ["30", None, "41"],
    "city": ["Ulm", "Bonn", None],
    "price": ["1.5", "2", "-3e2"],
}


def packed(content):
    """The bytes of a gzip file, the same at any time."""
    return gzip.compress(content, mtime=0)


def lines(head, *rows, count=50):
    """Rows repeated below a line of names."""
    return "\n".join([head, *(rows[i % len(rows)] for i in range(count))]) + "\n"


# signs and names


def test_cells_are_numbers_or_texts_and_none_where_one_is_missing():
    opened = source(CSV)
    assert opened.named
    found = opened.table()
    assert len(found) == 3
    assert [found.is_text(name) for name in found.names] == [False, True, False]
    assert cells(found) == {
        "age": [30, None, 41], "city": ["Ulm", "Bonn", None], "price": [1.5, 2, -300],
    }  # fmt: skip
    assert texts(CSV) == TEXTS


def test_only_the_columns_that_are_asked_for_are_read():
    assert cells(source(CSV).table(["price", "age"], ["age"])) == {
        "age": ["30", None, "41"], "price": [1.5, 2, -300],
    }  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter):
    assert texts(CSV.replace(",", delimiter)) == TEXTS


@pytest.mark.parametrize("delimiter", [":", "~", " ", "^"])
def test_another_delimiter_is_told(delimiter):
    assert texts(CSV.replace(",", delimiter), delimiter=delimiter) == TEXTS


def test_quotes_hold_delimiters_lines_and_other_letters():
    content = '"a;b","c,d"\n"Köln, Süd","two\nlines"\n"say ""yes""",x\n'
    assert texts(content) == {"a;b": ["Köln, Süd", 'say "yes"'], "c,d": ["two\nlines", "x"]}


def test_apostrophes_in_quotes_stay():
    cells_of_a = [f"{i}'000.5" for i in range(1, 60)]
    content = "a;b\n" + "".join(f'"{each}";x\n' for each in cells_of_a)
    assert texts(content)["a"] == cells_of_a


def test_newlines_and_commas_in_names_of_other_delimiters():
    assert source('"a\n(EUR)";y\n1;2\n').names == ("a\n(EUR)", "y")
    assert source("price (EUR, net);y\n1;2\n3;4\n").names == ("price (EUR, net)", "y")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("inner", ["\n", "\r\n", "\r"])
def test_line_ends_in_quotes_stay_as_they_are(inner, end):
    content = end.join(['a,"b' + inner + 'c"', '1,"x' + inner + 'y"', "2,z", ""])
    assert texts(content) == {"a": ["1", "2"], f"b{inner}c": [f"x{inner}y", "z"]}


def test_rows_of_numbers_alone_have_no_names():
    opened = source("1,2.5\n3,nan\n")
    assert not opened.named
    assert texts("1,2.5\n3,nan\n") == {"0": ["1", "3"], "1": ["2.5", None]}
    assert source("1,2\n").names == ("0", "1")


def test_a_header_may_be_told():
    assert texts("1,2\n3,4\n", header=True) == {"1": ["3"], "2": ["4"]}
    assert texts("p,q\nr,s\n", header=False) == {"0": ["p", "r"], "1": ["q", "s"]}
    assert not source("p,q\nr,s\n", header=False).named


def test_marks_spaces_and_empty_lines_do_no_harm():
    content = b"\xef\xbb\xbf a , b\r\n 1 ,x \r\n\r\n2, y\r\n\r\n"
    assert texts(content) == {"a": ["1", "2"], "b": ["x", "y"]}


def test_a_column_without_a_name_is_named_by_its_place():
    assert source(",a\n0,1\n").names == ("Unnamed: 0", "a")


def test_columns_of_one_name_are_told_apart_and_said():
    opened = source("a,b,a,a.1,a\n1,2,3,4,5\n")
    assert opened.names == ("a", "b", "a.2", "a.1", "a.3")
    assert cells(opened.table(["a", "a.3"])) == {"a": [1], "a.3": [5]}
    assert opened.notes == (
        "several columns are named 'a'; the later ones are read as 'a.2', 'a.3'",
    )
    assert not source("a,A,b\n1,2,3\n").notes


def test_lines_before_the_names_are_left_out_and_said():
    opened = source("Weather of 2024\nby Ann, Bob\n\n" + lines("a,b,c", "1,x,2.5", "2,y,3"))
    assert opened.names == ("a", "b", "c")
    assert "the first 3 lines before the names of columns: left out" in opened.notes


@pytest.mark.parametrize("sign", ["#", "%"])
def test_lines_of_comments_are_left_out(sign):
    content = f"{sign} one\n{sign} two, three\na,b\n1,x\n{sign} end\n2,y\n"
    assert texts(content, comment=sign) == {"a": ["1", "2"], "b": ["x", "y"]}


def test_texts_that_stand_for_nothing():
    column = "a,b\n" + "".join(f'x,"{text}"\nx, {text} \n' for text in MISSING_TEXTS)
    assert texts(column + "x,-\n")["b"] == [None] * 2 * len(MISSING_TEXTS) + ["-"]
    assert texts("a,b\n-,NA\n1, - \n", missing=["-"]) == {"a": [None, "1"], "b": ["NA", None]}
    assert cells(table("a,b\n-,NA\n1,x\n", missing=["-"]))["a"] == [None, 1]


# encodings, line ends and compression


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "cp437"]
)
def test_other_encodings_are_told(encoding):
    content = "ä,ö\né,ü\n1,2\n".encode(encoding)
    assert texts(content, encoding=encoding) == {"ä": ["é", "1"], "ö": ["ü", "2"]}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_mark_tells_of_an_encoding(encoding):
    assert texts("ä,ö\né,ü\n".encode(encoding)) == {"ä": ["é"], "ö": ["ü"]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(end):
    assert texts(CSV.replace("\n", end)) == TEXTS
    assert texts(CSV.replace("\n", end).removesuffix(end)) == TEXTS


@pytest.mark.parametrize("place", [2, 30, 49])
def test_lines_may_end_in_several_ways(place):
    usual = lines("a,b", "1,x", "2,y").splitlines()
    content = "".join(f"{each}{chr(13) * (i == place)}\n" for i, each in enumerate(usual))
    assert texts(content) == texts("\n".join(usual) + "\n")
    content = "".join(f"{each}{chr(13) * (i != place)}\n" for i, each in enumerate(usual))
    assert texts(content) == texts("\n".join(usual) + "\n")


@pytest.mark.parametrize("end", ["   \n", "  \r\n", "\n\n  \n"])
def test_lines_of_spaces_are_no_rows(end):
    assert texts(CSV + end) == TEXTS


def test_a_gzip_file_is_read_in_all_its_parts():
    assert texts(packed(CSV.encode())) == TEXTS
    head, rest = CSV[:20].encode(), CSV[20:].encode()
    assert texts(packed(head) + packed(rest)) == TEXTS
    archive = packed(CSV.replace("Ulm", "Köln").encode("latin-1"))
    assert texts(archive, encoding="latin-1")["city"] == ["Köln", "Bonn", None]


# what is a number


def test_a_text_behind_many_numbers_makes_texts_of_all():
    content = lines("a,b", "1,2", "3,4", count=60_000) + "many,5\n"
    found = table(content)
    assert [found.is_text(name) for name in "ab"] == [True, False]
    assert found.odd(Number("a"), "a") == [("many", 1, 60_001)]


def test_codes_keep_their_zeros():
    assert texts("a,b\n007,1\n010,2\n")["a"] == ["007", "010"]


@pytest.mark.parametrize(
    "text", ["9007199254740993", "123456789012345678901", "1e400", "-0.0", "1.10", "0x1F", "1_0"]
)
def test_texts_are_those_of_the_file_however_they_look(text):
    assert texts(f"a,b\n{text},1\n{text},2\n")["a"] == [text, text]


# errors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found nothing"),
        (b"\n\n", "found no names of columns"),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields; expected 2"),
        (b"a,b\n\n1\n", "line 3 has 1 fields; expected 2"),
        (lines("a,b", "1,2") .encode()+ b"1,2,3\n", "line 52 has 3 fields; expected 2"),
        (lines("a,b", "1,2").encode() + b"1\n", "line 52 has 1 fields; expected 2"),
        (b"a,b\n1,2\n" + b"1,2,3\n" * 90, "line 3 has 3 fields; expected 2"),
        (lines("a,b", "1,2", count=50_000).encode() + b"x,2,3\n", "has 3 fields; expected 2"),
        (b"a\n\xff\n", "line 2 is not text in UTF-8; .*--encoding cp1252"),
        (lines("a,b", "1,x").encode() + b"1,\xe9\n", "line 52 is not text in UTF-8"),
        (b"a\n1\0\n", "found bytes of 0"),
        ("a,b\n1,2\n".encode("utf-16-le"), "bytes of 0.*encoding"),
        (bytes(range(256)) * 20, "found bytes of 0"),
        (b'a,b\n1,"x\n2,3\n', "line 2 has a quote that does not end"),
        (b'a,b\n1,"' + b"x" * 3_000_000 + b'"\n', "is longer than 2,000,000 bytes"),
        (b"a" * 3_000_000, "is longer than 2,000,000 bytes|found no table"),
        (packed(CSV.encode() * 300)[:-40], "found a compressed file that cannot be unpacked"),
        (packed(CSV.encode())[:-4], "found a compressed file that cannot be unpacked"),
        (b"\x1f\x8b", "found a compressed file that cannot be unpacked"),
        (packed(CSV.encode())[:-8] + bytes(8), "cannot be unpacked: CRC check failed"),
        (packed(CSV.encode())[:20] + bytes(30), "found a compressed file that cannot be unpacked"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_error_that_names_the_file(content, message, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    for given_as in (path, content):
        with pytest.raises(TableError, match=message) as info:
            texts(given_as)
        assert str(info.value).startswith("rows.csv: ")
        assert len(str(info.value)) <= 400
        assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (CSV.encode() + b"\xff", "UTF-8"),
        ("é,ü\n".encode(), "utf-16"),
        ("é,ü\n".encode("cp1252"), "UTF-8"),
        (b"a,b\n1,\x81\n", "cp1252"),
    ],
)
def test_bytes_that_are_not_of_the_encoding(content, encoding):
    with pytest.raises(TableError, match=f"rows.csv: .*{encoding}") as info:
        texts(content, encoding=encoding)
    assert len(str(info.value)) <= 400


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_clear_error(content):
    try:
        found = source(content).table()
    except TableError as error:
        assert str(error).startswith("rows.csv: ")  # noqa: PT017
        assert len(str(error)) <= 400  # noqa: PT017
    else:
        assert found.names


# what is written is read again


class Excel(csv.Dialect):
    """A dialect of the csv module that hypothesis changes."""

    delimiter, quotechar, doublequote = ",", '"', True
    lineterminator, quoting = "\n", csv.QUOTE_MINIMAL
    skipinitialspace: ClassVar[bool] = False


letters = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])
signs = st.sampled_from(list("\"',;|\t\n #%€$_-+.0123456789eE"))
plain = st.one_of(
    st.sampled_from(["", "NA", " x ", "007", "1_0", "nan", "é", "a,b", 'say "no"', "two\nlines"]),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(st.one_of(letters, signs), max_size=8),
)
dialects = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "quoting": st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
    }
)


@st.composite
def frames(draw, least=1):
    width = draw(st.integers(least, 4))
    names = [f"column {place}" for place in range(width)]
    return names, draw(
        st.lists(st.lists(plain, min_size=width, max_size=width), min_size=1, max_size=12)
    )


def expected_of(text):
    """The text that is read where one is written."""
    text = text.strip(" \t\n\r\v\f\u00a0")
    return None if text in MISSING_TEXTS else text


def csv_of(names, rows, dialect):
    file = io.StringIO(newline="")
    writer = csv.writer(file, Excel, **dialect)
    writer.writerows([names, *rows])
    return file.getvalue()


@settings(deadline=None, max_examples=60)
@given(frames(), dialects, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_what_the_csv_module_writes_is_read_again(frame, dialect, encoding):
    names, rows = frame
    told = {"delimiter": dialect["delimiter"], "header": True}
    found = texts(csv_of(names, rows, dialect).encode(encoding), **told)
    assert list(found) == names
    assert [list(row) for row in zip(*found.values(), strict=True)] == [
        [expected_of(text) for text in row] for row in rows
    ]


@settings(deadline=None, max_examples=30)
@given(frames(least=2), dialects)
def test_signs_of_what_the_csv_module_writes_in_quotes_are_found(frame, dialect):
    names, rows = frame
    found = texts(csv_of(names, rows, dialect | {"quoting": csv.QUOTE_ALL}), header=True)
    assert [list(row) for row in zip(*found.values(), strict=True)] == [
        [expected_of(text) for text in row] for row in rows
    ]


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(numbers, st.none() | numbers), min_size=1, max_size=30),
    dialects,
    st.booleans(),
)
def test_numbers_that_the_csv_module_writes_are_read_again(rows, dialect, comma):
    comma = comma and dialect["delimiter"] != ","
    written = [["" if each is None else repr(each) for each in row] for row in rows]
    if comma:
        written = [[each.replace(".", ",") for each in row] for row in written]
    content = csv_of(["a", "b"], written, dialect | {"quoting": csv.QUOTE_MINIMAL}).encode()
    spelled = {"decimal": ","} if comma else {}
    for given_texts in ((), ("a", "b")):
        opened = source(content, delimiter=dialect["delimiter"], header=True, **spelled)
        found = opened.table(None, given_texts)
        column = Number("a", None, Spelling(",") if comma else Spelling())
        for place, name in enumerate("ab"):
            values = [np.nan if row[place] is None else float(row[place]) for row in rows]
            np.testing.assert_array_equal(found.values(column, name), values)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(plain, st.none() | numbers), min_size=1, max_size=12),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_pandas_writes_is_read_again(rows, delimiter, quoting):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=["text", "number"])
    content = frame.to_csv(index=False, sep=delimiter, quoting=quoting)
    opened = source(content, delimiter=delimiter, header=True)
    assert texts(content, delimiter=delimiter, header=True)["text"] == [
        expected_of(text) for text, _ in rows
    ]
    values = [np.nan if each is None else float(each) for _, each in rows]
    found = opened.table(None, opened.names).values(Number("number"), "number")
    np.testing.assert_array_equal(found, values)


# what makes reading quick


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1.5,2\n2.5,3\n",
        "a;b\n1,5;x\n2,5;y\n",
        "a\tb\n2020-01-01\ttrue\n2021-01-01\tfalse\n",
        "1|2\n3|4\n",
        "made by me\n\na,b\n1,2\n3,4\n",
        "a,b\n1,2\n3,4,5\n",
        "a,b\n1,\n,\n",
    ],
)
def test_a_file_without_doubt_is_sniffed_alike(content, monkeypatch):
    def found():
        try:
            opened = source(content)
            return opened.names, opened.notes, cells(opened.table())
        except TableError as error:
            return str(error)

    quick = found()
    monkeypatch.setattr(DelimitedSource, "_sniffed_plain", lambda _: None)
    assert quick == found()


@pytest.mark.parametrize("text", ["NA", "nan", " NaN ", "null", ""])
def test_a_late_text_that_stands_for_nothing_is_missing(text):
    rows = [f"{i / 7:.3f},{i / 3:.3f}" for i in range(5000)]
    rows[4000] = f"{text},1"
    found = table("a,b\n" + "\n".join(rows) + "\n")
    values = found.values(Number("a"), "a")
    assert np.flatnonzero(np.isnan(values)).tolist() == [4000]
    (facts,) = found.number_facts(["b"])
    assert facts.missing == 0


def measured(*odd, count=30_000):
    """A file of two columns of numbers whose last rows are odd in the second one, y."""
    rows = [f"{i / 7:.3f},{i / 3:.3f}" for i in range(count)]
    return "a,y\n" + "\n".join([*rows, *(f"1,{text}" for text in odd)]) + "\n"


def test_a_column_of_many_numbers_is_read_as_numbers():
    found = source(measured("", "NA")).measured(["a", "y"], [], "y")
    assert not found.is_text("y")
    values = found.values(Number("y"), "y")
    np.testing.assert_array_equal(values[:-2], [float(f"{i / 3:.3f}") for i in range(30_000)])
    assert np.isnan(values[-2:]).all()


@pytest.mark.parametrize("text", ["1_0", "007", "NAN", "inf", "'5'", "5 EUR", "1e999"])
def test_a_column_with_another_text_is_read_as_texts(text):
    assert source(measured(text)).measured(["a", "y"], [], "y") is None


@pytest.mark.parametrize("values", [range(3000), [i % 20 / 2 for i in range(3000)]])
def test_what_may_be_labels_is_read_as_texts(values):
    content = "a,y\n" + "".join(f"1,{each}\n" for each in values)
    assert source(content).measured(["a", "y"], [], "y") is None


@pytest.mark.parametrize("told", [{"decimal": "."}, {"thousands": "."}])
def test_numbers_in_a_spelling_that_is_told_are_read_as_texts(told):
    assert source(measured(), **told).measured(["a", "y"], [], "y") is None


@pytest.mark.parametrize("late", ["1.5", "-0.25", "1e-3"])
@pytest.mark.parametrize("target", ["y", "a"])
def test_a_number_behind_those_that_were_sniffed_is_not_rounded(tmp_path, late, target):
    path, rows = tmp_path / "late.csv", 50_000
    lines = (f"{late if i == rows - 9 else i % 7},{i % 3}\n" for i in range(rows))
    path.write_text("a,y\n" + "".join(lines))
    data = load(path, target=target)
    found = (
        [data.y_train, data.y_test] if target == "a" else [data.x_train[:, 0], data.x_test[:, 0]]
    )
    assert sorted(set(np.concatenate(found).tolist())) == sorted([*range(7), np.float32(late)])


def test_whole_numbers_that_float64_does_not_hold_are_texts_of_their_own(tmp_path):
    path, first = tmp_path / "large.csv", 2**53 - 2
    path.write_text("y,a\n" + "".join(f"{first + i % 5},{i % 7}\n" for i in range(100)))
    data = load(path, target="y")
    assert data.classes == tuple(str(first + i) for i in range(5))
