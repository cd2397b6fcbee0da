"""Whole runs: goals, epochs and the clock."""

import json
import subprocess

import pytest

from bench import whole_run


@pytest.mark.parametrize("library", ["fastnn", "numpy"])
def test_a_run_stops_at_its_goals(library):
    found = whole_run.run(library, "digits", goals=[80.0, 90.0], epochs=10)
    assert list(found["goals"]) == ["80", "90"]
    assert found["accuracy"] >= 90
    assert 0 < found["goals"]["80"] <= found["goals"]["90"] == found["seconds"]
    assert found["epochs"] <= 10


def test_a_goal_that_is_not_reached_is_not_told():
    found = whole_run.run("fastnn", "digits", goals=[100.1], epochs=2)
    assert found["goals"] == {}
    assert found["epochs"] == 2


def test_without_goals_all_epochs_are_run():
    found = whole_run.run("fastnn", "digits", goals=[], epochs=3, rows=200)
    assert found["epochs"] == 3
    assert found["seconds"] > 0


def test_what_compiles_is_compiled_before_the_clock_starts():
    pytest.importorskip("jax")
    found = whole_run.run("jax", "digits", goals=[], epochs=1, rows=200, warm=True)
    assert 0 < found["seconds"] < found["compile_seconds"]


def test_the_command_writes_what_it_found(tmp_path):
    out = tmp_path / "out.json"
    line = whole_run.command(
        "fastnn", "digits", out, goals=(50.0,), epochs=2, threads=1, rows=None, warm=True
    )
    assert "--rows" not in line
    subprocess.run(line, check=True)
    found = json.loads(out.read_text())
    assert found["epochs"] in (1, 2)
    assert {"loss", "accuracy", "seconds", "goals"} <= set(found)
