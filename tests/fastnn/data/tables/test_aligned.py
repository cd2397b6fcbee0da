import numpy as np
import pytest

from fastnn.data.tables.aligned import is_aligned
from fastnn.data.tables.sources import TargetError, find_target
from fastnn.data.tables.table import TableError
from tables import cells, source, texts

ROWS = [[f"{i}.5", f"{i * 100}", "ab"[i % 2]] for i in range(40)]
NAMES = ["x", "size", "kind"]


def aligned(names=NAMES, rows=ROWS, end="\n", begin="  "):
    lines = ([names] if names else []) + rows
    return "".join(begin + "   ".join(f"{cell:>6}" for cell in line) + end for line in lines)


@pytest.mark.parametrize("end", ["\n", "\r\n", "  \n", "\n\n"])
@pytest.mark.parametrize("begin", ["", "  "])
def test_cells_between_runs_of_spaces(begin, end):
    opened = source(aligned(begin=begin, end=end))
    assert opened.names == tuple(NAMES)
    assert "columns are parted by spaces" in opened.notes
    found = cells(opened.table())
    assert found["x"] == [i + 0.5 for i in range(40)]
    assert found["kind"] == ["a", "b"] * 20


def test_numbers_without_names(tmp_path):
    np.savetxt(tmp_path / "rows", np.arange(12.0).reshape(4, 3))
    opened = source((tmp_path / "rows").read_bytes())
    assert not opened.named
    assert cells(opened.table())["2"] == [2, 5, 8, 11]


def test_names_behind_the_sign_of_a_comment(tmp_path):
    for header in ("x y z", "x  y  z"):
        np.savetxt(tmp_path / "rows", np.arange(12.0).reshape(4, 3), header=header)
        content = (tmp_path / "rows").read_bytes()
        assert source(content).names == ("x", "y", "z")
        assert source(content.replace(b"# ", b"#")).names == ("x", "y", "z")


def test_rows_with_names_as_r_writes_them():
    content = '"mpg" "cyl"\n"Mazda RX4" 21 6\n"Datsun ""710""" 22.8 4\n"Valiant" NA 6\n'
    assert texts(content) == {
        "Unnamed: 0": ["Mazda RX4", 'Datsun "710"', "Valiant"],
        "mpg": ["21", "22.8", None],
        "cyl": ["6", "4", "6"],
    }


def test_other_encodings():
    content = aligned([*NAMES[:2], "größe"]).encode("utf-16")
    assert source(content).names == ("x", "size", "größe")


@pytest.mark.parametrize(
    "content",
    [
        "", "a", "a b\n", "a,b c\n1,2 3\n", "a\tb c\n1\t2 3\n", "full name\nAnn Lee\nBob Ray\n",
        "a b\n1 2\n3\n", "title of this\na b\n1 2\n", "size\n1\n2\n", "a b c d\n1 2\n3 4\n",
    ],
)  # fmt: skip
def test_other_files_are_not_of_this_kind(content):
    assert not is_aligned(content)


def test_a_line_with_more_cells_is_named():
    with pytest.raises(TableError, match="line 42 has 4 fields; expected 3"):
        source(aligned() + "1 2 a b\n").table()


def test_a_single_column_makes_one_ask_for_the_delimiter():
    opened = source("a~b\n1~2\n2~3\n")
    with pytest.raises(TargetError, match="among the columns a~b; --delimiter tells the sign"):
        find_target(opened, "b")
