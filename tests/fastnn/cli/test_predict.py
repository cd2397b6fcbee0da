import csv
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

import fastnn
from command_line import error_of, run
from fastnn.data.images import Conversion
from fastnn.data.tables.columns import Category, Number
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.target import Target
from fastnn.metrics import probabilities


def only_line(result):
    """Return the error of a command that failed, which is all that stands on standard error."""
    error = error_of(result, 1)
    assert result.stderr == f"{error}\n"
    return error


def saved(path, inputs, outputs, schema, classes=()):
    model = fastnn.Sequential(fastnn.Linear(inputs, outputs, seed=0))
    model.schema, model.classes = schema, classes
    fastnn.save(model, path)
    return model


@pytest.fixture
def species(tmp_path):
    """A model of two numbers and a category, and its file."""
    schema = Schema(
        (Number("length"), Number("width"), Category("place", None, ("hill", "lake"))),
        Target("kind", "classification"),
    )
    path = tmp_path / "species.safetensors"
    return saved(path, 4, 3, schema, ("cat", "dog", "owl")), path


@pytest.fixture
def price(tmp_path):
    schema = Schema((Number("age", 3.0), Number("rooms")), Target("price", "regression"))
    path = tmp_path / "price.safetensors"
    return saved(path, 2, 1, schema), path


@pytest.fixture
def digit(tmp_path):
    path = tmp_path / "digit.safetensors"
    classes = tuple("0123456789")
    return saved(path, 784, 10, Schema(image=Conversion()), classes), path


ROWS = "length,width,place\n1,2,hill\n3,4,lake\n-5,0,hill\n"
X = np.array([[1, 2, 1, 0], [3, 4, 0, 1], [-5, 0, 1, 0]], np.float32)


def picture(kind="PNG"):
    image = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(image).line([(60, 40), (140, 40), (90, 160)], "black", 14)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def table(output):
    """Rows of a printed table, as lists of cells."""
    return [line.split() for line in output.splitlines() if line.strip() and "─" not in line]


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_rows_get_a_class_and_probabilities(way, species, tmp_path):
    model, path = species
    (tmp_path / "rows.csv").write_text(ROWS)
    where = "-" if way == "standard input" else tmp_path / "rows.csv"
    result = run("predict", path, where, given=ROWS)
    assert result.exit_code == 0, result.output
    titles, *rows = table(result.stdout)
    assert titles == ["row", "prediction", "probability", "cat", "dog", "owl"]
    shares = probabilities(fastnn.predict(model, X))
    assert rows == [
        [str(i + 1), model.classes[p.argmax()], f"{p.max():.2%}", *(f"{each:.2%}" for each in p)]
        for i, p in enumerate(shares)
    ]


@pytest.mark.parametrize("where", ["file", "standard output"])
def test_all_predictions_are_written_as_csv(where, species, tmp_path):
    model, path = species
    out = tmp_path / "out.csv" if where == "file" else "-"
    result = run("predict", path, "-", "--out", out, given=ROWS)
    assert result.exit_code == 0, result.output
    text = out.read_text() if where == "file" else result.stdout
    titles, *rows = csv.reader(io.StringIO(text))
    shares = probabilities(fastnn.predict(model, X))
    assert titles == [
        "prediction", "probability", *(f"probability of {name}" for name in model.classes),
    ]  # fmt: skip
    assert [row[0] for row in rows] == [model.classes[each.argmax()] for each in shares]
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], float), shares)
    if where == "file":
        assert "3 predictions" in result.stdout


def test_numbers_of_a_regression(price, tmp_path):
    model, path = price
    result = run("predict", path, "-", "--out", "-", given="age,rooms\n1,2\n,4\n")
    titles, *rows = csv.reader(io.StringIO(result.stdout))
    assert titles == ["prediction"]
    expected = fastnn.predict(model, np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(np.array(rows, np.float32), expected)
    shown = table(run("predict", path, "-", given="age,rooms\n1,2\n").stdout)
    assert shown == [["row", "prediction"], ["1", f"{expected[0, 0]:.6g}"]]


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_rows_of_numpy_files(ending, price, tmp_path):
    model, path = price
    x = np.array([[1.0, 2], [5, 4]])
    file = tmp_path / f"rows.{ending}"
    np.save(file, x) if ending == "npy" else np.savez(file, x=x)
    result = run("predict", path, file, "--out", "-")
    found = np.array(result.stdout.split()[1:], np.float32)
    np.testing.assert_array_equal(found, fastnn.predict(model, x)[:, 0])


def test_many_rows_are_shown_in_part_and_written_in_full(price, tmp_path):
    model, path = price
    x = np.random.default_rng(0).normal(size=(40_000, 2)).astype(np.float32)
    np.save(tmp_path / "rows.npy", x)
    result = run("predict", path, tmp_path / "rows.npy")
    assert "the first 20 rows; --out FILE writes all" in result.stdout
    assert len(table(result.stdout)) == 22
    run("predict", path, tmp_path / "rows.npy", "--out", tmp_path / "out.csv")
    found = np.loadtxt(tmp_path / "out.csv", np.float32, skiprows=1)
    np.testing.assert_array_equal(found, fastnn.predict(model, x)[:, 0])


def test_a_model_that_knows_no_columns_takes_them_by_place(tmp_path):
    model = saved(tmp_path / "m", 2, 2, None)
    result = run("predict", tmp_path / "m", "-", given="1,2\n")
    assert table(result.stdout)[1][1] == str(fastnn.predict(model, [[1.0, 2.0]]).argmax())


def test_unseen_categories_are_said_on_standard_error(species):
    result = run("predict", species[1], "-", given="length,width,place\n1,2,moon\n")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert "standard input: column 'place': 1 row holds 'moon', which training had not" in line


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("way", ["file", "standard input"])
def test_a_picture_gets_a_class_and_probabilities_the_greatest_first(kind, way, digit, tmp_path):
    model, path = digit
    content = picture(kind)
    (tmp_path / "picture").write_bytes(content)
    where = "-" if way == "standard input" else tmp_path / "picture"
    result = run("predict", path, where, given=content)
    assert result.exit_code == 0, result.output
    share = probabilities(fastnn.predict(model, Conversion()(content)))[0]
    (guess,), titles, *rows = table(result.stdout)
    assert guess == str(share.argmax())
    assert titles == ["class", "probability"]
    assert rows == [[str(i), f"{share[i]:.2%}"] for i in np.argsort(-share)]


def test_probabilities_of_a_model_that_learned_numbers_are_its_outputs(tmp_path):
    model = saved(tmp_path / "m", 2, 2, Schema(link="identity"), ("a", "b"))
    model[0].weight, model[0].bias = np.zeros((2, 2)), [0.2, 0.6]
    fastnn.save(model, tmp_path / "m")
    shown = table(run("predict", tmp_path / "m", "-", given="1,2\n").stdout)
    assert shown[1] == ["1", "b", "75.00%", "25.00%", "75.00%"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"", "standard input: found nothing"),
        (b"length,width\n1,2\n", "standard input: column place is missing; found length, width"),
        (b"length,width,place\n1,,hill\n", r"values are missing in width (1) of 1 rows"),
        (b"length,width,place\n1,x,hill\n", "column 'width' holds 'x' in row 1; expected numbers"),
        (picture(), "found a picture; the model was trained on rows of 3 columns"),
    ],
)
def test_rows_that_do_not_fit(given, message, species, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    line = only_line(run("predict", species[1], "-", "--out", out, given=given))
    assert message in line
    assert out.read_text() == "old"


def test_pictures_that_are_none(digit, tmp_path):
    assert "784" in only_line(run("predict", digit[1], "-", given="1,2\n"))
    damaged = picture()[:200]
    assert "damaged picture" in only_line(run("predict", digit[1], "-", given=damaged))
    assert "none.png" in only_line(run("predict", digit[1], tmp_path / "none.png"))


def test_a_model_and_a_schema_that_do_not_fit_each_other(tmp_path):
    saved(tmp_path / "m", 5, 1, Schema.of_numbers(3))
    assert "3 columns" in only_line(run("predict", tmp_path / "m", "-", given="1,2,3\n"))


def test_columns_are_kept_beside_the_predictions(price, tmp_path):
    rows = 'id,rooms,extra,age\n007,2,x,1\n"a,b",4,y,\n'
    out = tmp_path / "out.csv"
    result = run("predict", price[1], "-", "--keep-columns", "id", "--out", out, given=rows)
    assert result.exit_code == 0, result.output
    titles, *lines = csv.reader(io.StringIO(out.read_text()))
    assert titles == ["id", "prediction"]
    assert [line[0] for line in lines] == ["007", "a,b"]
    expected = fastnn.predict(price[0], np.array([[1, 2], [3, 4]], np.float32))[:, 0]
    np.testing.assert_array_equal(np.array([line[1] for line in lines], np.float32), expected)
    line = only_line(run("predict", price[1], "-", "--keep-columns", "ID", given=rows))
    assert "no column to keep 'ID' among the columns id" in line


def test_predictions_may_be_parquet(price, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out.parquet"
    run("predict", price[1], "-", "--keep-columns", "rooms", "--out", out, given="age,rooms\n1,2\n")
    found = parquet.read_table(out).to_pydict()
    assert found["rooms"] == ["2"]
    assert found["prediction"] == [fastnn.predict(price[0], [[1.0, 2.0]])[0, 0]]


def test_frames_are_predicted_in_their_order(price, species):
    n = 300_000
    columns = {"rooms": np.arange(n) % 7.0, "age": np.arange(n) / n, "name": ["x"] * n}
    found = price[0].predict_frame(columns)
    x = np.column_stack([columns["age"], columns["rooms"]]).astype(np.float32)
    np.testing.assert_array_equal(found["prediction"], fastnn.predict(price[0], x)[:, 0])
    kinds = {"place": ["hill", "lake"], "width": [2, 4], "length": [1, 3]}
    shares = probabilities(fastnn.predict(species[0], X[:2]))
    found = species[0].predict_frame(kinds)
    assert list(found) == [
        "prediction", "probability", *(f"probability of {name}" for name in species[0].classes),
    ]  # fmt: skip
    np.testing.assert_array_equal(found["probability of cat"], shares[:, 0])


def test_the_sign_before_decimals_may_be_told(price):
    done = [
        run("predict", price[1], "-", "--out", "-", *more, given=given).stdout
        for given, more in (
            ("age,rooms\n1.5,2.5\n", ()),
            ("age;rooms\n1,5;2,5\n", ("--decimal", ",")),
        )
    ]
    assert done[0] == done[1]
