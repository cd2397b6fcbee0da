import datetime
import io
import sys
import zipfile

import pytest

from fastnn import datasets
from fastnn.data.tables.sources import open_source
from fastnn.data.tables.table import TableError
from tables import cells


def workbook():
    """The bytes of a zip file with the parts of a spreadsheet, and nothing in them."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("xl/workbook.xml", "<workbook/>")
    return memory.getvalue()


@pytest.fixture
def sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def write(*rows):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        path = tmp_path / "rows.xlsx"
        book.save(path)
        return path

    return write


def test_the_first_sheet_is_a_table(sheet):
    path = sheet(
        ["number", "text", None, "mixed", "day", "truth"],
        [1.5, "x", 7, 1, datetime.date(2024, 1, 31), True],
        [None, "007", 8, "a", None, False],
        [],
        [-2, None, 9, None, datetime.datetime(2024, 2, 1, 12, 30), None],
    )
    for source in (path, path.read_bytes()):
        found = cells(open_source(source).table())
        assert found["number"] == [1.5, None, -2]
        assert found["text"] == ["x", "007", None]
        assert found["Unnamed: 2"] == [7, 8, 9]
        assert found["mixed"] == ["1", "a", None]
        assert [each and each[:10] for each in found["day"]] == ["2024-01-31", None, "2024-02-01"]
        assert found["truth"] == ["True", "False", None]


def test_a_sheet_is_learned_from(sheet):
    path = sheet(["a", "kind", "y"], *[[i * 0.5 + 0.1, "pq"[i % 2], i % 3] for i in range(60)])
    data = datasets.load(path, target="y")
    assert data.classes == ("0", "1", "2")
    assert data.schema.features == ["a", "kind=p", "kind=q"]


@pytest.mark.parametrize("rows", [[], [["a", "b"]]])
def test_a_sheet_without_rows(rows, sheet):
    with pytest.raises(TableError, match="a spreadsheet without a table; expected names and rows"):
        open_source(sheet(*rows))


def test_titles_above_the_names_are_left_out_and_said(sheet):
    rows = [["Report 2024"], [], ["as of", "today"], [*"abcd", None], [1, 2, 3, 4], [5, 6, None, 8]]
    opened = open_source(sheet(*rows))
    assert cells(opened.table()) == {"a": [1, 5], "b": [2, 6], "c": [3, None], "d": [4, 8]}
    assert opened.notes == ("the first 2 rows before the names of columns: left out",)
    assert open_source(sheet(["Report"], ["a", "b"], [1, 2])).names == ("a", "b")


@pytest.mark.parametrize("rows", [[["a"], [1], [2]], [[None, "a"], [0, 1.5]]])
def test_without_titles_the_first_row_has_the_names(rows, sheet):
    opened = open_source(sheet(*rows))
    assert not opened.notes
    assert "a" in opened.names


def test_the_first_sheet_with_a_table_is_read_and_said(tmp_path):
    book = pytest.importorskip("openpyxl").Workbook()
    book.active.append(["A title"])
    for title, value in ("first", 1), ("second", 2):
        sheet = book.create_sheet(title)
        sheet.append(["a", "b"])
        sheet.append([value, value])
    book.create_sheet("empty")
    book.save(tmp_path / "rows.xlsx")
    opened = open_source(tmp_path / "rows.xlsx")
    assert cells(opened.table()) == {"a": [1], "b": [1]}
    assert opened.notes == ("sheet 'first' is read, and not 'Sheet', 'second'",)


def test_a_damaged_spreadsheet(tmp_path):
    pytest.importorskip("openpyxl")
    (tmp_path / "a.xlsx").write_bytes(workbook())
    with pytest.raises(
        TableError, match=r"a.xlsx: found a spreadsheet that cannot be read"
    ) as info:
        open_source(tmp_path / "a.xlsx")
    assert len(str(info.value)) <= 400


def test_columns_of_one_name_are_told_apart_and_said(sheet):
    opened = open_source(sheet(["a", "a"], [1, 2], [3, "x"]))
    assert cells(opened.table()) == {"a": [1, 3], "a.1": ["2", "x"]}
    assert opened.notes == ("several columns are named 'a'; the later ones are read as 'a.1'",)


def test_without_openpyxl_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(TableError, match="found a spreadsheet; pip install openpyxl, or save it"):
        open_source(workbook())
