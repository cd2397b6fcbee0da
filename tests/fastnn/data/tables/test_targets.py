import numpy as np
import pytest

from fastnn.data.tables.columns import MISSING
from fastnn.data.tables.numbers import Spelling
from fastnn.data.tables.sources import TargetError, find_target, open_source
from fastnn.data.tables.table import TableError
from fastnn.data.tables.target import Target
from fastnn.data.tables.targets import understand_target as understand
from fastnn.data.tables.understanding import Understanding, Wishes
from tables import source, table


def column(*values):
    """A table with a column y of texts."""
    return table("y,other\n" + "".join(f'"{value}",0\n' for value in values), ["y"])


def learned(*values, task=None):
    return understand(Understanding(column(*values), Wishes()), "y", task)


# reading


def test_targets_become_class_indices_or_numbers():
    classes = Target("y", "classification")
    assert classes.encode(column("b", "a", "b"), "y", ["a", "b"]).tolist() == [1, 0, 1]
    of_numbers = open_source({"y": np.array([2.0, 1.0])}).table()
    assert classes.encode(of_numbers, "y", ["1", "2"]).tolist() == [1, 0]
    numbers = Target("y", "regression").encode(column("1.5", "-2"), "y", ())
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [1.5, -2]
    spelled = Target("y", "regression", spelling=Spelling(",", "."))
    assert spelled.encode(column("1.234,5", "-2"), "y", ()).tolist() == [1234.5, -2]


def test_classes_of_numbers_are_known_however_they_are_written():
    target = Target("y", "classification")
    assert target.encode(column("1.0", "2.0"), "y", ["1", "2"]).tolist() == [0, 1]
    assert target.encode(column("01", "02"), "y", ["01", "02"]).tolist() == [0, 1]
    assert target.encode(column("1", "01", "10"), "y", ["01", "1", "10"]).tolist() == [1, 0, 2]


def test_what_is_missing_is_marked():
    target = Target("y", "classification")
    assert target.read(column("b", "", "NA"), "y", ["b"]).tolist() == [0, MISSING, MISSING]
    assert np.isnan(Target("y", "regression").read(column("1", ""), "y", ())).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("regression", ["1", "", "NA"], "rows.csv: target 'y' is missing in 2 of 3 rows"),
        ("regression", ["1", "x"], "target 'y' holds 'x' in row 2; expected numbers"),
        ("regression", ["1", "inf"], "target 'y' holds 'inf' in row 2"),
        ("classification", ["a", "c"], "target 'y' holds c; expected one of a, b"),
        ("classification", ["a", ""], "target 'y' is missing in 1 of 2 rows"),
        ("classification", [f"class {i}" for i in range(500)], "holds class 0, .* 495 more;"),
    ],
)
def test_targets_that_do_not_fit(task, values, message):
    with pytest.raises(TableError, match=message) as info:
        Target("y", task).encode(column(*values), "y", ["a", "b"])
    assert len(str(info.value)) <= 400


def test_infinite_targets_are_refused():
    rows = open_source({"y": np.array([1, np.inf])}).table()
    with pytest.raises(TableError, match="target 'y' holds inf; expected finite numbers"):
        Target("y", "regression").encode(rows, "y", ())


# plain values


def test_a_target_is_the_same_from_plain_values():
    for target in (
        Target("y", "classification"),
        Target("y", "regression", 2.5, 0.1),
        Target("y", "regression", 2.5, 0.1, Spelling(",", " ", "€")),
    ):
        assert Target.from_dict(target.to_dict()) == target
    before = {"name": "y", "task": "regression", "mean": 1.0, "std": 2.0}
    assert Target("y", "regression", 1.0, 2.0).to_dict() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 1}, {"task": "x"}, {"std": 0}, {"mean": float("nan")}, {"mean": "x"},
        {"more": 1}, {"spelling": {"decimal": ","}}, {"spelling": 3},
    ],
)  # fmt: skip
def test_plain_values_that_are_no_target(wrong):
    with pytest.raises(ValueError, match="found "):
        Target.from_dict({"name": "y", "task": "regression", "mean": 0.0, "std": 1.0} | wrong)


# finding


def test_a_target_is_found_by_name_or_by_place():
    named, unnamed = source("a,b\n1,x\n"), source("1,2\n3,4\n")
    assert find_target(named, "b") == ("b", named)
    assert find_target(unnamed, "-1") == ("1", unnamed)
    assert find_target(unnamed, "0") == ("0", unnamed)


def test_a_target_may_be_a_file(tmp_path):
    for values in (np.array([1.5, 2]), np.array([[3], [4]]), np.array(["a", "b"])):
        np.save(tmp_path / "y.npy", values)
        name, of = find_target(source("a,b\n1,x\n"), str(tmp_path / "y.npy"))
        assert name == "y"
        assert of.table().keys("y").shape == (2,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "no target is named; expected one of its columns: age, price"),
        ("Price", "no target 'Price' among the columns age, price; did you mean 'price'"),
        ("-1", "no target '-1'"),  # columns have names
    ],
)
def test_a_target_that_is_not_there(name, message):
    with pytest.raises(TargetError, match=message):
        find_target(source("age,price\n1,x\n"), name)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.float64(3), np.zeros(2, complex)])
def test_a_file_of_targets_that_are_none(values, tmp_path):
    np.save(tmp_path / "y.npy", values)
    with pytest.raises(TableError, match=r"y.npy: found an array .* expected a target for each"):
        find_target(source("a,b\n1,x\n"), str(tmp_path / "y.npy"))
    (tmp_path / "y.npy").write_bytes(b"nothing")
    with pytest.raises(TableError, match=r"y.npy: found a file that NumPy cannot read"):
        find_target(source("a,b\n1,x\n"), str(tmp_path / "y.npy"))


# understanding


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1_0", "10", "2_0"], ("10", "1_0", "2_0")),
        (["01", "1", "2"], ("01", "1", "2")),
        (["1", "1.0", "1e0"], ("1", "1.0", "1e0")),
        (["A", "a", "á"], ("A", "a", "á")),
        (["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
        (["10", "9", "8"], ("8", "9", "10")),
        (["1.0", "0.0"], ("0.0", "1.0")),
        (["yes", "no"], ("no", "yes")),
        (["True", "False"], ("False", "True")),
        (["2024-01-02", "2024-01-01"], ("2024-01-01", "2024-01-02")),
        (["5%", "10%"], ("10%", "5%")),
        (["a b", "a  b"], ("a  b", "a b")),
    ],
)
def test_each_text_is_a_class_of_its_own(labels, classes):
    found = learned(*labels * 20, task="classification")
    assert found.classes == classes
    assert [classes[code] for code in found.y] == labels * 20


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 20, "classification"),
        (["1", "2"] * 20, "classification"),
        ([str(i % 20) for i in range(80)], "classification"),
        ([str(i % 21) for i in range(84)], "regression"),
        (["1.5", "2"] * 20, "regression"),
        ([str(i) for i in range(12)], "regression"),
        ([f"{i:,}" for i in range(100_000, 100_100)], "regression"),
        ([f"{i},5" for i in range(30)], "regression"),
        ([f"$ {i}" for i in range(30)], "regression"),
        ([f"{i}%" for i in range(30)], "regression"),
        (["01", "02"] * 20, "classification"),
        ([f"1_{i}" for i in range(30)] * 2, "classification"),
    ],
)
def test_the_task_is_told_from_the_target(values, task):
    found = learned(*values)
    assert found.target.task == task
    assert found.understood.became.startswith(
        "regression" if task[0] == "r" else str(len({*values}))
    )


def test_thousands_and_decimal_commas_of_a_target_are_numbers_and_said():
    found = learned(*[f"{i:,}" for i in range(100_000, 100_100)])
    assert found.y.tolist() == [*range(100_000, 100_100)]
    assert any("',' between thousands" in note for note in found.understood.notes)
    assert found.target.spelling == Spelling(".", ",")


def test_odd_texts_among_numbers_are_said_and_no_targets():
    found = learned(*[f"{i}.5" for i in range(40)], "unknown", "")
    assert found.target.task == "regression"
    assert np.isnan(found.y).sum() == 2
    assert any("'unknown'" in note for note in found.understood.notes)


def test_a_line_of_totals_is_left_out_and_said():
    values = [i + 0.25 for i in range(1, 40)]
    for missing, behind in ([], []), ([""], []), ([], [""]):
        texts = [*values, *missing, sum(values) + 0.01, *behind]
        found = learned(*texts)
        assert np.isnan(found.y[len(values) :]).all()
        assert not np.isnan(found.y[: len(values)]).any()
        assert found.understood.facts.high == 39.25
        assert "the last row with a 'y' is left out: it is the sum of all others" in "".join(
            found.understood.notes
        )
        rows = column(*texts)
        again = Target("y", "regression").read(rows, "y", ())  # as `fastnn evaluate` does
        np.testing.assert_array_equal(again, found.y)


@pytest.mark.parametrize(
    "values",
    [
        [*range(1, 40)],
        [0.5, -0.5] * 20 + [0.0],
        [1.5, 2.5, 4.0],
        [*(i + 0.5 for i in range(40)), 2000.5],
    ],
)
def test_other_numbers_are_no_totals(values):
    found = learned(*values, task="regression")
    assert not np.isnan(found.y).any()
    assert not found.understood.notes


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a"] * 20, None, "is 'a' in all rows; expected at least two"),
        ([f"name {i}" for i in range(1001)], None, "has its own text in each row"),
        ([f"name {i % 1001}" for i in range(1100)], None, "has 1,001 different values"),
        (["", ""], None, "has 0 different values|no values to learn from"),
        (["", ""], "regression", "target 'y' holds no values to learn from|expected numbers"),
        (["a", "b"], "regression", "target 'y' holds '[ab]' in row [12]; expected numbers"),
    ],
)
def test_targets_that_cannot_be_learned(values, task, message):
    with pytest.raises(TableError, match=message):
        learned(*values, task=task)
