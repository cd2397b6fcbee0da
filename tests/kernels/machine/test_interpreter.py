import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS, block, dirty_scratch, distance, row_of, settings_of
from numpy.testing import assert_array_equal

import kernels
from crews import Helpers
from kernels.base.jit import real_type
from kernels.base.kinds import INTEGER, WORDS, Memory, Update
from kernels.base.memory import aligned_zeros
from kernels.functions import updates
from kernels.instructions import borrowing as borrowed
from kernels.instructions import linear, losses, samples
from kernels.machine import interpreter as epoch
from kernels.machine.barrier import LATE, PATIENCE
from kernels.machine.instruction import instruction
from kernels.machine.interpreter import table_of
from kernels.machine.pauses import nap
from kernels.machine.posts import AWAY, COMPANY, DISMISSED, POSTS, READY, cells, size
from kernels.machine.state import HALT, KEPT, LOSS, OPEN, STATE, THREAD, THREADS, TICK
from kernels.product import panels
from kernels.product.affine import affine

INPUTS, HIDDEN, OUTPUTS, BATCH = 21, 70, 5, 16
RELU, IDENTITY = kernels.ACTIVATIONS["relu"], kernels.ACTIVATIONS["identity"]
NOTHING = table_of([])


class Network:
    """Two linear layers, squared error and SGD, as a program written by hand."""

    def __init__(self, dtype, samples, threads=1):
        random = np.random.default_rng(0)
        self.dtype, self.samples, self.threads = dtype, samples, threads
        self.x = random.standard_normal((samples, INPUTS)).astype(dtype)
        self.t = random.standard_normal((samples, OUTPUTS)).astype(dtype)
        self.order = random.permutation(samples)
        shapes = (INPUTS, HIDDEN), (HIDDEN, OUTPUTS)
        self.weights = [
            block(random.standard_normal(shape) / np.sqrt(shape[0]), dtype) for shape in shapes
        ]
        self.biases = [np.zeros(HIDDEN, dtype), np.zeros(OUTPUTS, dtype)]
        self.speeds = [np.zeros_like(w.base) for w in self.weights]
        self.bias_speeds = [np.zeros_like(bias) for bias in self.biases]
        self.settings, self.totals = settings_of(learning_rate=0.05, momentum=0.9), np.zeros(2)
        self.opening, self.closing = NOTHING, NOTHING
        self.table = table_of(self._rows_of_a_step())
        self.states = [np.zeros(STATE, np.int64) for _ in range(threads)]
        self.state = self.states[0]
        self.state[THREADS] = threads
        self.scratch = [dirty_scratch(dtype) for _ in range(threads)]
        self.board = aligned_zeros(size(threads), np.int64)
        self.board[PATIENCE] = 10**12

    def _rows_of_a_step(self):
        batch, hidden, output, target = map(self._batch, (INPUTS, HIDDEN, OUTPUTS, OUTPUTS))
        hidden_slope, slope = self._batch(HIDDEN), self._batch(OUTPUTS)
        ones, factors = np.ones(BATCH, self.dtype), np.ones(OUTPUTS, self.dtype)
        found = {"losses": np.zeros(BATCH, self.dtype), "hits": np.zeros(BATCH, np.uint8)}
        self.kept = batch, hidden, output, target, hidden_slope, slope, ones, factors, found
        raw = {"order": self.order, "normalising": 0, "mean": 0, "factor": 0}
        first, second = (
            {"inputs": len(w), "outputs": w.shape[1], "w": w, "bias": bias}
            for w, bias in zip(self.weights, self.biases, strict=True)
        )
        sizes = {"inputs": HIDDEN, "outputs": OUTPUTS, "w": self.weights[1]}
        emit = self.row_of
        return [
            emit(samples.gather, columns=INPUTS, source=self.x, y=batch, **raw),
            emit(samples.gather, columns=OUTPUTS, source=self.t, y=target, **raw),
            emit(linear.linear, activation=RELU, x=batch, y=hidden, **first),
            emit(linear.linear, activation=IDENTITY, x=hidden, y=output, **second),
            emit(
                losses.ERROR["squared"],
                columns=OUTPUTS,
                x=output,
                t=target,
                factors=factors,
                weights=ones,
                masses=0,
                g=slope,
                **found,
            ),
            emit(losses.tally, totals=self.totals, halting=1, wait=False, **found),
            emit(
                linear.linear_input_gradient,
                activation=RELU,
                g=slope,
                y=hidden,
                out=hidden_slope,
                **sizes,
            ),
            emit(linear.linear_update, x=batch, g=hidden_slope, **first, **self._learning(0)),
            emit(linear.linear_update, x=hidden, g=slope, **second, **self._learning(1)),
        ]

    def _learning(self, layer):
        """Operands by which a layer's weights and bias are updated."""
        rule = updates.SGD.routine.address(real_type(self.dtype))
        how = Update(rule, 1, 0, self.settings.ctypes.data)
        memory, bias_memory = (
            Memory(each[layer].ctypes.data, 0) for each in (self.speeds, self.bias_speeds)
        )
        return {"w_memory": memory, "of_w": how, "bias_memory": bias_memory, "of_bias": how}

    def _batch(self, columns):
        return block(np.zeros((BATCH, columns)), self.dtype)

    def row_of(self, kind, **operands):
        return row_of(kind, self.dtype, **operands)

    @property
    def tables(self):
        return self.opening, self.table, self.closing

    def took_part(self):
        """States of the leader, and of the helpers that had not just left when it posted."""
        return [self.state, *(state for state in self.states[1:] if state[TICK])]

    def run(self, begin, end, close=0, company=None):
        """Number of batches finished by all threads, or a company, unless one has just left."""
        company = self.threads if company is None else company
        with Helpers(*(partial(self.follow, thread) for thread in range(1, company))):
            while not (cells(self.board)[: company - 1] == READY).all():
                time.sleep(0)
            done = self.lead(begin, end, close, company)
            cells(self.board)[:] = DISMISSED
        cells(self.board)[:] = AWAY
        return done

    def lead(self, begin, end, close, company):
        """Number of batches that are finished with the threads that are there."""
        return epoch.run[np.dtype(self.dtype)](
            *self.tables, self.state, self.scratch[0], self.board,
            self.samples, BATCH, begin, end, close, company,
        )  # fmt: skip

    def follow(self, thread):
        """Follow the leader until it dismisses its helpers."""
        while cells(self.board)[thread - 1] != DISMISSED:
            epoch.follow[np.dtype(self.dtype)](
                *self.tables, self.states[thread], self.scratch[thread], self.board,
                self.samples, BATCH, thread,
            )  # fmt: skip

    def learned(self):
        arrays = *self.weights, *self.biases, *self.speeds, *self.bias_speeds
        return [np.array(array) for array in arrays]


def learn_in_steps(network, batches):
    """The same training by the functions for Python; gives the parameters and the totals."""
    (w1, w2), (b1, b2) = ([np.array(a) for a in each] for each in (network.weights, network.biases))
    speeds = [np.zeros_like(a) for a in (w1, w2, b1, b2)]
    totals, dtype = np.zeros(2), np.dtype(network.dtype)
    for step in range(batches):
        rows = network.order[step * BATCH : (step + 1) * BATCH]
        x, t = network.x[rows], network.t[rows]
        hidden = kernels.relu(affine(x, w1, b1))
        error = kernels.mean_squared_error(affine(hidden, w2, b2), t)
        totals += error.losses.sum(dtype=np.float64), error.correct
        slope = error.gradient
        below = kernels.relu_gradient(hidden, kernels.matmul(slope, w2.T))
        gradients = [kernels.matmul(x.T, below), kernels.matmul(hidden.T, slope)]
        for g in (below, slope):
            gradients.append(np.zeros(g.shape[1], dtype))
            kernels.add_column_sums(g, gradients[-1])
        for p, g, v in zip((w1, w2, b1, b2), gradients, speeds, strict=True):
            flat = p.ravel(), g.ravel(), v.reshape(1, -1)
            updates.update_flat(updates.SGD, True, step, network.settings, *flat)
    return [w1, w2, b1, b2], totals


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_epoch_has_the_bits_of_training_step_by_step(threads, dtype):
    samples = 10 * BATCH + 5  # the last batch is a smaller one
    network = Network(dtype, samples, threads)
    expected, totals = learn_in_steps(network, 11)
    assert network.run(0, 11) == 11
    for own, wanted in zip((*network.weights, *network.biases), expected, strict=True):
        assert_array_equal(own, wanted)
    assert network.totals[0] == pytest.approx(totals[0], rel=1e-12)
    assert network.totals[1] == totals[1]
    assert {state[TICK] for state in network.took_part()} == {11}


@pytest.mark.parametrize("threads", [1, 2])
def test_an_epoch_in_slices_is_the_same(threads):
    whole, sliced = (Network(np.float32, 20 * BATCH, threads) for _ in range(2))
    whole.run(0, 20)
    for begin, end in ((0, 1), (1, 8), (8, 8), (8, 20)):
        assert sliced.run(begin, end) == end - begin
    for own, wanted in zip(sliced.learned(), whole.learned(), strict=True):
        assert_array_equal(own, wanted)
    assert_array_equal(sliced.totals, whole.totals)


def borrow_the_first_weight(network):
    """Have a copy of the first weight, which the program itself does not look at."""
    w = network.weights[0]
    count, elements = panels.sizes(*w.shape, network.dtype)
    network.copy = aligned_zeros(count * elements, network.dtype)
    addresses = w.ctypes.data, distance(w), network.copy.ctypes.data
    row = [*w.shape, *addresses, elements, count * elements]
    network.borrowed = np.array([row], np.int64)
    network.notes = np.zeros(network.threads, np.int64)
    operands = {"count": 1, "table": network.borrowed, "notes": network.notes}
    opening, *closing = (
        network.row_of(kind, **operands)
        for kind in (borrowed.borrow, borrowed.check, borrowed.give_back)
    )
    network.opening, network.closing = table_of([opening]), table_of(closing)
    return w


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_run_opens_once_and_closes_as_it_is_told(threads, dtype):
    network = Network(dtype, 20 * BATCH, threads)
    w = borrow_the_first_weight(network)
    network.table = NOTHING
    first = w.copy()
    assert network.run(0, 3) == 3
    w[...] = 1
    assert network.run(3, 5) == 2
    assert_array_equal(w, 1)
    assert network.state[OPEN] == 1
    assert network.state[KEPT] == 0
    assert network.run(5, 5, close=1) == 0
    assert_array_equal(w, first)
    assert network.state[KEPT] == 5
    w[...] = 2
    network.state[OPEN] = 0
    network.run(5, 6, close=1)
    assert_array_equal(w, 2)
    assert network.state[KEPT] == 6


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_is_stopped_is_closed(threads):
    spoiled = Network(np.float32, 10 * BATCH, threads)
    spoiled.t[spoiled.order[3 * BATCH], 0] = np.nan
    w = borrow_the_first_weight(spoiled)
    spoiled.run(0, 0)
    spoiled.copy[...] = 7
    assert spoiled.run(0, 10, close=1) == 3
    assert spoiled.state[KEPT] == 3
    assert_array_equal(w, 7)


def test_helpers_that_are_not_there_are_not_waited_for():
    alone, deserted = Network(np.float32, 20 * BATCH), Network(np.float32, 20 * BATCH, 3)
    alone.run(0, 20)
    assert deserted.lead(0, 20, 0, 3) == 20
    cells(deserted.board)[0] = READY  # one is there, the other is not
    assert deserted.lead(0, 0, 0, 3) == 0
    assert cells(deserted.board).tolist() == [READY, AWAY]
    assert deserted.board[COMPANY] == 1
    assert_array_equal(deserted.totals, alone.totals)
    for own, wanted in zip(deserted.learned(), alone.learned(), strict=True):
        assert_array_equal(own, wanted)


@given(
    threads=st.integers(1, 7),
    slices=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 7)), max_size=5),
)
@settings(max_examples=15, deadline=None)
def test_any_companies_one_after_another_have_the_bits_of_one(threads, slices):
    batches = sum(length for length, _ in slices)
    alone, mixed = (Network(np.float32, max(1, batches) * BATCH - 3, n) for n in (1, threads))
    alone.run(0, batches)
    begin = 0
    for length, company in slices:
        assert mixed.run(begin, begin + length, company=min(company, threads)) == length
        begin += length
    assert_array_equal(mixed.totals, alone.totals)
    assert mixed.state[TICK] == batches
    for own, wanted in zip(mixed.learned(), alone.learned(), strict=True):
        assert_array_equal(own, wanted)


@instruction(at=INTEGER, thread=INTEGER, until=WORDS)
def take_a_nap(at, state, scratch):
    """Sleep in one step of one thread, for some 20 ms or until there is another number."""
    if state[TICK] == at.at and state[THREAD] == at.thread:
        first, naps = at.until[0], 0
        while at.until[0] == first and (first != 0 or naps < 200):
            nap()
            naps += 1


def dawdle(network, *, at, thread, until=None):
    """Let a thread sleep in a step, for long or until a number that is not 0 changes."""
    until = np.zeros(1, np.int64) if until is None else until
    row = network.row_of(take_a_nap, at=at, thread=thread, until=until)
    network.until, network.table = until, table_of([row, *network._rows_of_a_step()])
    network.board[PATIENCE] = 10**6


STEPS = 3000  # enough for helpers that have left once more to come back


@pytest.mark.parametrize("company", [2, 3])
def test_helpers_that_come_later_join_at_the_next_step(company):
    alone, joined = Network(np.float32, STEPS * BATCH), Network(np.float32, STEPS * BATCH, 3)
    waiting = np.ones(1, np.int64)
    dawdle(joined, at=4, thread=0, until=waiting)
    joined.board[PATIENCE] = 10**12
    alone.run(0, STEPS)
    w = borrow_the_first_weight(joined)
    before = w.copy()

    def tell():
        while not (cells(joined.board)[: company - 1] == READY).all():
            time.sleep(0)
        waiting[0] = 2

    def follow_later(thread):
        while joined.state[TICK] < 4:
            time.sleep(0)
        joined.follow(thread)

    with Helpers(tell, *(partial(follow_later, thread) for thread in range(1, company))):
        assert joined.lead(0, STEPS, 1, company) == STEPS
        cells(joined.board)[:] = DISMISSED
    assert joined.board[COMPANY] == company
    assert joined.board[POSTS] >= 2
    assert joined.state[KEPT] == STEPS
    assert_array_equal(w, before)  # the copy, which does not learn, was given back
    for own, wanted in zip(joined.learned()[1:], alone.learned()[1:], strict=True):
        assert_array_equal(own, wanted)


@pytest.mark.parametrize("thread", [0, 1])
@pytest.mark.parametrize("at", [0, 4, 19])
@pytest.mark.parametrize("close", [0, 1])
def test_after_one_was_late_the_first_thread_goes_on_alone(close, at, thread):
    alone, tardy = Network(np.float32, 20 * BATCH), Network(np.float32, 20 * BATCH, 2)
    dawdle(tardy, at=at, thread=thread)
    w = borrow_the_first_weight(tardy)
    before = w.copy()
    alone.run(0, 20)
    with Helpers(partial(tardy.follow, 1)):
        while cells(tardy.board)[0] != READY:
            time.sleep(0)
        assert tardy.lead(0, 20, close, 2) == 20
        cells(tardy.board)[:] = DISMISSED
    assert tardy.board[LATE] == 1
    assert tardy.board[COMPANY] == 1 or at == 19
    assert tardy.state[TICK] == 20
    assert tardy.state[KEPT] == 20 * close
    assert not close or np.array_equal(w, before)
    assert_array_equal(tardy.totals, alone.totals)
    for own, wanted in zip(tardy.learned()[1:], alone.learned()[1:], strict=True):
        assert_array_equal(own, wanted)


def test_a_run_that_is_stopped_while_one_is_late_is_closed_and_stays_stopped():
    for at in (3, 4, 5):
        network = Network(np.float32, 10 * BATCH, 2)
        network.t[network.order[5 * BATCH], 0] = np.nan
        dawdle(network, at=at, thread=1)
        borrow_the_first_weight(network)
        with Helpers(partial(network.follow, 1)):
            while cells(network.board)[0] != READY:
                time.sleep(0)
            assert network.lead(0, 10, 1, 2) == 5
            cells(network.board)[:] = DISMISSED
        assert network.state[TICK] == network.state[KEPT] == 5
        assert network.state[HALT] == 1


def test_helpers_that_come_and_go_at_any_moment_are_claimed_or_not():
    """Slices begin about when a helper gives up looking for work."""
    alone, pair = Network(np.float32, 50 * BATCH), Network(np.float32, 50 * BATCH, 3)
    random, companies = np.random.default_rng(0), []
    with Helpers(partial(pair.follow, 1), partial(pair.follow, 2)):
        for _ in range(20):
            alone.lead(0, 50, 0, 1)
            for begin in range(0, 50, 2):
                time.sleep(random.uniform(0, 2e-3))
                assert pair.lead(begin, begin + 2, 0, 3) == 2
                companies.append(int(pair.board[COMPANY]))
        cells(pair.board)[:] = DISMISSED
    assert set(companies) <= {1, 3}
    for own, wanted in zip(pair.learned(), alone.learned(), strict=True):
        assert_array_equal(own, wanted)


def test_many_steps_of_two_threads_are_those_of_one():
    alone, pair = Network(np.float32, 50 * BATCH), Network(np.float32, 50 * BATCH, 2)
    for _ in range(20):
        alone.run(0, 50)
        pair.run(0, 50)
    assert {state[TICK] for state in pair.took_part()} == {1000}
    for own, wanted in zip(pair.learned(), alone.learned(), strict=True):
        assert_array_equal(own, wanted)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_all_threads_and_teaches_nothing(value, threads, dtype):
    spoiled = Network(dtype, 10 * BATCH, threads)
    place = spoiled.order[6 * BATCH + 3]
    clean = Network(dtype, 10 * BATCH, threads)
    clean.run(0, 6)
    spoiled.t[place, 2] = value
    assert spoiled.run(0, 10) == 6
    for state in spoiled.took_part():
        assert state[HALT] == 1
        assert state[TICK] == 6
        assert_array_equal(state[LOSS : LOSS + 1].view(np.float64), [value])
    for own, wanted in zip(spoiled.learned(), clean.learned(), strict=True):
        assert_array_equal(own, wanted)
    assert_array_equal(spoiled.totals, clean.totals)
    # With the sign to stop taken down, training goes on behind the spoiled batch.
    spoiled.state[HALT] = 0
    assert spoiled.run(7, 10) == 3
    clean.run(7, 10)
    for own, wanted in zip(spoiled.learned(), clean.learned(), strict=True):
        assert_array_equal(own, wanted)


def test_no_program_and_no_batches():
    network = Network(np.float32, 3 * BATCH)
    held = network.learned()
    assert network.run(2, 2) == 0
    network.table = network.table[:0]
    assert network.run(0, 3) == 3
    for own, wanted in zip(network.learned(), held, strict=True):
        assert_array_equal(own, wanted)


def test_a_table_is_as_wide_as_its_longest_row():
    rows = [1, 0, 5], [2, 1], [3, 1, 7, 8]
    assert_array_equal(table_of(rows), [[1, 0, 5, 0], [2, 1, 0, 0], [3, 1, 7, 8]])
    assert table_of(rows).dtype == np.int64
    assert NOTHING.shape == (0, epoch.OPERANDS)
