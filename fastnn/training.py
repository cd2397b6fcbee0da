"""fit: epochs of compiled steps, and what callbacks see of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable

import numpy as np

from fastnn.eager import EagerRunner
from fastnn.evaluation import EVALUATION_BATCH, Evaluation, evaluate_read, means, step_work
from fastnn.history import History
from fastnn.inputs import (
    check_kinds,
    check_positive,
    classifies_by,
    model_dtype,
    output_columns,
    read_samples,
    read_targets,
)
from fastnn.layers import Dropout
from fastnn.losses import Loss
from fastnn.optimizers import Optimizer
from fastnn.program import Source, TrainingProgram, UnsupportedError, flat_layers
from fastnn.progress import ProgressBar
from fastnn.runner import Runner, threads_for
from fastnn.sequential import Sequential


class NonFiniteLossError(FloatingPointError):
    """A training loss, or a weight, was infinite or NaN; the model holds its last finite weights.

    `history` is that of the epochs before, `epoch` and `batch` (from 1) say where.
    """

    def __init__(self, what: str, epoch: int, batch: int, batches: int, history: History):
        super().__init__(
            f"{what} in epoch {epoch}, batch {batch} of {batches}; the model holds the last finite "
            "weights. A smaller learning rate or gradient clipping may help"
        )
        self.epoch, self.batch, self.history = epoch, batch, history


class Callback:
    """What may happen between epochs; override what you need.

    Each method is given the `Training`, whose `stop` may be set to end it after the
    epoch. A plain function given to `fit` is called as `on_epoch_end`.
    """

    def on_train_begin(self, training: Training) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, training: Training) -> None:
        """Before an epoch."""

    def on_epoch_end(self, training: Training) -> None:
        """After an epoch and its validation."""

    def on_train_end(self, training: Training) -> None:
        """After the last epoch, also one that was interrupted."""


class _FunctionCallback(Callback):
    def __init__(self, function: Callable[[Training], object]):
        self._function = function

    def on_epoch_end(self, training):
        self._function(training)


class _Snapshot:
    """Copies of all that a step changes, to go back to."""

    def __init__(self, model: Sequential, optimizer: Optimizer):
        blocks = {id(p.block): p.block for p in model.parameters()}
        memory = [array for arrays in optimizer.memory.values() for array in arrays]
        self._arrays = [*blocks.values(), *memory]
        self._copies = [np.empty_like(array) for array in self._arrays]

    def take(self) -> None:
        for array, copy in zip(self._arrays, self._copies, strict=True):
            np.copyto(copy, array)

    def restore(self) -> None:
        for array, copy in zip(self._arrays, self._copies, strict=True):
            np.copyto(array, copy)


class Training:
    """A run of `fit`: what callbacks see, and what they may change.

    `epoch` counts from 1; setting `stop` ends the run after the epoch, and settings of
    the optimizer take effect with the next one.
    """

    def __init__(self, model: Sequential, loss: Loss, optimizer: Optimizer, history: History):
        self.model, self.loss, self.optimizer, self.history = model, loss, optimizer, history
        self.epoch, self.stop = 0, False


def fit(model: Sequential, x, y, *, loss: Loss, optimizer: Optimizer, epochs: int,
        batch_size: int, validation_data=None, shuffle: bool = True, seed: int | None = None,
        callbacks: Iterable[Callback | Callable[[Training], object]] = (), progress: bool = False,
        threads: int | None = None) -> History:  # fmt: skip
    """Train a model, each epoch one pass over the data in batches, and give its history.

    `x` is (samples, ...) of float32, float64, integers or bytes (uint8 is kept as it is:
    let a `Normalize` layer scale it), of any contiguity, read-only or mapped from a file;
    contiguous samples of the model's dtype or of bytes are not copied. `y` is class
    indices (samples,), one-hot or probabilities (samples, classes), or for `MSELoss`
    numbers (samples,) or (samples, columns). `validation_data` is a pair like (x, y).

    `shuffle` draws a new order for each epoch. One `seed` gives one result, to the bit,
    for any number of `threads`: it decides the order and what dropout drops; None draws
    one. `threads` None takes as many as the work in a step pays for. The last batch may
    be smaller. `callbacks` are `Callback` objects or functions of a `Training`.

    Raises TypeError or ValueError, before anything is changed, for data that do not fit
    the model, and `NonFiniteLossError` when the loss of a batch is not finite. After
    that, or Ctrl-C (KeyboardInterrupt, within some hundredths of a second), the model
    holds whole steps only.
    """
    check_kinds(model, loss, optimizer)
    check_positive(epochs=epochs, batch_size=batch_size)
    listeners = _listeners(callbacks)
    dtype = model_dtype(model)
    _check_learnable(model, optimizer)
    samples = read_samples("x", x, dtype)
    columns = output_columns("x", model, samples)
    targets = read_targets("y", y, len(samples), columns, loss, dtype)
    classifies = classifies_by(loss, y, columns)
    validation = None
    if validation_data is not None:
        validation = _validation(validation_data, model, samples, columns, loss, dtype)
    batch = min(batch_size, len(samples))
    count = threads_for(step_work(model, batch), threads)
    rng = np.random.default_rng(seed)
    source = Source(samples, targets, np.arange(len(samples)))

    if seed is not None:
        for stream, layer in enumerate(_dropouts(model)):
            layer.reseed(seed, stream)
    model.train()
    training = Training(model, loss, optimizer, History())
    steps = _Steps(training, source, batch, count)
    bar = ProgressBar(epochs, steps.runner.batches, progress)
    with steps, bar:
        try:
            _notify(listeners, "on_train_begin", training)
            for epoch in range(1, epochs + 1):
                training.epoch = epoch
                _notify(listeners, "on_epoch_begin", training)
                started = time.perf_counter()
                if shuffle:
                    rng.shuffle(source.order)
                totals = steps.run_epoch(bar)
                seconds = time.perf_counter() - started
                mean, accuracy = means(totals, len(samples), loss, targets, classifies)
                val = Evaluation(None, None)  # type: ignore[arg-type]
                if validation is not None:
                    val = evaluate_read(
                        model, *validation, loss, classifies, EVALUATION_BATCH, threads
                    )
                training.history.add(
                    loss=mean, accuracy=accuracy, val_loss=val.loss, val_accuracy=val.accuracy,
                    seconds=seconds,
                )  # fmt: skip
                bar.epoch_done(training.history)
                _notify(listeners, "on_epoch_end", training)
                if training.stop:
                    break
        finally:
            steps.count()
            _notify(listeners, "on_train_end", training)
    return training.history


def _validation(pair, model, samples, columns, loss, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Validation data as `fit` works on it; raises as `fit` does for data that do not fit."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError("validation_data is not a pair (x, y)")
    x = read_samples("validation x", pair[0], dtype)
    if x.shape[1] != samples.shape[1]:
        raise ValueError(f"validation x has {x.shape[1]} columns; x has {samples.shape[1]}")
    return x, read_targets("validation y", pair[1], len(x), columns, loss, dtype)


def _listeners(callbacks) -> list[Callback]:
    """Callbacks as objects; raises TypeError for things that are neither objects nor functions."""
    listeners = []
    for each in callbacks:
        if isinstance(each, type) or not (isinstance(each, Callback) or callable(each)):
            raise TypeError(f"callback {each!r} is neither a Callback nor a function")
        listeners.append(each if isinstance(each, Callback) else _FunctionCallback(each))
    return listeners


def _notify(listeners: list[Callback], event: str, training: Training) -> None:
    for listener in listeners:
        getattr(listener, event)(training)


def _check_learnable(model: Sequential, optimizer: Optimizer) -> None:
    """Raise ValueError unless the optimizer's parameters are the model's, and finite."""
    own = {id(parameter) for parameter in model.parameters()}
    if not all(id(parameter) in own for parameter in optimizer.parameters):
        raise ValueError("the optimizer has parameters that are not the model's")
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            raise ValueError(f"parameter {name} holds numbers that are not finite")


def _dropouts(model: Sequential) -> list[Dropout]:
    return [layer for layer in flat_layers(model) if isinstance(layer, Dropout)]


class _Steps:
    """The steps of a `fit`, an epoch at a time, and how to go back to finite weights.

    A program is made for the memory in which the parameters lie, and for gradients that
    are or are not clipped by their norm. A callback may change both, so programs are
    made anew when they have.
    """

    def __init__(self, training: Training, source: Source, batch: int, threads: int):
        self._training, self._source = training, source
        self._batch, self._threads = batch, threads
        self.runner: Runner | EagerRunner
        self._warned = False
        self._lay_out()

    def __enter__(self) -> None:
        self.runner.__enter__()

    def __exit__(self, *error) -> None:
        self.runner.__exit__(*error)

    def _lay_out(self) -> None:
        model, optimizer = self._training.model, self._training.optimizer
        self._basis = self._find_basis()
        self._first_step = optimizer.steps
        self._drawn = [(layer, layer.drawn) for layer in _dropouts(model) if layer.drops]
        self._snapshot = _Snapshot(model, optimizer)
        arguments = model, self._training.loss, optimizer, self._source, self._batch
        try:
            program = TrainingProgram(*arguments, model_dtype(model))
            self.runner = Runner(program, len(self._source.x), self._threads)
        except UnsupportedError as reason:
            if not self._warned:
                warnings.warn(f"{reason}: training steps in Python", stacklevel=4)
            self._warned = True
            self.runner = EagerRunner(*arguments)

    def _find_basis(self) -> list:
        places = [(id(p.block), p.start) for p in self._training.model.parameters()]
        return [self._training.optimizer.clip_norm is None, *places]

    def count(self) -> None:
        """Bring the counts that layers and optimizer keep up to date with the runner's."""
        self._training.optimizer.steps = self._first_step + self.runner.ticks
        for layer, drawn in self._drawn:
            layer.drawn = drawn + self.runner.ticks

    def run_epoch(self, bar: ProgressBar) -> np.ndarray:
        """Train one epoch and give its totals; raise NonFiniteLossError for what is not finite."""
        training = self._training
        if self._basis != self._find_basis():
            self.runner.__exit__(None, None, None)
            self._lay_out()
            self.runner.__enter__()
        runner = self.runner
        self._snapshot.take()
        first_tick = runner.ticks
        runner.totals[:] = 0
        done = 0
        for done in runner.slices():
            bar.batches_done(done)
        self.count()
        finite = _finite(training.model)
        if finite and done == runner.batches:
            return runner.totals
        what, bad = f"the loss became {runner.last_loss}", done + 1
        if not finite:
            left = self._return_to_finite(first_tick, done)
            self.count()
            if done == runner.batches:  # no loss has told
                what, bad = "the weights became infinite or NaN", left + 1
        raise NonFiniteLossError(what, training.epoch, bad, runner.batches, training.history)

    def _return_to_finite(self, first_tick: int, done: int) -> int:
        """Run the epoch again up to the last batch after which all weights are finite.

        The same numbers come out again, so this needs no copy of the weights for each step.
        """
        for stop_at_first in (True, False):
            self._snapshot.restore()
            self.runner.rewind(first_tick)
            for batch in range(done):
                self.runner.run(batch, batch + 1)
                if stop_at_first and not _finite(self._training.model):
                    done = batch
                    break
        return done


def _finite(model: Sequential) -> bool:
    blocks = {id(parameter.block): parameter.block for parameter in model.parameters()}
    return all(np.isfinite(block).all() for block in blocks.values())
