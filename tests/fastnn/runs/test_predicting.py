import csv
import io

import numpy as np
import pytest

import fastnn
from fastnn import Linear, Sequential
from fastnn.data.tables import scratch
from fastnn.data.tables.columns import Category, Number
from fastnn.data.tables.schema import Schema, UnseenCategoryWarning
from fastnn.data.tables.sources import open_source
from fastnn.data.tables.target import Target
from fastnn.metrics import probabilities
from fastnn.runs.predicting import (
    class_names,
    classifies,
    predict_frame,
    predict_table,
    prediction_columns,
    write,
)
from tables import table

COLUMNS = Number("size", 5.0), Category("colour", "red", ("blue", "red"))
ROWS = "colour,id,size\nred,007,1.5\nblue,008,\ngreen,010,-2\n"
X = np.array([[1.5, 0, 1], [5.0, 1, 0], [-2.0, 0, 0]], np.float32)


def model(outputs=1, classes=(), task=None, dtype="float32"):
    """A chain that takes the columns of a table."""
    chain = Sequential(Linear(3, outputs, dtype=dtype, seed=outputs))
    task = task or ("classification" if classes else "regression")
    chain.schema, chain.classes = Schema(COLUMNS, Target("y", task)), classes
    return chain


# frames and tables


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_table_is_predicted_block_by_block(dtype):
    found = table(ROWS)
    chain = model(2, ("a", "b"), dtype=dtype)
    outputs = predict_table(chain, chain.schema, found, ["size", "colour"])
    assert outputs.dtype == dtype
    np.testing.assert_array_equal(outputs, fastnn.predict(chain, X.astype(dtype)))
    rows = 130_000  # more than DuckDB stores together
    many = table("size,colour\n" + "".join(f"{i % 7},red\n" for i in range(rows)))
    x = np.tile(np.array([[0, 0, 1]], dtype), (rows, 1))
    x[:, 0] = np.arange(rows) % 7
    found = predict_table(chain, chain.schema, many, ["size", "colour"])
    np.testing.assert_array_equal(found, fastnn.predict(chain, x))


def test_a_frame_is_predicted_whatever_else_it_holds():
    frame = {"more": ["x"] * 3, "colour": ["red", "blue", "green"], "size": [1.5, None, -2]}
    chain = model()
    with pytest.warns(UnseenCategoryWarning, match="1 row holds 'green', which training had not"):
        found = predict_frame(chain, frame)
    np.testing.assert_array_equal(found["prediction"], fastnn.predict(chain, X)[:, 0])


@pytest.mark.parametrize("schema", [None, Schema()])
def test_a_model_of_no_table_predicts_no_frames(schema):
    chain = model()
    chain.schema = schema
    with pytest.raises(ValueError, match="predict_frame: the model was not trained on a table"):
        predict_frame(chain, {"size": [1.0]})


# columns of predictions


def test_numbers_are_one_column():
    outputs = np.array([[1.5], [2.5]], np.float32)
    assert list(prediction_columns(model(), outputs)) == ["prediction"]
    np.testing.assert_array_equal(prediction_columns(model(), outputs)["prediction"], [1.5, 2.5])


def test_classes_have_names_and_probabilities():
    outputs = np.random.default_rng(0).normal(0, 3, (9, 3)).astype(np.float32)
    names = ("a", "b, c", "d")
    found = prediction_columns(model(3, names), outputs)
    assert [*found] == ["prediction", "probability", *(f"probability of {each}" for each in names)]
    shares = probabilities(outputs)
    np.testing.assert_array_equal(np.stack([*found.values()][2:], 1).astype(float), shares)
    assert [*found["prediction"]] == [names[each] for each in shares.argmax(axis=1)]
    np.testing.assert_array_equal(found["probability"], shares.max(axis=1))


def test_what_a_model_predicts():
    one, two = np.zeros((1, 1), np.float32), np.zeros((1, 2), np.float32)
    assert not classifies(model(), one)
    assert not classifies(model(2, task="regression"), two)
    assert classifies(model(2, ("a", "b")), two)
    chain = model(2, ("a", "b"))
    chain.schema = None
    assert classifies(chain, two)
    chain.classes = ()
    assert classifies(chain, two)
    assert not classifies(chain, one)
    assert class_names(model(2, ("a", "b")), 2) == ["a", "b"]
    assert class_names(chain, 3) == ["0", "1", "2"]


# files


def test_columns_are_written_behind_those_that_are_kept():
    found = table(ROWS, ["id"])
    columns = {"prediction": np.array([1.5, -2.0, 0.25]), 'of "a", b': np.array(["x", "é", "p,q"])}
    file = io.BytesIO()
    write(file, columns, found, ["id", "colour"])
    rows = list(csv.reader(io.StringIO(file.getvalue().decode())))
    assert rows[0] == ["id", "colour", "prediction", 'of "a", b']
    assert rows[1:] == [
        ["007", "red", "1.5", "x"], ["008", "blue", "-2.0", "é"], ["010", "green", "0.25", "p,q"],
    ]  # fmt: skip


def test_parquet_holds_the_same(tmp_path):
    columns = {"prediction": np.array(["x", "y"], object), "probability": np.array([0.5, 0.75])}
    with (tmp_path / "out.parquet").open("wb") as file:
        write(file, columns, parquet=True)
    found = open_source(tmp_path / "out.parquet").table()
    rows = found.connection.execute("SELECT * FROM cells").fetchall()
    assert found.names == ("prediction", "probability")
    assert rows == [("x", 0.5), ("y", 0.75)]


@pytest.mark.parametrize("parquet", [False, True])
def test_columns_of_one_name_are_all_written(parquet):
    found = table("prediction,Probability\nold,1\n", ["prediction"])
    file = io.BytesIO()
    columns = {"prediction": np.array([2.0]), "probability": np.array([3.0])}
    write(file, columns, found, ["prediction", "Probability"], parquet)
    again = open_source(file.getvalue())
    assert again.names == ("prediction", "Probability", "prediction_1", "probability_1")
    assert again.table().connection.execute("SELECT * FROM cells").fetchall() == [
        ("old", 1.0, 2.0, 3.0)
    ]


def test_nothing_is_left_in_the_folder_of_scratch_files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write(io.BytesIO(), {"prediction": np.zeros(9)})
    assert not list(scratch.folder().iterdir())
