"""Every target reads its seeds, and reads or refuses its findings; the fuzzer itself runs."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz_targets import TARGETS

HERE = Path(__file__).parent
FINDINGS = sorted(path for path in (HERE / "findings").glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name, tmp_path):
    target = TARGETS[name]
    assert not any(target.attempt(seed, tmp_path) for seed in target.seeds())


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_findings_are_read_or_refused(path, tmp_path):
    TARGETS[path.parent.name].attempt(path.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.change])
def test_changed_seeds_are_read_or_refused(name, tmp_path):
    target, rng = TARGETS[name], Random(0)
    seeds = target.seeds()
    for seed in seeds * (60 // len(seeds)):
        target.attempt(target.change(seed, rng), tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_the_fuzzer_runs(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "results", "--seconds", "1"]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ok      results" in done.stdout
