import os
import threading
import time

import pytest

from kernels import followers
from kernels.followers import Follower, spread


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

    follower = Follower(Work(), ["mine"], Here())
    follower.begin()
    follower.end()
    assert entered == [follower, follower]


class Resting(Follower):
    """A follower that was begun, with another number for the system where one is given."""

    def __init__(self, number=None):
        self.work = Work()
        super().__init__(self.work, ["mine"])
        self.begin()
        self._number = number

    @property
    def native_id(self):
        return self._number or super().native_id


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="one core")
def test_threads_that_share_a_core_are_spread_and_may_then_run_anywhere():
    allowed, other, stranger = os.sched_getaffinity(0), Resting(), Resting(10**9)
    try:
        mine = followers._core_of(threading.get_native_id())
        os.sched_setaffinity(threading.get_native_id(), {mine})  # stay where we are
        os.sched_setaffinity(other.native_id, {mine})
        other.call()
        other.work.wait()  # it has run there
        os.sched_setaffinity(threading.get_native_id(), allowed)
        spread([other])
        assert os.sched_getaffinity(other.native_id) == allowed
        spread([other] * len(allowed))  # there are not so many cores
        assert os.sched_getaffinity(other.native_id) == allowed
        spread([stranger])  # no such thread
        spread([Follower(Work(), ["mine"])])  # one that was not begun
    finally:
        other.end()
        stranger.end()
    assert os.sched_getaffinity(0) == allowed
