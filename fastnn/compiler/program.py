"""Lowers a chain, a loss and an optimizer to the table that the interpreter runs.

Layers become stages (`fastnn.compiler.lowering.stages`), which emit the instructions of their
forward and backward pass. Everything a step needs is laid out before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.lowering.stage import UnsupportedError, emit_update, float_bits
from fastnn.compiler.lowering.stages import stages_of
from fastnn.nn.losses import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    Loss,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
    masses_of,
)
from fastnn.nn.normalize import Normalize
from fastnn.nn.sequential import Sequential, flat_layers
from fastnn.nn.shapes import Flatten, Identity
from fastnn.optim.optimizers import Optimizer
from kernels.base.jit import Routine
from kernels.base.memory import address
from kernels.functions import updates
from kernels.instructions import common as instructions
from kernels.instructions import losses as loss_instructions
from kernels.machine import interpreter as epoch
from kernels.product import linear

# -------------------------------------------------------------------------- samples


@dataclass(frozen=True)
class Source:
    """Samples and targets as programs read them, and the order they are read in.

    `x` is (samples, columns), contiguous, of the program's dtype or bytes; `y` is int64
    class indices, or rows of numbers of the program's dtype; None where only the
    output is wanted. `order` is int64. `weights`, of the dtype, weigh the samples; None
    where all weigh the same.
    """

    x: np.ndarray
    y: np.ndarray | None
    order: np.ndarray
    weights: np.ndarray | None = None


def _emit_samples(build: Builder, source: Source, normalize: Normalize | None) -> Block:
    """Gather a batch of samples, normalised on the way."""
    columns = source.x.shape[1]
    x = build.block(columns)
    kind = instructions.gather_bytes if source.x.dtype == np.uint8 else instructions.gather
    tables = [0, 0]
    if normalize is not None:
        tables = [build.keep(t.astype(build.dtype)) for t in normalize.tables(columns)]
    build.emit(
        kind, columns, address(source.x), address(source.order), normalize is not None, *tables,
        *x.place, wait=source.y is None,
    )  # fmt: skip
    return x


def _emit_targets(build: Builder, source: Source) -> tuple[int, ...]:
    """Gather a batch of targets; gives them as the loss takes them."""
    assert source.y is not None
    places = address(source.y), address(source.order)
    if source.y.ndim == 1:
        labels = build.take(build.batch, np.int64)
        build.emit(instructions.gather_labels, *places, labels)
        return (labels,)
    t = build.block(source.y.shape[1])
    build.emit(instructions.gather, t.columns, *places, 0, 0, 0, *t.place)
    return t.place


def _emit_weights(build: Builder, loss: Loss, source: Source) -> tuple[int, int, int]:
    """Gather weights of a batch, and the masses that the mean is divided by.

    Gives the weights, 1 where there are none; the masses, also 1 where there are none; and
    the masses again, or 0 where they need not be added.
    """
    assert source.y is not None
    ones = build.keep(np.ones(build.batch, build.dtype))
    masses = masses_of(loss, source.y, source.weights, build.dtype)
    if masses is None:
        return ones, ones, 0
    place = _emit_rows(build, masses, source)
    if masses is source.weights:
        return place, place, place
    weights = ones if source.weights is None else _emit_rows(build, source.weights, source)
    return weights, place, place


def _emit_truth(build: Builder, loss: Loss, source: Source) -> Truth:
    """Gather targets, weights and masses of a batch."""
    return Truth(_emit_targets(build, source), *_emit_weights(build, loss, source))


def _emit_rows(build: Builder, numbers: np.ndarray, source: Source) -> int:
    """Gather a number for each row of a batch."""
    place = build.take(build.batch)
    build.emit(instructions.gather_weights, build.keep(numbers), address(source.order), place)
    return place


@dataclass(frozen=True)
class Truth:
    """Targets of a batch as the loss takes them, weights and masses of its rows."""

    targets: tuple[int, ...]
    weights: int
    masses: int
    divisor: int
    """The masses, or 0 where they are all 1."""

    @property
    def by_label(self) -> bool:
        """Whether the targets are class indices."""
        return len(self.targets) == 1


def _emit_loss(build: Builder, loss: Loss, y: Block, truth: Truth, totals,
               training: bool) -> Block:  # fmt: skip
    """Emit the loss and the tally; give the gradient before the output's activation."""
    losses, hits = build.take(build.batch), build.take(build.batch, np.uint8)
    gradient = build.block(y.columns)
    kind, *operands = _loss_instruction(build, loss, y.columns, truth)
    build.emit(kind, y.columns, *y.place, *operands, truth.divisor, *gradient.place, losses, hits)
    build.emit(loss_instructions.tally, losses, hits, build.keep(totals), training, wait=False)
    return gradient


def _loss_instruction(build: Builder, loss: Loss, columns: int, truth: Truth):
    """The instruction that computes a loss, and what it reads: targets, tables, weights."""
    targets = truth.targets
    if type(loss) is NLLLoss:
        loss.factors(columns)
        return loss_instructions.log_likelihood, *targets, truth.masses
    if type(loss) is CrossEntropyLoss:
        factors = build.keep(loss.factors(columns).astype(build.dtype))
        if truth.by_label and not loss.label_smoothing:
            return loss_instructions.cross_entropy, *targets, truth.masses
        if truth.by_label:
            t = build.block(columns)
            build.emit(loss_instructions.one_hot, columns, *targets, *t.place)
            targets = t.place
        smoothing = float_bits(loss.label_smoothing)
        return (
            loss_instructions.cross_entropy_probability,
            *targets,
            factors,
            smoothing,
            truth.weights,
        )
    if type(loss) is BCEWithLogitsLoss:
        factors = build.keep(loss.factors(columns).astype(build.dtype))
        return loss_instructions.binary_cross_entropy, *targets, factors, truth.weights
    errors: dict[type, Routine] = {
        MSELoss: loss_instructions.squared_error,
        L1Loss: loss_instructions.absolute_error,
        HuberLoss: loss_instructions.huber_error,
        PoissonNLLLoss: loss_instructions.poisson,
    }
    if type(loss) in errors:
        delta = float_bits(getattr(loss, "delta", 0.0))
        return errors[type(loss)], *targets, delta, truth.weights
    raise UnsupportedError(f"{type(loss).__name__} is not a loss that fastnn compiles")


# ------------------------------------------------------------------------- programs


def layout(model: Sequential) -> list:
    """What programs of a model are made for: layers, how much they drop, places of parameters."""
    layers = [(layer, getattr(layer, "p", None)) for layer in flat_layers(model)]
    return [*layers, *((id(p.block), p.start) for p in model.parameters())]


@dataclass(frozen=True)
class Timetable:
    """Settings of an optimizer for each batch of an epoch.

    `places` are those in the array of settings, `values` is (batches, places) of float64.
    """

    places: tuple[int, ...]
    values: np.ndarray


class Program:
    """Instructions, and the memory they work on: `table`, for each batch, `opening` and `closing`.

    So many `threads` are to run it, each with `scratch` elements of memory of its own. `totals`
    holds the sum of the losses and the number of right rows since it was last set to zero.
    Raises UnsupportedError for what cannot be compiled.
    """

    def __init__(self, batch: int, dtype, threads: int):
        self.batch, self.dtype, self.threads = batch, np.dtype(dtype), threads
        self.totals = np.zeros(2)
        build = Builder(self.batch, self.dtype, self.threads)
        self._lower(build)
        build.rows[-1][epoch.WAIT] = 1  # all threads end a step together
        opening, closing = build.ends()
        self.opening, self.table, self.closing = (
            np.array(rows, np.int64) for rows in (opening, build.rows, closing)
        )
        self._kept = build.kept
        self.scratch = linear.scratch_size(self.dtype, build.widest)

    def _lower(self, build: Builder) -> None:
        """Emit all instructions."""
        raise NotImplementedError

    def _forward(self, build: Builder, model: Sequential, source: Source,
                 loss: Loss | None = None, optimizer: Optimizer | None = None):  # fmt: skip
        """Emit samples, what the loss compares them with, and all stages' forward pass.

        There is an optimizer in training.
        """
        layers = [each for each in flat_layers(model) if type(each) not in (Identity, Flatten)]
        normalize = layers.pop(0) if layers and type(layers[0]) is Normalize else None
        stages = stages_of(layers)
        for stage, above in pairwise(stages):
            stage.above = above
        x = _emit_samples(build, source, normalize)
        truth = None if loss is None else _emit_truth(build, loss, source)
        for stage in stages:
            stage.arrange(build, optimizer)
            x = stage.forward(build, x, optimizer is not None)
        return stages, x, truth


class TrainingProgram(Program):
    """One step of training: forward, loss, backward, update."""

    def __init__(self, model, loss, optimizer, source: Source, batch: int, dtype,
                 timetable: Timetable | None = None, threads: int = 1):  # fmt: skip
        self.model, self.loss, self.optimizer, self.source = model, loss, optimizer, source
        self.timetable = timetable
        super().__init__(batch, dtype, threads)

    def _lower(self, build):
        if self.timetable is not None:
            places, values = self.timetable.places, self.timetable.values
            build.emit(
                instructions.follow, self.batch, len(places), address(values),
                address(self.optimizer.settings), *places,
            )  # fmt: skip
        stages, y, truth = self._forward(build, self.model, self.source, self.loss, self.optimizer)
        gradient = _emit_loss(build, self.loss, y, truth, self.totals, True)
        for stage in stages:
            stage.track(build)
        learning = [i for i, stage in enumerate(stages) if stage.learns]
        if learning:
            taught = stages[learning[0] :]
            for stage, above in pairwise(taught):
                above.below = stage
            gradient = build.through_activation(gradient, y)
            for stage in reversed(taught):
                gradient = stage.backward(build, gradient, self.optimizer)
        if self.optimizer.clip_norm is not None:
            build.rows[-1][epoch.WAIT] = 1
            self._emit_update(build)

    def _emit_update(self, build):
        """Clip the whole gradient by its norm, and update the parameters by it."""
        optimizer, settings = self.optimizer, address(self.optimizer.settings)
        runs = list(optimizer.runs())
        counts = [updates.chunks.py_func(g.size) for _, _, g, _ in runs]
        sums = build.take(sum(counts), np.float64)
        for i, (_, _, g, _) in enumerate(runs):
            place = sums + 8 * sum(counts[:i])
            build.emit(instructions.gradient_squares, g.size, address(g), place)
        build.emit(instructions.clip_norm, sum(counts), sums, settings)
        for parameter in optimizer.parameters:
            emit_update(build, parameter, build.learn(parameter, optimizer), optimizer)


class EvaluationProgram(Program):
    """Loss and right rows of batches."""

    def __init__(self, model, loss, source: Source, batch: int, dtype, threads: int = 1):
        self.model, self.loss, self.source = model, loss, source
        super().__init__(batch, dtype, threads)

    def _lower(self, build):
        _, y, truth = self._forward(build, self.model, self.source, self.loss)
        _emit_loss(build, self.loss, y, truth, self.totals, False)


class PredictionProgram(Program):
    """Outputs of batches, written to `results`, an array (samples, columns) of the dtype."""

    def __init__(self, model, source: Source, results: np.ndarray, batch: int, threads: int = 1):
        self.model, self.source, self.results = model, source, results
        super().__init__(batch, results.dtype, threads)

    def _lower(self, build):
        _, y, _ = self._forward(build, self.model, self.source)
        build.emit(instructions.collect, y.columns, *y.place, address(self.results))
