import json
import math
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import zlib

import numpy as np
import pytest
from matplotlib.image import imread

import fastnn
from command_line import error_of, run
from fastnn import datasets
from fastnn.runs import run as runs
from fastnn.runs import settings
from fastnn.runs.settings import SettingError, Settings
from kernels.base import folder as cache
from kernels.machine import interpreter as epoch
from processes import python

TABLE = {  # settings for files alone
    "target": None, "task": None, "impute": True, "drop": [], "categorical": [], "test": 0.2,
    "keep": [], "numeric": [], "dates": [], "delimiter": None, "decimal": None, "thousands": None,
    "encoding": None, "header": None, "missing": [], "comment": None, "group": None, "time": None,
    "test_file": None, "split_seed": None,
}  # fmt: skip
REST = {  # what most runs leave as it is
    "norm": "none", "label_smoothing": 0.0, "class_weight": "none", "clip_norm": None,
    "clip_value": None, "early_stopping": None, "step_size": None, "gamma": None, "milestones": [],
    "recipe": "plain",
    "warmup": None, "patience": None,
}  # fmt: skip
FILES = {"model.safetensors", "history.json", "curves.png", "confusion.png"}


def train(folder, *arguments):
    """Train, see that it succeeds, and give what `history.json` holds."""
    result = run("train", *arguments, "--out", folder)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    assert {file.name for file in folder.iterdir()} == FILES
    return json.loads((folder / "history.json").read_text())


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run with no settings but a folder: its folder, output, and history."""
    folder = tmp_path_factory.mktemp("digits")
    result = run("train", "--out", folder)
    assert result.exit_code == 0, result.output
    return folder, result.stdout, json.loads((folder / "history.json").read_text())


# train


def test_digits_reach_97_percent(digits_run):
    folder, output, history = digits_run
    assert {file.name for file in folder.iterdir()} == FILES
    assert history["test"]["accuracy"] >= 0.97
    assert f"test accuracy {history['test']['accuracy']:.2%}" in output


@pytest.mark.parametrize(
    ("optimizer", "seed"), [("sgd", 1), ("sgd", 2), ("adam", 3), ("adamw", 4), ("rmsprop", 5)]
)
def test_digits_reach_97_percent_with_others(optimizer, seed, tmp_path):
    history = train(tmp_path, "--seed", seed, "--optimizer", optimizer)
    assert history["test"]["accuracy"] >= 0.97


@pytest.mark.slow
@pytest.mark.skipif("FASTNN_DATA" not in os.environ, reason="needs MNIST")
def test_mnist_reaches_96_5_percent(tmp_path):
    history = train(tmp_path, "mnist", "--subset", 30000, "--epochs", 5)
    assert history["test"]["accuracy"] >= 0.965


def test_the_output_fits_80_columns(digits_run):
    folder, output, _ = digits_run
    lines = output.replace(f"{folder}", "runs/digits").splitlines()
    assert max(map(len, lines)) <= 80
    assert any("1,293 rows to train, 144 to validate, 360 to test" in line for line in lines)
    assert any("64-100-10 relu: 7,510 parameters" in line for line in lines)
    assert all(name in lines[-1] for name in FILES)


@pytest.mark.parametrize(
    ("epochs", "shown"),
    [(1, [1]), (7, range(1, 8)), (25, [*range(3, 25, 3), 25]), (30, range(3, 31, 3))],
)
def test_the_table_shows_about_ten_epochs_and_the_last(epochs, shown, tmp_path):
    result = run("train", "--epochs", epochs, "--out", tmp_path)
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows if len(row) == 6 and row[2].endswith("%")] == [
        str(epoch) for epoch in shown
    ]


def test_the_model_is_the_one_that_was_tested(digits_run):
    folder, _, history = digits_run
    model = fastnn.load(folder / "model.safetensors")
    data = datasets.load("digits")
    assert model.classes == data.classes
    result = fastnn.evaluate(model, data.x_test, data.y_test, loss=fastnn.CrossEntropyLoss())
    assert history["test"] == result._asdict()


def test_the_history_tells_all_of_the_run(digits_run):
    _, _, found = digits_run
    assert found["outcome"] == "finished"
    assert found["settings"] == {
        "dataset": "digits", "hidden": [100], "activation": "relu", "dropout": 0.0,
        "loss": "cross-entropy", "optimizer": "sgd", "lr": 0.05, "momentum": 0.9,
        "weight_decay": 0.0, "schedule": "linear", "batch_size": 32, "epochs": 30, "subset": None,
        "validation": 0.1, "seed": 0, "dtype": "float32", "threads": None,
        **TABLE, **REST,
    }  # fmt: skip
    assert found["rows"] == {"training": 1293, "validation": 144, "test": 360}
    assert found["parameters"] == 64 * 100 + 100 + 100 * 10 + 10
    assert {name: len(numbers) for name, numbers in found["history"].items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"), 30
    )
    assert found["history"]["loss"][-1] < 0.1 < found["history"]["loss"][0]
    assert found["versions"]["numpy"] == np.__version__
    assert set(found["versions"]) == {"fastnn", "python", "numpy", "numba"}


def test_the_pictures_are_pictures(digits_run):
    folder, _, _ = digits_run
    for name in ("curves.png", "confusion.png"):
        height, width, _ = imread(folder / name).shape
        assert height > 300
        assert width > 300


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
def test_the_files_have_the_mode_of_the_umask(digits_run):
    folder, _, _ = digits_run
    umask = os.umask(0)
    os.umask(umask)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {0o666 & ~umask}


def test_one_seed_gives_one_model_for_any_number_of_threads(digits_run, tmp_path):
    folder, _, history = digits_run
    again = train(tmp_path / "a", "--threads", 2)
    model = (folder / "model.safetensors").read_bytes()
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == model
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert again["history"][name] == history["history"][name]
    train(tmp_path / "b", "--seed", 1)
    assert (tmp_path / "b" / "model.safetensors").read_bytes() != model


def test_every_setting_reaches_the_run(tmp_path):
    found = train(
        tmp_path, "two-class", "--hidden", 7, "--hidden", 5, "--activation", "tanh", "--dropout",
        0.25, "--loss", "mse", "--optimizer", "adamw", "--lr", 0.004, "--weight-decay", 0.02,
        "--schedule", "constant", "--batch-size", 16, "--epochs", 2, "--subset", 100,
        "--validation", 0.2, "--seed", 9, "--dtype", "float64", "--threads", 1, "--norm", "layer",
        "--class-weight", "balanced", "--clip-norm", 3, "--clip-value", 0.5,
        "--early-stopping", 7,
    )  # fmt: skip
    assert found["settings"] == {
        "dataset": "two-class", "hidden": [7, 5], "activation": "tanh", "dropout": 0.25,
        "loss": "mse", "optimizer": "adamw", "lr": 0.004, "momentum": None, "weight_decay": 0.02,
        "schedule": "constant", "batch_size": 16, "epochs": 2, "subset": 100, "validation": 0.2,
        "seed": 9, "dtype": "float64", "threads": 1, **TABLE, **REST,
        "norm": "layer", "class_weight": "balanced", "clip_norm": 3.0, "clip_value": 0.5,
        "early_stopping": 7,
    }  # fmt: skip
    assert found["rows"] == {"training": 80, "validation": 20, "test": 200}
    model = fastnn.load(tmp_path / "model.safetensors")
    layer_norm = "LayerNorm(normalized_shape={}, eps=1e-05, elementwise_affine=True, bias=True)"
    assert [repr(layer) for layer in model] == [
        "Normalize(mean=0.0, std=1.0)",
        "Linear(in_features=10, out_features=7, bias=True)", layer_norm.format(7), "Tanh()",
        "Dropout(p=0.25)",
        "Linear(in_features=7, out_features=5, bias=True)", layer_norm.format(5), "Tanh()",
        "Dropout(p=0.25)",
        "Linear(in_features=5, out_features=2, bias=True)",
    ]  # fmt: skip
    assert {each.dtype.name for each in model.parameters()} == {"float64"}


@pytest.mark.parametrize(
    ("name", "arguments", "least"),
    [
        ("disk", [], 0.95),
        ("two-class", ["--activation", "sigmoid"], 0.85),
        ("digits", ["--hidden", 0], 0.9),
        ("digits", ["--loss", "mse"], 0.95),
        ("digits", ["--validation", 0], 0.97),
        ("digits", ["--dtype", "float64", "--activation", "tanh"], 0.97),
        ("digits", ["--hidden", 50, "--hidden", 50, "--dropout", 0.2], 0.95),
        ("digits", ["--norm", "batch", "--label-smoothing", 0.1, "--activation", "gelu"], 0.95),
        ("digits", ["--schedule", "one-cycle", "--lr", 0.2, "--activation", "silu"], 0.95),
        ("digits", ["--loss", "huber", "--clip-norm", 1, "--activation", "leaky-relu"], 0.9),
    ],
)
def test_other_settings_learn_too(name, arguments, least, tmp_path):
    assert train(tmp_path, name, *arguments)["test"]["accuracy"] >= least


def test_training_stops_early_with_the_best_weights(tmp_path):
    found = train(
        tmp_path, "--early-stopping", 2, "--lr", 0.3, "--momentum", 0, "--schedule", "constant"
    )
    losses = found["history"]["val_loss"]
    best = losses.index(min(losses)) + 1
    assert len(losses) == min(best + 2, 30)
    assert found["outcome"] == "finished"
    model, data = fastnn.load(tmp_path / "model.safetensors"), datasets.load("digits")
    rows = slice(found["rows"]["training"], None)
    result = fastnn.evaluate(
        model, data.x_train[rows], data.y_train[rows], loss=fastnn.CrossEntropyLoss()
    )
    assert result.loss == pytest.approx(min(losses), rel=1e-12)


def test_without_a_share_to_validate_on_the_test_rows_do(tmp_path):
    found = train(tmp_path, "--validation", 0, "--epochs", 3)
    assert found["rows"] == {"training": 1437, "validation": 360, "test": 360}
    assert found["history"]["val_accuracy"][-1] == found["test"]["accuracy"]


@pytest.mark.parametrize(
    ("options", "watching"),
    [
        (["--early-stopping", 2], "--early-stopping on"),
        (["--schedule", "plateau", "--early-stopping", 2], "--early-stopping and --schedule pla"),
        ([], None),
    ],
)
def test_choices_on_the_test_rows_are_warned_of(options, watching, tmp_path):
    fixed = ["train", "digits", "--epochs", 2, "--subset", 200, "--out", tmp_path / "run"]
    told = run(*fixed, *options, "--validation", 0)
    assert told.exit_code == 0
    assert ("warning: " in told.stderr) == (watching is not None)
    assert watching is None or f"warning: {watching}" in told.stderr
    told = run(*fixed, *options)
    assert told.exit_code == 0
    assert "warning" not in told.stderr


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"schedule": "linear"}, [3, 2.5, 2, 1.5, 1, 0.5]),
        ({"schedule": "constant"}, [3] * 6),
        ({"schedule": "step"}, [3, 3, 0.3, 0.3, 0.03, 0.03]),
        ({"schedule": "step", "step_size": 4, "gamma": 0.5}, [3, 3, 3, 3, 1.5, 1.5]),
        ({"schedule": "multi-step"}, [3, 3, 3, 0.3, 0.03, 0.03]),
        ({"schedule": "multi-step", "milestones": (1,)}, [3, 0.3, 0.3, 0.3, 0.3, 0.3]),
        ({"schedule": "exponential"}, [3 * 0.01 ** (i / 6) for i in range(6)]),
        ({"schedule": "exponential", "gamma": 0.5}, [3 * 0.5**i for i in range(6)]),
        ({"schedule": "cosine"}, [1.5 * (1 + math.cos(math.pi * i / 6)) for i in range(6)]),
        ({"schedule": "warmup-cosine"},
         [1, *(1.5 * (1 + math.cos(math.pi * i / 5)) for i in range(5))]),
        ({"schedule": "warmup-cosine", "warmup": 2}, [1, 2, 3, 2.5606602, 1.5, 0.4393398]),
        ({"schedule": "plateau", "patience": 100}, [3] * 6),
    ],
)  # fmt: skip
def test_the_learning_rate_falls_as_the_schedule_says(options, rates):
    made = runs.Run(Settings("disk", **options, lr=0.03, epochs=6, subset=50), datasets.disk(50))
    found = []
    made.on_epoch_begin = lambda training: found.append(training.optimizer.lr)
    made.train()
    assert found == pytest.approx([0.01 * rate for rate in rates])


def test_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("train", "disk", "--epochs", 1).exit_code == 0
    assert {file.name for file in (tmp_path / "runs" / "disk").iterdir()} == FILES


def test_the_first_run_says_that_it_compiles(tmp_path, monkeypatch):
    monkeypatch.setattr(type(epoch.run), "is_compiled", lambda self, dtype: False)
    output = run("train", "--epochs", 1, "--out", tmp_path).stdout
    assert output.count("compiling, which is done once and then kept in") == 1


def test_it_says_so_where_nothing_can_be_kept_and_starts_no_second_process(tmp_path, monkeypatch):
    monkeypatch.setattr(type(epoch.run), "is_compiled", lambda self, dtype: False)
    monkeypatch.setattr(cache, "refusal", lambda: "there is no home folder")
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    output = run("train", "--epochs", 1, "--out", tmp_path).stdout
    assert "compiling\n" in output


def test_later_runs_do_not(digits_run, tmp_path):
    assert "compiling" not in run("train", "--epochs", 1, "--out", tmp_path).stdout


def test_whether_the_kernels_are_compiled_is_known_from_the_cache(digits_run, tmp_path):
    program = "from kernels.machine.interpreter import run; print(run.is_compiled('float32'))"
    for folder, expected in ((os.environ.get("FASTNN_CACHE_DIR", ""), "True"), (tmp_path, "False")):
        answer = python(program, env={"FASTNN_CACHE_DIR": str(folder)})
        assert answer.stdout.strip() == expected


# evaluate and info


def test_evaluate(digits_run):
    folder, _, history = digits_run
    result = run("evaluate", folder / "model.safetensors", "digits")
    assert result.exit_code == 0
    assert f"accuracy {history['test']['accuracy']:.2%}" in result.stdout
    assert f"loss {history['test']['loss']:.4g}" in result.stdout
    assert "360 test rows of digits" in result.stdout


def test_evaluate_by_another_loss(digits_run):
    folder, _, _ = digits_run
    result = run("evaluate", folder / "model.safetensors", "digits", "--loss", "mse")
    assert result.exit_code == 0


def test_info(digits_run):
    folder, _, _ = digits_run
    file = folder / "model.safetensors"
    result = run("info", file)
    assert result.exit_code == 0
    for expected in (
        "Normalize(mean=0.0, std=16.0)", "Linear(in_features=64, out_features=100, bias=True)",
        "6,500", "ReLU()", "7,510 parameters of float32", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        f"{file.stat().st_size:,} bytes",
    ):  # fmt: skip
        assert expected in result.stdout


def test_info_of_a_model_of_no_layers_and_of_long_ones(tmp_path):
    file = tmp_path / "model"
    fastnn.save(fastnn.Sequential(), file)
    assert "0 parameters" in run("info", file).stdout
    fastnn.save(fastnn.Sequential(fastnn.Normalize(np.arange(300.0))), file)
    output = run("info", file).stdout.replace(f"{file}", "model")
    assert max(map(len, output.splitlines())) <= 80
    assert len(output.splitlines()) < 12


# what a user may get wrong

WRONG = {
    "dataset": (["digit"], "'DATASET': unknown name 'digit'; known: digits, .*mean 'digits'"),
    "activation": (["--activation", "rleu"], "'--activation': .*'rleu'.*relu.*mean 'relu'"),
    "loss": (["--loss", "cross_entropy"], "'--loss': .*did you mean 'cross-entropy'"),
    "optimizer": (["--optimizer", "adm"], "'--optimizer': .*sgd, adam, adamw, rmsprop; .* 'adam'"),
    "optimizer, far": (["--optimizer", "newton"], "'newton'; known: sgd, adam, adamw, rmsprop$"),
    "schedule": (["--schedule", "liner"], "'--schedule': .*did you mean 'linear'"),
    "dtype": (["--dtype", "float16"], "'--dtype': .*known: float32, float64"),
    "momentum of adam": (
        ["--optimizer", "adam", "--momentum", 0.9],
        "adam has no momentum; only sgd and rms",
    ),
    "momentum of adamw": (["--optimizer", "adamw", "--momentum", 0], "'--momentum': adamw has no"),
    "no share": (["--subset", 1], "'--validation': .*leaves none to train on"),
    "subset": (["--subset", 5000], "'--subset': .*at most 1437.*got 5000"),
    "mixed layers": (["--hidden", 100, "--hidden", 0], "'--hidden': 0; expected an integer"),
    "gamma of linear": (["--gamma", 0.5], "'--gamma': schedule linear does not take it; step, "),
    "milestones": (["--milestones", 3], "'--milestones': .*multi-step does"),
    "warm-up": (["--schedule", "warmup-cosine", "--warmup", 30], "'--warmup': 30; expected fewer"),
    "growing": (["--schedule", "step", "--gamma", 2], "'--gamma': 2.0; expected a factor"),
    "smooth squares": (["--loss", "mse", "--label-smoothing", 0.1], "only cross-entropy does"),
    "norm": (["--norm", "bach"], "'--norm': .*did you mean 'batch'"),
    "class weight": (["--class-weight", "even"], "'--class-weight': .*none, balanced"),
    "a row alone": (
        ["--norm", "batch", "--subset", 330, "--batch-size", 8],
        "'--batch-size': batches of 8 of 297 rows leave one of a single row",
    ),
    "no number": (["--epochs", "many"], "'--epochs': .*integer"),
    "no option": (["--epoch", 3], "--epoch.*--epochs"),
}
RANGES = {
    "lr": (0, -1, "nan", "inf"),
    "momentum": (1, -0.1, "nan"),
    "weight-decay": (-1, "nan", "inf"),
    "dropout": (1, -0.1, "nan"),
    "validation": (1, -0.1, "nan"),
    "batch-size": (0, -1),
    "epochs": (0, -1),
    "hidden": (-1, 10**9),
    "subset": (0, -1),
    "threads": (0, -1, 257),
    "seed": (-1, 2**32),
    "label-smoothing": (-0.1, 1.1, "nan"),
    "clip-norm": (0, -1, "nan", "inf"),
    "clip-value": (0, -1),
    "early-stopping": (0, -3),
}
WRONG |= {
    f"{name} {value}": ([f"--{name}", value], f"'--{name}': {value}.*; expected an? ")
    for name, values in RANGES.items()
    for value in values
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.Run, "train", None)  # never reached
    error = error_of(run("train", *arguments, "--out", tmp_path))
    assert re.search(message, error)


def test_a_wrong_setting_is_said_before_data_are_read_or_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load", None)
    error_of(run("train", "mnist", "--optimizer", "adm", "--out", tmp_path / "none"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file", "file/folder"])
def test_a_folder_that_cannot_be_written_is_said_before_data_are_read(place, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load", None)
    (tmp_path / "file").touch()
    error = error_of(run("train", "--out", tmp_path / place))
    assert f"'--out': cannot write in {tmp_path / place}: " in error


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_said(tmp_path):
    tmp_path.chmod(0o500)
    assert "'--out': cannot write" in error_of(run("train", "--out", tmp_path))


def test_commands():
    assert "train" in run().output
    assert run("--version").stdout == f"fastnn {fastnn.__version__}\n"
    error_of(run("trian"))
    error_of(run("evaluate"))
    error_of(run("info"))


@pytest.mark.parametrize("command", [["evaluate", "FILE", "digits"], ["info", "FILE"]])
@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_no_model_to_read(command, content, tmp_path):
    file = tmp_path / "model.safetensors"
    if content is not None:
        file.write_bytes(content)
    error = error_of(run(*(file if word == "FILE" else word for word in command)))
    assert f"'MODEL': {'[Errno 2]' if content is None else file}" in error
    assert str(file) in error


@pytest.mark.parametrize(
    ("name", "message"),
    [("disk", "takes 64 columns and gives 10; disk has 2 columns and 2 classes"),
     ("digit", "did you mean 'digits'")],
)  # fmt: skip
def test_a_model_and_a_data_set_that_do_not_fit(name, message, digits_run):
    folder, _, _ = digits_run
    error = error_of(run("evaluate", folder / "model.safetensors", name))
    assert "'DATASET': " in error
    assert message in error


def test_a_model_that_gives_the_columns_it_takes(tmp_path):
    file = tmp_path / "model.safetensors"
    fastnn.save(fastnn.Sequential(fastnn.ReLU()), file)
    error = error_of(run("evaluate", file, "digits"))
    assert "takes 64 columns and gives 64; digits has 64 columns and 10 classes" in error


def test_a_model_whose_layers_do_not_fit(tmp_path):
    file = tmp_path / "model.safetensors"
    broken = fastnn.Sequential(fastnn.Linear(64, 20), fastnn.Linear(30, 10))
    fastnn.save(broken, file)
    assert "gets 20 columns; expected 30" in error_of(run("evaluate", file, "digits"))


def test_an_unknown_loss_to_evaluate_by(digits_run):
    folder, _, _ = digits_run
    error = error_of(run("evaluate", folder / "model.safetensors", "digits", "--loss", "ms"))
    assert (
        "'--loss': unknown name 'ms'; known: cross-entropy, mse, l1, huber; did you mean 'mse'?"
        in error
    )


# what may go wrong on the way


def test_data_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    error = error_of(run("train", "mnist", "--out", tmp_path / "out"), code=1)
    assert str(tmp_path) in error


def test_data_that_are_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    for kind, size in (("images-idx3", 16), ("labels-idx1", 8)):
        for part in ("train", "t10k"):
            (tmp_path / f"{part}-{kind}-ubyte").write_bytes(zlib.compress(bytes(size)))
    error = error_of(run("train", "mnist", "--out", tmp_path / "out"), code=1)
    assert str(tmp_path) in error


def test_a_loss_that_is_not_finite_keeps_the_last_finite_model(tmp_path):
    train(tmp_path, "--epochs", 1)
    result = run("train", "--lr", 1e20, "--out", tmp_path)
    error = error_of(result, code=1)
    assert "the loss became" in error
    assert f"kept, in {tmp_path}: model.safetensors, history.json" in error
    kept(tmp_path, "loss not finite")
    model = fastnn.load(tmp_path / "model.safetensors")
    assert all(np.isfinite(each.data).all() for each in model.parameters())


def kept(folder, outcome):
    """See that a folder holds a run that ended early, and nothing of another; give its history."""
    assert {file.name for file in folder.iterdir()} == {"model.safetensors", "history.json"}
    found = json.loads((folder / "history.json").read_text())
    assert found["outcome"] == outcome
    assert found["test"] == {}
    return found["history"]


def test_memory_that_is_not_there(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise MemoryError("Unable to allocate 466. PiB")

    monkeypatch.setattr(runs, "make_model", refuse)
    error = error_of(run("train", "--out", tmp_path), code=1)
    assert "not enough memory: Unable to allocate" in error


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    error = error_of(run("train", "--epochs", 1, "--out", tmp_path), code=1)
    assert f"No space left on device: '{tmp_path / 'model.safetensors'}'" in error
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_not_finite_are_null_in_the_history():
    made = runs.Run(Settings("disk"), datasets.disk(50))
    made.history.add(loss=1.0, accuracy=None, val_loss=float("nan"), seconds=float("inf"))
    assert made.to_dict()["history"] == {"loss": [1.0], "val_loss": [None], "seconds": [None]}


# interruptions

SIGNALLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fastnn.__main__ import main
from fastnn.runs import run as runs
learned = runs.Run.on_epoch_end
def told(self, training):
    learned(self, training)
    if training.epoch == 3:
        print("three epochs", flush=True)
runs.Run.on_epoch_end = told
sys.argv = ["fastnn", "train", "--epochs", "1000000000", "--out", sys.argv[1]]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process")
def test_ctrl_c_keeps_the_model_as_it_is(digits_run, tmp_path):
    digits, _, _ = digits_run
    for file in digits.iterdir():
        shutil.copy(file, tmp_path)
    command = [sys.executable, "-c", SIGNALLED, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert any(line == "three epochs\n" for line in process.stdout)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    history = kept(tmp_path, "interrupted")
    done = len(history["loss"])
    assert 3 <= done < 1000000000
    assert error == (
        f"fastnn: interrupted after {done} of 1000000000 epochs; the model as it is now is kept, "
        f"in {tmp_path}: model.safetensors, history.json\n"
    )
    assert "validation accuracy" in output
    model, data = fastnn.load(tmp_path / "model.safetensors"), datasets.load("digits")
    result = fastnn.evaluate(model, data.x_test, data.y_test, loss=fastnn.CrossEntropyLoss())
    assert result.accuracy > 0.8


def test_ctrl_c_before_the_first_step_writes_nothing(digits_run, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "fit", interrupt)
    folder, _, _ = digits_run
    before = {file: file.read_bytes() for file in folder.iterdir()}
    error = error_of(run("train", "--out", folder), code=130)
    assert "interrupted before the first step; nothing is written" in error
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_ctrl_c_while_files_are_written_leaves_no_half_of_one(digits_run, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    assert run("train", "--epochs", 1, "--out", tmp_path).exit_code == 130
    assert not list(tmp_path.iterdir())


# what the help says, and what it costs


def test_the_help_names_every_name():
    output = run("train", "--help").stdout
    assert max(map(len, output.splitlines())) <= 80
    known = (
        datasets.DATASETS, *map(settings.choices, ("activation", "loss", "norm", "optimizer")),
        settings.SCHEDULES, settings.DTYPES,
    )  # fmt: skip
    for names in known:
        for name in names:
            assert name in re.sub(r"\s+", "", output)  # lines may break behind a hyphen
    for optimizer in settings.choices("optimizer"):
        for value in settings.optimizer_defaults(optimizer).values():
            assert f"{value:g}" in output


# The help of `train` and of `evaluate` asks layers, losses and optimizers for their names.
KERNELS = ("numba", "numpy", "llvmlite", "kernels")


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], KERNELS),
        (["--version"], KERNELS),
        (["sweep", "--help"], KERNELS),
        (["train", "--help"], ()),
        (["evaluate", "--help"], ()),
    ],
)
def test_the_help_does_not_wait_for_what_it_does_not_need(arguments, heavy):
    program = f"""
import sys
sys.argv = ["fastnn", *{arguments}]
from fastnn.__main__ import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
heavy = {{"matplotlib", "sklearn", "rich", "safetensors", *{heavy}}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    python(program)


def test_training_does_not_wait_for_what_it_does_not_need(tmp_path):
    program = f"""
import sys
sys.argv = ["fastnn", "train", "--epochs", "1", "--out", {str(tmp_path)!r}]
from fastnn.__main__ import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
heavy = {{"sklearn", "matplotlib.pyplot", "pooch"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    python(program)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's redirection")
def test_training_without_an_output(tmp_path):
    command = f"{sys.executable} -m fastnn train --epochs 1 --out '{tmp_path}' >&-"
    subprocess.run(["sh", "-c", command], check=True, timeout=300)
    assert {file.name for file in tmp_path.iterdir()} == FILES


def test_it_runs_as_a_module():
    answer = subprocess.run(
        [sys.executable, "-m", "fastnn", "--version"], capture_output=True, text=True, check=True
    )
    assert answer.stdout == f"fastnn {fastnn.__version__}\n"


def test_settings_can_be_used_without_the_command():
    with pytest.raises(SettingError, match="expected a number above 0") as caught:
        Settings(lr=-1)
    assert caught.value.setting == "lr"
