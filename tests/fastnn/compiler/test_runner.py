import _thread
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from crews import together
from fastnn import (
    SGD,
    Adam,
    Callback,
    CrossEntropyLoss,
    Dropout,
    Linear,
    MSELoss,
    NonFiniteLossError,
    ReLU,
    Sequential,
    Tanh,
    evaluate,
    fit,
    predict,
)
from fastnn.compiler import limits, runner
from fastnn.compiler.cost import step_work, threads_for
from fastnn.compiler.program import Source, TrainingProgram
from fastnn.compiler.runner import Runner, get_num_threads, set_num_threads
from kernels.base import host, subnormals
from kernels.machine import followers, posts
from kernels.machine.barrier import LATE, PATIENCE
from kernels.machine.load import LOAD
from processes import python


@pytest.fixture(autouse=True, scope="module")
def all_threads_work():
    """Threads work together however busy this machine is."""
    with together():
        yield


def trained(run, bits, threads):
    model, loss, optimizer = run.parts()
    x, y = run.data()
    try:
        history = fit(model, x, y, loss=loss, optimizer=optimizer, threads=threads, **run.how())
    except NonFiniteLossError:
        reject()
    found = bits(model, optimizer), history.loss, history.accuracy
    return *found, predict(model, x, threads=threads).tobytes(), evaluate(
        model, x, y, loss=loss, threads=threads
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_threads_do_not_change_a_bit(runs, bits, data):
    run = data.draw(runs)
    alone = trained(run, bits, 1)
    assert trained(run, bits, 2) == alone
    assert trained(run, bits, 3) == alone


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_threads_do_not_change_a_bit_of_large_layers(run_kind, bits, dtype, clip_norm):
    run = run_kind(
        columns=784, layers=[("Linear", 301, True), ("Tanh",), ("Dropout", 0.2),
        ("Linear", 47, False), ("ReLU",), ("Linear", 10, True)], dtype=dtype, target="index",
        optimizer_kind="Adam", settings={"lr": 0.01, "clip_norm": clip_norm}, samples=700,
        batch_size=300,
    )  # fmt: skip
    alone = trained(run, bits, 1)
    for threads in (2, 3, 5):
        assert trained(run, bits, threads) == alone


def test_as_many_threads_as_the_work_pays_for():
    assert threads_for(0, None) == threads_for(1e5, None) == 1
    assert threads_for(1e12, None) == min(host.cores(), numba.config.NUMBA_NUM_THREADS)
    assert threads_for(1e12, 1) == 1
    assert threads_for(0, np.int64(3)) == 3


def test_no_threads_are_started_for_what_takes_less_than_that():
    assert threads_for(1e7, None, steps=10) == 1
    assert threads_for(1e7, None, steps=1000) == min(8, get_num_threads())
    assert threads_for(1e7, 2, steps=10) == 2


def test_work_of_a_step():
    single, double = (
        Sequential(Linear(10, 20, dtype=dtype), ReLU(), Linear(20, 5, dtype=dtype))
        for dtype in (np.float32, np.float64)
    )
    forward = step_work(single, 8, training=False)
    assert forward == 2 * 8 * (10 * 20 + 20 * 5)
    assert step_work(single, 8) > 3 * forward, "an update takes time, too"
    assert step_work(double, 8) == 2 * step_work(single, 8)
    wide = Sequential(Linear(300, 300))
    assert threads_for(step_work(wide, 1), None) == min(2, get_num_threads())


def test_no_more_threads_than_are_set():
    before = get_num_threads()
    try:
        for most in (1, 5):
            set_num_threads(most)
            assert threads_for(1e12, None) == most
            assert threads_for(0, None) == 1
            assert threads_for(1e12, 7) == 7, "asked for by number"
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2", 257, 10**9])
def test_a_wrong_number_of_threads(threads):
    message = f"threads is {threads!r}; expected a positive integer up to 256, or None"
    with pytest.raises(ValueError, match=message):
        threads_for(1e6, threads)


def test_there_is_one_largest_number_of_threads():
    assert limits.MOST_THREADS == host.MOST_THREADS


# ----------------------------------------------------------------------------- slices


def make(columns=8, rows=100, batch=8, threads=1, width=16, lr=0.1):
    model = Sequential(Linear(columns, width, seed=0), ReLU(), Linear(width, 3, seed=1))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    source = Source(x, rng.integers(0, 3, rows), np.arange(rows))
    optimizer = SGD(model.parameters(), lr=lr)
    program = TrainingProgram(
        model, CrossEntropyLoss(), optimizer, source, batch, np.float32, threads=threads
    )
    return model, Runner(program, rows)


@pytest.mark.parametrize("threads", [1, 2])
def test_slices_cover_all_batches_once(bits, threads, monkeypatch):
    results = []
    for seconds in (0.0, 0.03, 100.0):
        monkeypatch.setattr(runner, "_SLICE", seconds)
        monkeypatch.setattr(runner, "_TOGETHER", seconds)
        model, running = make(threads=threads)
        with running:
            places = list(running.slices())
        assert places[-1] == running.batches == running.ticks == 13
        assert places == sorted(set(places))
        if seconds == 0.0:
            assert places == list(range(1, 14))  # a look at the keyboard after every batch
        assert places[0] == 1  # the first slice only measures how long a batch takes
        results.append((bits(model), running.totals.tolist()))
    assert results[0] == results[1] == results[2]


def test_slices_follow_the_clock(monkeypatch):
    monkeypatch.setattr(runner, "_SLICE", 0.005)
    _, running = make(rows=200_000, width=64)
    with running:
        times = [time.perf_counter()]
        for _ in running.slices():
            times.append(time.perf_counter())
    lengths = np.diff(times)
    # Most slices of a run of some 0.3 s are near 5 ms; the machine may be busy meanwhile.
    assert 10 < len(lengths) < 1000
    assert np.median(lengths) < 0.05


def test_a_model_holds_what_has_been_delivered(bits):
    model, running = make()
    before = bits(model)
    with running:
        slices = running.slices()
        next(slices)
        assert (running.ticks, running.kept) == (1, 0)
        assert bits(model) == before
        assert running.deliver()
        assert running.kept == 1
        once = bits(model)
        assert once != before
        list(slices)
        assert running.kept == running.ticks == running.batches
        assert bits(model) not in (before, once)


def test_rewind_goes_back_to_what_the_model_holds(bits):
    model, running = make()
    with running:
        running.run(0, 2)
        held = bits(model)
        running.run(2, 5)
        after = bits(model)
    model, running = make()
    with running:
        running.run(0, 2)
        running._post(2, 5, False)
        assert (running.ticks, running.kept) == (5, 2)
        running.rewind()
        assert (running.ticks, running.kept) == (2, 2)
        assert bits(model) == held
        running.run(2, 5)
        assert bits(model) == after


@pytest.mark.parametrize("threads", [1, 2])
def test_weights_that_are_not_finite_are_not_delivered(bits, threads):
    model, running = make(threads=threads, lr=1e40)
    with running:
        before = bits(model)
        running._post(0, 1, False)
        assert not running.deliver()
        assert bits(model) == before
        running.rewind()
        assert running.redo(0, 5) == running.ticks == 0
        assert bits(model) == before


def test_a_program_keeps_its_copies_until_they_are_renewed(bits):
    results = []
    for change, renew in ((False, False), (True, False), (True, True)):
        model, running = make()
        with running:
            running.run(0, 1)
            if change:
                next(model.parameters()).data[...] = 0
            if renew:
                running.renew()
            running.run(1, 2)
        results.append(bits(model))
    untouched, overwritten, begun_anew = results
    assert untouched == overwritten != begun_anew


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_stops_before_a_loss_that_is_not_finite(bits, threads):
    model, running = make(threads=threads)
    running.program.inputs["x"][8 * 4] = np.nan  # the fifth batch
    with running:
        assert list(running.slices())[-1] == 4
        assert running.stopped
        assert running.deliver()
        assert np.isnan(running.last_loss)
        assert running.ticks == 4
    expected, fewer = make(threads=1)
    with fewer:
        fewer.run(0, 4)
    assert bits(model) == bits(expected)
    assert running.totals.tolist() == fewer.totals.tolist()


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_that_have_gone_to_sleep_go_on(bits, threads):
    results = []
    for pause in (0.0, 0.02):  # they look for a millisecond or so
        model, running = make(threads=threads)
        with running:
            for batch in range(running.batches):
                assert running.run(batch, batch + 1) == 1
                time.sleep(pause)
        results.append((bits(model), running.totals.tolist()))
    assert results[0] == results[1]


def test_a_thread_that_cannot_be_started_ends_the_run_and_stops_no_other(monkeypatch):
    started = []

    def start(function, arguments):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(function.__self__)
        _thread.start_new_thread(function, arguments)

    monkeypatch.setattr(followers, "_thread", SimpleNamespace(start_new_thread=start))
    model, running = make(threads=3)
    before = model.state_dict()
    with pytest.raises(RuntimeError, match="can't start"), running:
        running.run(0, 1)
    assert len(started) == 1
    soon_ended(started)
    assert running.ticks == 0
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def soon_ended(each):
    """Wait until these followers have no threads."""
    end = time.monotonic() + 10
    while any(follower.native_id for follower in each):
        assert time.monotonic() < end
        time.sleep(0.001)


def test_no_thread_is_left_behind():
    def fail(running):
        with running:
            running.run(0, 1)
            raise RuntimeError("mine")

    _, running = make(threads=3)
    with running:
        list(running.slices())
    soon_ended(running._followers._each)
    _, running = make(threads=3)
    with pytest.raises(RuntimeError, match="mine"):
        fail(running)
    soon_ended(running._followers._each)


# ---------------------------------------------------------------------- alone or together


@settings(max_examples=25, deadline=None)
@given(threads=st.integers(2, 5), seed=st.integers(0, 99))
def test_threads_that_come_and_go_do_not_change_a_bit(bits, threads, seed):
    """The load of the machine changes from slice to slice."""
    random = np.random.default_rng(seed)
    expected, alone = make(rows=500)
    with alone:
        list(alone.slices())
    with pytest.MonkeyPatch.context() as patch, together(lambda most: random.integers(1, most + 1)):
        patch.setattr(runner, "_SLICE", 2e-4)
        model, running = make(rows=500, threads=threads)
        with running:
            list(running.slices())
    assert bits(model) == bits(expected)
    assert running.totals.tolist() == alone.totals.tolist()


def test_on_a_busy_machine_slices_are_short_at_first_and_no_thread_starts(monkeypatch):
    monkeypatch.setattr(LOAD, "threads", lambda most: 1)
    _, running = make(rows=20_000, threads=2)
    with running:
        places = list(running.slices())
        assert places[-1] == running.batches
        assert running._alone == runner._SLICE
    assert running._board[posts.POSTS] == len(places)
    assert running._followers._each[0].native_id == 0
    assert 0 < runner._GLANCE < runner._SLICE


def test_a_run_goes_on_where_helpers_never_come(bits, monkeypatch):
    monkeypatch.setattr(followers.Followers, "gather", lambda self, company, now: False)
    results = []
    for threads in (1, 3):
        model, running = make(threads=threads)
        with running:
            list(running.slices())
        results.append((bits(model), running.totals.tolist()))
    assert results[0] == results[1]


def test_a_run_tells_the_load_what_it_has_met(monkeypatch):
    learned = []
    monkeypatch.setattr(LOAD, "learn", lambda seconds, late: learned.append(late))
    _, running = make(threads=2)
    running._board[PATIENCE] = 10**12
    work = running._run_batches

    def late(*arguments):
        done = work(*arguments)
        running._board[LATE] = 1
        return done

    with running:
        running.run(0, 1)
        running._run_batches = late
        running.run(1, 2)
    assert learned == [False, True]


DYING = """
import ctypes, sys, threading, time
import numpy as np
from fastnn import SGD, MSELoss, Linear, Sequential, fit
from kernels.machine.load import LOAD

LOAD.threads = lambda most: most
model = Sequential(Linear(16, 64, seed=0, dtype=float), Linear(64, 4, seed=1, dtype=float))
x, y = np.ones((640, 16)), np.ones((640, 4))
weight, bias = (np.array(parameter) for parameter in (model[0].weight, model[0].bias))
optimizer = SGD(model.parameters(), lr=1e-6)
KILL
try:
    fit(model, x, y, loss=MSELoss(), optimizer=optimizer, batch_size=64, threads=2, epochs=EPOCHS)
except InterruptedError:
    print("died")
assert optimizer.steps > 0
# Of a sample of ones, the gradients of a weight and of the bias are one.
moved = model[0].bias.data - bias
assert np.all(moved != 0)
assert np.allclose(model[0].weight.data - weight, moved[:, None], rtol=0, atol=1e-11)
"""

KILL = """
def kill():
    while True:
        time.sleep(0.05)
        for ident, frame in sys._current_frames().items():
            while frame and frame.f_code.co_name != "_live":
                frame = frame.f_back
            if frame and frame.f_lineno > frame.f_code.co_firstlineno:  # it has begun
                error = ctypes.py_object(InterruptedError)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), error)
                return

threading.Thread(target=kill, daemon=True).start()
"""


def test_a_helping_thread_that_dies_ends_the_run_with_its_error():
    """The model is at its last whole step."""
    script = DYING.replace("KILL", KILL).replace("EPOCHS", "10**6")
    assert python(script, timeout=120).stdout.split() == ["died"]


def test_what_was_learned_is_delivered_where_no_thread_can_start(bits, monkeypatch):
    def refuse(function, arguments):
        raise RuntimeError("can't start new thread")

    expected, alone = make()
    with alone:
        alone.run(0, 2)
    model, running = make(threads=2)
    with running:
        running._post(0, 2, False)
        running._followers.error = InterruptedError()
        with pytest.raises(InterruptedError):
            running._post(2, 3, False)
        monkeypatch.setattr(followers._thread, "start_new_thread", refuse)
        assert running.deliver()
    assert running.ticks == 2
    assert bits(model) == bits(expected)


def test_hooks_for_threads_do_not_reach_those_that_help():
    hook = """
def hook(*arguments):
    raise InterruptedError("a tool refuses")

threading.setprofile(hook)
threading.settrace(hook)
"""
    script = DYING.replace("KILL", hook).replace("EPOCHS", "100")
    assert python(script, timeout=120).stdout == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_is_forked_in_a_callback_goes_on():
    program = """
import os, sys
import numpy as np
from fastnn import SGD, CrossEntropyLoss, Linear, Sequential, fit
from kernels.machine.load import LOAD

LOAD.threads = lambda most: most
child = None

def fork(training):
    global child
    if training.epoch == 3:
        child = os.fork()

model = Sequential(Linear(64, 100, seed=0), Linear(100, 10, seed=1))
r = np.random.default_rng(0)
x, y = r.normal(size=(5000, 64)).astype(np.float32), np.arange(5000) % 10
optimizer = SGD(model.parameters(), lr=0.01)
history = fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=6, batch_size=64,
              seed=0, threads=2, callbacks=[fork])
os.write(1, f"{history.loss}\\n".encode())  # at once: both processes write to one pipe
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    first, second = python(program, timeout=60).stdout.splitlines()
    assert first == second


# ----------------------------------------------------------------------------- Ctrl-C


def interrupted(threads, **changes):
    """Run a fit of hours, interrupt it, and give the model, optimizer, and seconds it took."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20_000, 64)).astype(np.float32), rng.integers(0, 10, 20_000)

    def parts():
        layers = [Linear(64, 200, seed=0), Tanh(), Dropout(0.1), Linear(200, 10, seed=1)]
        model = Sequential(*layers)
        return model, Adam(model.parameters())

    first, its = parts()  # compiles what there is to compile
    fit(first, x[:64], y[:64], loss=CrossEntropyLoss(), optimizer=its, epochs=1, batch_size=64,
        threads=threads)  # fmt: skip
    model, optimizer = parts()
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.4, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=100_000,
            batch_size=64, seed=0, threads=threads, **changes)  # fmt: skip
    return model, optimizer, time.perf_counter() - sent[0], (x, y)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_leaves_a_model_that_goes_on(threads, hand_loop, bits):
    model, optimizer, seconds, (x, y) = interrupted(threads)
    assert seconds < 5  # hundredths of a second, on a machine that is not busy
    assert all(np.isfinite(p.data).all() for p in model.parameters())
    assert optimizer.steps == model[2].drawn > 0
    if optimizer.steps < 1500:  # whole steps, the same as by hand
        layers = [Linear(64, 200, seed=0), Tanh(), Dropout(0.1), Linear(200, 10, seed=1)]
        same = Sequential(*layers)
        adam = Adam(same.parameters())
        hand_loop(same, x, y, loss=CrossEntropyLoss(), optimizer=adam, epochs=100_000,
                  batch_size=64, seed=0, steps=optimizer.steps)  # fmt: skip
        assert bits(same, adam) == bits(model, optimizer)
    history = fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=1,
                  batch_size=64, threads=threads)  # fmt: skip
    assert np.isfinite(history.loss).all()


def test_ctrl_c_tells_callbacks_that_training_ends():
    heard = []

    class Listens(Callback):
        def on_train_end(self, training):
            heard.append(training.optimizer.steps)

    _, optimizer, _, _ = interrupted(1, callbacks=[Listens()])
    assert heard == [optimizer.steps]


def test_ctrl_c_before_the_first_step_changes_nothing(monkeypatch):
    def interrupt(self, company, now):
        raise KeyboardInterrupt

    monkeypatch.setattr(followers.Followers, "gather", interrupt)
    model = Sequential(Linear(6, 100, seed=0))
    before = model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        fit(model, np.ones((20, 6)), np.zeros(20, int), loss=CrossEntropyLoss(), epochs=1,
            optimizer=SGD(model.parameters(), lr=0.1), batch_size=5, threads=2)  # fmt: skip
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


STORM = """
import os, random, signal, threading, time
import numpy as np
from fastnn import SGD, MSELoss, Linear, Sequential, fit
from fastnn.compiler import runner
from kernels.machine.load import LOAD

LOAD.threads = lambda most: most
runner._SLICE = 0.0  # a slice is one batch: much of the time is spent between them
random.seed(0)
model = Sequential(Linear(16, 64, seed=0, dtype=float), Linear(64, 4, seed=1, dtype=float))
x, y = np.ones((512, 16)), np.ones((512, 4))
weight, bias = (np.array(parameter) for parameter in (model[0].weight, model[0].bias))
optimizer = SGD(model.parameters(), lr=1e-6)
how = dict(loss=MSELoss(), optimizer=optimizer, epochs=10**6, batch_size=64, threads=2)
fit(model, x, y, **how | {"epochs": 1})  # loads the kernels
done = threading.Event()

def interrupt(after):
    time.sleep(after)
    if not done.is_set():
        signal.raise_signal(signal.SIGINT)

caught = whole = 0
for _ in range(ROUNDS):
    done.clear()
    sender = threading.Thread(target=interrupt, args=(0.005 + 0.01 * random.random(),))
    try:
        sender.start()
        fit(model, x, y, **how)
    except KeyboardInterrupt:
        caught += 1
    done.set()
    sender.join()
    # Of a sample of ones, the gradients of a weight and of the bias are one.
    moved = model[0].bias.data - bias
    whole += np.allclose(model[0].weight.data - weight, moved[:, None], rtol=0, atol=1e-11)
print(caught, whole, bool(np.all(moved != 0)))
"""


def test_ctrl_c_at_any_moment_ends_all_threads():
    """And the model holds whole steps; no thread that has been started waits for another."""
    script = STORM.replace("ROUNDS", "100")
    done = python(script, timeout=180)
    assert done.stdout.split() == ["100", "100", "True"]


# ---------------------------------------------------------------- processes and threads


def fit_once(seed, threads=None):
    rng = np.random.default_rng(seed)
    model = Sequential(Linear(30, 50, seed=seed), ReLU(), Dropout(0.2), Linear(50, 4, seed=seed))
    x, y = rng.normal(size=(300, 30)), rng.normal(size=(300, 4))
    fit(model, x, y, loss=MSELoss(), optimizer=Adam(model.parameters()), epochs=20, batch_size=16,
        seed=seed, threads=threads)  # fmt: skip
    return {name: array.tobytes() for name, array in model.state_dict().items()}


@pytest.mark.parametrize("threads", [None, 2])
def test_several_python_threads_at_once(threads):
    expected = [fit_once(seed) for seed in range(6)]
    found, errors = {}, []

    def work(seed):
        try:
            found[seed] = fit_once(seed, threads)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert [found[seed] for seed in range(6)] == expected


PROCESSES = """
import multiprocessing
import numpy as np
from fastnn import Adam, Dropout, Linear, MSELoss, ReLU, Sequential, fit

def fit_once(seed, threads):
    rng = np.random.default_rng(seed)
    model = Sequential(Linear(30, 50, seed=seed), ReLU(), Dropout(0.2), Linear(50, 4, seed=seed))
    x, y = rng.normal(size=(300, 30)), rng.normal(size=(300, 4))
    fit(model, x, y, loss=MSELoss(), optimizer=Adam(model.parameters()), epochs=20, batch_size=16,
        seed=seed, threads=threads)
    return {name: array.tobytes() for name, array in model.state_dict().items()}

if __name__ == "__main__":
    expected = [fit_once(seed, 2) for seed in range(2)]
    for method in METHODS:
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.starmap_async(fit_once, [(0, 2), (1, None)]).get(timeout=150)
        print(method, found == expected)
"""


def test_child_processes(tmp_path):
    """Also forked after training on threads; their own threads start with nobody waiting."""
    known = multiprocessing.get_all_start_methods()
    methods = [name for name in ("spawn", "fork") if name in known]
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES.replace("METHODS", repr(methods)))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=180, check=True
    )
    assert done.stdout.split() == [word for name in methods for word in (name, "True")]


@pytest.mark.skipif(not subnormals.FLUSH, reason="not x86 or Arm: nothing is flushed")
@pytest.mark.parametrize("threads", [1, 2])
def test_what_adam_remembers_of_dead_units_decays_to_zero(threads):
    """Subnormal numbers, with which processors are slow, neither arise nor stay."""
    layer = Linear(4, 3, seed=0)
    model = Sequential(layer, ReLU())
    x = np.random.default_rng(0).random((40, 4), np.float32)
    y = np.zeros(40, np.int64)
    optimizer = Adam(model.parameters(), betas=(0.9, 0.9))
    options = {"loss": CrossEntropyLoss(), "optimizer": optimizer, "batch_size": 4, "seed": 0}
    fit(model, x, y, epochs=1, threads=threads, **options)
    layer.bias = np.full(3, -100.0)  # every unit is dead from now on
    fit(model, x, y, epochs=150, threads=threads, **options)
    first, second = optimizer.memory[np.dtype(np.float32)]
    assert not first.any()
    assert not second.any()
    assert np.float32(1e-40) * np.ones(1, np.float32) > 0  # here, they are as they were
