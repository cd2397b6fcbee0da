import time

import numba
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crews import Helpers
from kernels.base.memory import aligned_zeros
from kernels.base.simd import data
from kernels.machine import posts
from kernels.machine.barrier import BARRIER
from kernels.machine.posts import AWAY, BEGIN, CLAIMED, CLOSE, COMPANY, DISMISSED, END, READY
from kernels.machine.state import STATE, THREAD


@numba.njit
def arrive(board, thread):
    return posts.arrive(data(board), thread)


@numba.njit
def next_post(board, thread, last):
    return posts.next_post(data(board), thread, last)


@numba.njit
def ready(board, company):
    return posts.ready(data(board), company)


@numba.njit
def claim(board, company):
    return posts.claim(data(board), company)


@numba.njit
def post(board, state, begin, end, close, company):
    posts.post(data(board), data(state), begin, end, close, company)


@numba.njit
def release(board, company):
    posts.release(data(board), company)


@numba.njit
def take_over(board, state, thread):
    posts.take_over(data(board), data(state), thread)


def board_of(threads):
    return aligned_zeros(posts.size(threads), np.int64)


THREADS = 5


class Crew(RuleBasedStateMachine):
    """A leader and helpers that come, go and are claimed in any order."""

    def __init__(self):
        super().__init__()
        self.board = board_of(THREADS)
        self.cells = posts.cells(self.board)
        self.there = {}  # the last post that each helper has seen
        self.company, self.posted, self.state = 1, 0, np.arange(STATE)

    helpers = st.integers(1, THREADS - 1)

    @rule(thread=helpers)
    def arrive(self, thread):
        if thread not in self.there:
            assert arrive(self.board, thread)
            self.there[thread] = CLAIMED

    @precondition(lambda self: self.company == 1)
    @rule(thread=helpers)
    def leave(self, thread):
        """Look for work, which there is not, and leave."""
        if self.there.pop(thread, None) is not None:
            assert next_post(self.board, thread, CLAIMED + self.posted) == 0

    @precondition(lambda self: self.company == 1)
    @rule(company=st.integers(2, THREADS), begin=st.integers(0, 9))
    def work(self, company, begin):
        wanted = set(range(1, company))
        assert ready(self.board, company) == (wanted <= set(self.there))
        if not claim(self.board, company):
            assert not wanted <= set(self.there)
            return
        assert wanted <= set(self.there)
        self.posted += 1
        post(self.board, self.state, begin, begin + 3, 1, company)
        self.company = company
        assert [*self.board[[BEGIN, END, CLOSE, COMPANY]]] == [begin, begin + 3, 1, company]

    @precondition(lambda self: self.company > 1)
    @rule()
    def finish(self):
        """All whom the leader has claimed see the post, and the others do not."""
        for thread in range(1, self.company):
            found = next_post(self.board, thread, self.there[thread])
            assert found == CLAIMED + self.posted
            self.there[thread] = found
            mine = np.zeros(STATE, np.int64)
            take_over(self.board, mine, thread)
            assert [*mine] == [thread if i == THREAD else i for i in range(STATE)]
        release(self.board, self.company)
        self.company = 1

    @invariant()
    def cells_tell_who_is_there(self):
        for thread in range(1, THREADS):
            cell = self.cells[thread - 1]
            if thread < self.company:
                assert cell == CLAIMED + self.posted
            else:
                assert cell == (READY if thread in self.there else AWAY)


TestCrew = Crew.TestCase
TestCrew.settings = settings(deadline=None, max_examples=30)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_nobody_is_claimed_where_one_is_missing(missing):
    board = board_of(4)
    for thread in {1, 2, 3} - {missing}:
        arrive(board, thread)
    before = [*posts.cells(board)]
    assert not ready(board, 4)
    assert not claim(board, 4)
    assert [*posts.cells(board)] == before


def test_one_that_is_claimed_waits_for_its_post_without_leaving():
    """As long as it takes: the test would not end if it left, or was never told."""
    board = board_of(2)
    arrive(board, 1)
    assert claim(board, 2)
    found = []
    with Helpers(lambda: found.append(patient(board, 1))):
        time.sleep(0.02)
        assert found == []
        post(board, np.zeros(STATE, np.int64), 0, 1, 0, 2)
    assert found == [CLAIMED + 1]


@numba.njit(nogil=True)
def patient(board, thread):
    return posts.next_post(data(board), thread, CLAIMED)


def test_one_that_is_dismissed_leaves_and_does_not_come_back():
    board = board_of(2)
    arrive(board, 1)
    posts.cells(board)[:] = DISMISSED
    assert next_post(board, 1, CLAIMED) == 0
    assert not arrive(board, 1)
    assert [*posts.cells(board)] == [DISMISSED]


def test_each_cell_is_on_a_line_of_its_own_behind_the_leaders_state():
    places = [posts.cell.py_func(thread) for thread in (1, 2, 3)]
    assert np.diff(places).min() * 8 >= 128
    assert BARRIER < posts.POSTS < posts._STATE
    assert places[0] >= posts._STATE + STATE
    assert len(posts.cells(board_of(4))) == 3
    assert len(posts.cells(board_of(1))) == 0
