"""The way of a table through `train`, `evaluate`, `predict`, `info` and `plot`."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

import fastnn
from command_line import run
from fastnn import datasets
from fastnn.metrics import regression_scores

RNG = np.random.default_rng(0)
N = 300
LENGTH, WIDTH = RNG.normal(5, 1, N), RNG.normal(3, 1, N)
PLACE = RNG.choice(["hill", "lake", "wood"], N)
KIND = np.where(LENGTH + (PLACE == "lake") > WIDTH + 2, "cat", "dog")
PRICE = 1e5 * LENGTH + 5e4 * (PLACE == "hill") + 1e6


def trained(*arguments, out):
    result = run("train", *arguments, "--out", out)
    assert result.exit_code == 0, result.output
    return result.stdout, json.loads((out / "history.json").read_text())


def written(path, rows=slice(None), **columns):
    whole = {"length": LENGTH, "width": WIDTH, "place": PLACE} | columns
    rows = zip(*(np.asarray(each, object)[rows] for each in whole.values()), strict=True)
    lines = [",".join(whole), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A classification of a CSV file: the file, the run's folder, its output and record."""
    folder = tmp_path_factory.mktemp("kinds")
    width = [each if place else "" for place, each in enumerate(WIDTH)]
    path = written(folder / "kinds.csv", width=width, kind=KIND)
    return (
        path,
        folder / "run",
        *trained(path, "--target", "kind", "--impute", "--epochs", 40, out=folder / "run"),
    )


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    path = written(folder / "prices.csv", price=PRICE)
    return (
        path,
        folder / "run",
        *trained(path, "--target", "price", "--epochs", 40, out=folder / "run"),
    )


def test_a_summary_comes_before_training(kinds):
    _, _, output, _ = kinds
    summary, _ = output.split("rows to train")
    lines = [line.split() for line in summary.splitlines() if line.strip()]
    assert lines[0] == ["column", "kind", "missing", "content", "became"]
    known = WIDTH[1:]
    content = [f"{known.min():.6g}", "to", f"{known.max():.6g}"]
    assert ["width", "number", "1", *content, "1", "input"] in lines
    names, rows = np.unique(PLACE, return_counts=True)
    frequent = ", ".join(names[np.argsort(-rows)]).split()
    assert ["place", "category", "0", *frequent, "3", "inputs"] in lines
    counts = ", ".join(
        f"{name} ({(name == KIND).sum()})"
        for name in sorted(set(KIND), key=lambda k: -(k == KIND).sum())
    )
    assert f"target kind: 2 classes, since it holds texts: {counts}" in output
    assert max(map(len, summary.splitlines())) <= 80


def test_a_classification_learns_and_tells_all(kinds):
    _, folder, output, record = kinds
    assert record["test"]["accuracy"] > 0.9
    assert record["settings"]["target"] == "kind"
    assert record["settings"]["loss"] == "cross-entropy"
    assert record["rows"] == {"training": 192, "validation": 48, "test": 60}
    assert {file.name for file in folder.iterdir()} == {
        "model.safetensors", "history.json", "curves.png", "confusion.png", "importance.png",
    }  # fmt: skip
    assert "5-64-2 relu" in output


def test_a_regression_learns_in_the_targets_own_units(prices):
    path, folder, output, record = prices
    assert record["settings"]["loss"] == "mse"
    assert 0 < record["history"]["loss"][-1] < 0.1  # in units of the variance
    assert record["test"]["r2"] > 0.95
    assert record["test"]["accuracy"] is None
    assert f"test r2 {record['test']['r2']:.4f}, test rmse {record['test']['rmse']:.4g}" in output
    assert {file.name for file in folder.iterdir()} == {
        "model.safetensors", "history.json", "curves.png", "predictions.png", "importance.png",
    }  # fmt: skip
    data = datasets.load(path, target="price")
    model = fastnn.load(folder / "model.safetensors")
    assert model.schema == data.schema
    predicted = fastnn.predict(model, data.x_test)[:, 0]
    assert regression_scores(data.y_test, predicted) == pytest.approx(
        {name: record["test"][name] for name in ("r2", "mae", "rmse")}
    )
    medians = np.where(data.mean == 0, 0, np.median(data.x_train, axis=0))  # 0 for categories
    np.testing.assert_allclose(model[0].mean, medians)


def test_both_tasks_of_whole_numbers(tmp_path):
    path = written(tmp_path / "a.csv", stars=1 + (LENGTH > 5))
    _, record = trained(path, "--target", "stars", "--epochs", 1, out=tmp_path / "c")
    assert record["test"]["accuracy"] is not None
    _, record = trained(
        path, "--target", "stars", "--task", "regression", "--epochs", 1, out=tmp_path / "r"
    )
    assert record["test"]["r2"] is not None


def test_a_regression_that_is_stopped_is_in_the_targets_own_units_too(tmp_path, monkeypatch):
    path = written(tmp_path / "prices.csv", price=PRICE)
    from fastnn.runs.run import Run

    def press_after_three(run, training):
        if training.epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "on_epoch_end", press_after_three)
    result = run("train", path, "--target", "price", "--out", tmp_path / "run")
    assert result.exit_code == 130
    data = datasets.load(path, target="price")
    model = fastnn.load(tmp_path / "run" / "model.safetensors")
    assert regression_scores(data.y_test, fastnn.predict(model, data.x_test)[:, 0])["r2"] > 0.5


def test_the_default_folder_is_named_by_the_file(tmp_path, monkeypatch):
    path = written(tmp_path / "prices.csv", price=PRICE)
    monkeypatch.chdir(tmp_path)
    assert run("train", path, "--target", "price", "--epochs", 1).exit_code == 0
    assert (tmp_path / "runs" / "prices" / "model.safetensors").is_file()


def test_a_parquet_file_trains_to_the_same_bits(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = written(tmp_path / "a.csv", price=PRICE)
    columns = {"length": LENGTH, "width": WIDTH, "place": PLACE, "price": PRICE}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    options = ("--target", "price", "--epochs", 2)
    trained(texts, *options, out=tmp_path / "t")
    trained(tmp_path / "a.parquet", *options, out=tmp_path / "p")
    first, second = (tmp_path / name / "model.safetensors" for name in "tp")
    assert first.read_bytes() == second.read_bytes()


def _row(output, name):
    """The cells of the first line of a table with a name."""
    line = next(line for line in output.splitlines() if line.strip().startswith(name + " "))
    return line.strip().removeprefix(name).split()


def test_a_classification_is_set_beside_simple_models(kinds):
    _, _, output, record = kinds
    test = record["test"]
    names = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc"]
    compared = record["compared"]
    assert list(compared["linear"]) == list(compared["constant"]) == names
    assert list(record["intervals"]) == names
    for row, scores in (("network", test), ("linear", compared["linear"])):
        expected = [f"{scores[name]:.2%}" for name in names[:2]]
        expected += [f"{scores[name]:.4f}" for name in names[2:]]
        assert _row(output, row) == expected
    data = datasets.load(kinds[0], target="kind", impute=True)
    share = (data.y_test == np.bincount(data.y_train).argmax()).mean()
    assert compared["constant"]["accuracy"] == pytest.approx(share)
    assert compared["linear"]["accuracy"] > 0.9
    for name, (low, high) in record["intervals"].items():
        assert low <= test[name] <= high
    assert "95%: the middle of 1,000 bootstrap resamples of the test rows" in output


def test_a_regression_is_set_beside_simple_models(prices):
    _, _, output, record = prices
    test = record["test"]
    compared = record["compared"]
    assert list(compared["linear"]) == list(compared["constant"]) == ["r2", "mae", "rmse"]
    assert _row(output, "network") == [
        f"{test['r2']:.4f}",
        *(f"{test[n]:.4g}" for n in ("mae", "rmse")),
    ]
    assert compared["linear"]["r2"] > 0.99
    assert abs(compared["constant"]["r2"]) < 0.1


def test_the_columns_that_matter_are_told(kinds, prices):
    for _, folder, output, record in (kinds, prices):
        found = record["importance"]
        assert set(found) == {"length", "width", "place"}
        falls = [each["mean"] for each in found.values()]
        assert falls == sorted(falls, reverse=True)
        assert all(each["std"] >= 0 for each in found.values())
        lines = output[output.index(" fall of ") :].splitlines()
        assert [line.split()[0] for line in lines[2:5]] == list(found)
        assert min(imread(folder / "importance.png").shape[:2]) > 250
    assert next(iter(prices[3]["importance"])) == "length"
    assert abs(prices[3]["importance"]["width"]["mean"]) < 0.02  # it tells nothing


def test_a_column_that_alone_tells_the_target_is_said(tmp_path):
    path = written(tmp_path / "a.csv", answer=np.where(KIND == "cat", 1, 2), kind=KIND)
    output, _ = trained(path, "--target", "kind", "--epochs", 1, out=tmp_path / "run")
    assert "note: `answer` alone predicts `kind`: does it hold the answer?" in output


def test_a_linear_model_that_cannot_be_fitted_is_said_and_all_else_done(tmp_path, monkeypatch):
    from fastnn.runs import baselines

    def fail(data):
        raise ValueError("no such luck\nin a second line")

    monkeypatch.setattr(baselines, "linear", fail)
    path = written(tmp_path / "a.csv", kind=KIND)
    output, record = trained(path, "--target", "kind", "--epochs", 1, out=tmp_path / "run")
    assert "note: no linear model to compare with: no such luck\n" in output
    assert list(record["compared"]) == ["constant"]


def test_a_named_data_set_is_not_compared(tmp_path):
    output, record = trained("disk", "--epochs", 1, out=tmp_path / "run")
    assert set(record["test"]) == {"loss", "accuracy"}
    assert not {"compared", "intervals", "importance"} & set(record)
    assert "network" not in output


# cross-validation


@pytest.mark.parametrize("target", ["kind", "price"])
def test_folds_come_before_the_ordinary_run(target, tmp_path):
    path = written(tmp_path / "a.csv", **{target: KIND if target == "kind" else PRICE})
    options = path, "--target", target, "--epochs", 5
    _, plain = trained(*options, out=tmp_path / "plain")
    output, record = trained(*options, "--folds", 3, out=tmp_path / "folds")
    assert "folds" not in plain
    assert record["test"] == plain["test"]
    first, second = (tmp_path / name / "model.safetensors" for name in ("plain", "folds"))
    assert first.read_bytes() == second.read_bytes()
    score = "accuracy" if target == "kind" else "r2"
    found = record["folds"][score]
    assert len(found["folds"]) == 3
    assert found["mean"] == pytest.approx(np.mean(found["folds"]))
    assert found["std"] == pytest.approx(np.std(found["folds"], ddof=1))
    form = "{:.2%}" if target == "kind" else "{:.4f}"
    assert _row(output, "fold 2")[0] == form.format(found["folds"][1])
    assert _row(output, "mean")[0] == form.format(found["mean"])
    assert output.index("fold 3") < output.index("validation loss")


@pytest.mark.parametrize(
    ("way", "said"),
    [("group", "each held out once"), ("time", "each trained on what is before it")],
)
def test_folds_are_drawn_as_the_test_rows_are(way, said, tmp_path):
    path = written(tmp_path / "a.csv", price=PRICE, house=np.arange(len(PRICE)) // 10)
    options = "--target", "price", "--epochs", 2, f"--{way}", "house"
    output, record = trained(path, *options, "--folds", 3, out=tmp_path / "run")
    assert f"3 folds, {said}, then the ordinary run" in output
    assert len(record["folds"]["r2"]["folds"]) == 3


def test_a_fold_that_fails_is_one_line_and_nothing_is_written(tmp_path):
    path = written(tmp_path / "a.csv", price=PRICE)
    options = "--target", "price", "--lr", 1e20, "--folds", 2, "--recipe", "plain"
    result = run("train", path, *options, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "in fold 1 of 2; nothing is written" in result.stderr.splitlines()[-1]
    assert not list((tmp_path / "run").iterdir())


def test_a_recipe_whose_loss_is_never_finite_leaves_the_linear_model(tmp_path):
    path, out = written(tmp_path / "a.csv", price=PRICE), tmp_path / "run"
    result = run("train", path, "--target", "price", "--lr", 1e20, "--out", out)
    assert result.exit_code == 0, result.output
    assert {"model.safetensors", "predictions.png"} <= {file.name for file in out.iterdir()}
    assert json.loads((out / "history.json").read_text())["test"]["r2"] > 0.5


# evaluate


def test_the_file_of_the_training_is_evaluated_on_what_was_held_out(kinds, prices):
    path, folder, _, record = kinds
    result = run("evaluate", folder / "model.safetensors", path)
    line, table = result.stdout.split("\n", 1)
    assert line == (
        f"accuracy {record['test']['accuracy']:.2%}, loss {record['test']['loss']:.4g} "
        f"on the 60 rows of {path} that training held out"
    )
    assert _row(table, "network")[0] == f"{record['test']['accuracy']:.2%}"
    assert _row(table, "95%: from")[0] == f"{record['intervals']['accuracy'][0]:.2%}"
    path, folder, _, record = prices
    result = run("evaluate", folder / "model.safetensors", path)
    assert result.stdout.startswith(
        f"r2 {record['test']['r2']:.4f}, rmse {record['test']['rmse']:.4g}, loss "
    )


def test_another_file_is_evaluated_in_full(kinds, tmp_path):
    _, folder, _, _ = kinds
    other = written(tmp_path / "new.csv", slice(50), kind=KIND)
    result = run("evaluate", folder / "model.safetensors", other)
    assert f"on the 50 rows of {other}" in result.stdout
    assert "held out" not in result.stdout
    renamed = written(tmp_path / "new.csv", slice(50), what=KIND)
    assert "no target 'kind'" in run("evaluate", folder / "model.safetensors", renamed).stderr
    result = run("evaluate", folder / "model.safetensors", renamed, "--target", "what")
    assert "on the 50 rows" in result.stdout


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kind": ["owl"] * N}, "target 'kind' holds owl; expected one of cat, dog"),
        ({}, "no target 'kind' among the columns length, width, place"),
        ({"kind": KIND, "length": ["long"] * N}, "'length' holds 'long' in row 1"),
    ],
)
def test_a_file_that_does_not_fit(columns, message, kinds, tmp_path):
    result = run("evaluate", kinds[1] / "model.safetensors", written(tmp_path / "x.csv", **columns))
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_model_of_a_named_data_set_knows_no_target(tmp_path):
    run("train", "--epochs", 1, "--out", tmp_path)
    path = written(tmp_path / "x.csv", kind=KIND)
    assert "knows no target" in run("evaluate", tmp_path / "model.safetensors", path).stderr


def test_info_tells_the_columns(kinds, prices):
    output = run("info", kinds[1] / "model.safetensors").stdout
    assert "classification of kind" in output
    assert "columns: length, width, place (hill, lake, wood)" in output
    assert "Normalize(5 columns)" in output
    assert "regression of price" in run("info", prices[1] / "model.safetensors").stdout


# what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["digits", "--target", "y"],
            "'--target': data set digits has a target and columns of its",
        ),
        (["none.csv", "--target", "y"], "'DATASET': there is no file none.csv"),
        (["FILE"], "'--target': FILE: no target is named; expected one of its columns: length"),
        (["FILE", "--target", "Kind"], "'--target': FILE: there is no target 'Kind'"),
        (["FILE", "--target", "kind", "--task", "guess"], "'--task': unknown name 'guess'"),
        (["FILE", "--target", "kind", "--test", "1"], "'--test': 1.0; expected a number above 0"),
        (
            ["FILE", "--target", "width", "--loss", "cross-entropy"],
            "'--loss': cross-entropy is for",
        ),
        (
            ["FILE", "--target", "kind", "--subset", "500"],
            "'--subset': subset must be from 1 to 240",
        ),
        (["digits", "--folds", "3"], "'--folds': digits has test rows; this is for files"),
        (
            ["FILE", "--target", "kind", "--folds", "1"],
            "'--folds': 1; expected 2 to 300, the rows there are",
        ),
        (
            ["FILE", "--target", "kind", "--folds", "99", "--group", "place"],
            "'--folds': 99; expected 2 to 3, the groups of 'place' there are",
        ),
        (
            ["FILE", "--target", "kind", "--folds", "3", "--test-file", "FILE"],
            "'--folds': folds hold out rows of the file; leave out --test-file",
        ),
        (["FILE", "--target", "kind", "--drop", "x"], "no column to drop 'x'"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "FILE", kind=KIND)
    result = run("train", *arguments)
    assert isinstance(result.exception, SystemExit)
    assert message in result.stderr.splitlines()[-1]
    assert "validation loss" not in result.stdout
    assert not list(tmp_path.rglob("*.safetensors"))


def test_missing_values_are_one_clear_line(tmp_path):
    path = written(tmp_path / "a.csv", width=["", *WIDTH[1:]], kind=KIND)
    result = run("train", path, "--target", "kind", "--no-impute", "--out", tmp_path / "run")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "values are missing in width (1) of 300 rows; --impute fills them" in line


# plot


def test_runs_are_compared_and_each_is_shown(kinds, prices, tmp_path):
    wide = {"COLUMNS": "300"}  # else long names may wrap the scores
    result = run("plot", kinds[1], prices[1], "--out", tmp_path / "plots", env=wide)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    names = [path.parent.parent.name for path in (kinds[1] / "x", prices[1] / "x")]
    pictures = {
        "comparison.png", f"{names[0]}-run/weights.png", f"{names[0]}-run/mistakes.png",
        f"{names[0]}-run/calibration.png", f"{names[1]}-run/weights.png",
        f"{names[1]}-run/predictions.png",
    }  # fmt: skip
    written = [path for path in (tmp_path / "plots").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "plots").as_posix() for path in written} == pictures
    for path in written:
        assert min(imread(path).shape[:2]) > 250
        assert str(path) in result.stdout
    assert f"{kinds[3]['test']['accuracy']:.2%}" in result.stdout
    assert f"r2 {prices[3]['test']['r2']:.4f}" in result.stdout


def test_two_features_have_a_decision_surface_and_images_weights(tmp_path):
    trained("disk", "--hidden", 8, "--epochs", 3, out=tmp_path / "disk")
    trained("digits", "--hidden", 8, "--epochs", 3, out=tmp_path / "digits")
    out = tmp_path / "plots"
    assert run("plot", tmp_path / "disk", tmp_path / "digits", "--out", out).exit_code == 0
    assert (out / "disk" / "decision.png").is_file()
    assert (out / "digits" / "weights.png").is_file()
    assert not (out / "digits" / "decision.png").exists()


def test_another_format(prices, tmp_path):
    result = run("plot", prices[1], "--out", tmp_path / "plots", "--format", "svg")
    assert result.exit_code == 0, result.output
    written = [path for path in (tmp_path / "plots").rglob("*") if path.is_file()]
    assert len(written) == 3
    assert all(path.read_bytes().startswith(b"<?xml") for path in written)


def test_what_is_gone_is_said_and_the_rest_is_drawn(tmp_path):
    path = written(tmp_path / "prices.csv", price=PRICE)
    trained(path, "--target", "price", "--epochs", 1, out=tmp_path / "run")
    path.unlink()
    result = run("plot", tmp_path / "run", "--out", tmp_path / "plots")
    assert result.exit_code == 0
    assert "run: no pictures of its test rows: " in result.stderr
    assert (tmp_path / "plots" / "run" / "weights.png").is_file()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"")
    result = run("plot", tmp_path / "run", "--out", tmp_path / "plots")
    assert result.exit_code == 0
    assert "run: no pictures of its model: " in result.stderr


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"settings": {}, "history": {}}'])
def test_a_folder_that_is_no_run(content, tmp_path):
    if content is not None:
        (tmp_path / "history.json").write_text(content)
    result = run("plot", tmp_path, "--out", tmp_path / "plots")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "history.json" in line
    assert not (tmp_path / "plots").exists()


def test_a_run_named_twice_and_an_unknown_format(prices, tmp_path):
    result = run("plot", prices[1], prices[1], "--out", tmp_path)
    assert "a run is named twice" in result.stderr
    result = run("plot", prices[1], "--format", "bmp", "--out", tmp_path)
    assert "'--format': unknown name 'bmp'; known: png, svg, pdf" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_is_evaluated_as_it_was_trained_on(tmp_path):
    """With the same options; without them it cannot be read."""
    path, out = tmp_path / "a.csv", tmp_path / "run"
    rows = "".join(f"{i % 7 if i % 9 else '-'}|{'äö'[i % 2]}\n" for i in range(100))
    path.write_bytes(f"a|y\n{rows}".encode("latin-1"))
    ways = "--encoding", "latin-1", "--missing", "-", "--delimiter", "|"
    assert run("train", path, "--target", "y", "--epochs", 1, *ways, "--out", out).exit_code == 0
    model = out / "model.safetensors"
    found = run("evaluate", model, path, *ways)
    assert found.exit_code == 0, found.output
    assert "that training held out" in found.stdout
    assert "--encoding cp1252" in run("evaluate", model, path).stderr
    assert "comment is 'ab'" in run("evaluate", model, path, "--comment", "ab").stderr
