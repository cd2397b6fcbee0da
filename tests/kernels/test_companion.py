import subprocess
import sys

import pytest

import kernels
from kernels import companion
from kernels.base import host

HOSTILE = "open({!r}, 'a').write(__name__ + ' ')"


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A current folder whose modules leave a trace when they are run: the trace."""
    trace = tmp_path / "trace"
    (tmp_path / "here" / "kernels").mkdir(parents=True)
    names = "numba", "numpy", "json", "site", "sitecustomize", "usercustomize", "kernels/__init__"
    for name in names:
        (tmp_path / "here" / f"{name}.py").write_text(HOSTILE.format(str(trace)))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "here" / "site.py"))
    return trace


def started(monkeypatch):
    """Start the companion; return its output on standard error when it has ended well."""
    running, popen = [], subprocess.Popen
    monkeypatch.setattr(host, "cores", lambda: 2)
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: running.append(popen(*a, **k | {"stderr": -1}))
    )
    companion.start("float32")
    (process,) = running
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors.decode()


def test_the_companion_compiles_or_finds_its_half(monkeypatch):
    started(monkeypatch)


@pytest.mark.parametrize("path", ["", ".", "..", "python's"])
def test_no_module_of_the_current_folder_is_run(hostile, monkeypatch, path):
    if path == "python's":
        monkeypatch.setenv("PYTHONPATH", "")
    else:
        monkeypatch.setattr(sys, "path", [path, *sys.path])
        monkeypatch.setenv("PYTHONPATH", path)
    started(monkeypatch)
    assert not hostile.exists(), hostile.read_text()


def test_the_kernels_are_those_of_the_process_that_started_it(monkeypatch, tmp_path):
    """Whatever else is installed, and though it heeds no PYTHONPATH."""
    told = tmp_path / "told"
    found = f"import kernels; open({str(told)!r}, 'w').write(kernels.__file__)"
    monkeypatch.setattr(
        companion, "_PROGRAM", companion._PROGRAM.replace("companion.compile", found + "\n#")
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started(monkeypatch)
    assert told.read_text() == kernels.__file__


def test_one_core_has_no_companion(monkeypatch):
    monkeypatch.setattr(host, "cores", lambda: 1)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    companion.start("float32")
