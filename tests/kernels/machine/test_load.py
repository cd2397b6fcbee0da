import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.base import host
from kernels.machine import load
from kernels.machine.load import LOAD, Load


class Machine:
    """A machine with a clock, and tasks that run on it."""

    def __init__(self, cores=8, others=0):
        self.now, self.cores, self.others, self.looks = 100.0, cores, others, 0
        self.load = Load(self.running, lambda: self.cores, lambda: self.now)

    def running(self):
        self.looks += 1
        return None if self.others is None else 1 + self.others

    def threads(self, most):
        self.now += 1.0  # what was seen before is old
        return self.load.threads(most)


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)


@pytest.mark.parametrize(
    ("most", "others", "expected"),
    [
        (2, 0, 2), (2, 6, 2), (2, 7, 1), (2, 8, 1), (2, 99, 1), (1, 99, 1),
        (8, 0, 8), (8, 1, 4), (8, 4, 4), (8, 5, 3), (8, 6, 2), (8, 7, 1),
        (7, 1, 7), (7, 3, 4), (16, 0, 8), (3, 6, 2),
    ],
)  # fmt: skip
def test_as_many_threads_as_there_are_cores_that_nobody_else_uses(most, others, expected):
    assert Machine(others=others).threads(most) == expected


@given(most=st.integers(1, 64), others=st.integers(0, 80))
def test_no_fewer_threads_would_be_as_quick(most, others):
    found = Machine(others=others).threads(most)
    assert 1 <= found <= max(1, min(most, 8 - others))
    shares = -(-most // found)
    assert found == 1 or -(-most // (found - 1)) > shares
    assert -(-most // max(1, min(most, 8 - others))) == shares


def test_cores_that_come_and_go():
    machine = Machine()
    assert machine.threads(8) == 8
    machine.cores = 2  # as by `taskset`
    assert machine.threads(8) == 2
    machine.cores, machine.others = 8, 6
    assert machine.threads(8) == 2
    machine.others = 0
    assert machine.threads(8) == 8


def test_own_threads_that_help_are_no_others():
    machine = Machine(others=2)
    machine.load.helpers |= {"one", "another"}
    assert machine.threads(8) == 8


def test_a_look_is_true_for_a_while():
    machine = Machine()
    machine.threads(2)
    for _ in range(5):
        machine.now += 1e-4
        assert machine.load.threads(2) == 2
    assert machine.looks == 1
    machine.now += 1e-3
    machine.load.threads(2)
    assert machine.looks == 2


def test_one_thread_needs_no_look():
    machine = Machine()
    assert machine.threads(1) == 1
    assert machine.looks == 0


# ------------------------------------------------------------------------- experience


def rest(machine):
    """Learn that a thread was late, and return how long the process rests."""
    machine.load.learn(0.001, True)
    began = machine.now
    while machine.load.threads(2) == 1:
        machine.now += 1e-3
    return machine.now - began


def test_rests_get_longer_up_to_a_bound():
    machine = Machine(others=None)
    rests = [rest(machine) for _ in range(8)]
    assert rests[0] == pytest.approx(load._SHORTEST, abs=2e-3)
    for before, after in itertools.pairwise(rests[:5]):
        assert after == pytest.approx(load._LONGER * before, abs=5e-3)
    assert rests[-1] == pytest.approx(load._LONGEST, abs=2e-3)


def test_rests_are_short_again_after_good_work():
    machine = Machine(others=None)
    for _ in range(3):
        longest = rest(machine)
    machine.load.learn(longest / 2, False)
    assert rest(machine) == pytest.approx(load._LONGER * longest, abs=5e-3)
    for _ in range(9):
        machine.load.learn(longest / 2, False)
    assert rest(machine) == pytest.approx(load._SHORTEST, abs=2e-3)


def test_rare_delays_on_an_idle_machine_cost_little():
    machine = Machine(others=None)
    for _ in range(20):
        machine.load.learn(1.0, False)
        assert rest(machine) == pytest.approx(load._SHORTEST, abs=2e-3)


# ----------------------------------------------------------------------- this machine


def test_tasks_that_run_on_this_machine(monkeypatch):
    monkeypatch.undo()
    found = load._running_tasks()
    if not os.path.exists("/proc/loadavg") or host.cores() < (os.cpu_count() or 1):
        assert found is None
    else:
        assert found >= 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert load._running_tasks() is None, "they may run on cores that are not ours"


@pytest.mark.parametrize("text", [b"", b"0.1 0.2", b"0.1 0.2 0.3 x/9 9"])
def test_a_system_that_does_not_say(monkeypatch, tmp_path, text):
    monkeypatch.undo()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    (tmp_path / "loadavg").write_bytes(text)
    really = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: really(tmp_path / "loadavg", flags))
    assert load._running_tasks() is None

    def refuse(path, flags):
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert load._running_tasks() is None
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert load._running_tasks() is None


def test_this_process_has_one_load():
    assert LOAD.threads(1) == 1
    assert 1 <= LOAD.threads(64) <= host.cores()
