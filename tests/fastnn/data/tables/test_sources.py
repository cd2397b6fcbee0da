import gzip
import json

import duckdb
import numpy as np
import pytest

from fastnn import datasets
from fastnn.data.names import is_pattern
from fastnn.data.tables.reading import Reading
from fastnn.data.tables.relation import connect
from fastnn.data.tables.sources import TargetError, find_target, is_picture, open_source
from fastnn.data.tables.table import TableError
from tables import cells

COLUMNS = {"number": [1.5, None, -2.0], "text": ["x", None, " y "], "whole": [3, 4, 5]}
CSV = "number,text,whole\n1.5,x,3\n,,4\n-2, y ,5\n"
READ = {"number": [1.5, None, -2], "text": ["x", None, "y"], "whole": [3, 4, 5]}


def read(source):
    return cells(open_source(source).table())


# frames


def test_a_dict_of_columns():
    assert read(COLUMNS) == READ
    arrays = {
        "number": np.array([1.5, np.nan, -2]), "text": np.array(["x", "", "y"]),
        "whole": np.array([3, 4, 5], np.int8),
    }  # fmt: skip
    assert read(arrays) == READ


def test_a_matrix_has_columns_by_place():
    opened = open_source(np.array([[1, 2], [3, 4], [5, 6]]))
    assert not opened.named
    assert cells(opened.table()) == {"0": [1, 3, 5], "1": [2, 4, 6]}


def test_fields_of_an_array_are_columns():
    array = np.array([(1.5, "x"), (2.5, "NA")], [("a", ">f8"), ("b", "U4")])
    assert read(array) == {"a": [1.5, 2.5], "b": ["x", None]}


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "uint8", ">i8", "bool", "int16"])
def test_arrays_of_all_kinds_beside_texts(dtype):
    values = np.array([1, 0, 1], dtype)
    found = open_source({"a": values, "b": ["x", "y", "z"]}).table()
    if dtype == "bool":
        assert cells(found)["a"] == ["True", "False", "True"]
    else:
        assert cells(found)["a"] == [1, 0, 1]


def test_an_array_of_dates():
    days = np.array(["2024-01-31", "NaT", "2024-02-01"], "M8[D]")
    found = read({"day": days, "n": [1, 2, 3]})
    assert [each and each[:10] for each in found["day"]] == ["2024-01-31", None, "2024-02-01"]


def test_a_pandas_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(COLUMNS)
    assert read(frame) == READ
    frame.index = [7, 8, 9]
    assert read(frame[["whole", "text"]]) == {"whole": READ["whole"], "text": READ["text"]}
    kinds = pandas.DataFrame(
        {
            "when": pandas.to_datetime(["2024-01-31 12:30", None, "2024-02-01 00:00"]),
            "kind": pandas.Categorical(["b", None, "a"]),
            "whole": pandas.array([1, None, 3], "Int64"),
            "truth": pandas.array([True, None, False], "boolean"),
            "text": pandas.array(["x", None, "NA"], "string"),
            3: [1, 2, 3],
        }
    )
    found = read(kinds)
    assert found["kind"] == ["b", None, "a"]
    assert found["whole"] == [1, None, 3]
    assert found["truth"] == ["True", None, "False"]
    assert found["text"] == ["x", None, None]
    assert found["3"] == [1, 2, 3]
    assert [each and each[:16] for each in found["when"]] == [
        "2024-01-31 12:30", None, "2024-02-01 00:00",
    ]  # fmt: skip


def test_a_polars_frame():
    polars = pytest.importorskip("polars")
    assert read(polars.DataFrame(COLUMNS)) == READ
    kinds = polars.DataFrame(
        {"kind": ["b", None, "a"], "truth": [True, None, False], "n": [1, None, 3]},
        schema={"kind": polars.Categorical, "truth": polars.Boolean, "n": polars.UInt16},
    )
    assert read(kinds) == {
        "kind": ["b", None, "a"], "truth": ["True", None, "False"], "n": [1, None, 3],
    }  # fmt: skip


def test_an_arrow_table():
    pyarrow = pytest.importorskip("pyarrow")
    assert read(pyarrow.table(COLUMNS)) == READ
    dictionary = pyarrow.array(["b", None, "a"]).dictionary_encode()
    assert read(pyarrow.table({"kind": dictionary})) == {"kind": ["b", None, "a"]}


def test_a_relation_of_duckdb():
    pytest.importorskip("pyarrow")
    relation = duckdb.sql("SELECT * FROM (VALUES (1.5::DOUBLE, 'x'), (NULL, 'NA')) AS t(a, b)")
    assert read(relation) == {"a": [1.5, None], "b": ["x", None]}


@pytest.mark.parametrize("source", [None, 3, ["a"], {1, 2}, object()])
def test_what_is_no_source(source):
    with pytest.raises(TypeError, match=f"the table is a {type(source).__name__}; expected a path"):
        open_source(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "found no columns"),
        (np.zeros(3), r"an array of shape \(3,\); expected \(rows, columns\)"),
        (np.zeros((2, 2), complex), "complex128; expected numbers"),
        ({"a": [1, 2], "b": [1]}, "columns of lengths .*; expected one length"),
        ({"a": 3}, "columns of lengths"),
        ({"a": [[1, 2], [3, 4]]}, "column 'a' has shape"),
        ({"a": [1j]}, "column 'a' holds complex128"),
        ({"a": ["x", {}, []]}, "column 'a' holds|inhomogeneous"),
        ({f"column {i}": [1] * (i + 1) for i in range(99)}, "expected one length|lengths"),
    ],
)
def test_frames_that_are_no_table(source, message):
    with pytest.raises((TableError, ValueError), match=message) as info:
        open_source(source)
    assert len(str(info.value)) <= 400


def repeating(kind, tmp_path):
    """A table with columns x, x and X, of one kind."""
    if kind == "pandas":
        return pytest.importorskip("pandas").DataFrame([[1, 2.5, "a"]], columns=["x", "x", "X"])
    if kind == "relation":
        return duckdb.sql("SELECT 1 AS x, 2.5 AS x, 'a' AS \"X\"")
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table([[1], [2.5], ["a"]], names=["x", "x", "X"])
    if kind == "arrow":
        return table
    parquet = pytest.importorskip("pyarrow.parquet")
    nested = arrow.array([{"x": 1, "y": [2]}])
    parquet.write_table(table.add_column(0, "s", nested), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.mark.parametrize("kind", ["pandas", "relation", "arrow", "parquet"])
def test_columns_of_one_name_are_told_apart_and_said(kind, tmp_path):
    opened = open_source(repeating(kind, tmp_path))
    assert cells(opened.table()) == {"x": [1], "x.1": [2.5], "X": ["a"]}
    assert opened.notes[-1] == "several columns are named 'x'; the later ones are read as 'x.1'"
    with pytest.raises(TargetError, match="found several columns named 'x'; expected one target"):
        find_target(opened, "x")
    assert find_target(opened, "x.1") == ("x.1", opened)


def test_frames_of_all_kinds_learn_alike():
    rng = np.random.default_rng(0)
    columns = {
        "a": rng.normal(size=100), "kind": rng.choice(["x", "y"], 100),
        "y": rng.choice(["p", "q"], 100),
    }  # fmt: skip
    usual = datasets.load(columns, target="y")
    assert usual.schema.features == ["a", "kind=x", "kind=y"]
    frames = []
    for module, make in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "table")):
        try:
            frames.append(getattr(__import__(module), make)(columns))
        except ImportError:
            continue
    for frame in frames:
        found = datasets.load(frame, target="y")
        np.testing.assert_array_equal(found.x_train, usual.x_train)
        np.testing.assert_array_equal(found.y_test, usual.y_test)
        assert found.classes == usual.classes


# files


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "json", "jsonl"])
def test_files_are_known_by_their_contents(ending, tmp_path):
    path = tmp_path / "rows.data"
    records = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    content = {
        "csv": CSV.encode(),
        "csv.gz": gzip.compress(CSV.encode()),
        "json": json.dumps(records, indent=1).encode(),
        "jsonl": "\n".join(map(json.dumps, records)).encode(),
    }[ending]
    path.write_bytes(content)
    assert read(path) == read(str(path)) == read(content) == READ


def test_several_files_are_one_table(tmp_path):
    for place in range(3):
        (tmp_path / f"part-{place}.csv").write_text(f"a,b\n{place},x\n{place + 10},y\n")
    pattern = str(tmp_path / "part-*.csv")
    assert is_pattern(pattern)
    assert read(pattern) == {"a": [0, 10, 1, 11, 2, 12], "b": ["x", "y"] * 3}
    for place in range(3):
        packed = gzip.compress((tmp_path / f"part-{place}.csv").read_bytes())
        (tmp_path / f"part-{place}.gz").write_bytes(packed)
    assert read(str(tmp_path / "part-*.gz")) == read(pattern)


def test_several_files_that_differ(tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,c\n1,2\n")
    with pytest.raises(TableError, match=r"2.csv: found other columns than in .*1.csv"):
        open_source(str(tmp_path / "*.csv"))
    (tmp_path / "2.csv").write_text('{"a": 1, "b": 2}')
    with pytest.raises(TableError, match="found files of several formats; expected one"):
        open_source(str(tmp_path / "*.csv"))
    for name in ("3.npy", "4.npy"):
        np.save(tmp_path / name, np.zeros((2, 2)))
    with pytest.raises(TableError, match="found 2 files; only texts, Parquet and JSON are joined"):
        open_source(str(tmp_path / "*.npy"))
    with pytest.raises(FileNotFoundError, match="no file is called"):
        open_source(str(tmp_path / "none-*.csv"))


@pytest.mark.parametrize("name", ["data [final].csv", "what?.csv", "a*b.csv", "it's.csv", '".csv'])
def test_names_of_files_may_hold_anything(name, tmp_path):
    (tmp_path / name).write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "aXb.csv").write_text("c,d\n1,x\n")
    assert not is_pattern(str(tmp_path / name))
    assert read(tmp_path / name) == {"a": [1, 2], "b": ["x", "y"]}


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "none.csv")
    with pytest.raises(OSError, match="directory"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n....", "found a picture; expected CSV"),
        (b"\xff\xd8\xff\xe0....", "found a picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "found an old spreadsheet .*save it as .xlsx or CSV"),
        (b"ARROW1..", "an Arrow file .* save it as Parquet"),
        (b"SQLite format 3\0", "a database of SQLite; save the table as CSV"),
        (b"%PDF-1.7", "found a PDF; expected CSV"),
        (b"<!DOCTYPE html>\n<html>", "found a page of HTML or XML; expected CSV"),
        (b'\n<?xml version="1.0"?>', "found a page of HTML or XML"),
        (b"PK\x03\x04....", "NumPy cannot read"),
        (b"\x93NUMPY\x01\x00", "NumPy cannot read"),
        (b"PAR1 and no more", "rows.csv: "),
        (b"PAR1" + bytes(200) + b"PAR1", "rows.csv: "),
        (b"{", "Malformed JSON"),
        (b"[1,2", "Malformed JSON"),
        (b'{"a": 1}\n{"a": ', "Malformed JSON"),
        (b"[]", "found no columns"),
        (b"{}", "found no columns"),
        (b'{"a": [1, 2], "b": [3, 4]}', "expected .* in JSON those of a list of records"),
        (b'{"data": [{"a": 1}]}', "list of records"),
    ],
)
def test_files_that_are_no_table(content, message, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(TableError, match=message) as info:
            open_source(source, "rows.csv").table()
        assert str(info.value).startswith("rows.csv: ")
        assert len(str(info.value)) <= 400
        assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", ["BMI", "PK", "[Date]", "[kg]", "GIF", "II", "BZip", "Rare"])
def test_names_of_columns_are_no_marks_of_other_files(name):
    assert open_source(f"{name},b\n1,x\n2,y\n".encode()).names == (name, "b")


def test_pictures_are_known_by_their_first_bytes():
    assert is_picture(b"GIF89a")
    assert not is_picture(b"a,b\n")


@pytest.mark.parametrize("kind", ["dict", "arrow", "parquet", "json", "csv"])
def test_texts_that_stand_for_nothing_do_so_in_every_source(kind, tmp_path):
    """So do those that no longer do, since others are named."""
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"a": ["-", "NA", "1.5", " - "], "b": ["x", "-", "NA", "y"]}
    given, path = columns, tmp_path / f"t.{kind}"
    if kind == "arrow":
        given = pyarrow.table(columns)
    elif kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    elif kind == "json":
        rows = zip(*columns.values(), strict=True)
        path.write_text(json.dumps([dict(zip(columns, row, strict=True)) for row in rows]))
    elif kind == "csv":
        rows = zip(*columns.values(), strict=True)
        path.write_text("\n".join(["a,b", *(",".join(row) for row in rows)]))
    source = open_source(given if kind in ("dict", "arrow") else path, None, Reading(missing=["-"]))
    table = source.table(None, ["a", "b"])
    assert cells(table) == {"a": [None, "NA", "1.5", None], "b": ["x", None, "NA", "y"]}


def test_two_connections_do_not_spill_to_the_same_files():
    folders = [
        connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
        for connection in (connect(), connect())
    ]
    assert folders[0] != folders[1]


class Frame:
    """A frame whose stream of Arrow DuckDB cannot read, as one of polars without pyarrow."""

    columns = ("a", "b")

    def __getitem__(self, name):
        return {"a": [1.5, 2.5], "b": ["x", None]}[name]

    def __arrow_c_stream__(self, requested_schema=None):
        raise ModuleNotFoundError("No module named 'pyarrow'")


class Lazy:
    """A frame that is not there yet."""

    def collect_schema(self):
        raise AssertionError("the schema alone is of no use")

    def collect(self):
        return Frame()


@pytest.mark.parametrize("kind", [Frame, Lazy])
def test_a_frame_is_read_by_columns_where_arrow_is_missing(kind):
    assert cells(open_source(kind()).table()) == {"a": [1.5, 2.5], "b": ["x", None]}
