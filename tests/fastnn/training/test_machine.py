"""`fit` under a state machine: whatever a user does to a model meanwhile, against plain NumPy.

    python test_machine.py EXAMPLES STEPS LOG

runs the machine for long; what it does goes to LOG before it is done, in case the process dies.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import functools
import gc
import io
import itertools
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import threading

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import fastnn
import plain_training as plain

WIDTHS = st.sampled_from([1, 2, 5, 17, 33, 130])
SEEDS = st.integers(0, 2**32 - 1)
EPS = 0.1  # of norms: tiny variances would make rounding large


class StopError(Exception):
    """What a callback raises."""


class Away(fastnn.Callback):
    """Does things at their times: after an epoch, or the first batch of all."""

    def __init__(self, things):
        self.things = things

    def on_epoch_begin(self, training):
        self.act(training, "begin", training.epoch)

    def on_epoch_end(self, training):
        self.act(training, "end", training.epoch)

    def act(self, training, event, epoch):
        for when, thing in self.things:
            if when == (event, epoch):
                thing(training)


class Within(Away):
    """As `Away`; it has to be told of batches, which costs a run some speed."""

    def on_batches_end(self, training):
        if training.batch == 1 and training.epoch == 1:
            self.act(training, "batch", 1)


def numbers(seed, shape, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


class Machine(RuleBasedStateMachine):
    """A model with its optimizer and data, and the same in plain NumPy."""

    log_path, log = None, None

    def __init__(self):
        super().__init__()
        if self.log_path is not None:
            self.log = open(self.log_path, "w")  # noqa: SIM115

    def note(self, *what):
        if self.log is not None:
            print(*what, file=self.log, flush=True)

    # -------------------------------------------------------------------- the beginning

    @initialize(data=st.data(), seed=SEEDS)
    def begin(self, data, seed):
        draw = data.draw
        self.dtype = draw(st.sampled_from([np.float64, np.float64, np.float32]))
        self.kept, self.folder = [], tempfile.TemporaryDirectory()
        self.columns, self.classes = draw(WIDTHS), draw(st.integers(2, 20))
        widths = [self.columns, *draw(st.lists(WIDTHS, max_size=2)), self.classes]
        self.model = fastnn.Sequential(fastnn.Linear(1, 1))
        layers, self.plain = [], []
        for place, (taken, given) in enumerate(itertools.pairwise(widths)):
            layers.append(self.linear(taken, given, seed % 2**30 + place))
            if place < len(widths) - 2:
                if draw(st.booleans()):
                    momentum = draw(st.sampled_from([0.1, 0.7, None]))
                    layers.append(fastnn.BatchNorm1d(given, EPS, momentum, dtype=self.dtype))
                layers.append(self.function(draw))
        self.model = fastnn.Sequential(*layers)
        self.plain = [self.twin(layer) for layer in layers]
        self.loss_kind = draw(st.sampled_from(["labels", "numbers"]))
        self.loss, self.plain_loss = fastnn.CrossEntropyLoss(), plain.cross_entropy
        if self.loss_kind == "numbers":
            self.loss, self.plain_loss = fastnn.MSELoss(), plain.squared_error
        rows = draw(st.sampled_from([2, 7, 20, 40]))
        self.x, self.y = numbers(seed, (rows, self.columns), self.dtype), self.targets(seed, rows)
        self.new_optimizer(data)
        self.note("begin", self.model, self.loss_kind, self.dtype.__name__, rows, self.optimizer)

    def linear(self, taken, given, seed):
        return fastnn.Linear(taken, given, dtype=self.dtype, seed=seed)

    def function(self, draw):
        # The rectifier's corner is not where float32 and float64 agree on.
        smooth = [fastnn.Tanh, fastnn.Sigmoid]
        exact = [lambda: fastnn.LeakyReLU(0.2)] if self.dtype is np.float64 else []
        return draw(st.sampled_from(smooth + exact))()

    def targets(self, seed, rows):
        if self.loss_kind == "numbers":
            return numbers(seed + 1, (rows, self.classes))
        return np.random.default_rng(seed).integers(0, self.classes, rows)

    def twin(self, layer):
        """The plain layer with the values of a new layer."""
        if isinstance(layer, fastnn.Linear):
            return plain.Linear(layer.weight.data, layer.bias.data)
        if isinstance(layer, fastnn.BatchNorm1d):
            return plain.Norm(layer.columns, layer.eps, layer.momentum)
        return plain.Function(type(layer).__name__, getattr(layer, "negative_slope", 0.0))

    @rule(data=st.data())
    def new_optimizer(self, data):
        kind = data.draw(st.sampled_from(["SGD", "Adam"]))
        lr, momentum = data.draw(st.sampled_from([0.05, 0.01])), 0.9
        decay, clip = (data.draw(st.sampled_from(each)) for each in ([0.0, 0.01], [None, 0.5]))
        self.note("new optimizer", kind, lr, decay, clip)
        how = {"lr": lr, "weight_decay": decay, "clip_norm": clip}
        if kind == "SGD":
            self.optimizer = fastnn.SGD(self.model.parameters(), momentum=momentum, **how)
        else:
            betas = momentum, 0.99
            self.optimizer = fastnn.Adam(self.model.parameters(), betas=betas, eps=1e-3, **how)
        every = [each for layer in self.plain for each in layer.numbers]
        self.plain_optimizer = plain.Optimizer(kind, every, lr, momentum, decay, clip)

    # ----------------------------------------------------------------------- comparison

    def pairs(self):
        """Names, arrays of fastnn, and those of NumPy."""
        for place, (layer, twin) in enumerate(zip(self.model.layers, self.plain, strict=True)):
            if twin.numbers:
                yield f"{place}.weight", layer.weight.data, twin.weight.value
                yield f"{place}.bias", layer.bias.data, twin.bias.value
            if isinstance(twin, plain.Norm):
                yield f"{place}.running_mean", layer.running_mean, twin.mean
                yield f"{place}.running_var", layer.running_var, twin.variance
                assert layer.num_batches_tracked == twin.batches
        assert self.optimizer.steps == self.plain_optimizer.steps
        remembered = self.optimizer.state_dict()["memory"]
        pairs = zip(remembered, self.plain_optimizer.numbers, strict=True)
        for place, (found, twin) in enumerate(pairs):
            for number, array in enumerate(found):
                yield f"memory {place} {number}", array, twin.memory[number]

    def compare(self):
        """Check that both have the same numbers; NumPy goes on with fastnn's."""
        rtol, atol = (1e-8, 1e-9) if self.dtype is np.float64 else (2e-3, 2e-4)
        for name, found, expected in self.pairs():
            assert found.dtype == self.dtype
            np.testing.assert_allclose(found, expected, rtol, atol, err_msg=name)
            expected[...] = found

    @invariant()
    def same(self):
        if hasattr(self, "optimizer"):
            for name, found, expected in self.pairs():
                assert (np.asarray(found, np.float64) == expected).all(), name

    # ------------------------------------------------------------------------- training

    @rule(
        data=st.data(), epochs=st.integers(1, 4), seed=st.integers(0, 5), threads=st.integers(1, 3),
        elsewhere=st.booleans(), resumed=st.booleans(),
    )  # fmt: skip
    def train(self, data, epochs, seed, threads, elsewhere, resumed):
        rows = len(self.x)
        batch = data.draw(st.sampled_from([2, 5, 16, rows]))
        if rows % min(batch, rows) == 1:
            batch = rows
        things = [] if resumed else self.things(data.draw, epochs, -(-rows // min(batch, rows)))
        names = [(when, name) for when, name, _, _ in things]
        busy = data.draw(st.sampled_from([None, None, "predict", "wrap", "copy", "state"]))
        held = data.draw(st.booleans())
        self.note("train", epochs, batch, seed, threads, elsewhere, resumed, names, busy, held)
        here = [(when, act) for when, _, act, _ in things]
        kind = Within if any(when[0] == "batch" for when, _ in here) else Away
        how = {
            "loss": self.loss, "batch_size": batch, "seed": seed, "threads": threads,
            "callbacks": [kind(here)],
            "validation_data": (self.x, self.y) if held else None,
        }  # fmt: skip
        run = plain.Run(self.plain, self.plain_optimizer, self.plain_loss, self.x, self.y,
                        batch, seed)  # fmt: skip
        x = np.array(self.x)  # which things change as they are done here
        path = os.path.join(self.folder.name, "checkpoint.safetensors")

        def fit():
            model, optimizer, x, y = self.model, self.optimizer, self.x, self.y
            if not resumed:
                return fastnn.fit(model, x, y, optimizer=optimizer, epochs=epochs, **how)
            if os.path.exists(path):
                os.remove(path)
            fastnn.fit(model, x, y, optimizer=optimizer, epochs=epochs, checkpoint=path, **how)
            for parameter in model.parameters():
                parameter.data = numbers(0, parameter.shape)
            return fastnn.fit(model, x, y, optimizer=optimizer, epochs=epochs + 1, checkpoint=path,
                              resume=True, **how)  # fmt: skip

        found = self.result(fit, elsewhere, busy)
        changed, run.x = self.x, x
        expected = self.plain_result(run, epochs + resumed, things)
        assert changed is self.x
        stopped = isinstance(found, Exception)
        assert stopped is isinstance(expected, Exception)
        if not stopped:
            close = {"rtol": 1e-8} if self.dtype is np.float64 else {"rtol": 1e-3, "atol": 1e-4}
            np.testing.assert_allclose(found.loss, expected, **close)
        np.testing.assert_array_equal(run.x, self.x)
        self.compare()
        if any(np.abs(expected).max() > 100 for _, _, expected in self.pairs()):
            self.rebind(3)

    def result(self, fit, elsewhere, busy):
        """What `fit` returns or raises, in another thread or beside one."""
        results, ended = [], threading.Event()

        def call():
            try:
                results.append(fit())
            except StopError as error:
                results.append(error)

        def disturb():
            model = self.model
            acts = {
                "predict": lambda: fastnn.predict(model, self.x),
                "wrap": lambda: fastnn.Sequential(*model.layers, fastnn.Softmax()),
                "copy": lambda: copy.deepcopy(model),
                "state": model.state_dict,
            }
            while not ended.wait(1e-4):
                with contextlib.suppress(RuntimeError):  # Python copies no dict that changes
                    acts[busy]()

        beside = threading.Thread(target=disturb) if busy else None
        if beside is not None:
            beside.start()
        try:
            if elsewhere:
                thread = threading.Thread(target=call)
                thread.start()
                thread.join()
            else:
                call()
        finally:
            ended.set()
            if beside is not None:
                beside.join()
        return results[0]

    def plain_result(self, run, epochs, things):
        """The same in NumPy: the losses, or what was raised."""
        losses = []

        def act(*when):
            for each, _, _, twin in things:
                if each == when:
                    twin(run)

        try:
            for epoch in range(1, epochs + 1):
                act("begin", epoch)
                tell = (lambda done: act("batch", 1) if done == 1 else None) if epoch == 1 else None
                losses.append(run.epoch(*([tell] if tell else [])))
                act("end", epoch)
        except StopError as error:
            return error
        return losses

    # ------------------------------------------------- things that callbacks do to a run

    def things(self, draw, epochs, batches):
        """Times, names, and what to do to a `Training` and to a plain run."""
        times = [(event, epoch) for epoch in range(1, epochs + 1) for event in ("begin", "end")]
        times.append(("batch", 1))
        chosen = draw(st.lists(st.tuples(st.sampled_from(times), st.sampled_from(THINGS), SEEDS),
                               max_size=3))  # fmt: skip
        stop = draw(st.sampled_from([None, None, None, *times]))
        found = [
            (when, f"{name} {seed}", functools.partial(getattr(self, name), seed),
             functools.partial(getattr(self, f"plain_{name}"), seed))
            for when, name, seed in chosen
        ]  # fmt: skip

        def fail(training):
            raise StopError

        return [*found, (stop, "fail", fail, fail)] if stop else found

    def learners(self):
        return [i for i, layer in enumerate(self.model.layers) if isinstance(layer, fastnn.Linear)]

    def norms(self):
        return [
            i for i, each in enumerate(self.model.layers) if isinstance(each, fastnn.BatchNorm1d)
        ]

    def assign_weight(self, seed, training):
        place = self.learners()[seed % len(self.learners())]
        layer = training.model[place]
        value = numbers(seed, layer.weight.shape, np.float32)
        ways = [
            lambda: setattr(layer, "weight", value),
            lambda: setattr(layer.weight, "data", value[::-1][::-1]),
            lambda: layer.weight.data.__setitem__(..., value),
            lambda: layer.weight.__setitem__(..., np.asfortranarray(value)),
            lambda: layer.weight.assign(value.astype(">f8")),
            lambda: training.model.load_state_dict({f"{place}.weight": value}, strict=False),
        ]
        ways[seed % len(ways)]()

    def plain_assign_weight(self, seed, run):
        learners = [each for each in self.plain if isinstance(each, plain.Linear)]
        weight = learners[seed % len(learners)].weight.value
        weight[...] = numbers(seed, weight.shape, np.float32)

    def assign_moments(self, seed, training):
        for place in self.norms():
            layer = training.model[place]
            layer.running_mean = numbers(seed, layer.columns, np.float32)
            layer.running_var = np.full(layer.columns, 2)
            layer.num_batches_tracked = seed % 7

    def plain_assign_moments(self, seed, run):
        for place in self.norms():
            twin = self.plain[place]
            twin.mean[...] = numbers(seed, twin.mean.shape, np.float32)
            twin.variance[...], twin.batches = 2, seed % 7

    def set_rates(self, seed, training):
        optimizer = training.optimizer
        optimizer.lr, optimizer.weight_decay = (seed % 5) / 100, (seed % 3) / 100
        optimizer.clip_norm = [None, 0.3, 5.0][seed % 3]

    def plain_set_rates(self, seed, run):
        optimizer = run.optimizer
        optimizer.lr, optimizer.weight_decay = (seed % 5) / 100, (seed % 3) / 100
        optimizer.clip_norm = [None, 0.3, 5.0][seed % 3]

    def halve_memory(self, seed, training):
        optimizer = training.optimizer
        if seed % 3 == 0:
            state = optimizer.state_dict()
            state["memory"] = [[array / 2 for array in arrays] for arrays in state["memory"]]
            state["steps"] += 3
            optimizer.load_state_dict(state)
        elif seed % 3 == 1:
            optimizer.memory = {kind: array / 2 for kind, array in optimizer.memory.items()}
            optimizer.steps += 3
        else:
            for array in optimizer.memory.values():
                array /= 2
            optimizer.steps += 3

    def plain_halve_memory(self, seed, run):
        for each in run.optimizer.numbers:
            for array in each.memory:
                array /= 2
        run.optimizer.steps += 3

    def change_samples(self, seed, training):
        self.x[seed % len(self.x)] *= 0.5

    def plain_change_samples(self, seed, run):
        run.x[seed % len(run.x)] *= 0.5

    def spoil_targets(self, seed, training):
        before = np.array(self.y)
        self.y[...] = [0, -(10**9), 2**62][seed % 3]
        self.restored = before

    def plain_spoil_targets(self, seed, run):
        self.y[...] = run.y

    def exchange(self, seed, training):
        """Another function, or a linear layer that the optimizer knows nothing of."""
        layers = training.model.layers
        functions = [i for i, each in enumerate(self.plain) if isinstance(each, plain.Function)]
        if functions:
            layers[functions[seed % len(functions)]] = fastnn.Sigmoid()

    def plain_exchange(self, seed, run):
        functions = [i for i, each in enumerate(self.plain) if isinstance(each, plain.Function)]
        if functions:
            run.layers[functions[seed % len(functions)]] = plain.Function("Sigmoid")

    def append(self, seed, training):
        training.model.layers.append(self.linear(self.classes, self.classes, seed))

    def plain_append(self, seed, run):
        layer = self.linear(self.classes, self.classes, seed)
        run.layers.append(plain.Linear(layer.weight.data, layer.bias.data))

    def look(self, seed, training):
        """Use the model in all ways that change nothing."""
        model = training.model
        self.kept[:] = self.kept[-5:] + [fastnn.Sequential(*model.layers, fastnn.Softmax())]
        fastnn.Sequential(*model.layers[: seed % 3])
        copy.deepcopy((model, training.optimizer))
        pickle.loads(pickle.dumps((model, training.optimizer)))
        fastnn.predict(model, self.x, threads=1 + seed % 2)
        model.eval()
        self.handle_arrays(model, training.optimizer)
        if seed % 5 == 0:
            gc.collect()

    def plain_look(self, seed, run):
        pass

    # -------------------------------------------------------------------- between runs

    def handle_arrays(self, model, optimizer):
        """Do to all arrays that are handed out what can be done to an array."""
        arrays = [array for _, array in model.named_buffers()]
        for parameter in [*model.parameters(), *optimizer.parameters]:
            arrays += [parameter.data, parameter.grad, parameter.memory, parameter.gradient_memory]
        arrays += [*optimizer.memory.values(), optimizer.settings]
        for array in [*arrays, *(each.base for each in arrays)]:
            if not isinstance(array, np.ndarray):
                continue
            for act in (
                lambda a: setattr(a, "shape", (-1,)),
                lambda a: setattr(a, "shape", (1, *a.shape)),
                lambda a: setattr(a, "dtype", np.uint8),
                lambda a: a.resize(1),
                lambda a: a.resize(100_000),
                lambda a: a.resize(0, refcheck=False),
                lambda a: a.setflags(write=False),
            ):
                try:
                    act(array)
                except (AttributeError, ValueError, TypeError):
                    continue
        self.kept[:] = self.kept[-5:] + [arrays]

    @rule()
    def handle(self):
        self.note("handle arrays")
        self.handle_arrays(self.model, self.optimizer)

    @rule(seed=SEEDS)
    def look_now(self, seed):
        self.note("look", seed)
        self.look(seed, fastnn.Training(self.model, self.loss, self.optimizer, fastnn.History()))

    @rule(kind=st.sampled_from(["pickle", "deepcopy", "joblib", "mapped", "state"]))
    def go_on_with_a_copy(self, kind):
        self.note("go on with a copy:", kind)
        both = self.model, self.optimizer
        if kind == "pickle":
            both = pickle.loads(pickle.dumps(both))
        elif kind == "deepcopy":
            both = copy.deepcopy(both)
        elif kind == "joblib":
            memory = io.BytesIO()
            joblib.dump(both, memory)
            memory.seek(0)
            both = joblib.load(memory)
        elif kind == "mapped":
            path = os.path.join(self.folder.name, "model.joblib")
            joblib.dump(both, path)
            both = joblib.load(path, mmap_mode="r")
            os.remove(path)
        else:
            fresh = fastnn.Sequential(*copy.deepcopy(self.model.layers))
            optimizer = copy.copy(self.optimizer)
            optimizer = type(self.optimizer)(fresh.parameters())
            if len(optimizer.parameters) != len(self.optimizer.parameters):
                return
            optimizer.load_state_dict(self.optimizer.state_dict())
            both = fresh, optimizer
        self.model, self.optimizer = both

    @rule()
    def go_on_with_a_file(self):
        self.note("go on with a file")
        if len(self.plain_optimizer.numbers) != len(list(self.model.parameters())):
            return
        path = os.path.join(self.folder.name, "model.safetensors")
        fastnn.save(self.model, path)
        self.model = fastnn.load(path)
        optimizer = type(self.optimizer)(self.model.parameters())
        optimizer.load_state_dict(self.optimizer.state_dict())
        self.optimizer = optimizer

    @rule(seed=SEEDS)
    def rebind(self, seed):
        """Assign everything that can be assigned."""
        self.note("rebind", seed)
        for layer, twin in zip(self.model.layers, self.plain, strict=True):
            for name in ("weight", "bias") if twin.numbers else ():
                number = getattr(twin, name)
                number.value[...] = numbers(seed, number.value.shape, np.float32) / 4
                setattr(layer, name, number.value)
                getattr(layer, name).grad = np.full(number.value.shape, 3)
        for array in self.optimizer.memory.values():
            array[...] = 0
        for each in self.plain_optimizer.numbers:
            for array in each.memory:
                array[...] = 0
        self.optimizer.settings = self.optimizer.settings.tolist()
        self.assign_moments(seed, fastnn.Training(self.model, None, None, None))
        self.plain_assign_moments(seed, None)

    @rule(data=st.data(), seed=SEEDS)
    def exchange_layers(self, data, seed):
        """Another linear layer in the place of one, and another optimizer."""
        place = self.learners()[seed % len(self.learners())]
        self.note("exchange", place)
        old = self.model[place]
        self.model.layers[place] = self.linear(old.in_features, old.out_features, seed)
        self.plain[place] = self.twin(self.model[place])
        self.new_optimizer(data)

    @rule(seed=SEEDS, rows=st.sampled_from([2, 7, 20, 40]))
    def other_data(self, seed, rows):
        self.note("other data", rows)
        self.x, self.y = numbers(seed, (rows, self.columns), self.dtype), self.targets(seed, rows)

    @rule(threads=st.integers(1, 4))
    def set_threads(self, threads):
        self.note("threads", threads)
        fastnn.set_num_threads(threads)

    @rule(elsewhere=st.booleans())
    def predict(self, elsewhere):
        self.note("predict", elsewhere)
        found = self.result(lambda: fastnn.predict(self.model, self.x), elsewhere, None)
        expected = plain.outputs(self.plain, self.x)
        close = (
            {"rtol": 1e-9, "atol": 1e-9}
            if self.dtype is np.float64
            else {"rtol": 1e-3, "atol": 1e-3}
        )
        np.testing.assert_allclose(found, expected, **close)

    @precondition(lambda self: len(self.model.layers) > 1)
    @rule()
    def wrap(self):
        """Go on with the same layers in another chain."""
        self.note("wrap")
        self.kept.append(self.model)
        self.model = fastnn.Sequential(fastnn.Sequential(*self.model.layers)).layers[0]

    def teardown(self):
        fastnn.set_num_threads(2)
        if hasattr(self, "folder"):
            self.folder.cleanup()
        if self.log is not None:
            self.log.close()


for _number in range(12):  # half of all steps train
    setattr(Machine, f"train_{_number}", Machine.train)

THINGS = ["assign_weight", "assign_moments", "set_rates", "halve_memory", "change_samples",
          "spoil_targets", "exchange", "append", "look"]  # fmt: skip
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None,
         "report_multiple_bugs": False}  # fmt: skip


def test_a_short_run():
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=25, stateful_step_count=12, derandomize=True, **QUIET),
    )


@pytest.mark.slow
def test_a_long_run(tmp_path):
    """In a process of its own, whose crash is a failure with what it did last."""
    log = tmp_path / "log.txt"
    helpers = pathlib.Path(__file__).parents[2] / "helpers"
    path = os.pathsep.join([str(helpers), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, __file__, "150", "40", str(log)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{log.read_text()}\n{done.stdout}\n{done.stderr}"


def main(examples, steps, log):
    faulthandler.enable()

    Machine.log_path = log
    phases = [Phase.generate, Phase.shrink]
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(examples), stateful_step_count=int(steps), phases=phases, **QUIET
        ),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
