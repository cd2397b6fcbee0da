import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import command_line
from command_line import error_of
from fastnn import reports as experiments
from fastnn.reports import disk
from processes import python


def run(*arguments):
    return command_line.run("reproduce", *arguments, env={"COLUMNS": "120"})


@pytest.fixture
def two(monkeypatch):
    """Two experiments, one of which needs MNIST."""
    names = {"mnist-linear": "mnist_linear", "disk": "disk"}
    monkeypatch.setattr(experiments, "EXPERIMENTS", names)


def test_one_experiment_by_both(tmp_path):
    result = run("disk", "--quick", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert {file.name for file in tmp_path.iterdir()} == {"disk", "report.html", "results.json"}
    text = " ".join(result.stdout.split())
    for title in ("run", "by", "train loss", "accuracy", "test loss", "seconds"):
        assert title in text
    assert "PyTorch" in text
    assert "the report: errors only along the circle" in text
    assert "largest difference in loss" in text
    assert "Are all errors along the circle?" in text


def test_without_pytorch_it_is_not_imported(tmp_path):
    code = (
        "import sys; from fastnn.__main__ import app\n"
        "try: app(['reproduce', 'disk', '--quick', '--no-torch', '--out', sys.argv[1]])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    python(code, tmp_path)
    (only,) = json.loads((tmp_path / "results.json").read_text())["experiments"]
    assert [list(made["sides"]) for made in only["runs"]] == [["fastnn"], ["fastnn"]]


def test_without_mnist_it_says_how_to_get_it_and_the_rest_runs(two, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "nowhere"))
    result = run("all", "--quick", "--no-torch", "--out", tmp_path / "out")
    error = error_of(result, code=1)
    assert error.startswith("fastnn: mnist-linear could not run: data set 'mnist'")
    assert "Set FASTNN_DATA to a folder that holds the files of mnist" in error
    assert (tmp_path / "out" / "disk" / "results.json").is_file()
    assert "2-25-25-25-2" in result.stdout


def test_an_unknown_name_lists_the_known():
    error = error_of(run("single-leyer"))
    assert "unknown name 'single-leyer'" in error
    assert all(name in error for name in (*experiments.EXPERIMENTS, "all"))
    assert "did you mean 'single-layer'?" in error


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "run", lambda study: pytest.fail("it trained"))
    (tmp_path / "file").write_text("")
    error = error_of(run("disk", "--no-torch", "--out", tmp_path / "file" / "out"))
    assert "'--out'" in error
    assert "cannot write in" in error


def test_missing_pytorch_is_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(disk, "run", lambda study: pytest.fail("it trained"))
    error = error_of(run("disk", "--out", tmp_path))
    assert "PyTorch is not installed" in error
    assert "--no-torch" in error


def test_a_finished_experiment_is_kept_unless_again(tmp_path):
    arguments = ("disk", "--quick", "--no-torch", "--out", tmp_path)
    run(*arguments)
    before = (tmp_path / "disk" / "results.json").stat().st_mtime_ns
    kept = run(*arguments)
    assert "disk: finished before, kept" in kept.stdout
    assert "2-25-25-25-2" in kept.stdout
    assert (tmp_path / "disk" / "results.json").stat().st_mtime_ns == before
    run(*arguments, "--again")
    assert (tmp_path / "disk" / "results.json").stat().st_mtime_ns != before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process")
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(tmp_path):
    """In the second experiment; the first is not run again."""
    command = [sys.executable, "-m", "fastnn", "reproduce", "all", "--no-torch", "--quick"]
    environment = {**os.environ, "FASTNN_DATA": str(tmp_path / "nowhere")}
    process = subprocess.Popen(
        [*command, "--out", tmp_path / "out"], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    first, second = (tmp_path / "out" / name for name in ("single-layer", "two-layer"))
    deadline = time.monotonic() + 300
    while not second.is_dir() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines()[-1].startswith("fastnn: interrupted in two-layer; finished and kept")
    assert "single-layer. The same command goes on from there" in error
    assert (first / "results.json").is_file()
    assert not (second / "results.json").exists()
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="single-layer"' in page
