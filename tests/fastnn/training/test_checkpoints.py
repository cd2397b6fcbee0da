import errno
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import Dropout, Linear, ReLU, Sequential, Tanh
from fastnn.files import container
from fastnn.files.container import ModelFileError
from own_layers import Doubled

KILLED = pathlib.Path(__file__).with_name("killed.py")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def data(samples=40, columns=5, dtype="float32"):
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, columns)).astype(dtype), rng.integers(0, 3, samples)


def parts(dtype="float32", width=8, activation=ReLU, seed=1):
    model = Sequential(
        Linear(5, width, dtype=dtype, seed=seed), activation(), Dropout(0.3, seed=9),
        Linear(width, 3, dtype=dtype, seed=seed),
    )  # fmt: skip
    return model, fastnn.SGD(model.parameters(), lr=0.1, momentum=0.9)


def train(model, optimizer, epochs=4, **options):
    x, y = data(dtype=next(model.parameters()).dtype)
    given = {"loss": fastnn.CrossEntropyLoss(), "batch_size": 8, "seed": 3, **options}
    return fastnn.fit(model, x, y, optimizer=optimizer, epochs=epochs, **given)


class StopError(Exception):
    pass


class Failing(fastnn.Callback):
    """Ends a run by an error in an epoch, once."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, training):
        if training.epoch == self.epoch:
            self.epoch = None
            raise StopError


def numbers(history):
    return {name: values for name, values in history.items() if name != "seconds"}


# the same bits


@given(st.data())
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_a_run_that_failed_goes_on_to_the_same_bits(path, runs, bits, data):
    """Any chain, optimizer, loss, dtype; any epoch to fail in; any epochs between checkpoints."""
    run = data.draw(runs)
    epochs, every = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    failing = sorted(data.draw(st.sets(st.integers(1, epochs), max_size=3)))
    path.unlink(missing_ok=True)
    x, y = run.data()

    def attempt(callbacks=(), **options):
        model, loss, optimizer = run.parts()
        history = fastnn.fit(
            model, x, y, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=run.batch_size,
            shuffle=run.shuffle, seed=run.seed, validation_data=(x, y), callbacks=callbacks,
            **options,
        )  # fmt: skip
        return bits(model, optimizer), numbers(history)

    try:
        expected = attempt()
    except fastnn.NonFiniteLossError:
        return
    for epoch in failing:
        with pytest.raises(StopError):
            attempt([Failing(epoch)], checkpoint=path, every=every, resume=True)
    assert attempt(checkpoint=path, every=every, resume=True) == expected
    assert attempt(checkpoint=path, every=every, resume=True) == expected  # it is done


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seed", [0, None])
def test_a_run_without_a_seed_goes_on_with_its_own(seed, threads, path, bits):
    """The order of samples and the seeds of dropout are the checkpoint's, not drawn anew."""
    kept = {}

    def keep(training):
        kept[training.epoch] = bits(training.model, training.optimizer)

    train(*parts(), epochs=2, seed=seed, checkpoint=path, threads=threads)
    first = path.read_bytes()
    train(*parts(seed=5), epochs=4, seed=seed, checkpoint=path, resume=True, callbacks=[keep],
          threads=threads)  # fmt: skip
    once = dict(kept)
    path.write_bytes(first)
    train(*parts(seed=6), epochs=4, seed=seed, checkpoint=path, resume=True, callbacks=[keep])
    assert kept == once
    assert list(kept) == [3, 4]


SCHEDULES = {
    "step": lambda each: fastnn.schedules.StepLR(each, 2),
    "cosine": lambda each: fastnn.schedules.cosine_with_warmup(each, 30, 10, every="step"),
    "cycle": lambda each: fastnn.schedules.OneCycleLR(each, 0.1),
    "plateau": lambda each: fastnn.schedules.ReduceLROnPlateau(each, patience=0, threshold=0.5),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epoch", [1, 4])
def test_a_schedule_goes_on_to_the_same_bits(schedule, epoch, path, bits):
    def attempt(*callbacks, **options):
        model, optimizer = parts()
        made = SCHEDULES[schedule](optimizer)
        train(model, optimizer, 6, schedule=made, callbacks=callbacks, clip_norm=0.5, **options)
        return bits(model, optimizer), optimizer.settings.tolist(), made.state_dict()

    expected = attempt()
    with pytest.raises(StopError):
        attempt(Failing(epoch), checkpoint=path)
    assert attempt(checkpoint=path, resume=True) == expected


def test_more_epochs_have_the_rate_of_their_schedule(path):
    """A line that has come to 0 goes on as the longer line that is asked for."""
    seen = []

    class Watch(fastnn.Callback):
        def on_epoch_begin(self, training):
            seen.append(training.optimizer.lr)

    for epochs in (4, 8):
        model, optimizer = parts()
        line = fastnn.schedules.LinearLR(optimizer, 1.0, 0.0, epochs)
        train(model, optimizer, epochs, schedule=line, checkpoint=path, resume=True,
              callbacks=[Watch()])  # fmt: skip
        assert optimizer.lr == 0.0
    first = [0.1, 0.075, 0.05, 0.025]
    assert seen == pytest.approx([*first, 0.05, 0.0375, 0.025, 0.0125])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_same_objects_go_on(schedule, path, bits):
    """As in a notebook, where a cell that was interrupted is run again."""
    expected, again = parts(), parts()
    train(*expected, 6, schedule=SCHEDULES[schedule](expected[1]))
    made = SCHEDULES[schedule](again[1])
    with pytest.raises(StopError):
        train(*again, 6, schedule=made, callbacks=[Failing(3)], checkpoint=path)
    train(*again, 6, schedule=made, checkpoint=path, resume=True)
    assert bits(*again) == bits(*expected)


def test_running_statistics_go_on_to_the_same_bits(path, bits):
    def attempt(epochs, **options):
        made = Sequential(
            Linear(5, 8, seed=1), fastnn.BatchNorm1d(8), fastnn.GELU(), fastnn.LayerNorm(8),
            Linear(8, 3, seed=2),
        )  # fmt: skip
        optimizer = fastnn.AdamW(made.parameters())
        history = train(made, optimizer, epochs, validation_data=data(), **options)
        return bits(made, optimizer), numbers(history)

    attempt(2, checkpoint=path)
    assert attempt(5, checkpoint=path, resume=True) == attempt(5)
    assert any("running_mean" in name for name in fastnn.load(path).state_dict())


def test_a_layer_of_ones_own_goes_on_to_the_same_bits(path, bits):
    def attempt(epochs, **options):
        made = Sequential(Linear(5, 8, seed=1), Doubled(), Dropout(0.2), Linear(8, 3, seed=2))
        optimizer = fastnn.Adam(made.parameters())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            train(made, optimizer, epochs, **options)
        return bits(made, optimizer)

    attempt(2, checkpoint=path)
    assert attempt(5, checkpoint=path, resume=True) == attempt(5)
    with pytest.raises(ModelFileError, match=r"layers of somebody's own; load"):
        fastnn.load(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_run_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    """At random moments, in the middle of a save included."""
    killed(tmp_path, kills=16, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_run_that_is_killed_many_times_goes_on_to_the_same_bits(seed, tmp_path):
    killed(tmp_path, kills=400, seed=seed)


def killed(folder, kills, seed):
    arguments = [sys.executable, KILLED, folder, str(kills), str(seed)]
    found = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    done = json.loads(found.stdout)
    assert done["wrong"] == []
    assert done["failed"] == 0
    assert done["kills"] == kills
    assert done["in saves"] > kills / 5
    assert done["resumed"] > kills / 10
    assert done["left"] == ["again.safetensors", "whole.safetensors"]


# what is kept, and when


def test_the_epochs_after_which_a_checkpoint_is_written(path):
    seen = []

    def look(training):
        seen.append(_epochs_done(path))

    train(*parts(), epochs=8, checkpoint=path, every=3, callbacks=[look])
    assert [*seen[1:], _epochs_done(path)] == [0, 0, 3, 3, 3, 6, 6, 8]


def _epochs_done(path):
    return container.read(path).description["training"]["epoch"] if path.exists() else 0


def test_without_resume_a_run_begins_anew(path, bits):
    first = parts()
    train(*first, checkpoint=path)
    second = parts()
    assert len(train(*second, checkpoint=path)) == 4
    assert bits(*second) == bits(*first)


def test_callbacks_see_a_run_that_was_never_stopped(path):
    train(*parts(), epochs=3, checkpoint=path)
    seen = []

    class Watch(fastnn.Callback):
        def on_train_begin(self, training):
            seen.append((training.epoch, len(training.history), training.optimizer.steps))

        def on_epoch_begin(self, training):
            seen.append(training.epoch)

    history = train(*parts(), epochs=5, checkpoint=path, resume=True, callbacks=[Watch()])
    assert seen == [(3, 3, 15), 4, 5]
    assert len(history) == 5


def test_a_run_that_stopped_itself_stays_stopped(path, bits):
    def stop(training):
        training.stop = training.epoch == 2

    first, again = parts(), parts()
    train(*first, epochs=9, checkpoint=path, callbacks=[stop])
    history = train(*again, epochs=9, checkpoint=path, resume=True, callbacks=[stop])
    assert len(history) == 2
    assert bits(*again) == bits(*first)


def test_early_stopping_and_a_log_go_on(path, bits):
    def attempt(folder, *callbacks, **options):
        model, optimizer = parts()
        stopping = fastnn.callbacks.EarlyStopping("val_accuracy", patience=3, mode="min")
        log = fastnn.callbacks.CSVLogger(folder / "log.csv")
        train(model, optimizer, 30, callbacks=[stopping, log, *callbacks], validation_data=data(),
              **options)  # fmt: skip
        lines = [line.split(",")[:-1] for line in (folder / "log.csv").read_text().splitlines()]
        return bits(model, optimizer), vars(stopping).pop("_weights").keys(), vars(stopping), lines

    whole, killed = path.parent / "whole", path.parent / "killed"
    whole.mkdir(), killed.mkdir()
    expected = attempt(whole)
    assert 3 <= expected[2]["stopped_epoch"] < 30
    with pytest.raises(StopError):
        attempt(killed, Failing(3), checkpoint=path, every=2)
    with (killed / "log.csv").open("a") as file:
        file.write("4,0.1")  # of a run that was killed in the middle of a line
    assert attempt(killed, checkpoint=path, resume=True) == expected
    assert attempt(killed, checkpoint=path, resume=True) == expected


def test_the_state_of_callbacks_is_kept(path):
    class Counter(fastnn.Callback):
        def __init__(self):
            self.state = {"seen": 0, "losses": [], "best": float("inf"), "weights": {}}

        def on_epoch_end(self, training):
            state = self.state
            state["seen"] += 1
            state["losses"] = (*state["losses"], training.history.loss[-1])
            state["weights"] = training.model.state_dict()

        def state_dict(self):
            return self.state

        def load_state_dict(self, state):
            self.state = state

    whole, one, other = Counter(), Counter(), Counter()
    train(*parts(), epochs=5, callbacks=[whole])
    train(*parts(), epochs=2, callbacks=[print, one], checkpoint=path)
    train(*parts(), epochs=5, callbacks=[other], checkpoint=path, resume=True)
    assert other.state["seen"] == 5
    assert tuple(other.state["losses"]) == whole.state["losses"]
    assert other.state["best"] == float("inf")
    for name, array in whole.state["weights"].items():
        np.testing.assert_array_equal(other.state["weights"][name], array, strict=True)
    with pytest.raises(ModelFileError, match=r"callbacks \['Counter'\]; expected .*callbacks \[\]"):
        train(*parts(), epochs=5, checkpoint=path, resume=True)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": object()}, r"training\.parts\.0\.state\.a is <object"),
        ({"a": np.array(["text"])}, r"state\.a is an array of <U4"),
        ({"$a": 1}, r"begin with"),
        ({1: 1}, r"begin with"),
    ],
)
def test_a_state_that_cannot_be_kept_is_named_before_the_first_epoch(state, message, path):
    class Odd(fastnn.Callback):
        def state_dict(self):
            return state

        def load_state_dict(self, _): ...

    model, optimizer = parts()
    before = model.state_dict()
    with pytest.raises(TypeError, match=message):
        train(model, optimizer, callbacks=[Odd()], checkpoint=path)
    assert not path.exists()
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])


def test_a_checkpoint_is_a_model_file(path):
    model, optimizer = parts()
    train(model, optimizer, checkpoint=path)
    loaded = fastnn.load(path)
    assert repr(loaded) == repr(model)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array, strict=True)
    found = safetensors.numpy.load_file(path)
    assert {"0.weight", "0.bias", "3.weight", "3.bias", "training.order"} < found.keys()


def test_nothing_in_the_package_unpickles():
    """Loading never executes code: the words are nowhere in fastnn but where caches are."""
    words = ("pickle", "allow_pickle=True", "eval(", "exec(", "marshal", "shelve", "joblib.load")
    root = pathlib.Path(fastnn.__file__).parent
    for name in (
        "files/container",
        "files/models",
        "files/atomic",
        "training/checkpoints",
        "runs/run",
    ):
        text = (root / f"{name}.py").read_text().replace(".eval()", "")
        assert not [word for word in words if word in text], name


# failures


def test_a_checkpoint_that_fails_leaves_the_one_before(path, bits, monkeypatch):
    saved = []
    fsync = os.fsync

    def fail(descriptor):
        saved.append(descriptor)
        if len(saved) > 6:  # two a save
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    model, optimizer = parts()
    with pytest.raises(OSError, match=f"No space left on device: {re.escape(repr(str(path)))}"):
        train(model, optimizer, checkpoint=path)
    monkeypatch.undo()
    assert _epochs_done(path) == 3
    assert optimizer.steps == 20  # the model holds whole steps
    assert list(path.parent.iterdir()) == [path]
    again, whole = parts(), parts()
    train(*again, checkpoint=path, resume=True)
    train(*whole)
    assert bits(*again) == bits(*whole)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resume": True}, ValueError, "resume is True; expected the path of a checkpoint"),
        ({"checkpoint": "none/run"}, FileNotFoundError, "none/run"),
        ({"checkpoint": "."}, IsADirectoryError, "'.'"),
        ({"checkpoint": 3.5}, TypeError, "float"),
        ({"checkpoint": "run", "every": 0}, ValueError, "every is 0; expected a positive integer"),
        ({"checkpoint": "run", "every": 1.5}, ValueError, "every is 1.5"),
    ],
)
def test_bad_arguments_are_named_before_anything_changes(
    options, error, message, bits, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model, optimizer = parts()
    before = bits(model, optimizer)
    with pytest.raises(error, match=message):
        train(model, optimizer, **options)
    assert {**bits(model, optimizer), "drawn": 0} == {**before, "drawn": 0}
    assert not list(tmp_path.iterdir())


def refused(path, model=None, optimizer=None, epochs=4, **options):
    """The message with which a training refuses a checkpoint, changing nothing."""
    given = parts() if model is None else (model, optimizer)
    weights, steps = given[0].state_dict(), given[1].state_dict()
    content = path.read_bytes()
    with pytest.raises(ModelFileError) as caught:
        train(*given, epochs=epochs, checkpoint=path, resume=True, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: found")
    assert "\n" not in message
    assert path.read_bytes() == content
    for name, array in given[0].state_dict().items():
        np.testing.assert_array_equal(array, weights[name])
    assert given[1].steps == steps["steps"]
    return message


@pytest.fixture
def saved(path):
    train(*parts(), epochs=2, checkpoint=path)
    return path


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            {"width": 9},
            "found tensor '0.weight' of shape (8, 5) and float32; expected (9, 5) and float32",
        ),
        (
            {"dtype": "float64"},
            "found tensor '0.weight' of shape (8, 5) and float32; expected (8, 5) and float64",
        ),
        ({"activation": Tanh}, "found ReLU() as model[1]; expected Tanh()"),
    ],
)
def test_a_checkpoint_of_another_model(made, message, saved):
    assert message in refused(saved, *parts(**made))


def test_a_checkpoint_of_a_model_of_other_layers(saved):
    model = Sequential(Linear(5, 8), ReLU(), Dropout(0.3), Linear(8, 3), ReLU())
    found = refused(saved, model, fastnn.SGD(model.parameters(), momentum=0.9))
    assert "found a model of 4 layers; expected 5" in found
    model = Sequential(Linear(5, 8), ReLU(), Dropout(0.4), Linear(8, 3))
    found = refused(saved, model, fastnn.SGD(model.parameters(), momentum=0.9))
    assert "found Dropout(p=0.3) as model[2]; expected Dropout(p=0.4)" in found
    model = Sequential(Linear(5, 3))
    found = refused(saved, model, fastnn.SGD(model.parameters(), momentum=0.9))
    assert "missing [], not expected ['3.bias', '3.weight']" in found


@pytest.mark.parametrize(
    ("options", "found", "expected"),
    [
        ({"seed": 4}, "seed 3", "seed 4"),
        ({"batch_size": 9, "shuffle": False}, "batch_size 8, shuffle True", "batch_size 9, shuf"),
        ({"epochs": 1}, "2 epochs done", "at most 1"),
    ],
)
def test_a_checkpoint_of_another_training(options, found, expected, saved):
    message = refused(saved, **options)
    assert found in message
    assert f"expected {expected}" in message


def test_a_checkpoint_of_another_optimizer(saved):
    model, _ = parts()
    message = refused(saved, model, fastnn.Adam(model.parameters()))
    assert "found a training with optimizer SGD; expected optimizer Adam" in message
    few = fastnn.SGD(list(model.parameters())[:2], momentum=0.9)
    assert "the state remembers arrays of shapes" in refused(saved, model, few)


def test_a_model_without_its_training(path):
    model, optimizer = parts()
    fastnn.save(model, path)
    assert "found a model alone; expected the checkpoint" in refused(path, model, optimizer)


@pytest.mark.parametrize(
    "edit",
    [
        lambda training, tensors: tensors["training.order"].__setitem__(0, 10**9),
        lambda training, tensors: tensors["training.order"].__setitem__(0, 1),
        lambda training, tensors: tensors.update({"training.order": np.zeros((), np.int64)}),
        lambda training, tensors: tensors.pop("training.order"),
        lambda training, tensors: training.pop("random"),
        lambda training, tensors: training["random"].update(bit_generator="MT19937"),
        lambda training, tensors: training.update(epoch=3),
        lambda training, tensors: training.update(epoch=-1),
        lambda training, tensors: training.update(epoch="x"),
        lambda training, tensors: training["history"].update(loss=None),
        lambda training, tensors: training.update(dropout=[[1, 2]]),
        lambda training, tensors: training.update(dropout=[["a", "b", None]]),
        lambda training, tensors: training["optimizer"].update(state={}),
        lambda training, tensors: training["optimizer"]["state"].update(settings=[1.0]),
        lambda training, tensors: training["optimizer"]["state"].update(steps=None),
        lambda training, tensors: training.update(parts=[{}]),
        lambda training, tensors: training.update(conditions=None),
    ],
)
def test_a_state_that_somebody_made_up(edit, saved):
    description, tensors, *_ = container.read(saved)
    tensors = {name: array.copy() for name, array in tensors.items()}
    edit(description["training"], tensors)
    saved.write_bytes(container.packed(description, tensors))
    refused(saved)


def rename(weights):
    weights["0.other"] = weights.pop("0.bias")


def leave_out(weights):
    del weights["0.weight"]


def exchange(weights):
    weights["0.weight"] = weights["0.bias"]


@pytest.mark.parametrize("forge", [rename, leave_out, exchange])
def test_best_weights_that_are_not_of_the_model(forge, path, bits):
    """They are refused when the file is read, not when training ends."""

    def stop(epochs):
        model = fastnn.Sequential(fastnn.Linear(3, 2, seed=epochs))
        before = bits(model)
        how = {"loss": fastnn.MSELoss(), "optimizer": fastnn.SGD(model.parameters(), lr=0.1)}
        stopping = fastnn.callbacks.EarlyStopping()
        x = np.ones((4, 3), np.float32)
        try:
            fastnn.fit(model, x, x[:, :2], epochs=epochs, batch_size=2, seed=0, checkpoint=path,
                resume=True, callbacks=[stopping], **how)  # fmt: skip
        except ModelFileError:
            assert bits(model) == before
            raise

    stop(2)
    stop(3)
    description, tensors, *_ = container.read(path)
    (state,) = description["training"]["parts"]
    forge(state["state"]["weights"])
    path.write_bytes(container.packed(description, tensors))
    with pytest.raises(ModelFileError, match=r"state that cannot be taken up: .*does not fit"):
        stop(4)


def test_a_checkpoint_without_a_checksum(saved):
    with safetensors.safe_open(saved, "np") as file:
        description = json.loads(file.metadata()["fastnn"])
    del description["checksum"]
    tensors = safetensors.numpy.load_file(saved)
    safetensors.numpy.save_file(tensors, saved, {"fastnn": json.dumps(description)})
    assert "found no checksum" in refused(saved)


def test_every_byte_of_a_checkpoint_is_checked(saved):
    content = saved.read_bytes()
    for place in range(0, len(content), 23):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        saved.write_bytes(damaged)
        refused(saved)


# ---------------------------------------------------------------- two runs on one checkpoint


class Meanwhile(fastnn.Callback):
    """A callback that does something after the first epoch."""

    def __init__(self, job):
        self.job = job

    def on_epoch_end(self, training):
        if training.epoch == 1:
            self.job()


def in_use(path):
    return pytest.raises(OSError, match=f"^{re.escape(str(path))}: another run writes there now")


def test_a_second_run_is_told_and_takes_nothing_from_the_first(path):
    def begin():
        before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
        model, optimizer = parts(seed=7)
        weights = model.state_dict()
        for resume in (False, True):
            with in_use(path):
                train(model, optimizer, checkpoint=path, resume=resume)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, weights[name])
        assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before

    history = train(*parts(), checkpoint=path, callbacks=[Meanwhile(begin)])
    assert len(history) == 4
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert len(train(*parts(), checkpoint=path, callbacks=[Meanwhile(int)], resume=True)) == 4


def test_of_runs_in_threads_one_has_the_checkpoint(path):
    start = threading.Barrier(4)
    ended = []

    def wait():
        time.sleep(0.5)

    def run():
        model, optimizer = parts()
        start.wait()
        try:
            train(model, optimizer, checkpoint=path, callbacks=[Meanwhile(wait)])
            ended.append("whole")
        except OSError as error:
            ended.append(type(error).__name__)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(ended) == ["InUseError"] * 3 + ["whole"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_run_that_fails_lets_go_of_the_checkpoint(path):
    for _ in range(2):
        with pytest.raises(StopError):
            train(*parts(), checkpoint=path, callbacks=[Failing(2)])
    path.write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(ModelFileError, match="found 7 bytes"):
            train(*parts(), checkpoint=path, resume=True)
    path.unlink()
    assert not list(path.parent.iterdir())
    assert len(train(*parts(), checkpoint=path)) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_does_not_write_its_parents_checkpoint(path):
    child = []

    def fork():
        child.append(os.fork())

    try:
        train(*parts(), checkpoint=path, callbacks=[Meanwhile(fork)])
    except OSError as error:
        if child == [0]:
            os._exit(str(error).startswith(f"{path}: another run writes there now") - 1)
        raise
    finally:
        if child == [0]:
            os._exit(2)
    assert os.waitpid(child[0], 0)[1] == 0
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["/dev/null", "pipe"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_checkpoint_that_could_not_be_read_again_is_refused(name, tmp_path):
    if name == "pipe":
        name = tmp_path / "pipe"
        os.mkfifo(name)
    with pytest.raises(OSError, match=f"no regular file, which this has to be: '{name}'"):
        train(*parts(), checkpoint=name)
    assert not os.path.isfile(name)


def test_a_callback_that_leaves_the_folder_does_not_move_the_files(tmp_path, monkeypatch):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir(), away.mkdir()
    monkeypatch.chdir(home)
    model = fastnn.Sequential(fastnn.Linear(3, 2, seed=0))
    x, y = np.ones((8, 3), np.float32), np.arange(8) % 2
    fastnn.fit(
        model, x, y, loss=fastnn.CrossEntropyLoss(),
        optimizer=fastnn.SGD(model.parameters(), lr=0.1), epochs=2, batch_size=4,
        checkpoint="run", callbacks=[
            lambda training: os.chdir(away), fastnn.callbacks.ModelCheckpoint("best.safetensors"),
        ],
    )  # fmt: skip
    assert {"run", "best.safetensors"} <= {file.name for file in home.iterdir()}
    assert not list(away.iterdir())
