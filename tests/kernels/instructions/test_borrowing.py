import numpy as np
import pytest
from kit import instruct
from numpy.testing import assert_array_equal

from kernels.base.memory import aligned_zeros
from kernels.instructions import borrowing as borrowed
from kernels.machine.state import KEPT, STATE, THREAD, THREADS, TICK
from kernels.product import panels

STEPS = 5


class Loan:
    """Matrices that a program borrows, and its threads, one after the other."""

    def __init__(self, dtype, threads, shapes):
        random = np.random.default_rng(0)
        self.dtype = dtype
        self.owned, self.copies, rows = [], [], []
        for number, (height, width) in enumerate(shapes):
            block = np.full((height, width + 3), np.nan, dtype)
            owned = block[:, :width]
            owned[...] = random.normal(size=owned.shape)
            count, elements = panels.sizes(height, width, dtype)
            copy = aligned_zeros(count * elements, dtype)
            checked = copy.size if number < len(shapes) - 1 else 0
            addresses = owned.ctypes.data, width + 3, copy.ctypes.data
            rows.append([height, width, *addresses, elements, checked])
            self.owned.append(owned)
            self.copies.append(copy)
        self.table = np.array(rows, np.int64)
        self.notes = np.zeros(threads, np.int64)
        self.states = [np.zeros(STATE, np.int64) for _ in range(threads)]
        for thread, state in enumerate(self.states):
            state[THREAD], state[THREADS], state[TICK] = thread, threads, STEPS

    def carry_out(self, kind):
        operands = {"count": len(self.table), "table": self.table, "notes": self.notes}
        for state in self.states:
            instruct(kind, self.dtype, state, **operands)

    def close(self):
        self.carry_out(borrowed.check)
        self.carry_out(borrowed.give_back)
        kept = {state[KEPT] for state in self.states}
        assert len(kept) == 1
        return kept.pop() == STEPS


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    return request.param


@pytest.fixture
def loan(dtype, threads):
    return Loan(dtype, threads, [(7, 100), (1, 1), (1, 250), (40, 33), (3, 5)])


def test_what_is_borrowed_is_copied_and_given_back(loan):
    before = [owned.copy() for owned in loan.owned]
    loan.carry_out(borrowed.borrow)
    for owned in loan.owned:
        owned[...] = 0
    for copy in loan.copies:
        copy *= 2
    assert loan.close()
    for owned, first in zip(loan.owned, before, strict=True):
        assert_array_equal(owned, 2 * first)
        assert np.isnan(owned.base[:, owned.shape[1] :]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("number", range(4))
def test_nothing_is_given_back_where_something_is_not_finite(loan, number, bad):
    before = [owned.copy() for owned in loan.owned]
    loan.carry_out(borrowed.borrow)
    copy = loan.copies[number]
    for copied in loan.copies:
        copied += 1
    for place in (0, loan.owned[number].shape[1] % 16, copy.size - 1):
        was, copy[place] = copy[place], bad
        assert not loan.close()
        copy[place] = was
        for owned, first in zip(loan.owned, before, strict=True):
            assert_array_equal(owned, first)
    assert loan.close()


def test_what_is_only_remembered_may_be_infinite(loan):
    loan.carry_out(borrowed.borrow)
    loan.copies[-1][0] = np.inf
    assert loan.close()
    assert loan.owned[-1][0, 0] == np.inf
