"""The steps of a training run, an epoch at a time, and the return to finite weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from fastnn.compiler.lowered import Lowered
from fastnn.compiler.program import (
    TrainingProgram,
    UnsupportedError,
    check_dtype,
)
from fastnn.compiler.runner import Runner
from fastnn.compiler.samples import form_of, inputs_of
from fastnn.compiler.source import Source, Timetable
from fastnn.nn.layer import Layer, as_layer
from fastnn.nn.loss import as_loss
from fastnn.nn.sequential import Sequential, check_chain, flat_layers
from fastnn.optim.schedule import Schedule
from fastnn.training.callbacks.callback import Callback, hear_of_batches
from fastnn.training.eager import EagerRunner
from fastnn.training.history import History
from fastnn.training.training import Training

__all__ = ["NonFiniteLossError"]


class NonFiniteLossError(FloatingPointError):
    """Error of `fit`: a loss or a weight became infinite or NaN.

    The model holds its last finite weights. The error has the attributes `epoch`, `batch` and
    `history`.

    Parameters
    ----------
    what : str
        Number that is not finite, and its value.
    epoch, batch : int
        Epoch and batch in which it appeared, from 1.
    batches : int
        Number of batches of an epoch.
    history : History
        History of the epochs before.

    Examples
    --------
    >>> from fastnn import History, NonFiniteLossError
    >>> error = NonFiniteLossError("the loss became nan", 2, 3, 10, History())
    >>> error.epoch, error.batch
    (2, 3)
    """

    def __init__(self, what: str, epoch: int, batch: int, batches: int, history: History):
        super().__init__(
            f"{what} in epoch {epoch}, batch {batch} of {batches}; the model holds the last finite "
            "weights. A smaller learning rate or gradient clipping may help"
        )
        self._arguments = what, epoch, batch, batches, history
        self.epoch, self.batch, self.history = epoch, batch, history

    def __reduce__(self):
        """Return all arguments for pickling, because an exception keeps only its message."""
        return type(self), self._arguments


class Steps(Lowered):
    """Steps of a `fit`, an epoch at a time, with the return to finite weights.

    A program is made for certain layers, settings of these and of the loss, counts of steps, and
    for clipping by norm or not. Callbacks may change all of these, and the weights, after an epoch
    or in `on_batches_end`. The next batch follows them: by a new program, or by reading the model's
    weights again instead of the program's own copy.
    """

    def __init__(
        self,
        training: Training,
        source: Source,
        batch: int,
        threads: int,
        dtype: np.dtype,
        callbacks: list[Callback],
    ):
        self._training, self._source, self.model = training, source, training.model
        self._batch, self._threads = batch, threads
        self._has_callbacks, self._read_by_callbacks = bool(callbacks), hear_of_batches(callbacks)
        self._dtype = dtype
        self._schedule: Schedule | None = None  # set only if it counts batches
        self._timetable: Timetable | None = None
        if training.schedule is not None and training.schedule.every == "step":
            self._schedule = training.schedule
            table = np.empty((-(-len(source.order) // batch), len(self._schedule.places)))
            self._timetable = Timetable(self._schedule.places, table)
        self._warned, self._settled, self._new = False, True, True
        self._ticks = 0  # of the runner, whose counts of steps the model and the others have
        self.begin()

    def _basis(self) -> list:
        """Return all that a program fixes, with the counts from which the runner started."""
        training = self._training
        optimizer = training.optimizer
        return [
            type(training.loss),
            repr(training.loss),
            optimizer.rule,
            optimizer.clip_norm is None,
            [each.requires_grad for each in optimizer.parameters],  # also of layers taken out
            *(count - self._ticks for count in self._counts()),
        ]

    def _form(self) -> list | None:
        if self._threads > 1 or self._timetable is not None:
            return None
        optimizer, batch, dtype = self._training.optimizer, self._batch, self._dtype
        return [optimizer, batch, dtype, form_of(self._inputs())]

    def _inputs(self) -> dict[str, np.ndarray]:
        return inputs_of(self._source, as_loss(self._training.loss), self._dtype)

    def _take(self, runner: Runner) -> None:
        self._ticks, self._counting = runner.ticks, _counters(self.model)
        self._firsts = [count - self._ticks for count in self._counts()]

    def _check(self) -> None:
        """Raise an error for a model that cannot be trained on the samples, also in Python."""
        check_trainable(self._training.model, len(self._source.order), self._batch)
        check_dtype(self._training.model, self._dtype)

    def _make(self) -> Runner | EagerRunner:
        """Return a runner, in Python for what no program can express."""
        training = self._training
        arguments = training.model, training.loss, training.optimizer, self._source, self._batch
        self._counting = _counters(training.model)
        self._firsts, self._ticks = self._counts(), 0
        try:
            program = TrainingProgram(*arguments, self._dtype, self._timetable, self._threads)
            return Runner(program, len(self._source.order))
        except UnsupportedError as reason:
            if not self._warned:
                warnings.warn(f"{reason}: training steps in Python", stacklevel=6)
            self._warned = True
            return EagerRunner(*arguments, self._timetable)

    def _counts(self) -> list[int]:
        """Return the counts of steps: the optimizer's, those of layers, and the schedule's."""
        of_layers = [getattr(layer, counter) for layer, counter in self._counting]
        counts = [self._training.optimizer.steps, *of_layers]
        return counts if self._schedule is None else [*counts, self._schedule.last_epoch]

    def reread(self) -> None:
        """Read the source again, whose arrays hold other numbers now."""
        self.runner.bind(self._inputs())

    def settle(self) -> bool:
        """Write the runner's weights and counts of steps to the model, optimizer and schedule.

        Returns whether all weights are finite; if not, the model keeps its previous weights. Does
        nothing if there were no steps since the last call, because callbacks may have set counts.
        """
        if self._settled:
            return True
        finite = self.runner.deliver()
        if not finite:
            self.runner.rewind()
        self._ticks, self._settled = self.runner.ticks, True
        of_optimizer, *others = (first + self._ticks for first in self._firsts)
        self._training.optimizer.steps = of_optimizer
        if self._schedule is not None:
            self._schedule.move_to(others.pop())
        for (layer, counter), count in zip(self._counting, others, strict=True):
            setattr(layer, counter, count)
        return finite

    def run_epoch(self, tell: Callable[[int], None]) -> np.ndarray:
        """Train one epoch and return its totals; call `tell` with the number of batches done.

        Raises NonFiniteLossError if the loss or a weight becomes infinite or NaN.
        """
        if self._has_callbacks or not self._new:
            self._follow()
        self._new = False
        if self._has_callbacks:
            self.runner.renew()
        if self._schedule is not None and self._timetable is not None:
            self._schedule.fill(self._timetable.values)
        self.runner.totals[:] = 0
        done = 0
        while True:
            runner, skipped = self.runner, done - self.runner.ticks
            done = self._run(done, tell)
            if runner is self.runner:
                break
            self.runner.totals[:] = runner.totals
        stopped, bad = runner.stopped, done + 1
        if not self.settle():  # repeat the steps, which are deterministic, one by one
            self._settled = False
            left = runner.redo(runner.kept + skipped, done)
            self.settle()
            bad = bad if stopped else left + 1
        elif not stopped:
            return runner.totals
        what = f"the loss became {runner.last_loss}"
        if not stopped:
            what = "the weights became infinite or NaN"
        training = self._training
        raise NonFiniteLossError(what, training.epoch, bad, runner.batches, training.history)

    def _run(self, begin: int, tell: Callable[[int], None]) -> int:
        """Run the batches from `begin`, up to a change by a callback; return how many are done."""
        runner, watched, done = self.runner, self._read_by_callbacks, begin
        self._settled = False
        for done in runner.slices(begin, watched):
            if watched:
                if runner.stopped or not runner.deliver():
                    break
                self.settle()
            tell(done)
            if watched and self._follow():
                break
            self._settled = False
        return done

    def _follow(self) -> bool:
        """Make a new runner if callbacks have changed what a program fixes; return True then."""
        model = self._training.model
        try:
            model.train()
        except (AttributeError, TypeError, RecursionError):
            check_chain(model)
            raise
        return self.refresh()


def check_trainable(model: Sequential, samples: int, batch: int) -> None:
    """Raise TypeError or ValueError for layers that make no chain, or as `check_rows` does.

    Callbacks may change the layers, so this is checked again for their models.
    """
    check_chain(model)
    check_rows(model, samples, batch)


def check_rows(model: Sequential, samples: int, batch: int) -> None:
    """Raise ValueError for layers that need more rows than a batch has."""
    if samples % batch == 1 or batch == 1:
        for layer in flat_layers(model):
            if as_layer(layer).least_rows > 1:
                raise ValueError(
                    f"batches of {batch} of {samples} samples leave one of a single row, of which "
                    f"{type(layer).__name__} can learn nothing; take another batch_size"
                )


def _counters(model: Sequential) -> list[tuple[Layer, str]]:
    """Return the layers that count batches, and the names of their counters."""
    layers = map(as_layer, flat_layers(model))
    return [(layer, counter) for layer in layers if (counter := layer.batch_counter())]
