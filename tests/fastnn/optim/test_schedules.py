import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn.optim import schedules
from fastnn.optim.schedule import EVERY
from fastnn.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
    cosine_with_warmup,
)
from own_layers import compiled_and_eager, ignore_own

LR = 0.3
theirs = torch.optim.lr_scheduler
few = settings(max_examples=40, deadline=None)
GAMMAS = st.floats(0.01, 1.0)
COUNTS = st.integers(1, 40)


def ours(kind="SGD", **changes):
    model = fastnn.Sequential(fastnn.Linear(2, 2, seed=0))
    return getattr(fastnn, kind)(model.parameters(), **({"lr": LR} | changes))


def torchs(kind="SGD", **changes):
    parameter = torch.nn.Parameter(torch.zeros(1))
    return getattr(torch.optim, kind)([parameter], **({"lr": LR} | changes))


def momentum_of(optimizer):
    if isinstance(optimizer, torch.optim.Optimizer):
        group = optimizer.param_groups[0]
        return group["momentum"] if "momentum" in group else group["betas"][0]
    return optimizer.momentum if hasattr(optimizer, "momentum") else optimizer.beta1


def compare(make, make_theirs, steps=150, kind="SGD"):
    """The rates, and momenta, of each step are torch's; its recursions round as they go."""
    own, other = ours(kind), torchs(kind)
    schedule, expected = make(own), make_theirs(other)
    for step in range(steps):
        group = other.param_groups[0]
        assert own.lr == pytest.approx(group["lr"], rel=1e-10, abs=1e-15), step
        assert momentum_of(own) == pytest.approx(momentum_of(other), rel=1e-12), step
        assert schedule.get_last_lr() == [own.lr]
        other.step()
        schedule.step()
        expected.step()
    assert schedule.last_epoch == steps


# ----------------------------------------------------------------- beside torch's


@few
@given(COUNTS, GAMMAS)
def test_step_lr(size, gamma):
    compare(lambda o: StepLR(o, size, gamma), lambda o: theirs.StepLR(o, size, gamma))


@few
@given(st.lists(st.integers(0, 120), max_size=6), GAMMAS)
def test_multi_step_lr(milestones, gamma):
    if 0 in milestones:  # torch's recursion begins behind it, ours as torch's closed form
        milestones = [m + 1 for m in milestones]
    compare(
        lambda o: MultiStepLR(o, milestones, gamma),
        lambda o: theirs.MultiStepLR(o, milestones, gamma),
    )


@few
@given(GAMMAS)
def test_exponential_lr(gamma):
    compare(lambda o: ExponentialLR(o, gamma), lambda o: theirs.ExponentialLR(o, gamma))


@few
@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), COUNTS)
def test_linear_lr(start, end, total):
    compare(
        lambda o: LinearLR(o, start, end, total), lambda o: theirs.LinearLR(o, start, end, total)
    )


@few
@given(COUNTS, st.sampled_from([0.0, 1e-3, 0.1]))
def test_cosine_annealing_lr(most, least):
    # At its lowest torch divides by what rounding left of 0, so only on the way there.
    compare(
        lambda o: CosineAnnealingLR(o, most, least),
        lambda o: theirs.CosineAnnealingLR(o, most, least),
        steps=most,
    )


@few
@given(st.integers(1, 20), st.integers(1, 60), st.floats(0.01, 1.0), st.sampled_from([0.0, 0.01]))
def test_cosine_with_warmup(warmup, rest, start, least):
    def make(o):
        parts = [
            theirs.LinearLR(o, start, total_iters=warmup),
            theirs.CosineAnnealingLR(o, rest, least),
        ]
        return theirs.SequentialLR(o, parts, [warmup])

    compare(
        lambda o: cosine_with_warmup(o, warmup + rest, warmup, start, least),
        make,
        steps=warmup + rest,
    )


def test_sequences_of_any_schedules():
    compare(
        lambda o: SequentialLR(o, [ExponentialLR(o, 0.9), StepLR(o, 3), LinearLR(o, 0.1)], [7, 20]),
        lambda o: theirs.SequentialLR(
            o, [theirs.ExponentialLR(o, 0.9), theirs.StepLR(o, 3), theirs.LinearLR(o, 0.1)], [7, 20]
        ),
    )


@few
@given(
    total=st.integers(4, 200),
    share=st.sampled_from([0.3, 0.35, 0.5]),
    anneal=st.sampled_from(["cos", "linear"]),
    three=st.booleans(),
    cycling=st.booleans(),
    kind=st.sampled_from(["SGD", "Adam", "AdamW", "RMSprop"]),
)
def test_one_cycle_lr(total, share, anneal, three, cycling, kind):
    options = {
        "pct_start": share, "anneal_strategy": anneal, "cycle_momentum": cycling,
        "three_phase": three, "div_factor": 20.0, "final_div_factor": 1e3,
    }  # fmt: skip
    compare(
        lambda o: OneCycleLR(o, 0.9, total, **options),
        lambda o: theirs.OneCycleLR(o, 0.9, total, **options),
        steps=total,
        kind=kind,
    )


def test_one_cycle_by_epochs():
    assert OneCycleLR(ours(), 1.0, epochs=3, steps_per_epoch=7).total_steps == 21


@few
@given(
    metrics=st.lists(st.sampled_from([1.0, 0.9, 0.95, 1.1, 0.5, 0.4999, math.nan]), max_size=60),
    mode=st.sampled_from(["min", "max"]),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 4),
    floor=st.sampled_from([0.0, 0.05]),
)
def test_reduce_lr_on_plateau(metrics, mode, threshold_mode, patience, cooldown, floor):
    options = {
        "mode": mode, "factor": 0.3, "patience": patience, "threshold": 1e-2,
        "threshold_mode": threshold_mode, "cooldown": cooldown, "min_lr": floor,
    }  # fmt: skip
    own, other = ours(), torchs()
    schedule = ReduceLROnPlateau(own, **options)
    expected = theirs.ReduceLROnPlateau(other, **options)
    for metric in metrics:
        schedule.step(metric)
        expected.step(metric)
        assert own.lr == pytest.approx(other.param_groups[0]["lr"], rel=1e-12)
        assert schedule.num_bad_epochs == expected.num_bad_epochs


@pytest.mark.parametrize(
    ("mode", "better", "worse"), [("min", -10.2, -9.95), ("max", -9.8, -10.05)]
)
def test_the_margin_of_a_negative_number_is_a_share_of_its_magnitude(mode, better, worse):
    schedule = ReduceLROnPlateau(ours(), mode, threshold=0.01)
    schedule.step(-10.0)
    schedule.step(worse)
    assert (schedule.best, schedule.num_bad_epochs) == (-10.0, 1)
    schedule.step(better)
    assert (schedule.best, schedule.num_bad_epochs) == (better, 0)


@pytest.mark.parametrize("first", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_not_finite_is_never_the_best(mode, first):
    schedule = ReduceLROnPlateau(ours(), mode)
    schedule.step(first)
    assert schedule.best is None
    schedule.step(1.0)
    schedule.step(first)
    assert (schedule.best, schedule.num_bad_epochs) == (1.0, 1)


# ------------------------------------------------------------------------ in training


X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 50)


def network(own=()):
    return fastnn.Sequential(
        fastnn.Linear(4, 8, seed=0), *own, fastnn.ReLU(), fastnn.Linear(8, 3, seed=1)
    )


def make(name, optimizer):
    return {
        "step": lambda: StepLR(optimizer, 2, 0.5),
        "cosine": lambda: CosineAnnealingLR(optimizer, 4),
        "linear by step": lambda: LinearLR(optimizer, 1.0, 0.1, 25, every="step"),
        "one cycle": lambda: OneCycleLR(optimizer, 0.5, total_steps=28),
        "warm-up by step": lambda: cosine_with_warmup(optimizer, 28, 6, every="step"),
        "plateau": lambda: ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.1),
    }[name]()


NAMES = ["step", "cosine", "linear by step", "one cycle", "warm-up by step", "plateau"]


def by_hand(kind, name, epochs=4, batch=8, **settings):
    """The loop that a torch user writes."""
    model, loss = network(), fastnn.CrossEntropyLoss()
    optimizer = getattr(fastnn, kind)(model.parameters(), lr=0.2, **settings)
    schedule = make(name, optimizer)
    rng, order, means = np.random.default_rng(5), np.arange(len(X)), []
    for _ in range(epochs):
        rng.shuffle(order)
        total = 0.0
        for start in range(0, len(X), batch):
            rows = order[start : start + batch]
            total += loss(model(X[rows]), Y[rows]) * len(rows)
            optimizer.zero_grad()
            model.backward(loss.backward())
            optimizer.step()
            if schedule.every == "step":
                schedule.step()
        means.append(total / len(X))
        if name == "plateau":
            schedule.step(means[-1])
        elif schedule.every == "epoch":
            schedule.step()
    return model, optimizer


@ignore_own
@compiled_and_eager
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [("SGD", {}), ("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {"clip_norm": 0.1})],
)
@pytest.mark.parametrize("name", NAMES)
def test_fit_follows_a_schedule_as_a_loop_by_hand_does(bits, name, kind, settings, threads, own):
    expected, their_optimizer = by_hand(kind, name, **settings)
    model = network(own)
    optimizer = getattr(fastnn, kind)(model.parameters(), lr=0.2, **settings)
    schedule = make(name, optimizer)
    fastnn.fit(
        model, X, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=4, batch_size=8,
        seed=5, schedule=schedule, threads=threads,
    )  # fmt: skip
    found, wanted = (
        list(bits(model, optimizer).values()),
        list(bits(expected, their_optimizer).values()),
    )
    assert found == wanted
    np.testing.assert_array_equal(optimizer.settings, their_optimizer.settings)
    assert schedule.last_epoch == (28 if schedule.every == "step" else 4)


def test_one_cycle_takes_all_that_fit_does():
    model = network()
    optimizer = fastnn.SGD(model.parameters(), lr=0.1)
    schedule = OneCycleLR(optimizer, 0.5)
    fastnn.fit(model, X, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=3,
               batch_size=8, schedule=schedule)  # fmt: skip
    assert schedule.total_steps == schedule.last_epoch == 21


@pytest.mark.parametrize("name", NAMES)
def test_a_run_in_two_halves_is_one(bits, name):
    def halves(sizes):
        model = network()
        optimizer = fastnn.SGD(model.parameters(), lr=0.2, momentum=0.9)
        schedule, kept = make(name, optimizer), None
        for epochs in sizes:
            if kept is not None:  # as a run that was stopped and takes up a checkpoint
                optimizer = fastnn.SGD(model.parameters(), lr=0.123, momentum=0.9)
                schedule = make(name, optimizer)
                optimizer.load_state_dict(kept[0])
                schedule.load_state_dict(json.loads(kept[1]))
            fastnn.fit(model, X, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer,
                       epochs=epochs, batch_size=8, schedule=schedule, shuffle=False)  # fmt: skip
            kept = optimizer.state_dict(), json.dumps(schedule.state_dict(), allow_nan=False)
        return bits(model, optimizer), optimizer.settings.tolist()

    assert halves([4]) == halves([1, 3])


@pytest.mark.parametrize("every", EVERY)
def test_a_run_that_diverges_leaves_the_schedule_where_it_is(every):
    model = network()
    optimizer = fastnn.SGD(model.parameters(), lr=1e30)
    schedule = ExponentialLR(optimizer, 0.99, every=every)
    with pytest.raises(fastnn.NonFiniteLossError):
        fastnn.fit(model, X * 1e10, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer,
                   epochs=3, batch_size=8, schedule=schedule)  # fmt: skip
    assert schedule.last_epoch == (optimizer.steps if every == "step" else 0)
    assert optimizer.lr == pytest.approx(1e30 * 0.99**schedule.last_epoch)


def test_callbacks_see_the_schedule():
    model = network()
    optimizer = fastnn.SGD(model.parameters(), lr=0.2)
    seen = []
    fastnn.fit(
        model, X, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=3, batch_size=8,
        schedule=StepLR(optimizer, 1, 0.5),
        callbacks=[lambda t: seen.append((t.schedule.last_epoch, t.optimizer.lr))],
    )  # fmt: skip
    assert seen == [(1, 0.1), (2, 0.05), (3, 0.025)]


def test_the_plateau_is_of_validation_where_there_is_any():
    for validation, monitor in ((None, None), ((X, Y), "val_loss"), ((X, Y), "accuracy")):
        model = network()
        optimizer = fastnn.SGD(model.parameters(), lr=0.0)  # so nothing becomes better
        schedule = ReduceLROnPlateau(optimizer, patience=1, monitor=monitor, mode="max")
        optimizer.lr = 1e-30
        history = fastnn.fit(
            model, X, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=3,
            batch_size=8, schedule=schedule, validation_data=validation,
        )  # fmt: skip
        assert schedule.best in getattr(history, monitor or "loss")


# ------------------------------------------------------------------- settings by hand


def test_a_new_rate_is_the_next_schedule_s_base():
    optimizer = ours()
    StepLR(optimizer, 1, 0.5).step()
    assert optimizer.lr == LR / 2
    assert ExponentialLR(optimizer, 0.5).base_lr == LR  # as torch's initial_lr
    optimizer.lr = 0.7
    assert ExponentialLR(optimizer, 0.5).base_lr == 0.7


def test_states_of_other_schedules_are_refused():
    schedule = StepLR(ours(), 1)
    with pytest.raises(KeyError, match="StepLR: the state has"):
        schedule.load_state_dict(ReduceLROnPlateau(ours()).state_dict())
    assert schedule.last_epoch == 0


def test_a_schedule_of_one_s_own():
    class Halved(schedules.Schedule):
        def lr_at(self, count):
            return self.base_lr / (1 + count)

    optimizer = ours()
    schedule = Halved(optimizer)
    schedule.step()
    assert optimizer.lr == LR / 2
    assert repr(schedule) == "Halved(every='epoch')"
    with pytest.raises(NotImplementedError, match="does not define lr_at"):
        schedules.Schedule(optimizer)


def test_repr():
    assert repr(StepLR(ours(), 3)) == "StepLR(step_size=3, gamma=0.1, every='epoch')"


BAD = [
    (lambda o: StepLR(o, 0), "step_size is 0; expected a positive integer"),
    (lambda o: StepLR(o, 2.5), "step_size is 2.5"),
    (lambda o: StepLR(o, 1, -1.0), "gamma is -1.0"),
    (lambda o: StepLR(o, 1, every="batch"), "every is 'batch'"),
    (lambda o: MultiStepLR(o, [3, -1]), "a milestone is -1"),
    (lambda o: LinearLR(o, 0.0), "start_factor is 0.0"),
    (lambda o: LinearLR(o, 0.1, 2.0), "end_factor is 2.0"),
    (lambda o: CosineAnnealingLR(o, 0), "T_max is 0"),
    (lambda o: cosine_with_warmup(o, 3, 5), "T_max is -2"),
    (lambda o: OneCycleLR(o, 1.0, total_steps=0), "total_steps is 0"),
    (lambda o: OneCycleLR(o, 1.0, pct_start=1.5), "pct_start is 1.5"),
    (lambda o: OneCycleLR(o, 1.0, anneal_strategy="up"), "anneal_strategy is 'up'"),
    (lambda o: OneCycleLR(o, 1.0, div_factor=0.0), "div_factor is 0.0"),
    (lambda o: ReduceLROnPlateau(o, factor=1.0), "factor is 1.0"),
    (lambda o: ReduceLROnPlateau(o, mode="least"), "mode is 'least'"),
    (lambda o: ReduceLROnPlateau(o, monitor="valid"), "monitor is 'valid'"),
    (lambda o: SequentialLR(o, [StepLR(o, 1)], [3]), "expected one fewer"),
    (lambda o: SequentialLR(o, [StepLR(o, 1), ReduceLROnPlateau(o)], [3]), "other than Reduce"),
    (lambda o: SequentialLR(o, [StepLR(ours(), 1)], []), "one of the same optimizer"),
    (lambda o: SequentialLR(o, [OneCycleLR(o, 1.0)], []), "of the learning rate alone"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_settings_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        bad(ours())


def test_no_optimizer():
    with pytest.raises(TypeError, match=r"StepLR: optimizer is \[\]"):
        StepLR([], 1)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda o: 0.9, TypeError, "schedule is 0.9; expected one of fastnn.schedules"),
        (lambda o: StepLR(ours(), 1), ValueError, "made for another optimizer"),
        (lambda o: OneCycleLR(o, 1.0, 20), ValueError, "total_steps is 20, .* fit is to do 21"),
        (lambda o: ReduceLROnPlateau(o, monitor="val_loss"), ValueError, "no validation_data"),
    ],
)
def test_fit_refuses_a_schedule_before_anything_happens(bits, bad, error, message):
    model = network()
    optimizer = fastnn.SGD(model.parameters(), lr=0.1)
    schedule, before = bad(optimizer), bits(model, optimizer)
    with pytest.raises(error, match=message):
        fastnn.fit(model, X, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, epochs=3,
                   batch_size=8, schedule=schedule)  # fmt: skip
    assert bits(model, optimizer) == before


def test_steps_beyond_the_cycle():
    schedule = OneCycleLR(ours(), 1.0, 2)
    schedule.step()
    schedule.step()
    with pytest.raises(ValueError, match="the step is 3; expected at most 2"):
        schedule.step()


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda o: schedules.ExponentialLR(o, 0.9), "last_epoch", "3"),
        (lambda o: schedules.ExponentialLR(o, 0.9), "last_epoch", -1),
        (lambda o: schedules.ExponentialLR(o, 0.9), "base_lr", [0.1]),
        (schedules.ReduceLROnPlateau, "best", "0.5"),
        (schedules.ReduceLROnPlateau, "num_bad_epochs", 1.5),
    ],
)
def test_a_state_of_other_values_is_refused_and_changes_nothing(make, name, value):
    model = fastnn.Linear(2, 1)
    schedule = make(fastnn.SGD(model.parameters(), lr=0.1))
    before = schedule.state_dict()
    with pytest.raises(ValueError, match=f"{name} is .*; expected"):
        schedule.load_state_dict(before | {"last_epoch": 7, name: value})
    assert schedule.state_dict() == before
