import ctypes
import os
import threading
import time

import numpy as np
import pytest

from kernels.machine import followers
from kernels.machine.followers import Followers, spread
from kernels.machine.load import LOAD
from kernels.machine.posts import AWAY, DISMISSED, READY, cells, size
from processes import python


class Work:
    """Counts how often it is followed; stands for `interpreter.follow`."""

    def __init__(self, seconds=0.0, error=None):
        self.seconds, self.error, self.times, self.threads = seconds, error, 0, set()

    def __call__(self, board, number):
        cells(board)[number - 1] = READY
        self.times += 1
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        cells(board)[number - 1] = AWAY
        if self.error is not None:
            raise self.error


def crew_of(work, count=1, **options):
    board = np.zeros(size(count + 1), np.int64)
    arguments = [(board, number) for number in range(1, count + 1)]
    return Followers(work, arguments, board, **options)


def soon(condition):
    """Wait until a condition holds."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def gather(crew, company=2):
    """Gather a company, and want it no longer."""
    awake = crew.gather(company, time.perf_counter())
    crew.company = 0
    return awake


def test_a_follower_follows_each_time_it_is_called_and_then_sleeps():
    work = Work()
    crew = crew_of(work)
    times = 0  # a new thread may follow several times, as long as it is wanted
    for _ in range(3):
        assert not gather(crew)
        soon(lambda: not LOAD.helpers)
        assert not crew.awake(2)
        assert work.times > times
        times = work.times
    time.sleep(0.01)
    assert work.times == times
    assert len(work.threads) == 1
    crew.end()


def test_nobody_waits_for_one_that_starts():
    """It cannot start as long as this thread holds Python's lock."""
    crew = crew_of(Work())
    before = threading.active_count()
    assert not gather(crew)
    assert threading.active_count() == before
    crew.end()


def test_one_that_is_wanted_stays_and_the_others_sleep():
    work = Work(0.001)
    crew = crew_of(work, 3)
    crew.gather(3, time.perf_counter())
    soon(lambda: work.times > 10)
    assert crew._each[2].native_id == 0, "the third is not wanted"
    assert len(work.threads) == 2
    crew.company = 2
    soon(lambda: len(LOAD.helpers) == 1)
    crew.company = 0
    soon(lambda: not LOAD.helpers)
    crew.end()


def test_all_end_though_they_are_wanted():
    work = Work(0.001)
    crew = crew_of(work, 2)
    crew.gather(3, time.perf_counter())
    soon(lambda: len(work.threads) == 2)
    crew.end()
    soon(lambda: not any(each.native_id for each in crew._each))
    assert not LOAD.helpers


def test_those_that_sleep_end():
    work = Work()
    crew = crew_of(work, 2)
    gather(crew, 3)
    soon(lambda: len(work.threads) == 2 and not LOAD.helpers)
    times = work.times
    crew.end()
    soon(lambda: not any(each.native_id for each in crew._each))
    assert work.times == times
    assert [*crew.cells] == [DISMISSED] * 2


def test_one_that_never_began_ends():
    crew_of(Work()).end()


def test_what_surrounds_it_is_entered_in_its_thread():
    entered, work = [], Work()

    class Here:
        def __enter__(self):
            entered.append(threading.get_ident())

        def __exit__(self, *error):
            entered.append(threading.get_ident())

    crew = crew_of(work, surroundings=Here)
    gather(crew)
    soon(lambda: work.times >= 1)
    crew.end()
    soon(lambda: len(entered) == 2)
    assert {*entered} == work.threads


def test_calls_at_any_moment_are_heard():
    """A leader that finds a helper awake is helped, or finds it asleep the next time."""
    work = Work()
    crew = crew_of(work)
    for _ in range(300):
        before = work.times
        crew.gather(2, time.perf_counter())
        soon(lambda before=before: work.times > before)
        crew.company = 0
    crew.end()


# --------------------------------------------------------------------- those that die


@pytest.mark.parametrize("error", [RuntimeError("mine"), MemoryError(), SystemExit(3)])
def test_the_error_of_one_that_dies_is_raised_once_and_another_takes_its_place(error):
    work = Work(error=error)
    crew = crew_of(work)
    gather(crew)
    soon(lambda: crew.error is not None)
    soon(lambda: not LOAD.helpers)
    with pytest.raises(type(error)) as raised:
        crew.gather(2, time.perf_counter())
    assert raised.value is error
    work.error = None
    soon(lambda: crew._each[0].native_id == 0)
    gather(crew)
    soon(lambda: work.times >= 2)
    crew.end()
    assert len(work.threads) <= 2


def test_one_that_dies_as_it_begins():
    class Here:
        def __enter__(self):
            raise MemoryError("here")

        def __exit__(self, *error):
            pass

    crew = crew_of(Work(), surroundings=Here)
    gather(crew)
    soon(lambda: crew.error is not None)
    with pytest.raises(MemoryError, match="here"):
        crew.gather(2, time.perf_counter())


def test_one_that_is_killed_from_outside():
    """By an asynchronous exception, as tools and servers do."""
    work = Work(0.001)
    crew = crew_of(work)
    crew.gather(2, time.perf_counter())
    soon(lambda: work.times)
    ident = ctypes.c_ulong(*work.threads)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(InterruptedError))
    soon(lambda: crew.error is not None)
    with pytest.raises(InterruptedError):
        crew.gather(2, time.perf_counter())
    soon(lambda: not LOAD.helpers)


def test_one_that_cannot_start(monkeypatch):
    def refuse(function, arguments):
        raise RuntimeError("can't start new thread")

    crew = crew_of(Work())
    with monkeypatch.context() as patch:
        patch.setattr(followers._thread, "start_new_thread", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            crew.gather(2, time.perf_counter())
    assert not gather(crew), "it starts the next time"
    crew.end()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_child_of_a_fork_begins_anew():
    program = """
import os, sys, time
import numpy as np
from kernels.machine.followers import Followers
from kernels.machine.load import LOAD
from kernels.machine.posts import AWAY, cells, size

board, times = np.zeros(size(2), np.int64), []
crew = Followers(lambda: (times.append(1), time.sleep(0.001)), [()], board)
crew.gather(2, 0.0)
while not times:
    time.sleep(0.001)
board[0], cells(board)[0] = 1, 7  # as if it were at a barrier, in the middle of work
child = os.fork()
if child == 0:
    assert (crew.company, board[0], cells(board)[0], LOAD.helpers) == (0, 0, AWAY, set())
    times.clear()
    crew.gather(2, 0.0)
    while not times:
        time.sleep(0.001)
    crew.end()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert crew.company == 2 and board[0] == 1
crew.end()
sys.exit(status)
"""
    python(program, timeout=60)


# ---------------------------------------------------------------------------- cores

SEVERAL_CORES = pytest.mark.skipif(
    len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="one core"
)


@pytest.fixture
def crew():
    work = Work(0.05)
    made = crew_of(work)
    gather(made)
    soon(lambda: work.times and not LOAD.helpers)
    yield made
    made.end()


@pytest.fixture
def follower(crew):
    return crew._each[0]


@SEVERAL_CORES
def test_one_that_is_asleep_will_wake_on_another_core_and_may_then_run_anywhere(crew, follower):
    allowed = os.sched_getaffinity(0)
    here = followers._this_core()
    os.sched_setaffinity(0, {here})  # stay where we are
    try:
        follower.move(here, {here})
        os.sched_setaffinity(0, allowed)
        spread([follower])
        (core,) = os.sched_getaffinity(follower.native_id)
        assert core in allowed
        follower.call()
        soon(lambda: follower.awake)
        assert os.sched_getaffinity(follower.native_id) == allowed
    finally:
        os.sched_setaffinity(0, allowed)


@SEVERAL_CORES
def test_those_that_are_awake_on_one_core_are_spread_and_may_run_anywhere(crew, follower):
    allowed = os.sched_getaffinity(0)
    here = followers._this_core()
    try:
        os.sched_setaffinity(follower.native_id, {here})
        crew.company = 2
        follower.call()
        soon(lambda: follower.awake)
        assert follower.core() == here
        os.sched_setaffinity(0, {here})
        os.sched_setaffinity(0, allowed)
        spread([follower])
        if followers._this_core() == here:
            assert os.sched_getaffinity(follower.native_id) == allowed
        assert os.sched_getaffinity(0) == allowed
    finally:
        os.sched_setaffinity(0, allowed)


@SEVERAL_CORES
def test_where_there_are_more_threads_than_cores_nothing_is_moved(follower):
    cores = os.sched_getaffinity(0)
    spread([follower] * len(cores))
    assert os.sched_getaffinity(follower.native_id) == cores


def test_a_system_without_such_calls(follower, monkeypatch):
    monkeypatch.setattr(followers, "_this_core", None)
    spread([follower])
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert followers._find_this_core() is None
