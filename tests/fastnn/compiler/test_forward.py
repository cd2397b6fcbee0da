import copy
import gc
import multiprocessing
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import fastnn
from fastnn import (
    BatchNorm1d,
    Dropout,
    Hardtanh,
    LayerNorm,
    LeakyReLU,
    Linear,
    Normalize,
    Parameter,
    ReLU,
    Sequential,
    Tanh,
    predict,
)
from fastnn.compiler import forward
from fastnn.compiler.forward import CLASSES, OUTPUTS, SOFTMAX, Plan
from kernels.base import subnormals
from memory import peak

X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)


def network(seed=0):
    return Sequential(
        Normalize(0.1, 1.5),
        Linear(6, 6, seed=seed),
        LeakyReLU(0.1),
        Sequential(Linear(6, 6, seed=seed + 1), BatchNorm1d(6), Dropout(0.3)),
        Hardtanh(-0.5, 0.5),
        Linear(6, 6, seed=seed + 2),
    )


def fresh(model, x):
    """Return the outputs of a copy of a model, which has no plans, computed by its layers."""
    other = copy.deepcopy(model)
    assert other._plans is None
    other.eval()
    with subnormals.Flushed():
        return other.forward(x)


def plans(model):
    return [plan for pool in (model._plans or {}).values() for plan in pool]


# ------------------------------------------------------------------------- plans


def test_a_plan_is_used_again():
    model = network()
    predict(model, X)
    (plan,) = plans(model)
    for rows in (300, 1, 20):
        predict(model, X[:rows])
        assert plans(model) == [plan]
    predict(model, X, classes=True)
    assert len(plans(model)) == 2


def test_a_plan_for_few_rows_makes_room_for_more():
    model = network()
    predict(model, X[:1])
    (first,) = plans(model)
    predict(model, X)
    (second,) = plans(model)
    assert second is not first
    predict(model, X[:1])
    assert plans(model) == [second]


def test_plans_of_other_rows_and_dtypes():
    model = Sequential(ReLU())
    for _ in range(3):
        for x in (X, X[:, :3].copy(), X.astype(np.float64).astype(np.float32), abs(X).astype("u1")):
            np.testing.assert_array_equal(predict(model, x), np.maximum(x, 0).astype(np.float32))


def test_results_of_each_ending():
    model, x = Sequential(Linear(6, 4, seed=0)), X[:7]
    for ending, dtype, shape in (
        (OUTPUTS, np.float32, (4,)),
        (SOFTMAX, np.float32, (4,)),
        (CLASSES, np.int64, ()),
    ):
        plan = Plan(model, x.dtype, 6, 7, ending)
        assert (plan.results, plan.shape) == (dtype, shape)
        y = plan.empty(7)
        assert plan.run(model, x, y)
        expected = model.forward(x)
        if ending is SOFTMAX:
            np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
        elif ending is OUTPUTS:
            np.testing.assert_array_equal(y, expected)
        else:
            np.testing.assert_array_equal(y, expected.argmax(axis=1))


def test_copies_and_pickles_have_no_plans():
    model = network()
    predict(model, X)
    model.eval()(X)
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other._plans is None
        assert other._passed is None
        np.testing.assert_array_equal(predict(other, X), predict(model, X))


def test_plans_go_with_their_model():
    """No cycle keeps a model, whose memory the garbage collector does not see."""
    gc.disable()
    try:
        model = network()
        predict(model, X)
        model.eval()(X)
        gone = weakref.ref(model), weakref.ref(plans(model)[0])
        del model
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


def test_one_plan_for_each_thread_that_predicts_at_once(monkeypatch):
    model, barrier = network(), threading.Barrier(5)
    run = Plan.run

    def wait(self, *arguments, **how):
        barrier.wait(30)
        return run(self, *arguments, **how)

    monkeypatch.setattr(Plan, "run", wait)
    threads = [threading.Thread(target=predict, args=(model, X)) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(set(plans(model))) == 5
    monkeypatch.setattr(forward, "_MOST_KEPT", 5)
    forward.keep(model, Plan(model, X.dtype, 6, 1, OUTPUTS))
    assert len(plans(model)) == 5


def test_an_interrupted_call_leaves_no_plan_in_use(monkeypatch):
    model = network()
    expected = predict(model, X)

    def interrupt(self, *arguments, **how):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            predict(model, X)
    np.testing.assert_array_equal(predict(model, X), expected)


def normed():
    return Sequential(Linear(6, 6, seed=0), LayerNorm(6), BatchNorm1d(6), ReLU())


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers[1].__init__(6),
        lambda layers: layers[2].__init__(6),
        lambda layers: layers[0].__init__(6, 6, seed=1),
        lambda layers: layers[2].__setstate__(copy.deepcopy(BatchNorm1d(6)).__dict__),
        lambda layers: setattr(layers[1], "_weight", Parameter(np.full(6, 3.0, np.float32))),
        lambda layers: setattr(layers[3], "__class__", Tanh),
        lambda layers: setattr(layers[3], "forward", np.negative),
    ],
)
def test_memory_and_kinds_of_layers_that_change_are_seen(change):
    model = normed()
    model[1].weight, model[2].running_mean = np.full(6, 2.0), np.full(6, 0.5)
    before = predict(model, X)
    change(model.layers)
    assert not np.array_equal(predict(model, X), before)
    np.testing.assert_array_equal(predict(model, X), fresh(model, X))


def changing_meanwhile(monkeypatch, change):
    """Have a function called while a program is made, as if by another thread."""
    init = forward.ForwardProgram.__init__

    def changed(self, *arguments):
        change()
        init(self, *arguments)

    monkeypatch.setattr(forward.ForwardProgram, "__init__", changed)


def test_a_plan_made_while_the_model_changes_is_not_used_again(monkeypatch):
    model, layer = network(), Linear(6, 6, seed=7)
    own = model.layers[-1]
    with monkeypatch.context() as patch:
        changing_meanwhile(patch, lambda: model.layers.__setitem__(-1, layer))
        predict(model, X)
    model.layers[-1] = own
    np.testing.assert_array_equal(predict(model, X), fresh(model, X))


def test_the_programs_of_a_plan_are_of_one_model(monkeypatch):
    model, other = network(), Sequential(Linear(6, 700, seed=7), Linear(700, 6, seed=8))
    x, before = np.tile(X, (40, 1)), fastnn.get_num_threads()
    expected, plan = predict(model, x), Plan(model, X.dtype, 6, 300, OUTPUTS)
    y = plan.empty(len(x))
    fastnn.set_num_threads(4)
    try:
        with monkeypatch.context() as patch:
            changing_meanwhile(patch, lambda: setattr(model, "layers", other.layers))
            assert plan.run(model, x, y)
    finally:
        fastnn.set_num_threads(before)
    np.testing.assert_array_equal(y, expected)
    assert len({program.table.shape for program, _ in plan._copies}) == 1


def test_an_interruption_never_leaves_the_address_of_freed_memory(monkeypatch):
    plan = Plan(network(), X.dtype, 6, 300, OUTPUTS)
    before, address = plan._words, forward.address

    def interrupt(array):
        if array.shape == before.shape:
            raise KeyboardInterrupt
        return address(array)

    monkeypatch.setattr(forward, "address", interrupt)
    with pytest.raises(KeyboardInterrupt):
        plan._write()
    assert plan._words is before


def in_child(model, queue):
    queue.put(predict(model, X))


@pytest.mark.skipif(not hasattr(multiprocessing, "get_context"), reason="no processes")
@pytest.mark.skipif(sys.platform == "win32", reason="no forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_predicts():
    model = network()
    expected, context = predict(model, X, threads=2), multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=in_child, args=(model, queue))
    child.start()
    found = queue.get()
    child.join(60)
    np.testing.assert_array_equal(found, expected)


def test_memory_does_not_grow():
    """Neither with numbers of rows that change, nor with models that come and go."""

    def call(times):
        random = np.random.default_rng(0)
        models = [network(seed) for seed in range(5)]
        for i in range(times):
            if i % 50 == 0:
                models[i // 50 % 5] = network(i)
            predict(models[i % 5], X[: random.integers(1, 300)], classes=bool(i % 3))

    call(500)
    before = peak()
    call(5000)
    grown = peak() - before
    assert grown < 20  # MB


# --------------------------------------------------------------- hunting a stale plan


def thrice(x):
    return 3 * x


class Changes(RuleBasedStateMachine):
    """A model that is changed in every way between predictions is always seen as it is."""

    @initialize()
    def begin(self):
        self.model, self.seed = network(), 100

    def new(self, kind):
        self.seed += 1
        return kind(6, 6, seed=self.seed) if kind is Linear else kind()

    def layer(self, kind, data):
        found = [each for each in [*self.model, *self.inner] if isinstance(each, kind)]
        return data.draw(st.sampled_from(found)) if found else None

    @property
    def inner(self):
        return next((each for each in self.model if isinstance(each, Sequential)), [])

    @rule(place=st.integers(1, 6), kind=st.sampled_from([Linear, ReLU, Tanh, Dropout]))
    def insert(self, place, kind):
        self.model.layers.insert(place, self.new(kind))

    @rule(place=st.integers(1, 9))
    def remove(self, place):
        if len(self.model) > max(place, 2):
            del self.model.layers[place]

    @rule(place=st.integers(1, 9), kind=st.sampled_from([Linear, ReLU]))
    def replace(self, place, kind):
        if place < len(self.model):
            self.model.layers[place] = self.new(kind)

    @rule(kind=st.sampled_from([Linear, ReLU]))
    def append_inside(self, kind):
        if self.inner:
            self.inner.layers.append(self.new(kind))

    @rule()
    def take_other_layers(self):
        self.model.layers = [*self.model.layers[:-1], self.new(Linear)]

    @rule(data=st.data(), value=st.floats(-1, 1))
    def assign_weights(self, data, value):
        layer = self.layer(Linear, data)
        if layer is not None:
            layer.weight = np.full((6, 6), value) + np.eye(6)
            layer.bias.data[:2] = value

    @rule(seed=st.integers(0, 99))
    def load_state(self, seed):
        state = self.model.state_dict()
        random = np.random.default_rng(seed)
        for array in state.values():
            if array.dtype.kind == "f":
                array[...] = abs(random.standard_normal(array.shape))
        self.model.load_state_dict(state)

    @rule(data=st.data(), value=st.floats(0, 0.9))
    def change_a_setting(self, data, value):
        for kind, name in ((LeakyReLU, "negative_slope"), (Dropout, "p"), (Hardtanh, "max_val")):
            layer = self.layer(kind, data)
            if layer is not None:
                setattr(layer, name, value)

    @rule(data=st.data(), value=st.floats(-1, 1))
    def change_preprocessing(self, data, value):
        layer = self.layer(Normalize, data)
        if layer is not None:
            layer.mean = np.asarray(value)
            layer.std[...] = 1.0 + abs(value)

    @rule(data=st.data(), value=st.floats(0.1, 2))
    def change_statistics(self, data, value):
        layer = self.layer(BatchNorm1d, data)
        if layer is not None:
            layer.running_mean = np.full(6, value)
            layer.running_var[:] = value
            layer.eps = value / 100

    @rule(data=st.data())
    def replace_a_method(self, data):
        layer = self.layer((ReLU, Tanh), data)
        if layer is not None:
            layer.forward = layer.backward = thrice

    @rule()
    def train(self):
        self.model.train()

    @rule()
    def train_a_step(self):
        self.model.train()
        self.model.backward(np.ones_like(self.model(X)))
        for each in self.model.parameters():
            each.data -= np.float32(1e-3) * np.clip(each.grad, -1, 1)

    @rule(copying=st.sampled_from([copy.copy, copy.deepcopy]))
    def go_on_with_a_copy(self, copying):
        self.model = copying(self.model)

    @invariant()
    def predictions_are_those_of_a_fresh_copy(self):
        for rows in (1, 20):
            x = X[:rows]
            expected = fresh(self.model, x)
            np.testing.assert_array_equal(predict(self.model, x), expected)
            labels = predict(self.model, x, classes=True)
            np.testing.assert_array_equal(labels, expected.argmax(axis=1))
            self.model.eval()
            with subnormals.Flushed():
                np.testing.assert_array_equal(self.model(x), expected)


Changes.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestChanges = Changes.TestCase


@pytest.mark.slow
def test_many_changes():
    machine = Changes.TestCase()
    machine.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
    machine.runTest()


def test_the_threads_of_another_number():
    model, before = network(), fastnn.get_num_threads()
    expected = predict(model, X, threads=1)
    try:
        for threads in (1, 4, 2, 7):
            fastnn.set_num_threads(threads)
            np.testing.assert_array_equal(predict(model, np.tile(X, (50, 1)))[:300], expected)
    finally:
        fastnn.set_num_threads(before)
