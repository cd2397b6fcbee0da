import os
import threading
import time

import pytest

from kernels.machine import followers
from kernels.machine.followers import Follower, spread


class Work:
    """Counts how often it is followed, and by whom; stands for `epoch.follow`."""

    def __init__(self, seconds=0.0):
        self.seconds, self.seen, self.inside = seconds, [], threading.Event()

    def __call__(self, name, seen):
        assert name == "mine"
        self.seen.append(seen)
        self.inside.set()
        time.sleep(self.seconds)
        return seen + 1

    def wait(self):
        assert self.inside.wait(10)
        self.inside.clear()


def test_a_follower_follows_each_time_it_is_called_and_then_sleeps():
    work = Work()
    follower = Follower(work, ["mine"])
    follower.begin()
    follower.begin()  # again, which does nothing
    assert work.seen == []
    for times in (1, 2, 3):
        follower.call()
        work.wait()
        assert work.seen == list(range(times))
    follower.end()
    assert not follower.is_alive()
    assert not follower.awake
    assert work.seen == [0, 1, 2]


def test_one_that_is_wanted_stays_awake():
    work, wanted = Work(0.001), threading.Event()
    wanted.set()
    follower = Follower(work, ["mine"], wanted=wanted.is_set)
    follower.begin()
    follower.call()
    for _ in range(5):
        work.wait()
    wanted.clear()
    follower.end()
    assert len(work.seen) >= 5


def test_one_that_is_wanted_ends_all_the_same():
    work = Work()
    follower = Follower(work, ["mine"], wanted=lambda: True)
    follower.begin()
    follower.call()
    work.wait()
    follower.end()
    assert not follower.is_alive()


def test_one_that_never_began_ends():
    Follower(Work(), ["mine"]).end()


def test_what_surrounds_it_is_entered_in_its_thread():
    entered = []

    class Here:
        def __enter__(self):
            entered.append(threading.current_thread())

        def __exit__(self, *error):
            entered.append(threading.current_thread())

    follower = Follower(Work(), ["mine"], Here)
    follower.begin()
    follower.end()
    assert entered == [follower, follower]


# ---------------------------------------------------------------------------- cores

SEVERAL_CORES = pytest.mark.skipif(
    len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="one core"
)


@pytest.fixture
def follower():
    made = Follower(Work(0.05), ["mine"])
    made.begin()
    yield made
    made.end()


@SEVERAL_CORES
def test_one_that_is_asleep_will_wake_on_another_core_and_may_then_run_anywhere(follower):
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
        follower._follow.wait()
        assert os.sched_getaffinity(follower.native_id) == allowed
    finally:
        os.sched_setaffinity(0, allowed)


@SEVERAL_CORES
def test_those_that_are_awake_on_one_core_are_spread_and_may_run_anywhere(follower):
    allowed = os.sched_getaffinity(0)
    here = followers._this_core()
    try:
        os.sched_setaffinity(follower.native_id, {here})
        follower.call()
        follower._follow.wait()
        assert follower.awake
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


def test_one_that_has_not_begun_is_not_moved():
    spread([Follower(Work(), ["mine"])])


def test_a_system_without_such_calls(follower, monkeypatch):
    monkeypatch.setattr(followers, "_this_core", None)
    spread([follower])
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert followers._find_this_core() is None
