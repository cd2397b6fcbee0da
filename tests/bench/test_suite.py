"""The suite as a user runs it, a few seconds of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_quick_run_prints_a_table_and_writes_it(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("pytest_benchmark")
    found = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "bench", "--quick", "--results", str(tmp_path),
         "-k", "8x8x8 or relu", "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    results = json.loads((tmp_path / "quick.json").read_text(encoding="utf-8"))
    quantities = {(each["subject"], each["quantity"]) for each in results["figures"]}
    assert {
        ("8x8x8", "% of the FMA peak"), ("8x8x8", "times NumPy"), ("8x8x8", "times PyTorch"),
        ("relu", "ns an element"), ("relu", "times the better"),
    } <= quantities  # fmt: skip
    assert {"fastnn", "numba", "numpy", "torch", "python"} <= set(results["versions"])
    assert (tmp_path / "quick.md").read_text(encoding="utf-8") in found.stdout
