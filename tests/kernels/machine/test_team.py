import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS, normal, settings_of
from numpy.testing import assert_array_equal

import kernels
from crews import together
from kernels.base import subnormals
from kernels.base.memory import line_elements
from kernels.functions import updates
from kernels.functions.activations import ACTIVATIONS, _activate
from kernels.machine import team
from kernels.machine.barrier import LATE
from kernels.machine.load import LOAD
from kernels.machine.posts import POSTS
from kernels.machine.team import ALONE, LARGE, Team, get_num_threads, set_num_threads
from kernels.product.choice import LARGE_PRODUCT
from kernels.product.matmul import _scratch_bytes


@pytest.fixture
def used(monkeypatch, set_threads):
    """Have work wait for teams, and list the addresses that compiled functions are called with."""
    addresses = []

    class Patient(Team):
        def pays(self, long):
            return True

        def run(self, compiled, arguments, work):
            def listed(*given):
                addresses.append(given[-1])
                return compiled(*given)

            return super().run(listed, arguments, work)

    monkeypatch.setattr(team, "Team", Patient)
    with together():
        yield addresses


def on(threads, function):
    set_num_threads(threads)
    return function()


def check(used, function):
    """The result of a function on one, two and three threads has the same bits."""
    alone = on(1, function)
    assert not used
    for threads in (2, 3):
        together = on(threads, function)
        assert len(used) == threads - 1
        assert all(address > 0 for address in used)
        assert_array_equal(together, alone)


# ------------------------------------------------------------------- what is shared


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "exp"])
@pytest.mark.parametrize("size", [LARGE, LARGE + 1, 3 * LARGE + 777])
def test_activations(used, name, dtype, size):
    x = normal(size + 1, dtype)[1:]  # does not begin at a cache line
    check(used, lambda: getattr(kernels, name)(x))
    expected = getattr(kernels, name)(x)
    assert_array_equal(getattr(kernels, name)(x, x), expected)  # in place


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "identity"])
def test_gradients_of_activations(used, name, dtype):
    y, g = normal((300, 211), dtype), normal((300, 211), dtype, 1)
    check(used, lambda: getattr(kernels, f"{name}_gradient")(y, g))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(5000, 10), (3, LARGE), (1, LARGE), (700, 131)])
def test_functions_of_rows(used, shape, name, dtype):
    x, g = normal(shape, dtype), normal(shape, dtype, 1)
    check(used, lambda: getattr(kernels, name)(x))
    used.clear()
    check(used, lambda: getattr(kernels, f"{name}_gradient")(x, g))


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_products(dtype, data):
    rows, columns = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 400))
    depth = max(1, -(-LARGE_PRODUCT // (rows * columns))) + data.draw(st.integers(0, 9))
    a, b = normal((rows, depth), dtype), normal((depth, columns), dtype, 1)
    bias, c = normal(columns, dtype, 2), normal((rows, columns), dtype, 3)
    if data.draw(st.booleans()):
        a = np.asfortranarray(a)
    if data.draw(st.booleans()):
        b = np.asfortranarray(b)
    out = np.empty((rows, columns), dtype, order=data.draw(st.sampled_from("CF")))
    results = by_threads(
        lambda: [
            kernels.matmul(a, b, out).copy(),
            kernels.matmul(a, b, bias=bias, activation="tanh"),
            kernels.matmul(a, b, bias=bias, activation="relu"),
            kernels.matmul(a, b, c.copy(), accumulate=True),
        ]
    )
    for alone, *others in zip(*results, strict=True):
        for each in others:
            assert_array_equal(each, alone)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("lines", [1, 2, 3, 5])
def test_a_last_column_of_a_thread_s_own_is_summed_as_all_are(lines, dtype):
    """Threads split columns by cache lines. One column may be left; alone it would be narrow."""
    a = normal((40, 2000), dtype)
    b = normal((2000, lines * line_elements(dtype) + 1), dtype, 1)
    alone, *others = by_threads(lambda: kernels.matmul(a, b))
    for each in others:
        assert_array_equal(each, alone)


@pytest.mark.skipif(not subnormals.FLUSH, reason="not x86 or Arm: nothing is flushed")
@pytest.mark.parametrize("dtype", FLOATS)
def test_all_threads_take_subnormal_numbers_as_the_first_does(dtype):
    tiny = float(np.finfo(dtype).smallest_normal) ** 0.5 / 100
    a, b = np.full((200, 50), tiny, dtype), np.full((50, 200), tiny, dtype)

    def before_during_and_after():
        first = kernels.matmul(a, b)
        with subnormals.Flushed():
            second = kernels.matmul(a, b)
        return first, second, kernels.matmul(a, b)

    for before, during, after in by_threads(before_during_and_after):
        assert before.all()
        assert not during.any()
        assert after.all()


def by_threads(function):
    """Return the results of a function with one to four threads, which it waits for."""
    before, long_before = get_num_threads(), team._LONG
    results = []
    try:
        team._LONG = 0
        with together():
            for threads in (1, 2, 3, 4):
                set_num_threads(threads)
                results.append(function())
    finally:
        team._LONG = long_before
        set_num_threads(before)
    return results


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("rows", "depth", "columns"), [(1, 800, 700), (800, 700, 1), (300, 2, 900)]
)
def test_products_are_shared(used, rows, depth, columns, dtype):
    a, b = normal((rows, depth), dtype), normal((depth, columns), dtype, 1)
    check(used, lambda: kernels.matmul(a, b))


def test_a_product_has_scratch_memory_enough_on_every_thread():
    assert max(_scratch_bytes(np.dtype(dtype)) for dtype in FLOATS) <= 4 * team._SCRATCH


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rule", [updates.SGD, updates.ADAM], ids=repr)
def test_updates(used, rule, dtype):
    values = settings_of(learning_rate=0.1, momentum=0.1, beta1=0.1, beta2=0.1, epsilon=1e-8)
    size = 3 * LARGE + 5

    def update():
        p, g = normal(size, dtype), normal(size, dtype, 1)
        memory = np.abs(normal((rule.memories, size), dtype, 2))
        updates.update_flat(rule, True, 3, values, p, g, memory)
        return np.concatenate([p, *memory])

    check(used, update)


def test_what_is_small_is_not_shared(used):
    set_num_threads(2)
    kernels.relu(np.ones(LARGE - 1, np.float32))
    kernels.matmul(np.ones((70, 70), np.float32), np.ones((70, 70), np.float32))
    assert not used


# ------------------------------------------------------------------ when there is a team


@pytest.fixture
def pair(monkeypatch):
    """A team of two on a machine that is not busy."""
    monkeypatch.setattr(LOAD, "threads", lambda most: most)
    made = Team(2)
    yield made
    made.end()


def relu(x, address):
    """Return what `shared` would call, for a team."""
    return _activate[x.dtype](ACTIVATIONS["relu"], x, x, address)


X = np.ones(LARGE, np.float32)


def test_it_pays_when_asked_repeatedly(pair, monkeypatch):
    monkeypatch.setattr(team, "_SHORT", 10.0)
    assert [pair.pays(False) for _ in range(3)] == [False, False, True]


def test_it_does_not_pay_for_what_is_rare(pair, monkeypatch):
    monkeypatch.setattr(team, "_SHORT", 0.0)
    assert [pair.pays(False) for _ in range(9)] == [False] * 9
    assert pair.pays(True), "for what takes long"


def test_it_pays_as_long_as_it_is_awake(pair, monkeypatch):
    monkeypatch.setattr(team, "_SHORT", 0.0)
    assert pair.run(relu, (X,), 1e9) is True
    end = time.monotonic() + 10
    while not pair.pays(False) and time.monotonic() < end:
        pair.run(relu, (X,), 1e9)
    assert time.monotonic() < end
    while pair.pays(False) and time.monotonic() < end:  # it goes to sleep
        time.sleep(0.01)
    assert time.monotonic() < end


def test_it_does_one_work_at_a_time(pair):
    inside, go_on, asked = threading.Event(), threading.Event(), []

    def wait(x, address):
        inside.set()
        go_on.wait(10)
        return relu(x, address)

    other = threading.Thread(target=pair.run, args=(wait, (X,), 1e9))
    other.start()
    inside.wait(10)
    asked.append(pair.pays(True))
    go_on.set()
    other.join()
    asked.append(pair.pays(True))
    assert asked == [False, True]


def test_it_learns_from_a_thread_that_was_late(pair, monkeypatch):
    learned = []
    monkeypatch.setattr(LOAD, "learn", lambda seconds, late: learned.append(late))

    def late(x, address):
        pair._board[LATE] = 1
        return True

    pair.run(late, (X,), 1.0)
    assert learned == [], "its thread was not there"
    with together():
        monkeypatch.setattr(LOAD, "learn", lambda seconds, late: learned.append(late))
        gathered = pair._followers.gather
        monkeypatch.setattr(pair._followers, "gather", lambda *how: gathered(*how) or True)
        pair.run(relu, (X,), 1e9)
        pair.run(late, (X,), 1.0)
    assert learned == [False, True]


def test_it_does_not_pay_on_a_busy_machine(pair, monkeypatch):
    monkeypatch.setattr(LOAD, "threads", lambda most: 1)
    assert not pair.pays(True)
    assert pair.run(relu, (X,), 1.0) is True


def test_nobody_waits_for_threads_that_do_not_come(pair, monkeypatch):
    monkeypatch.setattr(pair._followers, "gather", lambda company, now: True)
    for work in (1.0, 1e3):
        x = normal(4 * LARGE, np.float32)
        expected = np.maximum(x, 0)
        assert pair.run(relu, (x,), work) is True
        assert_array_equal(x, expected)
    assert pair._board[POSTS] == 0


def test_fewer_threads_than_there_are_share_the_work(set_threads, monkeypatch):
    monkeypatch.setattr(team, "_LONG", 0)
    x = normal(5 * LARGE, np.float32)
    set_threads(5)
    for company in (1, 2, 3, 4, 5):
        with together(lambda most, company=company: company):
            assert_array_equal(kernels.relu(x), np.maximum(x, 0))


def test_the_error_of_a_thread_that_has_died_is_raised_once(pair):
    pair._followers.error = InterruptedError("a tool")
    with pytest.raises(InterruptedError, match="a tool"):
        pair.run(relu, (X,), 1.0)
    assert pair.run(relu, (X,), 1.0) is True


def test_after_a_call_that_fails_it_works_on(pair):
    def fail(address):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pair.run(fail, (), 1.0)
    assert pair.pays(True)
    assert pair.run(relu, (X,), 1.0) is True


def test_one_that_has_ended_does_nothing(pair):
    pair.end()
    assert pair.run(lambda address: address, (), 1.0) == ALONE


def test_it_sleeps_and_works_again(used):
    set_num_threads(2)
    x = normal(4 * LARGE, np.float32)
    expected = np.maximum(x, 0)
    for pause in (0.0, 0.002, 0.02, 0.0011, 0.0009):
        for _ in range(20):
            assert_array_equal(kernels.relu(x), expected)
            time.sleep(pause)
    assert len(used) == 100
    assert all(address > 0 for address in used)


# ------------------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, np.True_, "2", None, 257, 10**9])
def test_a_wrong_number_of_threads(threads):
    message = f"threads is {re.escape(repr(threads))}; expected a positive integer up to 256"
    with pytest.raises(ValueError, match=message):
        set_num_threads(threads)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint64])
def test_numbers_of_threads_of_numpys_kinds(set_threads, kind):
    set_threads(kind(2))
    assert get_num_threads() == 2


def test_threads_that_are_no_longer_wanted_end(used):
    x = np.ones(2 * LARGE, np.float32)
    ended = []
    for threads in (3, 2, 4, 1):
        set_num_threads(threads)
        assert get_num_threads() == threads
        kernels.relu(x)
        if threads > 1:
            ended += team._team._followers._each
    assert len(ended) == 6
    end = time.monotonic() + 10
    while any(each.native_id for each in ended):
        assert time.monotonic() < end
        time.sleep(0.001)


def test_several_python_threads_at_once(used):
    set_num_threads(2)
    xs = [normal(LARGE + 1000 * i, np.float32, i) for i in range(4)]
    wrong = []

    def work(x):
        for _ in range(100):
            if not np.array_equal(kernels.relu(x), np.maximum(x, 0)):
                wrong.append(x.size)

    workers = [threading.Thread(target=work, args=(x,)) for x in xs]
    for worker in workers:
        worker.start()
    set_num_threads(3)
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_forked_process_has_a_team_of_its_own():
    program = """
import multiprocessing, threading
import numpy as np, kernels
from kernels.machine import team
team._LONG = 0
x = np.ones(10**6, np.float32)
kernels.relu(x[:9])  # is compiled
kernels.set_num_threads(2)
team.LOAD.threads = lambda most: most
assert kernels.relu(x).all() and team._team is not None
def child():
    assert team._team is None
    assert kernels.relu(x).all() and team._team is not None
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(20)
assert process.exitcode == 0, process.exitcode
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(("told", "expected"), [("1", 1), ("64", None)])
def test_numba_num_threads_bounds_them(told, expected):
    program = "import kernels; print(kernels.get_num_threads(), kernels.base.host.cores())"
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True,
        env={**os.environ, "NUMBA_NUM_THREADS": told},
    )  # fmt: skip
    threads, cores = map(int, result.stdout.split())
    assert threads == (expected or cores)
