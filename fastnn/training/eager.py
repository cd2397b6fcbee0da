"""Training steps in Python, for models with custom layers or losses that cannot be compiled.

Order of samples and formulas are those of compiled training. Built-in layers give the same bits:
subnormal numbers are flushed to 0 here, too.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from fastnn.compiler.source import Source, Timetable
from fastnn.nn.loss import Loss, as_loss
from fastnn.nn.sequential import Sequential, every_layer
from fastnn.optim.optimizer import Optimizer
from fastnn.training.sample_weights import total_weight
from kernels.base import forks
from kernels.base.subnormals import Flushed, kept

_USE = threading.RLock()


def _renew() -> None:
    """Renew the lock in the child of a fork, where nobody else holds it."""
    global _USE
    _USE = threading.RLock()


forks.in_child(_renew)


@contextmanager
def in_use(model: Sequential) -> Iterator[None]:
    """Put all layers in evaluation mode, and restore the mode of each one afterwards.

    A lock admits one thread at a time, because the mode belongs to the layers.
    """
    with _USE:
        layers = [layer for layer in every_layer([model]) if hasattr(layer, "training")]
        before = [layer.training for layer in layers]
        model.eval()
        try:
            yield
        finally:
            for layer, training in zip(layers, before, strict=True):
                layer.training = training


class EagerRunner:
    """Runner of steps in Python, with the interface of `Runner`; None as optimizer evaluates."""

    def __init__(
        self,
        model: Sequential,
        loss: Loss,
        optimizer: Optimizer | None,
        source: Source,
        batch: int,
        timetable: Timetable | None = None,
    ):
        self.model, self.loss, self.optimizer, self.source = model, loss, optimizer, source
        self.batch, self.ticks, self.kept = batch, 0, 0
        self.stopped, self.last_loss = False, math.nan
        self._timetable = timetable
        self.batches = -(-len(source.order) // batch)
        self.totals = np.zeros(2)
        self._snapshot = None if optimizer is None else _Snapshot(model, optimizer)

    def bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Do nothing, because every step reads the source."""

    def release(self) -> bool:
        """Return False: what runs in Python has nothing worth keeping."""
        return False

    def __enter__(self) -> EagerRunner:
        return self

    def __exit__(self, *error) -> None:
        pass

    def slices(self, begin: int = 0, watched: bool = False):
        """Run the batches from `begin`; yield after each batch how many are done.

        If `watched`, the caller may change the model in between.
        """
        if self._snapshot is not None:
            self._take()
        with in_use(self.model) if self.optimizer is None else nullcontext():
            for batch in range(begin, self.batches):
                done = self.run(batch, batch + 1)
                yield batch + done
                if not done:
                    return
                if watched:
                    self._take()

    @kept
    def run(self, begin: int, end: int) -> int:
        """Run batches `begin` to `end`; return how many were finished."""
        for batch in range(begin, end):
            if self._timetable is not None and self.optimizer is not None:
                places = list(self._timetable.places)
                self.optimizer.settings[places] = self._timetable.values[batch]
            with Flushed():
                done = self._step(self.source.order[batch * self.batch : (batch + 1) * self.batch])
            if not done:
                return batch - begin
        return end - begin

    def _step(self, rows: np.ndarray) -> bool:
        """Do a step; return False, with the buffers as before, if its loss is not finite."""
        before, done = _copies(self.model.named_buffers()), False
        try:
            done = self._do(rows)
        finally:
            if not done:
                _restore(self.model.named_buffers(), before)
        return done

    def _do(self, rows: np.ndarray) -> bool:
        assert self.source.y is not None
        output = self.model.forward(_numbers(self.model, self.source.x[rows]))
        targets, weights = self.source.y[rows], None
        if self.source.weights is None:
            loss = self.loss(output, targets)
        else:
            weights = self.source.weights[rows]
            loss = self.loss(output, targets, weights)
        answers = as_loss(self.loss)
        mass = total_weight(answers.masses(targets, weights, output.dtype), len(rows))
        if mass == 0.0:  # the mean over weights that are all 0
            loss = 0.0
        if self.optimizer is not None:
            if not math.isfinite(loss):
                self.stopped, self.last_loss = True, loss
                return False
            self.optimizer.zero_grad()
            self.model.backward(self.loss.backward())
            self.optimizer.step()
        self.ticks += 1
        elements = mass * answers.terms(targets)
        self.totals += loss * elements, getattr(self.loss, "correct", 0)
        return True

    def _take(self) -> None:
        assert self._snapshot is not None
        self._snapshot.take()
        self.kept = self.ticks

    def deliver(self) -> bool:
        """Return whether all numbers of the model are finite."""
        if self._snapshot is None or self._snapshot.finite():
            self.kept = self.ticks
        return self.kept == self.ticks

    def renew(self) -> None:
        """Do nothing, because every step reads the model's current weights."""

    def rewind(self) -> None:
        """Restore the numbers of the beginning of the epoch, or of the last batch of `redo`.

        Counts of steps are set by `Steps.settle`.
        """
        assert self._snapshot is not None
        self._snapshot.restore()
        self.ticks, self.stopped = self.kept, False

    def redo(self, begin: int, end: int) -> int:
        """Repeat batches one by one; return the first that makes the model non-finite, or `end`."""
        for batch in range(begin, end):
            self._take()
            self.run(batch, batch + 1)
            if not self.deliver():
                self.rewind()
                return batch
        return end


class _Snapshot:
    """Copies of all arrays that a step changes."""

    def __init__(self, model: Sequential, optimizer: Optimizer):
        self._model, self._optimizer = model, optimizer

    def _changing(self) -> Iterator[tuple[str, np.ndarray]]:
        """Return names and arrays of the model, which a custom layer may have replaced."""
        yield from ((name, each.memory) for name, each in self._model.named_parameters())
        yield from self._model.named_buffers()

    def take(self) -> None:
        self._copies = _copies(self._changing())
        self._memory = _copies(self._optimizer.memory.items())

    def finite(self) -> bool:
        """Return whether all current numbers of the model are finite."""
        return all(np.isfinite(array).all() for _, array in self._changing())

    def restore(self) -> None:
        _restore(self._changing(), self._copies)
        _restore(self._optimizer.memory.items(), self._memory)


def _copies(arrays: Iterable[tuple[Any, np.ndarray]]) -> dict[Any, np.ndarray]:
    """Return copies of named arrays."""
    return {name: array.copy() for name, array in arrays}


def _restore(arrays: Iterable[tuple[Any, np.ndarray]], copies: Mapping[Any, np.ndarray]) -> None:
    """Copy values back into the arrays that have copies."""
    for name, array in arrays:
        if name in copies:
            array[...] = copies[name]


@kept
def predict_eagerly(model: Sequential, x: np.ndarray, batch: int) -> np.ndarray:
    """Return the outputs of a model, computed batch by batch in Python."""
    with in_use(model), Flushed():
        return np.concatenate(
            [model.forward(_numbers(model, x[i : i + batch])) for i in range(0, len(x), batch)]
        )


def _numbers(model: Sequential, x: np.ndarray) -> np.ndarray:
    """Return bytes as numbers of the model's dtype; a custom layer would compute in bytes."""
    if x.dtype != np.uint8:
        return x
    return x.astype(next((parameter.dtype for parameter in model.parameters()), np.float32))
