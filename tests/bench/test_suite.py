"""The suite as a user runs it, a few seconds of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("pytest_benchmark")

ROOT = Path(__file__).parents[2]


def suite(folder, *arguments):
    """Run some of the suite, and give what it printed and how it ended."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "bench", "--quick", "--results", str(folder),
         "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
    )  # fmt: skip


def results(folder):
    return json.loads((folder / "quick.json").read_text(encoding="utf-8"))


def test_quick_runs_print_tables_and_add_to_each_other(tmp_path):
    found = suite(tmp_path, "-k", "8x8x8", "--peers", "torch,numpy")
    assert found.returncode == 0, found.stdout + found.stderr
    found = suite(tmp_path, "-k", "relu and 131072", "--peers", "numpy")
    assert found.returncode == 0, found.stdout + found.stderr

    values = results(tmp_path)
    quantities = {(each["subject"], each["quantity"]) for each in values["figures"]}
    assert {
        ("8x8x8", "% of the FMA peak"), ("8x8x8", "times NumPy"), ("8x8x8", "times PyTorch"),
        ("relu", "fastnn"), ("relu", "NumPy"), ("relu", "moving the bytes"),
    } <= quantities  # fmt: skip
    assert not any("JAX" in quantity for _, quantity in quantities)
    first, second = values["runs"]
    assert {"fastnn", "numba", "numpy", "torch", "python"} <= set(first["versions"])
    assert "torch" not in second["versions"]
    assert not values["problems"]
    assert (tmp_path / "quick.md").read_text(encoding="utf-8") in found.stdout
    assert {each.name for each in tmp_path.iterdir()} == {
        "quick.json", "quick.md", "quick-roofline.png", "quick-elementwise.png"
    }  # fmt: skip


BROKEN = """
import bench.peers.with_numpy as numpy

def broken(**settings):
    raise RuntimeError("out of order")

numpy.OPERATIONS["elementwise"] = broken
"""


def test_a_peer_that_fails_is_left_out_and_the_rest_kept(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'bench.peers.with_numpy' in sys.argv:\n"
        f"    sys.path.append({str(ROOT)!r})\n"
        + "".join(f"    {line}\n" for line in BROKEN.strip().splitlines())
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    folder = tmp_path / "results"
    found = suite(folder, "-k", "relu and 131072", "--peers", "numpy,torch")
    assert found.returncode == 0, found.stdout + found.stderr
    values = results(folder)
    assert {"fastnn", "PyTorch"} <= {each["quantity"] for each in values["figures"]}
    assert values["problems"] == {
        "test_elementwise[relu-131072]: NumPy": "RuntimeError: out of order"
    }


def test_a_peer_that_there_is_not(tmp_path):
    found = suite(tmp_path, "--peers", "torch,theano")
    assert found.returncode != 0
    assert "theano is none of the peers" in found.stdout + found.stderr


def test_results_of_something_else_are_not_overwritten(tmp_path):
    (tmp_path / "quick.json").write_text("{}")
    found = suite(tmp_path, "-k", "8x8x8")
    assert found.returncode != 0
    assert "--fresh begins a new file" in found.stdout + found.stderr
    assert (tmp_path / "quick.json").read_text() == "{}"
