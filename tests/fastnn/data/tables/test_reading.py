import builtins
import csv
import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables import reading as tables
from fastnn.data.tables.reading import read_table
from fastnn.data.tables.table import TableError, as_numbers

CSV = b"age,city,price\n30,Ulm,1.5\n,Bonn,2\n41,NA,-3e2\n"


def columns(table):
    return {name: column.tolist() for name, column in table.columns.items()}


# CSV


def test_a_csv_is_texts_by_name_and_none_where_one_is_missing():
    table = read_table(CSV)
    assert table.named
    assert len(table) == 3
    assert columns(table) == {
        "age": ["30", None, "41"],
        "city": ["Ulm", "Bonn", None],
        "price": ["1.5", "2", "-3e2"],
    }
    np.testing.assert_array_equal(as_numbers(table.columns["age"]), [30, np.nan, 41])
    np.testing.assert_array_equal(as_numbers(table.columns["price"]), [1.5, 2, -300])
    assert as_numbers(table.columns["city"]) is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_from_the_first_line(delimiter):
    content = CSV.replace(b",", delimiter.encode())
    assert columns(read_table(content)) == columns(read_table(CSV))


def test_quotes_hold_delimiters_lines_and_other_letters():
    content = '"a;b","c,d"\n"Köln, Süd","two\nlines"\n'.encode()
    assert columns(read_table(content)) == {"a;b": ["Köln, Süd"], "c,d": ["two\nlines"]}


def test_rows_of_numbers_alone_have_no_names():
    table = read_table(b"1,2.5\n3,nan\n")
    assert not table.named
    assert columns(table) == {"0": ["1", "3"], "1": ["2.5", None]}


def test_marks_spaces_and_empty_lines_do_no_harm():
    content = b"\xef\xbb\xbf a , b\r\n 1 ,x \r\n\r\n2, y\r\n\r\n"
    assert columns(read_table(content)) == {"a": ["1", "2"], "b": ["x", "y"]}


def test_a_column_without_a_name_is_named_by_its_place():
    assert list(read_table(b",a\n0,1\n").columns) == ["Unnamed: 0", "a"]


cells = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)


@settings(deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1)
    )
)
def test_what_the_csv_module_writes_is_read_again(rows):
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    names = [f"column {place}" for place in range(len(rows[0]))]
    writer.writerows([names, *rows])
    expected = [[None if c.strip() in tables.MISSING else c.strip() for c in row] for row in rows]
    found = columns(read_table(file.getvalue().encode()))
    assert [list(row) for row in zip(*found.values(), strict=True)] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found nothing"),
        (b"\n\n", "found nothing"),
        (b"a,b\n", "found no rows"),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields; expected 2"),
        (b"a,b\n\n1\n", "line 3 has 1 fields; expected 2"),
        (b"a,a,b\n1,2,3\n", "found 'a' twice"),
        (b"a\n\xff\n", "neither a table nor text in UTF-8 .byte 2 is 0xff"),
        (b"a\n1\0\n", "bytes of 0"),
        (b'a\n"' + b"x" * 200_000 + b'"\n', "line 2 cannot be read"),
        (b"\x93NUMPY\x01\x00", "NumPy cannot read"),
        (b"PK\x03\x04....", "NumPy cannot read"),
    ],
)
def test_what_is_no_table_is_an_error_that_names_the_file(content, message, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message) as info:
        read_table(path)
    assert str(path) in str(info.value)
    with pytest.raises(TableError, match=message):
        read_table(content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_clear_error(content):
    try:
        table = read_table(content)
    except TableError as error:
        assert str(error).startswith("the data: found ") or "line " in str(error)  # noqa: PT017
    else:
        assert len(table) > 0


# NumPy's files


def saved(array, **arrays):
    file = io.BytesIO()
    np.savez(file, **arrays) if array is None else np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, bool, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_columns_by_place(dtype, order):
    array = np.array([[1, 0, 3], [4, 5, 0]], dtype, order=order)
    table = read_table(saved(array))
    assert not table.named
    assert columns(table) == {str(i): array[:, i].tolist() for i in range(3)}
    assert all(column.dtype == np.dtype(dtype) for column in table.columns.values())


def test_a_file_is_mapped_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(24.0).reshape(2, 3, 4))
    table = read_table(tmp_path / "a.npy")
    assert len(table.columns) == 12  # pictures are rows of pixels
    base = table.columns["5"]
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_fields_of_a_structure_are_columns_by_name():
    array = np.array([(1.5, "x"), (2.5, "NA")], [("a", "f8"), ("b", "U4")])
    table = read_table(saved(array))
    assert table.named
    assert columns(table) == {"a": [1.5, 2.5], "b": ["x", None]}


def test_arrays_of_an_archive_are_columns_together():
    x, y = np.arange(6.0).reshape(3, 2), np.array(["a", "b", "c"])
    assert columns(read_table(saved(None, x=x, y=y))) == {
        "0": [0, 2, 4], "1": [1, 3, 5], "y": ["a", "b", "c"],
    }  # fmt: skip
    two = read_table(saved(None, a=x, b=x[:, :1]))
    assert list(two.columns) == ["a.0", "a.1", "b.0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(np.arange(3)), r"an array of shape \(3,\); expected \(rows, columns\)"),
        (saved(np.zeros((0, 3))), r"shape \(0, 3\)"),
        (saved(np.zeros((2, 2), complex)), "complex128; expected numbers"),
        (
            saved(None, x=np.zeros((3, 2)), y=np.zeros(2)),
            r"x \(3, 2\), y \(2,\); expected arrays of",
        ),
        (saved(None, x=np.zeros(3), y=np.float64(2)), "arrays of one length"),
        (saved(None, x=np.array(["2020-01-01"], "M8[D]")), "'x' holds datetime64"),
    ],
)
def test_arrays_that_are_no_table(content, message):
    with pytest.raises(TableError, match=message):
        read_table(content)


def claiming(shape, dtype="<f8"):
    """The bytes of a .npy file whose header claims a shape."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(80)


SHAPES = [(10**8, 10), (10**12, 10), (2**40, 2**40), (11, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["bytes", "file", "archive", "archive file"])
def test_an_array_that_its_bytes_cannot_hold_is_refused_unread(way, shape, tmp_path):
    content, path = claiming(shape), tmp_path / "x"
    if "archive" in way:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content)
        content = packed.getvalue()
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="found"):
            read_table(path if "file" in way else content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def test_an_archive_with_something_else_is_refused_unread():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="found a file that NumPy cannot read"):
            read_table(packed.getvalue())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def test_pickles_are_not_read():
    file = io.BytesIO()
    np.save(file, np.array([[{"a": 1}]], object), allow_pickle=True)
    with pytest.raises(TableError, match="allow_pickle"):
        read_table(file.getvalue())


# Parquet


@pytest.fixture
def parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(**named):
        path = tmp_path / "rows.parquet"
        parquet.write_table(pyarrow.table(named), path)
        return path

    return write


def test_a_parquet_file_is_columns_by_name(parquet):
    path = parquet(
        number=[1.5, None, 2.0],
        whole=[1, None, 3],
        text=["x", None, " y "],
        truth=[True, False, None],
    )
    for table in (read_table(path), read_table(path.read_bytes())):
        found = table.columns
        np.testing.assert_array_equal(found["number"], [1.5, np.nan, 2])
        np.testing.assert_array_equal(found["whole"], [1, np.nan, 3])
        np.testing.assert_array_equal(found["truth"], [1, 0, np.nan])
        assert found["text"].tolist() == ["x", None, "y"]


def test_a_parquet_column_of_something_else_is_named(parquet):
    import datetime

    with pytest.raises(TableError, match="column 'day' holds "):
        read_table(parquet(day=[datetime.date(2020, 1, 1)]))


def test_a_damaged_parquet_file():
    pytest.importorskip("pyarrow")
    with pytest.raises(TableError, match="Parquet file that cannot be read"):
        read_table(b"PAR1 and no more")


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch):
    usual = builtins.__import__

    def refuse(name, *rest):
        if name.split(".")[0] in ("pyarrow", "pandas"):
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[data\]"'):
        read_table(b"PAR1")
