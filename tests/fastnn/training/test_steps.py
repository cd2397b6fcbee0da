"""What callbacks change between steps is followed, or refused: compiled as in Python."""

import gc
import threading
import weakref

import numpy as np
import pytest

from fastnn import (
    SGD,
    Adam,
    BatchNorm1d,
    Callback,
    CrossEntropyLoss,
    Dropout,
    LayerNorm,
    LeakyReLU,
    Linear,
    MSELoss,
    NonFiniteLossError,
    ReLU,
    RMSprop,
    Sequential,
    Tanh,
    evaluate,
    fit,
    predict,
    schedules,
)
from fastnn.compiler.program import TrainingProgram
from fastnn.nn.kinds import dropouts
from fastnn.schedules import StepLR
from fastnn.training.evaluation import Evaluator
from fastnn.training.steps import Steps
from own_layers import Own, ignore_own

R = np.random.default_rng(0)
X, Y = R.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 3
HELD = R.normal(size=(20, 6)).astype(np.float32), np.arange(20) % 3
OPTIMIZERS = {
    "SGD": lambda p: SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: Adam(p, lr=0.01, amsgrad=True, weight_decay=0.01),
    "RMSprop": lambda p: RMSprop(p, lr=0.01, momentum=0.5, weight_decay=0.01),
    "clipped": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, clip_norm=0.05),
}

# Places from the end: an own layer may stand in front.
FIRST, NORM, SLOPE, DROPOUT, LAST = range(-5, 0)


def network(*own, width=10):
    return Sequential(
        *own, Linear(6, width, seed=0), BatchNorm1d(width), LeakyReLU(0.1), Dropout(0.2),
        Linear(width, 3, seed=1),
    )  # fmt: skip


def state(model, optimizer):
    """The bits of everything that training changes."""
    remembered = [array for arrays in optimizer.state_dict()["memory"] for array in arrays]
    arrays = [*model.state_dict().values(), *remembered]
    counts = [layer.drawn for layer in dropouts(model)]
    return [array.tobytes() for array in arrays], optimizer.steps, counts


class Quiet(Callback):
    """Calls a function in an event of the first epoch, or when the second one begins."""

    def __init__(self, event, change):
        self.event, self.change = event, change

    def on_epoch_begin(self, training):
        if self.event == "on_epoch_begin" and training.epoch == 2:
            self.change(training)

    def on_epoch_end(self, training):
        if self.event == "on_epoch_end" and training.epoch == 1:
            self.change(training)


class Watching(Quiet):
    def on_batches_end(self, training):
        if self.event == "on_batches_end" and training.epoch == training.batch == 1:
            self.change(training)


EVENTS = ["on_epoch_end", "on_epoch_begin", "on_batches_end"]


def run(own, event, change, optimizer="SGD"):
    """Three epochs in which a callback changes something; what came out."""
    model = network(*own)
    made = OPTIMIZERS[optimizer](model.parameters())
    callback = (Watching if event == "on_batches_end" else Quiet)(event, change)
    error = history = None
    try:
        history = fit(
            model, X, Y, loss=CrossEntropyLoss(np.ones(3)), optimizer=made, epochs=3, batch_size=16,
            seed=0, validation_data=HELD, callbacks=[callback],
        )  # fmt: skip
    except (ValueError, TypeError, RuntimeError, AttributeError) as caught:
        error = caught
    losses = [] if history is None else [*history.loss, *history.val_loss, *history.accuracy]
    return state(model, made), losses, error


def settings_of(place, **values):
    """A change of the settings of a layer."""

    def change(training):
        for name, value in values.items():
            setattr(training.model[place], name, value)

    return change


def optimizer_of(**values):
    """A change of the settings of the optimizer."""

    def change(training):
        for name, value in values.items():
            setattr(training.optimizer, name, value)

    return change


def layer_of(place, make):
    """An exchange of a layer."""

    def change(training):
        training.model.layers[place] = make()

    return change


def other_outputs(change):
    """A change that makes another number of classes."""

    def act(training):
        training.loss.weight = None
        change(training)

    return act


def load_optimizer(training):
    state = training.optimizer.state_dict()
    state["steps"] = 100
    state["memory"] = [[array * 0.5 for array in arrays] for arrays in state["memory"]]
    training.optimizer.load_state_dict(state)


def load_model(training):
    training.model.load_state_dict(
        {name: array * np.float32(0.5) for name, array in training.model.state_dict().items()}
    )


def decay(training):
    for parameter in training.model.parameters():
        parameter.decays = np.False_


def freeze(training):
    training.model[FIRST].requires_grad_(False)
    training.model[NORM].bias.requires_grad = False
    training.model[LAST].weight.requires_grad = False


def freeze_what_is_taken_out(training):
    last = training.model[LAST]
    training.model.layers[LAST] = Linear(10, 3, seed=5)
    last.requires_grad_(False)


def halve(array):
    array *= 0.5


def in_a_thread(change):
    def act(training):
        thread = threading.Thread(target=change, args=[training])
        thread.start()
        thread.join()

    return act


def rewrap(training):
    Sequential(*training.model.layers[:-1])
    gc.collect()


def look(training):
    training.model.eval()
    training.model(X)


WEIGHT = np.arange(30, dtype=">f8").reshape(10, 3).T[:, ::-1] / 100  # of another order and dtype
CHANGES = {
    "weight assigned": lambda t: setattr(t.model[LAST], "weight", WEIGHT),
    "weight.data assigned": lambda t: setattr(t.model[LAST].weight, "data", WEIGHT),
    "weight.data changed": lambda t: halve(t.model[LAST].weight.data),
    "weight by index": lambda t: t.model[LAST].weight.__setitem__(slice(1), WEIGHT[:1]),
    "weight.assign": lambda t: t.model[LAST].weight.assign(WEIGHT),
    "bias of whole numbers": lambda t: setattr(t.model[LAST], "bias", [1, 2, 3]),
    "load_state_dict": load_model,
    "weights in a thread": in_a_thread(load_model),
    "gain": lambda t: setattr(t.model[NORM], "weight", np.full(10, 2)),
    "running_mean": lambda t: setattr(t.model[NORM], "running_mean", np.arange(10)),
    "running_mean in place": lambda t: t.model[NORM].running_mean.fill(3),
    "running_var": lambda t: setattr(t.model[NORM], "running_var", np.full(10, 2.0)),
    "num_batches_tracked": lambda t: setattr(t.model[NORM], "num_batches_tracked", 7),
    "memory": lambda t: setattr(
        t.optimizer, "memory", {kind: array * 0.5 for kind, array in t.optimizer.memory.items()}
    ),
    "memory in place": lambda t: [halve(array) for array in t.optimizer.memory.values()],
    "optimizer.load_state_dict": load_optimizer,
    "optimizer in a thread": in_a_thread(load_optimizer),
    "steps": optimizer_of(steps=50),
    "lr": optimizer_of(lr=0.02),
    "weight_decay": optimizer_of(weight_decay=0.1),
    "clip_value": optimizer_of(clip_value=1e-3),
    "clip_norm": optimizer_of(clip_norm=1e-3),
    "no clip_norm": optimizer_of(clip_norm=None),
    "decays": decay,
    "frozen": freeze,
    "all frozen": lambda t: t.model.requires_grad_(False),
    "frozen after it was taken out": freeze_what_is_taken_out,
    "slope": settings_of(SLOPE, negative_slope=0.5),
    "p": settings_of(DROPOUT, p=0.5),
    "p of 0": settings_of(DROPOUT, p=0.0),
    "drawn": settings_of(DROPOUT, drawn=5),
    "reseed": lambda t: t.model[DROPOUT].reseed(9, 1),
    "momentum of a norm": settings_of(NORM, momentum=0.5),
    "no momentum of a norm": settings_of(NORM, momentum=None),
    "eps": settings_of(NORM, eps=1.0),
    "track_running_stats": settings_of(NORM, track_running_stats=False),
    "evaluation mode": look,
    "label_smoothing": lambda t: setattr(t.loss, "label_smoothing", 0.3),
    "classes' weights": lambda t: setattr(t.loss, "weight", [1, 2, 3]),
    "classes' weights in place": lambda t: t.loss.weight.__imul__([1, 2, 3]),
    "another linear layer": layer_of(LAST, lambda: Linear(10, 3, seed=5)),
    "more outputs": other_outputs(layer_of(LAST, lambda: Linear(10, 5, seed=5))),
    "another norm": layer_of(NORM, lambda: LayerNorm(10)),
    "a new norm": layer_of(NORM, lambda: BatchNorm1d(10)),
    "another activation": layer_of(SLOPE, Tanh),
    "dropout exchanged": layer_of(DROPOUT, lambda: Dropout(0.4, seed=3)),
    "a layer appended": other_outputs(lambda t: t.model.layers.append(Linear(3, 4, seed=2))),
    "a layer removed": lambda t: t.model.layers.pop(NORM),
    "two layers removed": lambda t: t.model.layers.__delitem__(slice(NORM, LAST)),
    "wider within": lambda t: t.model.layers.__setitem__(
        slice(FIRST, NORM), [Linear(6, 300, seed=1), ReLU(), Linear(300, 10, seed=2)]
    ),
    "an inner chain": lambda t: setattr(t.model, "layers", [Sequential(*t.model.layers)]),
    "an own layer": lambda t: t.model.layers.insert(0, Own()),
    "another chain of the layers": rewrap,
    "predictions": lambda t: predict(t.model, X),
}  # fmt: skip


NO_CHANGES = {
    "another chain of the layers", "predictions", "evaluation mode", "an inner chain",
    "no clip_norm", "an own layer",
}  # fmt: skip


@ignore_own
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", CHANGES)
def test_changes_between_steps_are_followed(name, event):
    for optimizer in ("SGD", "clipped") if "layer" in name or "norm" in name else ("Adam",):
        found, expected = (run(own, event, CHANGES[name], optimizer) for own in ((), (Own(),)))
        assert found[2] is expected[2] is None
        assert found[0] == expected[0]
        assert found[1] == pytest.approx(expected[1], rel=1e-6)  # sums in another order


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", [name for name in CHANGES if name not in NO_CHANGES])
def test_changes_have_an_effect(name, event):
    assert run((), event, CHANGES[name], "Adam")[:2] != run((), event, lambda t: None, "Adam")[:2]


@ignore_own
@pytest.mark.parametrize("event", EVENTS)
def test_momentum_is_followed(event):
    change = optimizer_of(momentum=0.5)
    found, expected = (run(own, event, change, "SGD") for own in ((), (Own(),)))
    assert found[0] == expected[0]
    assert found[0] != run((), event, lambda t: None)[0]


# ------------------------------------------------------------------------------- refused


class StopError(Exception):
    pass


def stop(training):
    raise StopError


REFUSED = {
    "float64": (layer_of(LAST, lambda: Linear(10, 3, dtype=np.float64)), "mixes float32 and fl"),
    "all float64": (
        lambda t: setattr(t.model, "layers", [Linear(6, 3, dtype=np.float64)]),
        "the model computes in float64 now; expected float32",
    ),
    "more inputs": (layer_of(LAST, lambda: Linear(11, 3)), r"10 columns; expected 11|\(rows, 11\)"),
    "other inputs of a norm": (layer_of(NORM, lambda: LayerNorm(9)), r"expected 9|, 9\)"),
    "fewer outputs": (layer_of(LAST, lambda: Linear(10, 2)), "ranges? from 0 to 2; expected class"),
    "a layer twice": (lambda t: t.model.layers.insert(-1, t.model[NORM]), "is in the chain twice"),
    "more weights of classes": (
        lambda t: setattr(t.loss, "weight", np.ones(4)), "weight has 4 numbers; expected 3"
    ),
    "memory": (
        lambda t: setattr(t.optimizer, "memory", {np.dtype("f4"): np.zeros(3)}),
        r"memory has shape .*; it was given \(3,\)",
    ),
    "memory of texts": (
        lambda t: setattr(
            t.optimizer, "memory", {k: a.astype(str) for k, a in t.optimizer.memory.items()}
        ),
        "memory was given <U.*; expected numbers",
    ),
    "another weight": (lambda t: setattr(t.model[LAST], "weight", np.ones((3, 9))), r"\(3, 9\)"),
    "another bias": (lambda t: setattr(t.model[LAST].bias, "data", "abc"), "expected numbers"),
    "running_mean": (lambda t: setattr(t.model[NORM], "running_mean", [1, 2]), r"given \(2,\)"),
    "p": (settings_of(DROPOUT, p=1.5), "p is 1.5; expected"),
    "p of a text": (settings_of(DROPOUT, p="a"), "p is 'a'; expected"),
    "no layer": (layer_of(NORM, lambda: "a"), "'a'"),
}  # fmt: skip


@ignore_own
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", REFUSED)
def test_changes_that_cannot_be_followed_are_refused(name, event):
    """The weights are those of the last whole step."""
    change, message = REFUSED[name]

    def kept(own, change):
        model = network(*own)
        first, norm = model[FIRST], model[NORM]
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        callback = (Watching if event == "on_batches_end" else Quiet)(event, change)
        error = StopError if change is stop else (ValueError, TypeError, AttributeError)
        with pytest.raises(error, match=None if change is stop else message):
            fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, callbacks=[callback],
                epochs=3, batch_size=16, seed=0)  # fmt: skip
        assert optimizer.steps == (1 if event == "on_batches_end" else 3)
        arrays = first.weight, norm.bias, norm.running_mean, norm.num_batches_tracked
        return [np.asarray(array).tobytes() for array in arrays]

    expected = kept((), stop)
    assert kept((), change) == kept((Own(),), change) == expected


@ignore_own
@pytest.mark.parametrize("own", [(), (Own(),)], ids=["compiled", "eager"])
def test_a_norm_that_gets_one_row_is_refused(own):
    with pytest.raises(ValueError, match="leave one of a single row"):
        _refused(own, lambda t: t.model.layers.append(BatchNorm1d(3)))


def _refused(own, change):
    model = Sequential(*own, Linear(6, 3, seed=0))
    fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters()), epochs=2,
        batch_size=13, callbacks=[change])  # fmt: skip


# ------------------------------------------------------------------------------- ignored


@ignore_own
@pytest.mark.parametrize("own", [(), (Own(),)], ids=["compiled", "eager"])
@pytest.mark.parametrize("kind", ["labels", "rows", "numbers"])
@pytest.mark.parametrize("value", [0, -(10**9)])
def test_targets_are_those_of_the_call(own, kind, value):
    """Also those of validation, and their weights."""

    def trained(change):
        y = {"labels": Y, "rows": np.eye(3, dtype="f4")[Y], "numbers": Y.astype("f4")}[kind].copy()
        weights, held_y = np.ones(40), np.array(HELD[1])
        held = HELD if kind == "numbers" else (HELD[0], held_y)
        arrays = [y, weights, held_y]
        model = Sequential(*own, Linear(6, 1 if kind == "numbers" else 3, seed=0))
        loss = MSELoss() if kind == "numbers" else CrossEntropyLoss()
        history = fit(model, X, y, loss=loss, optimizer=SGD(model.parameters(), lr=0.1), epochs=3,
                      batch_size=16, seed=0, sample_weight=weights, validation_data=held,
                      callbacks=[lambda t: change(arrays)])  # fmt: skip
        return [a.tobytes() for a in model.state_dict().values()], history.loss, history.val_loss

    def overwrite(arrays):
        for array in arrays:
            array[:] = value

    assert trained(overwrite) == trained(lambda arrays: None)


# --------------------------------------------------------------------------------- memory


@ignore_own
@pytest.mark.parametrize("own", [(), (Own(),)], ids=["compiled", "eager"])
def test_memory_is_not_moved_by_resizing(own):
    """Neither what fastnn hands out nor the caller's samples."""
    model = network(*own)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = X.copy()
    tried = []

    def resize(training):
        arrays = [x] if not own else []
        for parameter in model.parameters():
            arrays += [parameter.data, parameter.grad, parameter.memory]
        arrays += [optimizer.settings, *optimizer.memory.values()]
        arrays += [array for _, array in model.named_buffers()]
        while arrays:
            array = arrays.pop()
            if isinstance(array, np.ndarray):
                arrays.append(array.base)
                with pytest.raises(ValueError, match="resize"):
                    array.resize(0, refcheck=False)
                array = None
                tried.append(1)

    fit(model, x, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2, batch_size=16, seed=0,
        callbacks=[resize])  # fmt: skip
    expected = network(*own)
    fit(expected, X, Y, loss=CrossEntropyLoss(), epochs=2, batch_size=16, seed=0,
        optimizer=SGD(expected.parameters(), lr=0.1, momentum=0.9))  # fmt: skip
    assert state(model, optimizer)[0][:4] == state(expected, optimizer)[0][:4]
    assert len(tried) > 40


# --------------------------------------------------------------------------- what is left


@ignore_own
@pytest.mark.parametrize("own", [(), (Own(),)], ids=["compiled", "eager"])
def test_counts_set_after_the_last_epoch_stay(own):
    """A callback that goes back to its best weights also sets counts of steps."""

    def back(training):
        training.optimizer.steps = 1
        training.model[NORM].num_batches_tracked = 2
        training.model[DROPOUT].drawn = 3

    model = network(*own)
    optimizer = Adam(model.parameters())
    fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2, batch_size=16,
        callbacks=[back])  # fmt: skip
    found = optimizer.steps, model[NORM].num_batches_tracked, model[DROPOUT].drawn
    assert found == (1, 2, 3)


@ignore_own
def test_changes_beside_a_schedule_by_steps():
    def trained(own, event, change):
        model = network(*own)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = schedules.OneCycleLR(optimizer, max_lr=0.3)
        callback = (Watching if event == "on_batches_end" else Quiet)(event, change)
        fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=3, batch_size=16,
            seed=0, schedule=schedule, callbacks=[callback])  # fmt: skip
        return state(model, optimizer), schedule.last_epoch, optimizer.lr

    for event in EVENTS:
        for name in ("slope", "p", "load_state_dict", "another linear layer", "reseed"):
            found, expected = (trained(own, event, CHANGES[name]) for own in ((), (Own(),)))
            assert found == expected
            assert found[1] == 9


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("none", "layers is None; expected a list"),
        ("number", "layers is 5; expected a list"),
        ("class", "layer 0 is <class .*Linear'>; expected an object with forward"),
        ("itself", "a chain is in itself"),
    ],
)
def test_layers_that_a_callback_makes_no_chain_of_are_told(kind, message):
    model = Sequential(Linear(4, 2))
    odd = {"none": None, "number": 5, "class": [Linear], "itself": [model]}

    def change(training):
        model.layers = odd[kind]

    x, y = np.ones((8, 4), np.float32), np.arange(8) % 2
    with pytest.raises((TypeError, ValueError), match=message):
        fit(model, x, y, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters(), lr=0.1),
            epochs=2, batch_size=4, callbacks=[change])  # fmt: skip


# --------------------------------------------------------------------- kept programs


def kept_network(seed=0):
    return Sequential(
        Linear(6, 9, seed=seed), BatchNorm1d(9), ReLU(), Dropout(0.2, seed=3), Linear(9, 3, seed=1)
    )


def several_fits(kept, bits, monkeypatch, changes):
    """Return all bits after each of several fits, with or without programs that are kept."""
    if not kept:
        monkeypatch.setattr(Steps, "_form", lambda self: None)
        monkeypatch.setattr(Evaluator, "_form", lambda self: None)
    random, model = np.random.default_rng(0), kept_network()
    optimizer, found = SGD(model.parameters(), lr=0.05, momentum=0.9), []
    for i, change in enumerate([None, None, *changes, None]):
        rows = (40, 64, 48, 17)[i % 4]
        x = random.standard_normal((rows, 6)).astype(np.float32)
        y = random.integers(0, 3, rows)
        # A seed would start the masks of dropout anew, for which a new program is made.
        how = {"loss": CrossEntropyLoss(), "optimizer": optimizer, "shuffle": False}
        how["batch_size"] = 8
        if change is not None:
            how |= change(model, optimizer) or {}
        if rows == 17:
            how["batch_size"] = 5
        history = fit(model, x, y, epochs=2, validation_data=(x, y), **how)
        result = evaluate(model, x, y, loss=how["loss"])
        found.append([bits(model, optimizer), history.loss, history.val_loss, result])
    return found


class Halved(CrossEntropyLoss):
    """Loss of the user's own whose description is that of fastnn's."""

    def backward(self):
        return 0.5 * super().backward()


Namesake = type("CrossEntropyLoss", (Halved,), {})


BETWEEN_RUNS = [
    lambda model, optimizer: setattr(optimizer, "lr", 0.01),
    lambda model, optimizer: {"loss": CrossEntropyLoss([1.0, 2.0, 0.5])},
    lambda model, optimizer: {"class_weight": [1.0, 2.0, 0.5]},
    lambda model, optimizer: {"clip_norm": 0.5},
    lambda model, optimizer: {"seed": 3, "shuffle": True},
    lambda model, optimizer: setattr(optimizer, "steps", 100),
    lambda model, optimizer: setattr(model[1], "num_batches_tracked", 7),
    lambda model, optimizer: setattr(model[1], "momentum", 0.5),
    lambda model, optimizer: setattr(model[3], "p", 0.5),
    lambda model, optimizer: setattr(model[0]._bias, "decays", False),
    lambda model, optimizer: setattr(model[0].weight, "requires_grad", False),
    lambda model, optimizer: model.requires_grad_(not model[4].bias.requires_grad) and None,
    lambda model, optimizer: model.load_state_dict(kept_network(5).state_dict()) and None,
    lambda model, optimizer: model.layers.insert(2, ReLU()),
    lambda model, optimizer: {"schedule": StepLR(optimizer, 1)},
    lambda model, optimizer: {"callbacks": [lambda training: None]},
    lambda model, optimizer: model.eval() and None,
    lambda model, optimizer: setattr(model[2], "backward", np.zeros_like),
    lambda model, optimizer: model[1].__setstate__({"_running": np.ones((2, 9)), "_tracked": 3}),
    lambda model, optimizer: {"loss": Namesake()},
]


@pytest.mark.filterwarnings("ignore:.*training steps in Python")
@pytest.mark.parametrize("change", BETWEEN_RUNS)
def test_a_kept_program_trains_like_a_new_one(change, bits, monkeypatch):
    kept = several_fits(True, bits, monkeypatch, [change, change])
    with monkeypatch.context() as patch:
        assert several_fits(False, bits, patch, [change, change]) == kept


def test_a_program_is_kept_and_lets_go_of_its_samples(monkeypatch):
    made, init = [], TrainingProgram.__init__

    def note(self, *arguments, **how):
        made.append(self)
        init(self, *arguments, **how)

    monkeypatch.setattr(TrainingProgram, "__init__", note)
    model = Sequential(Linear(6, 3, seed=0))
    optimizer = SGD(model.parameters(), lr=0.1)
    how = {"loss": CrossEntropyLoss(), "optimizer": optimizer, "epochs": 1, "batch_size": 8}
    gone = []
    for rows in (20, 30, 20):
        x, y = np.ones((rows, 6), np.float32), np.zeros(rows, int)
        fit(model, x, y, **how)
        evaluate(model, x, y, loss=how["loss"])
        x.resize((1, 6))  # which NumPy refuses where anybody refers to x
        gone.append(weakref.ref(x))
        del x
    assert len(made) == 1
    assert [each() for each in gone] == [None] * 3
    fit(model, np.ones((20, 6), np.float32), np.zeros(20, int), **(how | {"batch_size": 4}))
    assert len(made) == 2
    other = SGD(model.parameters(), lr=0.1)
    fit(model, np.ones((20, 6), np.float32), np.zeros(20, int), **(how | {"optimizer": other}))
    assert len(made) == 3


def test_a_failed_run_keeps_no_program():
    model = Sequential(Linear(6, 3, seed=0))
    optimizer = SGD(model.parameters(), lr=1e38)
    x, y = np.full((20, 6), 1e10, np.float32), np.zeros(20, int)
    with pytest.raises(NonFiniteLossError):
        fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=3, batch_size=8)
    assert not (model._plans or {}).get(Steps)
    optimizer.lr = 0.1
    fit(model, x / 1e10, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=3, batch_size=8)


def test_models_are_freed_with_their_programs():
    gc.disable()
    try:
        model = Sequential(Linear(6, 3, seed=0))
        optimizer = SGD(model.parameters(), lr=0.1)
        x, y, loss = np.ones((20, 6), np.float32), np.zeros(20, int), CrossEntropyLoss()
        fit(model, x, y, loss=loss, optimizer=optimizer, epochs=1, batch_size=8)
        evaluate(model, x, y, loss=loss)
        gone = weakref.ref(model)
        del model
        assert gone() is None
    finally:
        gc.enable()
