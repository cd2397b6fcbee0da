"""Threads that work together whatever the load of the machine."""

import threading
import time
from contextlib import contextmanager

import pytest

from kernels.machine import team
from kernels.machine.followers import Followers
from kernels.machine.load import LOAD


@contextmanager
def together(choose=lambda most: most):
    """Have as many of `most` threads as `choose` says work, each of them from the beginning."""
    gather = Followers.gather

    def gather_all(self, company, now):
        gather(self, company, now)
        end = time.monotonic() + 30
        while not self.awake(company):
            assert time.monotonic() < end
            time.sleep(0)
            gather(self, company, now)
        return False  # a helper may leave for a moment even now: let a team hope for it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LOAD, "threads", choose)
        patch.setattr(LOAD, "learn", lambda seconds, late: None)
        patch.setattr(Followers, "gather", gather_all)
        patch.setattr(team, "_LONG", 0)
        patch.setattr(team, "_HOPING", 30e9)
        yield


class Helpers:
    """Threads that call functions one after another; `with` waits for their ends."""

    def __init__(self, *functions):
        self._errors = []
        self._threads = [
            threading.Thread(target=self._call, args=(function,)) for function in functions
        ]

    def _call(self, function):
        try:
            function()
        except BaseException as error:
            self._errors.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self._errors, self._errors
