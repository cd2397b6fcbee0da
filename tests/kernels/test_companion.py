import subprocess

import pytest

from kernels import companion
from kernels.base import host


def test_the_companion_compiles_or_finds_its_half(monkeypatch):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(host, "cores", lambda: 2)
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k | {"stderr": -1}))
    )
    companion.start("float32")
    (process,) = started
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def test_one_core_has_no_companion(monkeypatch):
    monkeypatch.setattr(host, "cores", lambda: 1)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    companion.start("float32")
