"""Test rows of tables: by groups, by times, of a file, and found again by `fastnn evaluate`."""

import numpy as np
import pytest

from command_line import run
from fastnn import datasets
from fastnn.data.names import TABLE
from fastnn.data.tables.table import TableError
from fastnn.runs.data import read_data
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings

RNG = np.random.default_rng(0)
N = 200
A = RNG.normal(size=N)
PERSON = [f"p{i % 17}" for i in range(N)]
DAY = [f"{1 + i % 28:02d}.{1 + i // 28:02d}.2024" for i in range(N)]
Y = 3 * A + RNG.normal(size=N)


def columns(**more):
    return {"a": A, "person": PERSON, "day": DAY, "y": Y} | more


def rows_of(x, place=0):
    """The rows of the table that have these numbers in a column of inputs."""
    return [int(np.abs(A - each).argmin()) for each in x[:, place]]


def test_rows_of_a_person_stay_together():
    data = datasets.load(columns(), target="y", group="person")
    train, test = ({PERSON[i] for i in rows_of(x)} for x in (data.x_train, data.x_test))
    assert not train & test
    assert not any("person" in name for name in data.schema.features)
    assert any("'person' stay together" in note for note in data.notes)


def test_the_last_days_are_held_out():
    data = datasets.load(columns(), target="y", time="day", test=0.1)
    assert sorted(rows_of(data.x_test)) == list(range(N - 20, N))
    assert rows_of(data.x_train) == list(range(N - 20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "person"}, "column 'person' holds 'p0'; expected numbers or dates"),
        ({"time": "when"}, "no column of times 'when'"),
        ({"group": "who"}, "no column of groups 'who'"),
        ({"group": "person", "time": "day"}, "expected one of them"),
    ],
)
def test_columns_that_rows_cannot_be_split_by(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(columns(), target="y", **options)


def test_a_time_that_is_missing_is_refused():
    with pytest.raises(TableError, match="column 'day' is no time in 1 rows"):
        datasets.load(columns(day=["", *DAY[1:]]), target="y", time="day")


def test_test_rows_of_a_file(tmp_path):
    path = tmp_path / "test.csv"
    lines = [
        f"{float(A[i])!r},{'new' if i == 0 else PERSON[i]},{DAY[i]},{float(Y[i])!r}"
        for i in range(30)
    ]
    path.write_text("\n".join(["a,person,day,y", *lines, "1,p1,01.01.2024,"]) + "\n")
    data = datasets.load(columns(), target="y", test_file=path)
    assert (len(data.x_train), len(data.x_test)) == (N, 30)
    np.testing.assert_array_equal(data.y_test, Y[:30])
    np.testing.assert_allclose(data.x_test[:, 0], A[:30].astype(np.float32))
    assert any("'new'" in note for note in data.notes)
    path.write_text("a,person,day\n1,p1,01.01.2024\n")
    with pytest.raises(TableError, match=r"test\.csv: there is no target 'y'"):
        datasets.load(columns(), target="y", test_file=path)


@pytest.mark.parametrize("way", [("--group", "person"), ("--time", "day"), ("--split-seed", "5")])
def test_evaluate_finds_the_held_out_rows(way, tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "out"
    rows = zip(*columns().values(), strict=True)
    path.write_text("\n".join(["a,person,day,y", *(",".join(map(str, row)) for row in rows)]))
    train = run("train", path, "--target", "y", "--epochs", "2", *way, "--out", out)
    assert train.exit_code == 0, train.output
    found = run("evaluate", out / "model.safetensors", path)
    assert found.exit_code == 0, found.output
    assert "that training held out" in found.stdout


@pytest.mark.parametrize("way", [{"group": "person"}, {"time": "day"}])
def test_the_column_to_split_by_may_be_left_out_of_the_inputs(way, tmp_path):
    (name,) = way.values()
    data = datasets.load(columns(), target="y", drop=[name], **way)
    assert not any(name in feature for feature in data.schema.features)
    whole = datasets.load(columns(), target="y", **way)
    np.testing.assert_array_equal(data.y_test, whole.y_test)


def test_what_validates_is_behind_what_is_trained_on():
    settings = Settings(TABLE, target="y", time="day")
    train, held_out = Run(settings, read_data(settings, columns())).data
    assert len(held_out[0]) == round(0.1 * (len(train[0]) + len(held_out[0])))
    assert max(rows_of(train[0])) < min(rows_of(held_out[0]))
