"""The calls that are followed from commit to commit run."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")

ROOT = Path(__file__).parents[2]


def test_the_calls_run():
    command = [sys.executable, "-m", "pytest", "bench/regressions.py", "-q", "--benchmark-disable"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout
