import math

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, EarlyStopping


@pytest.fixture
def stopped(run, script, data):
    """Run with numbers in the history; gives epochs, callback and the epoch of the weights."""

    def stopped(numbers, name="loss", **settings):
        early = EarlyStopping(**settings)
        validation = data if name.startswith("val") else None
        model, history = run(
            script(numbers, name), early, epochs=len(numbers), validation_data=validation
        )
        return len(history), early, model[0].weight[0, 0]

    return stopped


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
def test_early_stopping(stopped, numbers, settings, epochs, best):
    found, early, weights = stopped(numbers, **settings)
    assert (found, early.best_epoch, weights) == (epochs, best, best)
    assert early.best == numbers[best - 1]
    assert early.stopped_epoch == (epochs if epochs < len(numbers) else early.stopped_epoch)


def test_the_last_weights_are_kept_if_so_wished(stopped):
    assert stopped([1, 2, 3], patience=2, restore_best=False)[2] == 3


@pytest.mark.parametrize(
    ("name", "numbers", "best"),
    [("accuracy", [0.1, 0.9, 0.2], 2), ("val_accuracy", [0.5, 0.2, 0.1], 1),
     ("val_loss", [3, 2, 5], 2)],
)  # fmt: skip
def test_what_is_watched(stopped, name, numbers, best):
    assert stopped(numbers, name, monitor=name, patience=1)[1].best_epoch == best


def test_validation_is_watched_where_there_is_any(stopped):
    assert stopped([3, 2, 5], "val_loss", patience=1)[1].best == 2


def test_best_weights_after_a_loss_that_is_not_finite(run, data):
    class Explode(Callback):
        def on_epoch_begin(self, training):
            if training.epoch == 3:
                training.optimizer.lr = 1e30

    early, model = EarlyStopping(), fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    kept = []
    watch = Explode(), lambda training: kept.append(training.model.state_dict())
    with pytest.raises(fastnn.NonFiniteLossError):
        run(*watch, early, model=model, x=data[0] * 1e10, lr=1e-14, epochs=5)
    best = kept[early.best_epoch - 1]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, best[name])


def test_early_stopping_is_new_in_a_new_run(run, script):
    early = EarlyStopping(patience=1)
    for _ in range(2):
        run(script([3, 1, 2]), early, epochs=3)
        assert early.best_epoch == 2


def test_early_stopping_goes_on_with_its_state(run, script):
    early = EarlyStopping(patience=3)
    run(script([3, 1, 2]), early, epochs=3)
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


@pytest.mark.parametrize(
    ("name", "value"),
    [("best", "0.5"), ("best_epoch", 1.5), ("best_epoch", -1), ("stopped_epoch", None)],
)
def test_a_state_of_other_values_is_refused(name, value):
    stop = fastnn.callbacks.EarlyStopping()
    with pytest.raises(ValueError, match=f"{name} is .*; expected"):
        stop.load_state_dict(stop.state_dict() | {name: value})
