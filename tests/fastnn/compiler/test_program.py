"""Compiled training is the hand-written loop, bit for bit, for any chain, loss and optimizer."""

import itertools

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numba.core import event
from numba.core.runtime import _nrt_python, rtsys

from fastnn import (
    SGD,
    Adam,
    CrossEntropyLoss,
    Dropout,
    Layer,
    Linear,
    MSELoss,
    Normalize,
    ReLU,
    Sequential,
    Tanh,
    fit,
)
from fastnn.compiler.forward import OUTPUTS, Plan
from fastnn.compiler.program import (
    EvaluationProgram,
    TrainingProgram,
    UnsupportedError,
)
from fastnn.compiler.runner import Runner
from fastnn.nn.loss import Loss


def check_same(run, hand_loop, bits, diverged=pytest.fail, threads=None):
    """One run by hand and one by `fit` change the same things to the same bits."""
    x, y = run.data()
    how = run.how()
    model, loss, optimizer = run.parts()
    expected = hand_loop(model, x, y, loss=loss, optimizer=optimizer, **how)
    finite = all(np.isfinite(p.data).all() for p in model.parameters())
    if len(expected) < run.epochs or not finite:
        diverged()
    compiled, loss, its = run.parts()
    history = fit(compiled, x, y, loss=loss, optimizer=its, threads=threads, **how)
    assert bits(compiled, its) == bits(model, optimizer)
    # The sums of the losses are float64, in another order.
    np.testing.assert_allclose(history.loss, [loss for loss, _ in expected], rtol=1e-12, atol=1e-15)
    if None not in history.accuracy:
        assert history.accuracy == [accuracy for _, accuracy in expected]


def test_compiled_is_eager_where_a_moment_is_subnormal(run_kind, hand_loop, bits):
    run = run_kind(
        columns=64, layers=[("Linear", 15, False), ("Dropout", 0.5), ("Dropout", 0.9)],
        dtype=np.float32, target="index", optimizer_kind="Adam", settings={"lr": 0.001},
        samples=4, batch_size=1, shuffle=False,
    )  # fmt: skip
    check_same(run, hand_loop, bits)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_compiled_is_eager(runs, hand_loop, bits, data):
    check_same(data.draw(runs), hand_loop, bits, diverged=reject)


LARGE = {
    "columns": 784,
    "layers": [("Linear", 301, True), ("ReLU",), ("Dropout", 0.2), ("Linear", 47, False), ("Tanh",),
               ("Linear", 10, True)],
    "target": "index", "samples": 700, "batch_size": 300, "seed": 3,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        ("SGD", {"lr": 0.1, "clip_norm": 0.1}),
        ("Adam", {"lr": 0.01, "clip_value": 1e-3}),
        ("AdamW", {"lr": 0.01, "clip_norm": 1.0}),
        ("Adam", {"lr": 0.01, "amsgrad": True}),
        ("RMSprop", {"lr": 0.01, "momentum": 0.9}),
        ("RMSprop", {"lr": 0.01, "centered": True, "clip_norm": 1.0}),
    ],
)
def test_compiled_is_eager_for_large_layers(run_kind, hand_loop, bits, dtype, kind, optimizer):
    """Sizes past every block of the matrix product, with partial ones at each end."""
    run = run_kind(**LARGE, dtype=dtype, optimizer_kind=kind, settings=optimizer)
    check_same(run, hand_loop, bits)


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch"),
    [(1, 1, 1), (3, 33, 257), (257, 3, 513), (600, 1, 7), (1, 600, 40), (512, 512, 31)],
)
def test_compiled_is_eager_for_odd_shapes(run_kind, hand_loop, bits, inputs, outputs, batch):
    run = run_kind(
        columns=inputs, layers=[("Linear", outputs, True), ("Sigmoid",), ("Linear", 2, True)],
        dtype=np.float32, target="mse", optimizer_kind="Adam", settings={"lr": 0.01},
        samples=batch + batch // 2 + 1, batch_size=batch,
    )  # fmt: skip
    check_same(run, hand_loop, bits)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [1, 10, 40])
def test_compiled_is_eager_where_threads_split_columns(
    run_kind, hand_loop, bits, threads, dtype, outputs
):
    """The first layer's gradient lies in a panel for each thread, also in a smaller last batch."""
    run = run_kind(
        columns=20, layers=[("Linear", 517, True), ("Tanh",), ("Linear", outputs, True)],
        dtype=dtype, target="mse", optimizer_kind="Adam", settings={"lr": 0.01},
        samples=50, batch_size=20,
    )  # fmt: skip
    check_same(run, hand_loop, bits, threads=threads)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden", [18, 33, 100])
@pytest.mark.parametrize(
    ("outputs", "after"),
    [(2, []), (10, [("ReLU",)]), (16, [("Linear", 5, True)]), (9, [("Dropout", 0.5)])],
)
@pytest.mark.parametrize("settings_", [{}, {"clip_norm": 0.1}], ids=["", "clip_norm"])
def test_compiled_is_eager_where_two_threads_sum_halves(
    run_kind, hand_loop, bits, dtype, hidden, outputs, after, settings_
):
    """Hidden units of its own lead from a thread's columns to its half of the few outputs."""
    run = run_kind(
        columns=20,
        layers=[
            ("Linear", 50, True), ("Tanh",), ("Linear", hidden, True), ("ReLU",),
            ("Linear", outputs, True), *after,
        ],
        dtype=dtype, target="mse", optimizer_kind="SGD",
        settings={"lr": 0.05, "momentum": 0.9, **settings_}, samples=70, batch_size=32,
    )  # fmt: skip
    check_same(run, hand_loop, bits, threads=2)


@pytest.mark.parametrize(
    "learns", [[1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 0, 1]]
)
@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_frozen_parameters_stay_as_they_are(run_kind, hand_loop, bits, learns, clip_norm):
    run = run_kind(
        columns=7, layers=[("Linear", 9, True), ("Tanh",), ("Linear", 4, True)], dtype=np.float32,
        target="index", optimizer_kind="SGD", settings={"lr": 0.1, "momentum": 0.9,
        "clip_norm": clip_norm}, samples=30, batch_size=8, learns=[*map(bool, learns)],
    )  # fmt: skip
    check_same(run, hand_loop, bits)
    model, loss, optimizer = run.parts()
    before = [np.asarray(p) for p in model.parameters()]
    x, y = run.data()
    fit(model, x, y, loss=loss, optimizer=optimizer, epochs=2, batch_size=8)
    for parameter, was, learning in zip(model.parameters(), before, learns, strict=True):
        assert (parameter.data != was).all() == bool(learning)
        assert (parameter.data == was).all() != bool(learning)


def test_a_normalize_of_numbers(hand_loop, bits):
    results = []
    x, y = np.random.default_rng(0).normal(5, 3, (40, 6)).astype(np.float32), np.arange(40) % 3
    for train in (hand_loop, fit):
        model = Sequential(Normalize(5.0, 3.0), Linear(6, 3, seed=0))
        optimizer = SGD(model.parameters(), lr=0.1)
        train(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2, batch_size=8,
              seed=0)  # fmt: skip
        results.append(bits(model))
    assert results[0] == results[1]


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_gaps_in_memory_stay_zero(run_kind, clip_norm):
    """Rows of weights are padded; a norm over all of memory counts on zeros there."""
    run = run_kind(
        columns=7, layers=[("Linear", 9, True), ("Tanh",), ("Linear", 3, True)], dtype=np.float32,
        target="index", optimizer_kind="Adam", settings={"lr": 0.1, "clip_norm": clip_norm},
        samples=30, batch_size=8,
    )  # fmt: skip
    model, loss, optimizer = run.parts()
    fit(model, *run.data(), loss=loss, optimizer=optimizer, epochs=2, batch_size=8, threads=2)
    model(run.data()[0])
    model.backward(np.ones((30, 3)))
    for parameter in model.parameters():
        for memory in (parameter.memory.copy(), parameter.gradient_memory.copy()):
            parameter.seen_in(memory)[...] = 0
            assert not memory.any()


# --------------------------------------------------------- what compiling costs, and not


def train(widths, dtype=np.float32, kind=SGD, rows=50, batch=16, **settings):
    layers = [Normalize(dtype=dtype), Dropout(0.1)]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [Linear(inputs, outputs, dtype=dtype), ReLU()]
        layers.append(Linear(outputs, outputs, dtype=dtype))
    model = Sequential(*layers)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, widths[0])), rng.integers(0, widths[-1], rows)
    optimizer = kind(model.parameters(), lr=0.01, **settings)
    fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=1, batch_size=batch)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_another_network_compiles_nothing(dtype):
    train([4, 3], dtype)
    train([4, 3], dtype, clip_norm=1.0)
    with event.install_recorder("numba:compile") as recorder:
        train([5, 70, 8], dtype, rows=33, batch=7, momentum=0.9, nesterov=True)
        train([100, 2, 300, 2], dtype, kind=Adam, rows=300, batch=300)
        train([9, 9], dtype, kind=Adam, rows=3, batch=1, clip_norm=0.1)
    assert recorder.buffer == []


def test_a_step_allocates_nothing(source_of):
    model = Sequential(Linear(20, 70), Tanh(), Dropout(0.5), Linear(70, 3))
    optimizer = Adam(model.parameters(), clip_norm=1.0)
    program = TrainingProgram(model, CrossEntropyLoss(), optimizer, source_of(20), 8, np.float32)
    _nrt_python.memsys_enable_stats()
    with Runner(program, 32) as runner:

        def allocations(steps):
            """Return the bytes that a call allocates; each array it is given takes a header."""
            before = rtsys.get_allocation_stats()
            runner.run(0, steps)
            return rtsys.get_allocation_stats().alloc - before.alloc

        allocations(1)
        assert allocations(1) == allocations(4) <= 4


# --------------------------------------------------------------- what cannot be compiled


class Mine(Layer):
    def forward(self, x):
        return x

    def backward(self, gradient):
        return gradient


class MyLinear(Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class MyLoss(Loss):
    pass


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Linear(4, 3), Mine()], "Mine is not a layer that fastnn compiles"),
        ([MyLinear(4, 3)], "MyLinear is not a layer that fastnn compiles"),
        ([Sequential(Linear(4, 3), Sequential(Mine()))], "Mine is not a layer"),
        ([Linear(4, 3), Normalize()], "Normalize is not a layer"),
    ],
)
def test_layers_that_no_program_expresses(source_of, layers, message):
    model = Sequential(*layers)
    optimizer = SGD(model.parameters())
    with pytest.raises(UnsupportedError, match=message):
        TrainingProgram(model, CrossEntropyLoss(), optimizer, source_of(4), 8, np.float32)
    with pytest.raises(UnsupportedError, match=message):
        Plan(model, np.dtype(np.float32), 4, 32, OUTPUTS)


def test_a_loss_that_no_program_expresses(source_of):
    model = Sequential(Linear(4, 3))
    with pytest.raises(UnsupportedError, match="MyLoss is not a loss that fastnn compiles"):
        EvaluationProgram(model, MyLoss(), source_of(4), 8, np.float32)


def test_layers_that_do_not_follow(source_of):
    model = Sequential(Linear(4, 3), ReLU(), Linear(5, 2))
    with pytest.raises(ValueError, match=r"in_features=5.* 3 columns; expected 5"):
        EvaluationProgram(model, MSELoss(), source_of(4), 8, np.float32)
