import csv
import datetime
import decimal

import numpy as np
import pytest

from fastnn.data.tables import relation
from fastnn.data.tables.columns import Category, Number
from fastnn.data.tables.relation import connect, write_file
from fastnn.data.tables.sources import open_source
from fastnn.data.tables.table import TableError
from tables import cells, table


@pytest.fixture
def parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(**named):
        path = tmp_path / "rows.parquet"
        parquet.write_table(pyarrow.table(named), path)
        return path

    return write


# Parquet


def test_a_parquet_file_is_columns_by_name(parquet):
    path = parquet(
        number=[1.5, None, 2.0],
        whole=[1, None, 3],
        text=["x", None, " y "],
        truth=[True, False, None],
        nan=[float("nan"), 1.0, 2.0],
        price=[decimal.Decimal("1.25"), None, decimal.Decimal("-3.5")],
    )
    for source in (path, path.read_bytes()):
        assert cells(open_source(source).table()) == {
            "number": [1.5, None, 2], "whole": [1, None, 3], "text": ["x", None, "y"],
            "truth": ["True", "False", None], "nan": [None, 1, 2], "price": [1.25, None, -3.5],
        }  # fmt: skip


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"]
)
def test_parquet_numbers_of_all_widths(dtype, parquet):
    values = np.array([1, 2, 100], dtype)
    found = open_source(parquet(a=values, b=["x", "y", "z"])).table()
    assert not found.is_text("a")
    np.testing.assert_array_equal(found.values(Number("a"), "a"), values)
    assert found.is_bytes("a") == (dtype == "uint8")


def test_numbers_of_a_parquet_file_as_texts(parquet):
    path = parquet(whole=[1, 20], real=[1.0, 2.5], single=np.array([3.0, 0.5], np.float32))
    source = open_source(path)
    assert cells(source.table(None, source.names)) == {
        "whole": ["1", "20"], "real": ["1", "2.5"], "single": ["3", "0.5"],
    }  # fmt: skip


def test_dates_of_a_parquet_file_are_texts(parquet):
    path = parquet(
        day=[datetime.date(2024, 1, 31), None],
        moment=[datetime.datetime(2024, 1, 31, 12, 30), None],
        clock=[datetime.time(12, 30), None],
    )
    assert cells(open_source(path).table()) == {
        "day": ["2024-01-31", None],
        "moment": ["2024-01-31 12:30:00", None],
        "clock": ["12:30:00", None],
    }


def test_columns_of_lists_are_left_out_and_said(parquet):
    source = open_source(parquet(a=[1, 2], pairs=[[1, 2], [3]], parts=[{"x": 1}, {"x": 2}]))
    assert source.names == ("a",)
    (note,) = source.notes
    assert "left out, since they are neither numbers nor texts: pairs (" in note
    assert "parts (STRUCT" in note


def test_a_damaged_parquet_file(parquet):
    content = parquet(a=np.arange(1000), b=["x", "y"] * 500).read_bytes()
    for damaged in (content[:-20], content[: len(content) // 2], content[:4] + content[50:]):
        with pytest.raises(TableError, match=r"^rows: ") as info:
            open_source(damaged, "rows").table()
        assert len(str(info.value)) <= 400


# facts

TABLE = "n,t,w\n1.5,x,3\n,y,4\n-2,x,5\n2,,6\n"


def test_facts_of_numbers():
    n, w = table(TABLE).number_facts(["n", "w"])
    assert (n.missing, n.infinite, n.low, n.high) == (1, 0, -2, 2)
    assert not n.whole
    assert (w.missing, w.low, w.high, w.whole, w.steps) == (0, 3, 6, True, True)


@pytest.mark.parametrize(
    ("values", "steps"),
    [([3, 4, 5], True), ([5, 4, 3], True), ([3, 5, 4], False), ([1, 1, 1], False), ([1.5], False)],
)
def test_a_running_index_is_known(values, steps):
    (facts,) = table("w,t\n" + "".join(f"{each},x\n" for each in values)).number_facts(["w"])
    assert facts.steps == steps


def test_facts_of_texts_are_counted_in_all_rows_or_in_some():
    found = table(TABLE)
    facts = found.text_facts("t", 10)
    assert (facts.missing, facts.distinct, facts.counts) == (1, 2, {"x": 2, "y": 1})
    assert found.text_facts("t", 1).counts == {"x": 2}
    some = found.text_facts("t", 10, np.array([1, 3]))
    assert (some.missing, some.distinct, some.counts) == (1, 1, {"y": 1})


def test_facts_are_numpys_of_the_same_numbers():
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    values[::7], values[3], values[4] = np.nan, np.inf, -np.inf
    beside_texts = open_source({"a": values, "t": ["x"] * 1000}).table()
    alone = open_source({"a": values}).table()
    (found,), (expected,) = beside_texts.number_facts(["a"]), alone.number_facts(["a"])
    assert found.infinite == expected.infinite == 2
    assert found.missing == expected.missing == 143
    known = values[np.isfinite(values)]
    for each in (found, expected):
        assert (each.low, each.high) == (known.min(), known.max())


# blocks


def test_blocks_are_the_rows_in_their_order(monkeypatch):
    monkeypatch.setattr(relation, "_BLOCK_CELLS", 300_000)
    rng = np.random.default_rng(0)
    numbers, texts = rng.normal(size=300_000), rng.choice(["a", "b", "c"], 300_000)
    found = open_source({"n": numbers, "t": texts}).table()
    columns = [Category("t", None, ("a", "b")), Number("n")]
    blocks = list(found.blocks(columns, ["t", "n"]))
    assert len(blocks) > 1
    assert [rows.start for rows, _ in blocks[1:]] == [rows.stop for rows, _ in blocks[:-1]]
    codes, values = (np.concatenate([each[place] for _, each in blocks]) for place in (0, 1))
    np.testing.assert_array_equal(values, numbers)
    np.testing.assert_array_equal(codes, np.select([texts == "a", texts == "b"], [0, 1], -1))


def test_little_memory_is_taken_while_rows_of_a_large_table_are_read(monkeypatch):
    def limit():
        return found.connection.execute("SELECT current_setting('memory_limit')").fetchall()

    found = open_source({"n": np.arange(3000.0), "t": ["x"] * 3000}).table()
    usual = limit()
    assert [limit() for _ in found.blocks([Number("n")], ["n"])] == [usual]
    monkeypatch.setattr(relation, "_IN_MEMORY", 0)
    spared = [limit() for _ in found.blocks([Number("n")], ["n"])]
    assert spared != [usual]
    assert limit() == usual


@pytest.mark.parametrize("kind", ["parquet", "json", "arrow"])
def test_rows_stay_in_their_order(kind, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    n, path = 300_000, tmp_path / "rows"
    numbers = np.arange(n)
    texts = np.where(numbers // 50_000 % 2, "a", " a text that takes time ")
    source = pyarrow.table({"n": numbers, "t": texts})
    if kind == "parquet":
        parquet.write_table(source, path, row_group_size=50_000)
    elif kind == "json":
        path.write_text("".join(f'{{"n":{i},"t":"{texts[i]}"}}\n' for i in range(n)))
    found = open_source(source if kind == "arrow" else path).table()
    np.testing.assert_array_equal(found.values(Number("n"), "n"), numbers)


def test_keys_are_equal_where_cells_are():
    values = np.array(["a", "b", "a", "", "b", ""])
    keys = open_source({"t": values}).table().keys("t")
    np.testing.assert_array_equal(keys[:, None] == keys, values[:, None] == values)


def test_texts_that_cannot_be_read_are_named_the_most_frequent_first():
    found = table("a,b\n1,0\nx,0\ny,0\ny,0\n1_0,0\ninf,0\n,0\n", ["a"])
    assert found.odd(Number("a"), "a") == [("y", 2, 3), ("1_0", 1, 5), ("inf", 1, 6), ("x", 1, 2)]


# writing


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_are_written_beside_those_that_are_kept(kind, tmp_path):
    texts = ['Ann, "B"', "two\nlines", "007", "ü"]
    numbers = np.array([0.1, 1e-30, 1 / 3, 12345678.9])
    rows = open_source({"id": np.array(texts, object), "x": np.arange(4.0)}).table()
    path = tmp_path / "out"
    columns = {"prediction": numbers, 'a "b"': numbers.astype(np.float32)}
    write_file(path, columns, rows, ["id"], kind == "parquet")
    if kind == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            names, *lines = csv.reader(file)
        assert names == ["id", *columns]
        assert [line[0] for line in lines] == texts
        np.testing.assert_array_equal([float(line[1]) for line in lines], numbers)
    found = open_source(path).table(None, ["id"])
    assert found.names == ("id", *columns)
    assert cells(found)["id"] == texts
    np.testing.assert_array_equal(found.values(Number("p"), "prediction"), numbers)


def test_a_connection_knows_no_variables_of_python():
    secret = {"a": np.arange(3)}  # noqa: F841
    import duckdb

    with pytest.raises(duckdb.Error, match="secret"):
        connect().execute("SELECT * FROM secret").fetchall()
