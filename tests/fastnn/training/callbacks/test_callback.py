import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, Progress
from fastnn.training.callbacks.callback import hear_of_batches, listeners
from own_layers import ignore_own


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


@ignore_own
@pytest.mark.parametrize("compiled", [True, False])
def test_callbacks_hear_of_batches(run, own, compiled):
    class Count(Callback):
        def __init__(self):
            self.heard = []

        def on_batches_end(self, training):
            self.heard.append((training.epoch, training.batch, training.batches))

    count = Count()
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0), *([] if compiled else [own()]))
    run(count, model=model, epochs=2)
    assert count.heard == sorted(count.heard)
    for epoch in (1, 2):
        batches = [batch for e, batch, _ in count.heard if e == epoch]
        assert batches[-1] == 7
    assert {of for _, _, of in count.heard} == {7}
    assert count.state_dict() == {}


def test_who_may_look_at_the_model_between_batches():
    class Shows(Progress):
        def on_epoch_end(self, training):
            pass

    class Looks(Progress):
        def on_batches_end(self, training):
            pass

    assert not hear_of_batches([])
    assert not hear_of_batches([Callback(), Progress(), Shows()])
    assert hear_of_batches([Progress(), Looks()])


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("on_batch_end", "on_batches_end"),
        ("on_train_batch_end", "on_batches_end"),
        ("on_epoch_start", "on_epoch_begin"),
        ("on_train_start", "on_train_begin"),
        ("on_fit_end", "on_train_end"),
        ("on_epochs_end", "on_epoch_end"),
    ],
)
def test_methods_that_do_not_exist_are_named(name, nearest):
    kind = type("Mine", (Callback,), {name: lambda self, training: 1 / 0})
    with pytest.warns(UserWarning, match=f"Mine.{name} is never called: .* is {nearest}$"):
        assert len(listeners([kind()])) == 1


def test_methods_that_exist_are_not_named(recwarn):
    names = [name for name in vars(Callback) if name.startswith("on_")]
    kind = type("Mine", (Callback,), dict.fromkeys([*names, "only", "_on_batch_end"]))
    listeners([kind(), Progress()])
    assert not recwarn
