import json
import os
import re
import signal
import subprocess
import sys
from functools import partial

import pytest
from matplotlib.image import imread

import fastnn
from command_line import error_of, run
from fastnn import datasets
from processes import python

FILES = {"results.jsonl", "best.safetensors", "sweep.png"}
SMALL = ("--epochs", "2", "--subset", "200", "--jobs", "1")


def sweep(folder, *arguments):
    result = run("sweep", "disk", *SMALL, "--out", folder, *arguments)
    assert result.exit_code == 0, result.output
    assert {each.name for each in folder.iterdir()} == FILES
    return result.stdout


def lines(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_grid(tmp_path):
    choices = ["--hidden", "4,8-4,0", "--lr", "0.05,0.2", "--optimizer", "sgd,adam"]
    output = sweep(tmp_path, *choices)
    found = lines(tmp_path)
    assert len(found) == 12
    assert {tuple(each["settings"]["hidden"]) for each in found} == {(4,), (8, 4), ()}
    assert "12 models to train on 1 processes" in output
    assert re.search(r"12 models in [\d.]+ s: [\d.e+]+ models a second", output)
    best = max(each["val_accuracy"] for each in found)
    model = fastnn.load(tmp_path / "best.safetensors")
    data = datasets.load("disk", subset=200)
    test = fastnn.evaluate(model, data.x_test, data.y_test, loss=fastnn.CrossEntropyLoss())
    assert f"validation {best:.2%}, test accuracy {test.accuracy:.2%}" in output
    titles = next(line for line in output.splitlines() if "hidden" in line)
    assert titles.split() == ["hidden", "optimizer", "lr", "accuracy"]
    assert "and 2 more, in results.jsonl" in output
    assert imread(tmp_path / "sweep.png").shape[2] == 4


def test_seeds_are_means_and_processes_make_no_difference(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    output = sweep(one, "--hidden", "4,8", "--seed", "0,1,2")
    sweep(two, "--hidden", "4,8", "--seed", "0,1,2", "--jobs", "2")
    assert (one / "best.safetensors").read_bytes() == (two / "best.safetensors").read_bytes()
    assert "mean ± deviation over the seeds" in output
    rows = [line.split() for line in output.splitlines() if " ± " in line and "%" in line]
    assert [(row[0], row[1]) for row in rows[-2:]] in (
        [("4", "3"), ("8", "3")],
        [("8", "3"), ("4", "3")],
    )
    for row in rows[-2:]:
        scores = [e["val_accuracy"] for e in lines(one) if e["settings"]["hidden"] == [int(row[0])]]
        assert float(row[2]) == pytest.approx(100 * sum(scores) / 3, abs=0.006)


def test_a_random_search(tmp_path):
    sweep(tmp_path, "--random", "5", "--lr", "0.01:1", "--hidden", "4:16", "--momentum", "0,0.9")
    found = lines(tmp_path)
    assert len(found) == 5
    assert len({each["settings"]["lr"] for each in found}) == 5
    assert all(0.01 <= each["settings"]["lr"] <= 1 for each in found)
    sweep(tmp_path, "--random", "8", "--lr", "0.01:1", "--hidden", "4:16", "--momentum", "0,0.9",
          "--resume")  # fmt: skip
    assert lines(tmp_path)[:5] == found
    assert len(lines(tmp_path)) == 8


def test_a_regression_of_a_file(tmp_path):
    rows = "\n".join(f"{i % 17},{i % 5},{2 * (i % 17) - i % 5}.5" for i in range(120))
    (tmp_path / "data.csv").write_text(f"a,b,y\n{rows}\n")
    arguments = [
        "--target",
        "y",
        "--hidden",
        "4,8",
        "--lr",
        "0.05",
        "--epochs",
        "20",
        "--jobs",
        "1",
    ]
    result = run("sweep", tmp_path / "data.csv", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "test r2" in result.stdout
    assert [each["val_accuracy"] for each in lines(tmp_path / "out")] == [None, None]
    best = min(each["val_loss"] for each in lines(tmp_path / "out"))
    assert f"validation loss {best:.4g}" in result.stdout


def test_what_is_there_is_not_begun_anew(tmp_path):
    sweep(tmp_path, "--hidden", "4")
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}
    arguments = ["sweep", "disk", *SMALL, "--hidden", "4,8", "--out", tmp_path]
    message = error_of(run(*arguments))
    assert "has 1 results; add --resume to go on with them, or --out for another folder" in message
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before
    output = sweep(tmp_path, "--hidden", "4,8", "--resume")
    assert "1 models to train on 1 processes, 1 are done" in output
    assert "0 models to train on 1 processes, 2 are done" in sweep(
        tmp_path, "--hidden", "4,8", "--resume"
    )
    other = run("sweep", "digits", *SMALL, "--out", tmp_path, "--resume")
    assert "results.jsonl is of disk" in error_of(other)


def test_a_damaged_file_of_results_is_named(tmp_path):
    (tmp_path / "results.jsonl").write_text("x\n")
    message = error_of(run("sweep", "disk", "--resume", "--out", tmp_path), 1)
    assert "results.jsonl: line 1 is no result of a run" in message


def test_no_run_that_came_to_its_end(tmp_path):
    message = error_of(run("sweep", "disk", *SMALL, "--lr", "1e30", "--out", tmp_path), 1)
    assert "no run came to its end" in message
    assert lines(tmp_path)[0]["outcome"] == "loss not finite"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hidden", "4,x"], "'--hidden': '4,x'; expected widths such as 32,64,128"),
        (["--hidden", "4,-1"], "'--hidden': '4,-1'; expected widths"),
        (["--lr", "0.1,-1"], "'--lr': -1.0; expected a number above 0"),
        (["--lr", "0.1:1"], "'--lr': a range is for a random search; add --random"),
        (["--batch-size", "1.5"], "'--batch-size': '1.5'; expected integers apart by commas"),
        (["--optimizer", "sgd,addam"], "'--optimizer': unknown name 'addam'"),
        (["--random", "0"], "'--random': 0; expected a positive integer"),
        (["--jobs", "0"], "'--jobs': 0; expected a positive integer"),
        (["--validation", "1"], "'--validation': 1.0; expected a number from 0 to below 1"),
        (["--target", "y"], "'--target':"),
    ],
)
def test_a_wrong_setting_is_said_before_anything_is_done(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(run("sweep", "disk", *arguments))
    assert not list(tmp_path.iterdir())


def test_beside_pytorch(tmp_path):
    pytest.importorskip("torch")
    output = sweep(tmp_path, "--hidden", "4", "--lr", "0.05,0.1", "--torch")
    pattern = (
        r"PyTorch [\w.+]+: ([\d.e+-]+) models a second; mean validation accuracy [\d.]+%, fastnn's"
    )
    rate = float(re.search(pattern, output).group(1))
    own = float(re.search(r": ([\d.e+-]+) models a second", output).group(1))
    times = float(re.search(r"fastnn trains ([\d.e+-]+) times as many", output).group(1))
    assert times == pytest.approx(own / rate, rel=0.02)


def test_without_pytorch_it_is_said_before(tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    message = error_of(run("sweep", "disk", *SMALL, "--torch", "--out", tmp_path / "out"))
    assert "'--torch': PyTorch is not installed" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_keeps_what_was_done(tmp_path):
    program = (
        "import os, signal, sys; from fastnn.__main__ import main\n"
        "from fastnn.runs import sweep as sweeps\n"
        "keep = sweeps.Sweep.keep\n"
        "def interrupt(self, *rest):\n"
        "    keep(self, *rest)\n"
        "    if len(self.results) == 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "sweeps.Sweep.keep = interrupt\n"
        "main()\n"
    )
    choices = ["--hidden", "4,5,6,7,8,9", "--out", str(tmp_path)]
    arguments = ["sweep", "disk", *SMALL, *choices, "--jobs", "2"]
    listen = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    found = python(program, *arguments, check=False, preexec_fn=listen)
    assert found.returncode == 130, found.stderr
    assert "interrupted after" in found.stderr
    assert "--resume goes on" in found.stderr
    assert "Traceback" not in found.stderr
    assert len(lines(tmp_path)) == 3
    sweep(tmp_path, *choices[:2], "--resume")
    assert len(lines(tmp_path)) == 6


def test_a_process_that_is_ended_from_outside_is_said(tmp_path):
    program = (
        "import os, signal; from fastnn.__main__ import main\n"
        "from fastnn.runs import processes, sweep as sweeps\n"
        "def ended(task, parent=os.getpid()):\n"
        "    import os; os.kill(os.getpid(), 9)\n"
        "delayed = processes.delayed\n"
        "processes.delayed = lambda f: (lambda *rest: delayed(ended)(0)) if f is sweeps._train"
        " else delayed(f)\n"
        "main()\n"
    )
    arguments = ["sweep", "disk", *SMALL, "--jobs", "2", "--hidden", "4,5", "--out", str(tmp_path)]
    found = python(program, *arguments, check=False)
    assert found.returncode == 1, found.stderr
    said = [each for each in found.stderr.splitlines() if each.startswith("fastnn: ")]
    assert len(said) == 1  # loky may warn of what the killed process left
    assert "a process was ended from outside" in said[0]
    assert "Traceback" not in found.stderr


def test_the_progress_on_a_terminal(tmp_path):
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    arguments = ["sweep", "disk", *SMALL, "--hidden", "4,5,6", "--out", str(tmp_path)]
    child = subprocess.Popen(
        [sys.executable, "-m", "fastnn", *arguments],
        stdout=follower,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    assert child.wait() == 0
    assert b"3/3" in shown
    assert b"a second" in shown
