import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import kernels
from kernels.base.jit import real_type
from kernels.base.memory import aligned_zeros, leading_dimension
from kernels.functions import updates
from kernels.instructions import borrowing as borrowed
from kernels.instructions import common as instructions
from kernels.instructions import losses as loss_instructions
from kernels.machine import interpreter as epoch
from kernels.machine.barrier import BARRIER, DISMISSED, POSTED
from kernels.machine.interpreter import NOTHING
from kernels.machine.state import HALT, KEPT, LOSS, OPEN, STATE, THREAD, THREADS, TICK
from kernels.product import linear, panels
from kernels.product.affine import affine

FLOATS = (np.float32, np.float64)
INPUTS, HIDDEN, OUTPUTS, BATCH = 21, 70, 5, 16
RELU, IDENTITY = kernels.ACTIVATIONS["relu"], kernels.ACTIVATIONS["identity"]


def settings():
    values = np.zeros(updates.SETTINGS)
    values[updates.LEARNING_RATE], values[updates.MOMENTUM] = 0.05, 0.9
    values[updates.CLIP_VALUE] = values[updates.CLIP_NORM] = np.inf
    values[updates.GRADIENT_SCALE] = 1.0
    return values


class Network:
    """Two linear layers, squared error and SGD, as a program written by hand."""

    def __init__(self, dtype, samples, threads=1):
        random = np.random.default_rng(0)
        self.dtype, self.samples, self.threads = dtype, samples, threads
        self.x = random.standard_normal((samples, INPUTS)).astype(dtype)
        self.t = random.standard_normal((samples, OUTPUTS)).astype(dtype)
        self.order = random.permutation(samples)
        self.weights = [self._rows(INPUTS, HIDDEN), self._rows(HIDDEN, OUTPUTS)]
        for w in self.weights:
            w[...] = random.standard_normal(w.shape) / np.sqrt(len(w))
        self.biases = [np.zeros(HIDDEN, dtype), np.zeros(OUTPUTS, dtype)]
        self.speeds = [np.zeros_like(w.base) for w in self.weights]
        self.bias_speeds = [np.zeros_like(bias) for bias in self.biases]
        self.settings, self.totals = settings(), np.zeros(2)
        batch, hidden, output, target = map(self._batch, (INPUTS, HIDDEN, OUTPUTS, OUTPUTS))
        hidden_slope, slope = self._batch(HIDDEN), self._batch(OUTPUTS)
        losses, hits = np.zeros(BATCH, dtype), np.zeros(BATCH, np.uint8)
        self.rows = []
        self._emit(instructions.gather, INPUTS, self.x, self.order, 0, 0, 0, *batch)
        self._emit(instructions.gather, OUTPUTS, self.t, self.order, 0, 0, 0, *target)
        first, second = (self._place(w) for w in self.weights)
        shapes = (INPUTS, HIDDEN), (HIDDEN, OUTPUTS)
        self._emit(
            instructions.linear, *shapes[0], RELU, *batch, *first, 0, self.biases[0], *hidden, 0
        )
        self._emit(
            instructions.linear, *shapes[1], IDENTITY, *hidden, *second, 0, self.biases[1],
            *output, 0,
        )  # fmt: skip
        ones = np.ones(BATCH, dtype)
        self._emit(
            loss_instructions.squared_error, OUTPUTS, *output, *target, 0, ones, 0, *slope,
            losses, hits,
        )  # fmt: skip
        self._emit(loss_instructions.tally, losses, hits, self.totals, 1, wait=False)
        self._emit(
            instructions.linear_input_gradient, *shapes[1], RELU, *slope, *second, 0, *hidden, 0,
            *hidden_slope, 0,
        )  # fmt: skip
        for layer, (source, gradient) in enumerate(((batch, hidden_slope), (hidden, slope))):
            self._emit(
                instructions.linear_update, *shapes[layer], *source, 0, *gradient, 0,
                *self._place(self.weights[layer]), 0, self.biases[layer], updates.SGD, updates.SGD,
                0, self.settings, self.speeds[layer], self.speeds[layer], self.bias_speeds[layer],
                self.bias_speeds[layer],
            )  # fmt: skip
        self.opening, self.table, self.closing = NOTHING, np.array(self.rows, np.int64), NOTHING
        self.kept = batch, hidden, output, target, hidden_slope, slope, losses, hits, ones
        self.states = [np.zeros(STATE, np.int64) for _ in range(threads)]
        for thread, state in enumerate(self.states):
            state[THREAD], state[THREADS] = thread, threads
        size = linear.scratch_size(dtype, 2048)
        self.scratch = [aligned_zeros(size, dtype) for _ in range(threads)]
        self.barrier = aligned_zeros(BARRIER, np.int64)

    def _rows(self, rows, columns):
        return np.zeros((rows, leading_dimension(columns, self.dtype)), self.dtype)[:, :columns]

    def _place(self, view):
        return view, view.strides[0] // view.itemsize

    def _batch(self, columns):
        return self._place(self._rows(BATCH, columns))

    def _emit(self, kind, *operands, wait=True):
        at = [x.ctypes.data if isinstance(x, np.ndarray) else int(x) for x in operands]
        row = [kind.address(real_type(self.dtype)), int(wait), *at]
        self.rows.append(row + [0] * (epoch.COLUMNS - len(row)))

    @property
    def tables(self):
        return self.opening, self.table, self.closing

    def run(self, begin, end, close=0):
        """Numbers of batches that each thread finished."""
        done = {}

        def work(thread):
            done[thread] = epoch.run[np.dtype(self.dtype)](
                *self.tables, self.states[thread], self.scratch[thread], self.barrier,
                self.samples, BATCH, begin, end, close,
            )  # fmt: skip

        team = [threading.Thread(target=work, args=(n,)) for n in range(1, self.threads)]
        for thread in team:
            thread.start()
        work(0)
        for thread in team:
            thread.join(60)
            assert not thread.is_alive()
        return [done[thread] for thread in range(self.threads)]

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
            flat = p.ravel(), g.ravel(), v.ravel(), v.ravel()
            updates.update_flat(updates.SGD, step, network.settings, *flat)
    return [w1, w2, b1, b2], totals


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_epoch_has_the_bits_of_training_step_by_step(threads, dtype):
    samples = 10 * BATCH + 5  # the last batch is a smaller one
    network = Network(dtype, samples, threads)
    expected, totals = learn_in_steps(network, 11)
    assert network.run(0, 11) == [11] * threads
    for own, wanted in zip((*network.weights, *network.biases), expected, strict=True):
        assert_array_equal(own, wanted)
    assert network.totals[0] == pytest.approx(totals[0], rel=1e-12)
    assert network.totals[1] == totals[1]
    assert [state[TICK] for state in network.states] == [11] * threads


@pytest.mark.parametrize("threads", [1, 2])
def test_an_epoch_in_slices_is_the_same(threads):
    whole, sliced = (Network(np.float32, 20 * BATCH, threads) for _ in range(2))
    whole.run(0, 20)
    for begin, end in ((0, 1), (1, 8), (8, 8), (8, 20)):
        assert sliced.run(begin, end) == [end - begin] * threads
    for own, wanted in zip(sliced.learned(), whole.learned(), strict=True):
        assert_array_equal(own, wanted)
    assert_array_equal(sliced.totals, whole.totals)


def borrow_the_first_weight(network):
    """Have a copy of the first weight, which the program itself does not look at."""
    w = network.weights[0]
    count, elements = panels.sizes(*w.shape, network.dtype)
    network.copy = aligned_zeros(count * elements, network.dtype)
    ld = w.strides[0] // w.itemsize
    row = [*w.shape, w.ctypes.data, ld, network.copy.ctypes.data, elements, count * elements]
    network.borrowed = np.array([row], np.int64)
    network.notes = np.zeros(network.threads, np.int64)
    training, network.rows = network.rows, []
    for kind in (borrowed.borrow, borrowed.check, borrowed.give_back):
        network._emit(kind, 1, network.borrowed, network.notes)
    table = np.array(network.rows, np.int64)
    network.opening, network.closing, network.rows = table[:1], table[1:], training
    return w


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_run_opens_once_and_closes_as_it_is_told(threads, dtype):
    network = Network(dtype, 20 * BATCH, threads)
    w = borrow_the_first_weight(network)
    network.table = NOTHING
    first = w.copy()
    assert network.run(0, 3) == [3] * threads
    w[...] = 1
    assert network.run(3, 5) == [2] * threads
    assert_array_equal(w, 1)
    assert {state[OPEN] for state in network.states} == {1}
    assert {state[KEPT] for state in network.states} == {0}
    assert network.run(5, 5, close=1) == [0] * threads
    assert_array_equal(w, first)
    assert {state[KEPT] for state in network.states} == {5}
    w[...] = 2
    for state in network.states:
        state[OPEN] = 0
    network.run(5, 6, close=1)
    assert_array_equal(w, 2)
    assert {state[KEPT] for state in network.states} == {6}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_is_stopped_is_closed(threads):
    spoiled = Network(np.float32, 10 * BATCH, threads)
    spoiled.t[spoiled.order[3 * BATCH], 0] = np.nan
    w = borrow_the_first_weight(spoiled)
    spoiled.run(0, 0)
    spoiled.copy[...] = 7
    assert spoiled.run(0, 10, close=1) == [3] * threads
    assert {state[KEPT] for state in spoiled.states} == {3}
    assert_array_equal(w, 7)


def test_a_thread_follows_the_first():
    alone, pair = Network(np.float32, 20 * BATCH), Network(np.float32, 20 * BATCH, 2)
    dtype, arguments = np.dtype(np.float32), (pair.samples, BATCH)
    seen = []

    def follow():
        mine = pair.states[1], pair.scratch[1], pair.barrier, *arguments
        while pair.barrier[POSTED] != DISMISSED:
            seen.append(epoch.follow[dtype](*pair.tables, *mine, max(seen, default=0)))

    follower = threading.Thread(target=follow)
    follower.start()
    for begin, end in ((0, 1), (1, 8), (8, 20)):
        mine = pair.states[0], pair.scratch[0], pair.barrier, *arguments
        assert epoch.run[dtype](*pair.tables, *mine, begin, end, 0) == end - begin
    pair.barrier[POSTED] = DISMISSED
    follower.join(60)
    assert not follower.is_alive()
    assert seen[-1] == 3
    alone.run(0, 20)
    for own, wanted in zip(pair.learned(), alone.learned(), strict=True):
        assert_array_equal(own, wanted)


def test_many_steps_of_two_threads_are_those_of_one():
    alone, pair = Network(np.float32, 50 * BATCH), Network(np.float32, 50 * BATCH, 2)
    for _ in range(20):
        alone.run(0, 50)
        pair.run(0, 50)
    assert pair.states[1][TICK] == 1000
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
    assert spoiled.run(0, 10) == [6] * threads
    for state in spoiled.states:
        assert state[HALT] == 1
        assert state[TICK] == 6
        assert_array_equal(state[LOSS : LOSS + 1].view(np.float64), [value])
    for own, wanted in zip(spoiled.learned(), clean.learned(), strict=True):
        assert_array_equal(own, wanted)
    assert_array_equal(spoiled.totals, clean.totals)
    # With the sign to stop taken down, training goes on behind the spoiled batch.
    for state in spoiled.states:
        state[HALT] = 0
    assert spoiled.run(7, 10) == [3] * threads
    clean.run(7, 10)
    for own, wanted in zip(spoiled.learned(), clean.learned(), strict=True):
        assert_array_equal(own, wanted)


def test_no_program_and_no_batches():
    network = Network(np.float32, 3 * BATCH)
    held = network.learned()
    assert network.run(2, 2) == [0]
    network.table = network.table[:0]
    assert network.run(0, 3) == [3]
    for own, wanted in zip(network.learned(), held, strict=True):
        assert_array_equal(own, wanted)


def test_a_row_has_room_for_the_operands_of_every_instruction():
    network = Network(np.float32, BATCH)
    assert network.table.shape[1] == epoch.COLUMNS
    assert epoch.OPERANDS + 20 <= epoch.COLUMNS  # `linear_update` has the most
