import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest

import command_line
from fastnn.cli import bench

run = partial(command_line.run, "bench")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that looks like a checkout, and is the current one."""
    (tmp_path / "bench" / "results").mkdir(parents=True)
    for name in ("workloads", "test_training", "test_matmul"):
        (tmp_path / "bench" / f"{name}.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """Commands that were started instead of running them, and where."""
    found = []

    def start(command, cwd, check):
        found.append((command, cwd))
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(subprocess, "run", start)
    return found


def test_all_groups(checkout, started):
    result = run()
    assert result.exit_code == 3
    results = str(checkout / "bench" / "results")
    expected = ["-m", "pytest", "-q", str(checkout / "bench"), "--results", results]
    assert started == [([sys.executable, *expected], checkout)]


def test_groups_and_options(checkout, started):
    result = run("training", "matmul", "--quick", "--peers", "torch,jax", "--fresh",
                 "--results", str(checkout / "here"))  # fmt: skip
    assert result.exit_code == 3
    ((command, _),) = started
    assert command[3:] == [
        "-q", str(checkout / "bench" / "test_training.py"),
        str(checkout / "bench" / "test_matmul.py"), "--results", str(checkout / "here"),
        "--quick", "--fresh", "--peers", "torch,jax",
    ]  # fmt: skip


def test_an_unknown_group_lists_the_known_ones(checkout, started):
    result = run("trainings")
    assert result.exit_code == 2
    assert "'trainings' is none of matmul, training" in " ".join(result.stderr.split())
    assert not started


def test_redraw(checkout, started):
    result = run("--redraw")
    assert result.exit_code == 1
    assert "there are no results in" in result.stderr
    path = checkout / "bench" / "results" / "latest.json"
    path.touch()
    run("--redraw")
    assert started == [([sys.executable, "-m", "bench.pages", str(path)], checkout)]


def test_without_a_checkout(tmp_path, monkeypatch, started):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "fastnn" / "cli" / "bench.py"))
    result = run()
    assert result.exit_code == 1
    assert "not part of the installed package" in result.stderr
    assert not started


def test_without_pytest_benchmark(checkout, started, monkeypatch):
    monkeypatch.setattr(bench, "_NEEDED", ("pytest", "pytest_benchmark_gone"))
    result = run()
    assert result.exit_code == 1
    assert 'pytest-benchmark-gone: pip install ".[bench]"' in result.stderr
    assert not started
