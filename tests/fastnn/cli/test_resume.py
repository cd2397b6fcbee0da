import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnn
from command_line import error_of, run
from fastnn.files import container


def train(*arguments):
    result = run("train", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def outcome(folder):
    """All of a run's history but what is different each time, and its model's bits."""
    record = json.loads((folder / "history.json").read_text())
    del record["history"]["seconds"]
    model = fastnn.load(folder / "model.safetensors")
    return record, {name: array.tobytes() for name, array in model.state_dict().items()}


SETTINGS = ["disk", "--hidden", "8", "--dropout", "0.2", "--epochs", "12", "--batch-size", "16",
            "--seed", "7", "--lr", "0.1"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(*SETTINGS, "--out", folder)
    return outcome(folder)


def fail_in_epoch(epoch, monkeypatch):
    """Have runs end by an error in an epoch, behind all else but the checkpoint."""
    from fastnn.runs.run import Run

    def fail(self, training):
        if training.epoch == epoch:
            raise RuntimeError("the end")

    monkeypatch.setattr(Run, "on_epoch_end", fail)


@pytest.mark.parametrize("again", [[], SETTINGS, ["disk", "--threads", "2"]])
def test_a_run_goes_on_to_the_same_bits(again, whole, tmp_path, monkeypatch):
    """With the settings of the checkpoint, be they told again or not."""
    path = tmp_path / "folder" / "run.ckpt"
    fail_in_epoch(6, monkeypatch)
    result = run("train", *SETTINGS, "--checkpoint", path, "--out", tmp_path / "out")
    assert isinstance(result.exception, RuntimeError)
    monkeypatch.undo()
    assert container.read(path).description["training"]["epoch"] == 5
    train(*again, "--checkpoint", path, "--resume", "--out", tmp_path / "out")
    record, model = outcome(tmp_path / "out")
    assert model == whole[1]
    record["settings"]["threads"] = None
    assert record == whole[0]


MORE = [
    ["--schedule", "step", "--norm", "batch", "--batch-size", "30", "--activation", "gelu"],
    ["--schedule", "warmup-cosine", "--label-smoothing", "0.1", "--optimizer", "adam"],
    ["--schedule", "one-cycle", "--clip-norm", "0.5", "--class-weight", "balanced"],
    ["--schedule", "plateau", "--patience", "1", "--early-stopping", "8", "--norm", "layer"],
]


@pytest.mark.parametrize("options", MORE, ids=lambda options: options[1])
def test_all_that_a_run_can_be_told_goes_on(options, tmp_path, monkeypatch):
    settings = ["disk", "--hidden", "8", "--epochs", "12", *options]
    path, out = tmp_path / "run.ckpt", tmp_path / "out"
    train(*settings, "--out", out)
    expected = outcome(out)
    fail_in_epoch(5, monkeypatch)
    run("train", *settings, "--checkpoint", path, "--out", out)
    monkeypatch.undo()
    train("--checkpoint", path, "--resume", "--out", out)
    assert outcome(out) == expected


def test_every_so_many_epochs(tmp_path):
    path = tmp_path / "run.ckpt"
    arguments = ["--checkpoint", path, "--every", "5", "--out", tmp_path / "out"]
    train(*SETTINGS[:-2], *arguments)
    assert container.read(path).description["training"]["epoch"] == 12


def test_more_epochs_train_on(tmp_path):
    path, out = tmp_path / "run.ckpt", tmp_path / "out"
    train(*SETTINGS, "--schedule", "constant", "--checkpoint", path, "--out", out)
    train("--checkpoint", path, "--resume", "--epochs", "15", "--out", out)
    longer = outcome(out)
    train(*SETTINGS, "--schedule", "constant", "--epochs", "15", "--out", out)
    assert longer == outcome(out)


def test_with_no_checkpoint_yet_it_begins(whole, tmp_path):
    path = tmp_path / "run.ckpt"
    output = train(*SETTINGS, "--checkpoint", path, "--resume", "--out", tmp_path / "out")
    assert "beginning with the first epoch" in output
    assert outcome(tmp_path / "out") == whole


def test_a_regression_of_a_file_goes_on(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [",".join(f"{x:.3f}" for x in (a, b, 3 * a - b)) for a, b in rng.normal(size=(80, 2))]
    (tmp_path / "data.csv").write_text("a,b,y\n" + "\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    options = ["data.csv", "--target", "y", "--schedule", "constant"]
    train(*options, "--epochs", "8", "--out", "whole")
    train(*options, "--epochs", "5", "--checkpoint", "run.ckpt", "--out", "first")
    train("--checkpoint", "run.ckpt", "--resume", "--epochs", "8", "--out", "again")
    assert outcome(tmp_path / "again") == outcome(tmp_path / "whole")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    train(*SETTINGS, "--checkpoint", folder / "run.ckpt", "--out", folder)
    return folder / "run.ckpt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "'--resume': give the file with --checkpoint"),
        (["--every", "2"], "'--every': give a file with --checkpoint"),
        (["--every", "0", "--checkpoint", "x"], "'--every': 0; expected a positive integer"),
        (["--checkpoint", "."], "'--checkpoint': cannot write .: Is a directory"),
        (["--checkpoint", "runs/digits/model.safetensors"], "is a file that the run writes"),
        (["--checkpoint", "runs/digits/predictions.png"], "is a file that the run writes"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_done(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(run("train", *arguments))
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], "'DATASET': digits; the run that wrote {} has disk"),
        (["--lr", "0.3"], "'--lr': 0.3; the run that wrote {} has 0.1"),
        (["--hidden", "9"], "'--hidden': (9,); the run that wrote {} has (8,)"),
        (["--epochs", "3"], "'--checkpoint': {}: found 12 epochs done; expected at most 3"),
    ],
)
def test_other_settings_are_refused(arguments, message, checkpoint, tmp_path):
    before = checkpoint.read_bytes()
    result = run("train", *arguments, "--checkpoint", checkpoint, "--resume", "--out", tmp_path)
    assert message.format(checkpoint) in error_of(result)
    assert checkpoint.read_bytes() == before


def test_a_damaged_checkpoint_is_refused(checkpoint, tmp_path):
    content = bytearray(checkpoint.read_bytes())
    content[-3] ^= 1
    (tmp_path / "bad.ckpt").write_bytes(content)
    arguments = ["--checkpoint", tmp_path / "bad.ckpt", "--resume", "--out", tmp_path / "out"]
    assert "bad.ckpt: found contents with checksum" in error_of(run("train", *arguments))
    assert (tmp_path / "bad.ckpt").read_bytes() == content


def test_a_checkpoint_is_a_model_for_other_commands(checkpoint):
    assert run("info", checkpoint).exit_code == 0
    assert run("evaluate", checkpoint, "disk").exit_code == 0


def test_a_checkpoint_that_fit_wrote_is_not_a_runs(tmp_path):
    model = fastnn.Sequential(fastnn.Linear(2, 2))
    x, y = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
    fastnn.fit(
        model, x, y, loss=fastnn.CrossEntropyLoss(), optimizer=fastnn.SGD(model.parameters()),
        epochs=1, batch_size=2, checkpoint=tmp_path / "fit.ckpt",
    )  # fmt: skip
    message = error_of(run("train", "--checkpoint", tmp_path / "fit.ckpt", "--resume"))
    assert "found a checkpoint that `fastnn train` did not write" in message


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_a_command_that_is_killed_goes_on_to_the_same_bits(kills, tmp_path):
    """A SIGKILL at a random moment of the command, as often as it takes."""
    settings = ["digits", "--epochs", "60", "--dropout", "0.1", "--hidden", "64"]
    train(*settings, "--out", tmp_path / "whole")
    command = [sys.executable, "-m", "fastnn", "train", *settings, "--resume",
               "--checkpoint", tmp_path / "run.ckpt", "--out", tmp_path / "out"]  # fmt: skip
    rng, killed = random.Random(kills), 0
    while True:
        there = (tmp_path / "run.ckpt").exists()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if killed < kills:
            deadline = time.monotonic() + 300
            while not there and not (tmp_path / "run.ckpt").exists():
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05 if not there else 2.0))
            child.send_signal(signal.SIGKILL)
        error = child.communicate()[1]
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, error
        killed += 1
    assert killed > 0 or kills == 1
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")
    assert not [each for each in os.listdir(tmp_path) if each.startswith(".fastnn")]
