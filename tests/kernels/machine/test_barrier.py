import itertools
import threading
import time

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crews import Helpers
from kernels.base.memory import aligned_zeros
from kernels.base.simd import data
from kernels.machine.barrier import ARRIVED, BARRIER, GENERATION, LATE, PATIENCE, share, wait


@given(items=st.integers(0, 2000), threads=st.integers(1, 64))
def test_shares_are_all_items_once_and_as_equal_as_can_be(items, threads):
    shares = [share.py_func(items, thread, threads) for thread in range(threads)]
    assert shares[0][0] == 0
    assert shares[-1][1] == items
    assert all(before[1] == after[0] for before, after in itertools.pairwise(shares))
    sizes = [end - begin for begin, end in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.fixture(scope="module")
def march():
    """Compiled: write the round to a place of one's own, meet, and count who is elsewhere."""

    @numba.njit(nogil=True)
    def march(barrier, places, thread, threads, rounds):
        meeting, out_of_step = data(barrier), 0
        for number in range(1, rounds + 1):
            places[8 * thread] = number
            wait(meeting, threads)
            for other in range(threads):
                out_of_step += places[8 * other] != number
            wait(meeting, threads)
        return out_of_step

    march(aligned_zeros(BARRIER, np.int64), np.zeros(8, np.int64), 0, 1, 1)
    return march


@pytest.mark.parametrize(
    ("threads", "rounds"),
    # More threads than cores wait for the scheduler at every barrier, so they meet less often.
    [(1, 1000), (2, 20_000), (3, 300), (5, 100)],
)
def test_threads_keep_in_step(march, threads, rounds):
    barrier, places = aligned_zeros(BARRIER, np.int64), aligned_zeros(8 * threads, np.int64)
    out_of_step = []
    team = [
        threading.Thread(
            target=lambda mine=number: out_of_step.append(
                march(barrier, places, mine, threads, rounds)
            )
        )
        for number in range(threads)
    ]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert out_of_step == [0] * threads
    assert barrier[ARRIVED] == 0
    assert barrier[GENERATION] == (2 * rounds if threads > 1 else 0)


def test_nobody_passes_before_all_have_come(march):
    """One of two threads comes late: the other is still waiting for it."""
    barrier, places = aligned_zeros(BARRIER, np.int64), aligned_zeros(16, np.int64)
    early = threading.Thread(target=march, args=(barrier, places, 0, 2, 1))
    early.start()
    early.join(0.05)
    assert early.is_alive()
    assert march(barrier, places, 1, 2, 1) == 0
    early.join(10)
    assert not early.is_alive()


def test_one_that_is_waited_for_too_long_is_late(march):
    barrier, places = aligned_zeros(BARRIER, np.int64), aligned_zeros(16, np.int64)
    for patience, late in ((10**12, 0), (10**6, 1)):
        barrier[PATIENCE] = patience
        with Helpers(lambda: march(barrier, places, 0, 2, 1)):
            time.sleep(0.05)
            march(barrier, places, 1, 2, 1)
        assert barrier[LATE] == late


def test_one_that_waits_long_takes_no_core(march):
    barrier, places = aligned_zeros(BARRIER, np.int64), aligned_zeros(16, np.int64)
    spent = []

    def wait():
        before = time.thread_time()
        march(barrier, places, 0, 2, 1)
        spent.append(time.thread_time() - before)

    with Helpers(wait):
        time.sleep(0.5)
        march(barrier, places, 1, 2, 1)
    assert spent[0] < 0.25


def test_the_counters_of_a_barrier_lie_on_lines_of_their_own():
    places = sorted((ARRIVED, GENERATION, PATIENCE, BARRIER))
    assert all(8 * (b - a) >= 128 for a, b in itertools.pairwise(places[:3]))
    assert PATIENCE < LATE < BARRIER
