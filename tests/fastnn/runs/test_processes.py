import multiprocessing
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from fastnn.runs import processes
from fastnn.runs.processes import in_processes
from processes import ROOT


def _add(a, b):
    return a + b


def test_results_come_with_their_times():
    found = list(in_processes(_add, [(1, 2), (3, 4), (5, 6)], 2, first=[(0, 0)]))
    assert sorted(result for _, result in found) == [3, 7, 11]
    assert [seconds for seconds, _ in found] == sorted(seconds for seconds, _ in found)


def test_processes_compute_on_one_thread():
    found = [result for _, result in in_processes(_threads, [(), ()], 2)]
    assert found == [{"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}] * 2


def _threads():
    return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}


SPREAD = """
import os, sys
from fastnn.runs.processes import in_processes
if __name__ == "__main__":
    os.chdir(sys.argv[1])
    print(sorted(found for _, found in in_processes(divmod, [(7, 2), (9, 2)], 2)))
    print(os.environ.get("PYTHONSAFEPATH"))
"""


@pytest.mark.parametrize("before", [None, "", "1"])
def test_no_module_of_the_current_folder_is_run(tmp_path, before):
    """Also where the workers' own helpers are started, which joblib and multiprocessing do."""
    trace, here = tmp_path / "trace", tmp_path / "here"
    here.mkdir()
    for name in ("kernels", "fastnn", "joblib", "multiprocessing", "numba", "signal", "threading"):
        (here / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write(__name__ + ' ')")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    env["PYTHONPATH"] = str(ROOT)
    if before is not None:
        env["PYTHONSAFEPATH"] = before
    done = subprocess.run(
        [sys.executable, "-P", "-c", SPREAD, str(here)],
        capture_output=True, text=True, check=True, timeout=120, env=env,
    )  # fmt: skip
    assert not trace.exists(), trace.read_text()
    assert done.stdout.splitlines() == ["[(3, 1), (4, 1)]", str(before)]


@pytest.mark.parametrize("system", ["win32", "linux"])
def test_workers_end_with_their_parent(system, monkeypatch):
    """On Windows, where a process keeps the number of a parent that is gone, by its handle."""
    ended, waited = threading.Event(), []
    parent = SimpleNamespace(join=lambda: waited.append("for the handle"))
    numbers = iter([1, 1, 2])
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(processes, "_WATCH", 0.0)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(os, "getppid", lambda: next(numbers, 1 if system == "win32" else 2))
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    processes._begin(1, _add, [(1, 2)])
    assert ended.wait(10)
    assert waited == ["for the handle"] * (system == "win32")
