import builtins
import csv
import math

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fastnn
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    Progress,
    TensorBoard,
)

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 50)


class Own(fastnn.Identity):
    """A layer that no program expresses."""


def run(*callbacks, epochs=6, lr=0.1, model=None, x=X, y=Y, **changes):
    model = model or fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    how = {"loss": fastnn.CrossEntropyLoss(), "batch_size": 8, "seed": 0} | changes
    optimizer = fastnn.SGD(model.parameters(), lr=lr)
    history = fastnn.fit(
        model, x, y, optimizer=optimizer, epochs=epochs, callbacks=callbacks, **how
    )
    return model, history


class Script(Callback):
    """Writes numbers into the history and the epoch into the weights, for others to react to."""

    def __init__(self, numbers, name="loss"):
        self.numbers, self.name = numbers, name

    def on_epoch_end(self, training):
        getattr(training.history, self.name)[-1] = self.numbers[training.epoch - 1]
        training.model[0].weight = np.full((3, 4), training.epoch)


def stopped(numbers, name="loss", **settings):
    """The epochs that were run, the callback, and the epoch whose weights the model has."""
    early = EarlyStopping(**settings)
    validation = (X, Y) if name.startswith("val") else None
    model, history = run(
        Script(numbers, name), early, epochs=len(numbers), validation_data=validation
    )
    return len(history), early, model[0].weight[0, 0]


# -------------------------------------------------------------------- early stopping


@pytest.mark.parametrize(
    ("numbers", "settings", "epochs", "best"),
    [
        ([5, 4, 3, 4, 4, 2], {"patience": 2}, 5, 3),
        ([5, 4, 3, 4, 4, 2], {"patience": 3}, 6, 6),
        ([5, 4, 3, 2], {"patience": 0}, 4, 4),
        ([5, 5, 3], {"patience": 0}, 2, 1),
        ([5, 5, 3], {"patience": 1}, 2, 1),
        ([5, 4.6, 4.3, 3.9, 3.9, 9], {"patience": 2, "min_delta": 0.5}, 5, 3),
        ([5, 4.6, 4.3, 3.9, 3.9, 9], {"patience": 3, "min_delta": 0.5}, 6, 3),
        ([math.nan, 4, math.nan, math.nan], {"patience": 2}, 4, 2),
        ([5, 6, 7, 6, 6, 9], {"patience": 2, "mode": "max"}, 5, 3),
    ],
)
def test_early_stopping(numbers, settings, epochs, best):
    found, early, weights = stopped(numbers, **settings)
    assert (found, early.best_epoch, weights) == (epochs, best, best)
    assert early.best == numbers[best - 1]
    assert early.stopped_epoch == (epochs if epochs < len(numbers) else early.stopped_epoch)


def test_the_last_weights_are_kept_if_so_wished():
    assert stopped([1, 2, 3], patience=2, restore_best=False)[2] == 3


@pytest.mark.parametrize(
    ("name", "numbers", "best"),
    [("accuracy", [0.1, 0.9, 0.2], 2), ("val_accuracy", [0.5, 0.2, 0.1], 1),
     ("val_loss", [3, 2, 5], 2)],
)  # fmt: skip
def test_what_is_watched(name, numbers, best):
    assert stopped(numbers, name, monitor=name, patience=1)[1].best_epoch == best


def test_validation_is_watched_where_there_is_any():
    assert stopped([3, 2, 5], "val_loss", patience=1)[1].best == 2


def test_best_weights_after_a_loss_that_is_not_finite():
    class Explode(Callback):
        def on_epoch_begin(self, training):
            if training.epoch == 3:
                training.optimizer.lr = 1e30

    early, model = EarlyStopping(), fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    kept = []
    watch = Explode(), lambda training: kept.append(training.model.state_dict())
    with pytest.raises(fastnn.NonFiniteLossError):
        run(*watch, early, model=model, x=X * 1e10, lr=1e-14, epochs=5)
    best = kept[early.best_epoch - 1]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, best[name])


def test_early_stopping_is_new_in_a_new_run():
    early = EarlyStopping(patience=1)
    for _ in range(2):
        run(Script([3, 1, 2]), early, epochs=3)
        assert early.best_epoch == 2


def test_early_stopping_goes_on_with_its_state():
    early = EarlyStopping(patience=3)
    run(Script([3, 1, 2]), early, epochs=3)
    other = EarlyStopping(patience=3)
    other.load_state_dict(early.state_dict())
    assert (other.best, other.best_epoch) == (1, 2)
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=9))
    training = fastnn.Training(model, None, None, fastnn.History(loss=[2.5], val_loss=[None]))
    training.epoch = 3
    other.on_train_begin(training)
    training.epoch = 5
    other.on_epoch_end(training)
    assert training.stop
    other.on_train_end(training)
    assert model[0].weight[0, 0] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"monitor": "losses"}, "EarlyStopping: monitor is 'losses'; expected one of"),
        ({"patience": -1}, "patience is -1; expected an integer of 0 or more"),
        ({"patience": 1.5}, "patience is 1.5"),
        ({"mode": "best"}, "mode is 'best'"),
        ({"min_delta": -0.1}, "min_delta is -0.1"),
    ],
)
def test_settings_of_early_stopping(settings, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**settings)


@pytest.mark.parametrize("kind", [EarlyStopping, lambda monitor: ModelCheckpoint("m", monitor)])
def test_what_is_not_there_cannot_be_watched(kind):
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    before = model.state_dict()
    with pytest.raises(ValueError, match="monitor is 'val_loss', and there is no validation_data"):
        run(kind("val_loss"), model=model)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])
    numbers = np.zeros((50, 1))
    small = fastnn.Sequential(fastnn.Linear(4, 1, seed=0))
    with pytest.raises(ValueError, match="the history has no accuracy"):
        run(kind("accuracy"), model=small, y=numbers, loss=fastnn.MSELoss())


# --------------------------------------------------------------------- model checkpoint


def test_model_checkpoint_keeps_the_best(tmp_path):
    path = tmp_path / "new" / "best.safetensors"
    run(Script([3, 1, 2, 4]), ModelCheckpoint(path), epochs=4)
    assert fastnn.load(path)[0].weight[0, 0] == 2
    assert [each.name for each in path.parent.iterdir()] == ["best.safetensors"]


@pytest.mark.parametrize(("every", "expected"), [(True, {1, 2}), (False, {1, 2, 3, 4})])
def test_a_file_for_each_epoch(tmp_path, every, expected):
    each = ModelCheckpoint(tmp_path / "{epoch}.safetensors", save_best_only=every)
    run(Script([3, 1, 2, 4]), each, epochs=4)
    assert {int(path.stem) for path in tmp_path.iterdir()} == expected
    for epoch in expected:
        assert fastnn.load(tmp_path / f"{epoch}.safetensors")[0].weight[0, 0] == epoch


@pytest.mark.filterwarnings("ignore:Own is not a layer")
def test_a_model_that_cannot_be_saved_is_refused_at_once(tmp_path):
    heard = []
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0), Own())
    with pytest.raises(TypeError, match="Own, which is not a layer of fastnn's"):
        run(ModelCheckpoint(tmp_path / "m"), heard.append, model=model)
    assert heard == []
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------- logs


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("validation", [None, (X, Y)])
def test_csv(tmp_path, validation):
    path = tmp_path / "logs" / "log.csv"
    path.parent.mkdir()
    path.write_text("what was there\n")

    def slower(training):
        training.optimizer.lr /= 2

    seen = []
    _, history = run(
        slower, CSVLogger(path), lambda t: seen.append(len(read(path))), epochs=3,
        validation_data=validation,
    )  # fmt: skip
    lines = read(path)
    assert [line["epoch"] for line in lines] == ["1", "2", "3"]
    assert [float(line["lr"]) for line in lines] == [0.1, 0.05, 0.025]
    for name in ("loss", "accuracy", "seconds"):
        assert [float(line[name]) for line in lines] == getattr(history, name)
    for name in ("val_loss", "val_accuracy"):
        expected = getattr(history, name)
        assert [float(line[name]) if line[name] else None for line in lines] == expected
    assert seen == [1, 2, 3]


def test_csv_of_a_run_that_goes_on(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    run(logger, epochs=3)
    kept = path.read_text().splitlines()[:3]
    training = fastnn.Training(None, None, None, fastnn.History())
    training.epoch = 2
    logger.on_train_begin(training)
    logger.on_train_end(training)
    assert path.read_text().splitlines() == kept


def events(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(each.step, pytest.approx(each.value, rel=1e-6)) for each in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


@pytest.mark.parametrize("torch_is_there", [True, False])
def test_tensorboard(tmp_path, monkeypatch, torch_is_there):
    if not torch_is_there:
        hide(monkeypatch, "torch")
    _, history = run(TensorBoard(tmp_path / "events"), epochs=2, validation_data=(X, Y))
    expected = {
        "lr": [0.1, 0.1], "loss/train": history.loss, "accuracy/train": history.accuracy,
        "loss/validation": history.val_loss, "accuracy/validation": history.val_accuracy,
    }  # fmt: skip
    assert events(tmp_path / "events") == {
        tag: list(enumerate(numbers, 1)) for tag, numbers in expected.items()
    }


def hide(monkeypatch, *packages):
    """Have imports of packages fail."""
    plain = builtins.__import__

    def refusing(name, *arguments, **keywords):
        if name.split(".")[0] in packages:
            raise ImportError(f"no {name}")
        return plain(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refusing)


def test_without_tensorboard(tmp_path, monkeypatch):
    hide(monkeypatch, "torch", "tensorboard")
    with pytest.raises(ImportError, match=r'pip install "fastnn\[tensorboard\]"'):
        TensorBoard(tmp_path)


# ---------------------------------------------------------------------------- progress


def test_progress_is_a_callback(capsys):
    run(Progress(), epochs=2)
    assert "accuracy" in capsys.readouterr().out
    Progress().on_train_end(None)  # without having begun


@pytest.mark.parametrize("threads", [1, 2])
def test_callbacks_see_and_set_the_model_between_batches(hand_loop, threads):
    """A wide layer's weights have a place of their own while nobody looks."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(0, 100, 40)
    how = {"loss": fastnn.CrossEntropyLoss(), "batch_size": 8, "epochs": 2, "seed": 0}

    def parts(lr=0.1):
        model = fastnn.Sequential(fastnn.Linear(6, 100, seed=0))
        return model, fastnn.SGD(model.parameters(), lr=lr, momentum=0.9)

    def numbers(model, optimizer):
        memory = (array for arrays in optimizer.memory.values() for array in arrays)
        return [array.tobytes() for array in (*model.state_dict().values(), *memory)]

    found = {}

    class Look(Callback):
        def on_batches_end(self, training):
            steps = training.batch + training.batches * (training.epoch - 1)
            found[steps] = numbers(training.model, training.optimizer)

    class Reset(Callback):
        def on_batches_end(self, training):
            if (training.epoch, training.batch) == (1, 1):
                training.model[0].weight.data[...] = 0

    model, optimizer = parts()
    fastnn.fit(model, x, y, optimizer=optimizer, callbacks=[Look()], threads=threads, **how)
    assert len(found) > 2
    for steps, seen in found.items():
        same, its = parts()
        hand_loop(same, x, y, optimizer=its, steps=steps, **how)
        assert numbers(same, its) == seen
    model, optimizer = parts(lr=1e-5)
    fastnn.fit(model, x, y, optimizer=optimizer, callbacks=[Reset()], threads=threads, **how)
    assert 0 < np.abs(model[0].weight.data).max() < 1e-3


@pytest.mark.filterwarnings("ignore:Own is not a layer")
@pytest.mark.parametrize("own", [(), (Own(),)], ids=["compiled", "eager"])
def test_callbacks_hear_of_batches(own):
    class Count(Callback):
        def __init__(self):
            self.heard = []

        def on_batches_end(self, training):
            self.heard.append((training.epoch, training.batch, training.batches))

    count = Count()
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0), *own)
    run(count, model=model, epochs=2)
    assert count.heard == sorted(count.heard)
    for epoch in (1, 2):
        batches = [batch for e, batch, _ in count.heard if e == epoch]
        assert batches[-1] == 7
    assert {of for _, _, of in count.heard} == {7}
    assert count.state_dict() == {}
