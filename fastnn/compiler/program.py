"""Programs: a model, a loss and an optimizer lowered to the table that the interpreter runs.

Layers become stages (`fastnn.compiler.lowering`), which emit the instructions of their forward
and backward pass. All memory of a step is allocated before the first step.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.lowering import activations, dropout, linear, norms, softmax
from fastnn.compiler.lowering.losses import emit_loss
from fastnn.compiler.lowering.stage import Learning, Stage, UnsupportedError, stages_of
from fastnn.compiler.samples import Tables, Truth, emit_samples, emit_truth, inputs_of
from fastnn.compiler.source import Source, Timetable
from fastnn.nn.kinds import is_known
from fastnn.nn.loss import Loss, as_loss
from fastnn.nn.normalize import Normalize
from fastnn.nn.parameters import Parameter
from fastnn.nn.sequential import Sequential, chained_layers, model_dtype
from fastnn.nn.shapes import Flatten, Identity
from fastnn.optim.optimizer import Optimizer
from kernels.base.memory import address, fixed
from kernels.functions.updates import chunks
from kernels.instructions import updates
from kernels.machine.interpreter import table_of
from kernels.product.linear import scratch_size

__all__ = [
    "EvaluationProgram",
    "Program",
    "TrainingProgram",
    "UnsupportedError",
]

FAMILIES = activations, dropout, linear, norms, softmax
"""The modules that lower layers; importing them registers their stages."""


def check_dtype(model: Sequential, dtype: np.dtype) -> None:
    """Raise ValueError unless a model, which callbacks may have changed, computes in a dtype."""
    if model_dtype(model) != dtype:
        raise ValueError(
            f"the model computes in {model_dtype(model)} now; expected {dtype}, the dtype of the "
            "samples"
        )


def chain_of(model: Sequential, columns: int) -> tuple[Tables | None, list[Stage], int]:
    """Return the tables that normalise the samples, the stages, and the columns of the output.

    Raises UnsupportedError for layers that cannot be compiled, ValueError for ones that do not
    fit each other or the `columns` of the samples.
    """
    every = chained_layers(model)
    layers = [each for each in every if type(each) not in (Identity, Flatten)]
    first = layers.pop(0) if layers and type(layers[0]) is Normalize else None
    stages = stages_of(layers, is_known)
    tables = None if first is None else first.tables(columns)
    for layer in every:
        columns = layer.output_columns(columns)
    for stage, above in pairwise(stages):
        stage.above = above
    return tables, stages, columns


def places_of(table: np.ndarray, array: np.ndarray) -> list[int]:
    """Return the places in a table, as if it were flat, of an array's address."""
    return np.flatnonzero(table.ravel() == address(array)).tolist()


class Program:
    """Instructions and their memory: `opening` runs first, `table` for each batch, then `closing`.

    The program is for `threads` threads, each with its own `scratch` elements of memory. `totals`
    holds the sum of the losses and the number of right rows since it was last set to zero.
    Raises UnsupportedError for a layer or loss that cannot be compiled.
    """

    def __init__(self, batch: int, dtype, threads: int):
        self.batch, self.dtype, self.threads = batch, np.dtype(dtype), threads
        self.totals = np.zeros(2)
        build = Builder(self.batch, self.dtype, self.threads, self._inputs())
        self._lower(build)
        build.wait()  # all threads finish a step together
        opening, closing = build.ends()
        self.opening, self.table, self.closing = map(table_of, (opening, build.rows, closing))
        self._kept: list[np.ndarray] = build.kept
        self.inputs = build.inputs
        self._places = {name: self._places_of(each) for name, each in build.inputs.items()}
        self._words = self.table.reshape(-1).data
        self._fix()
        self.scratch = scratch_size(self.dtype, build.widest)

    def _inputs(self) -> dict[str, np.ndarray]:
        """Return the arrays of samples to read, by name."""
        return {}

    def _lower(self, build: Builder) -> None:
        """Emit all instructions."""
        raise NotImplementedError

    def keeps(self, array: np.ndarray) -> bool:
        """Return True if an array may share memory with one that the program reads or writes."""
        return any(np.may_share_memory(array, each) for each in self._kept)

    def _places_of(self, array: np.ndarray) -> list[int]:
        """Return the places in the table of an array's address."""
        return places_of(self.table, array)

    def bind(self, inputs: dict[str, np.ndarray]) -> None:
        """Read other arrays from now on, of the same names, dtypes and columns."""
        self.inputs = inputs
        for name, array in inputs.items():
            place = address(array)
            for each in self._places[name]:
                self._words[each] = place
        self._fix()

    def release(self) -> None:
        """Let go of the arrays of samples; `bind` others before the next run."""
        self.inputs = {}
        self._fix()

    def _fix(self) -> None:
        """See to it that a user's samples cannot be resized while the program may read them."""
        self._fixed = [fixed(each) for name, each in self.inputs.items() if name == "x"]

    def _forward(
        self,
        build: Builder,
        model: Sequential,
        loss: Loss,
        learning: Learning | None = None,
    ) -> tuple[list[Stage], Block, Truth]:
        """Emit the gathering of samples and targets, and the forward pass of all stages."""
        check_dtype(model, self.dtype)
        tables, stages, columns = chain_of(model, build.inputs["x"].shape[1])
        x = emit_samples(build, tables)
        truth = emit_truth(build, as_loss(loss), columns)
        for stage in stages:
            stage.arrange(build, learning)
            x = stage.forward(build, x, learning is not None)
        return stages, x, truth


class TrainingProgram(Program):
    """One step of training: forward, loss, backward, update.

    Without `updates` a step only writes the gradients to `Parameter.grad`. With `penalising`, it
    also writes the penalty of weight decay on the weights of linear layers to `penalties`, as
    terms of a sum.
    """

    def __init__(
        self,
        model: Sequential,
        loss: Loss,
        optimizer: Optimizer,
        source: Source,
        batch: int,
        dtype,
        timetable: Timetable | None = None,
        threads: int = 1,
        *,
        updates: bool = True,
        penalising: bool = False,
    ):
        self.optimizer, self.timetable = optimizer, timetable
        self._updates, self._penalising = updates, penalising
        self._made_of = model, loss, source
        self.penalties = np.zeros(0)
        super().__init__(batch, dtype, threads)
        del self._made_of  # the model may keep the program

    def _inputs(self):
        _, loss, source = self._made_of
        return inputs_of(source, as_loss(loss), self.dtype)

    def _lower(self, build):
        model, loss, _ = self._made_of
        every = list(model.parameters())
        if len({id(each) for each in every}) < len(every):
            raise UnsupportedError("two layers share a parameter, which fastnn does not compile")
        clipping = self.optimizer.clip_norm is not None
        learning = Learning(self.optimizer, fused=self._updates and not clipping)
        if self.timetable is not None:
            self._emit_settings(build, self.timetable)
        stages, y, truth = self._forward(build, model, loss, learning)
        if self._penalising:
            self._emit_penalties(build, stages)
        gradient = emit_loss(build, loss, y, truth, self.totals, True)
        for stage in stages:
            stage.track(build)
        self._emit_backward(build, stages, gradient, y, learning)
        if self._updates:
            self._emit_idle(build, learning, every)
        if not learning.fused:
            build.wait()
            if self._updates:
                self._emit_clipped_update(build, learning)

    def _emit_settings(self, build: Builder, timetable: Timetable) -> None:
        """Emit the reading of the batch's settings from the timetable."""
        build.emit(
            updates.follow,
            batch=self.batch,
            columns=len(timetable.places),
            places=np.array(timetable.places, np.int64),
            table=timetable.values,
            settings=self.optimizer.settings,
        )

    def _emit_penalties(self, build: Builder, stages: list[Stage]) -> None:
        """Emit the penalty that weight decay adds to the loss, for the weights of linear layers."""
        linears = [each for each in stages if isinstance(each, linear.LinearStage)]
        weights = [each.weights for each in linears if each.layer._weight.decays]
        starts = np.cumsum([0, *(chunks.py_func(each.span) for each in weights)])
        self.penalties = np.zeros(starts[-1])
        for each, start in zip(weights, starts, strict=False):
            build.emit(
                updates.penalty,
                size=each.span,
                weights=each.pointer,
                settings=self.optimizer.settings,
                sums=self.penalties[start:],
                wait=False,
            )

    def _emit_backward(
        self, build: Builder, stages: list[Stage], gradient: Block, y: Block, learning: Learning
    ) -> None:
        """Emit the backward pass down to the first stage that learns."""
        learners = [
            i
            for i, stage in enumerate(stages)
            if stage.learns and any(map(learning.knows, stage.layer.parameters()))
        ]
        if not learners:
            return
        taught = stages[learners[0] :]
        for stage, above in pairwise(taught):
            above.below = stage
        gradient = build.through_activation(gradient, y)
        for stage in reversed(taught):
            gradient = stage.backward(build, gradient, learning)

    def _emit_idle(self, build: Builder, learning: Learning, every: list[Parameter]) -> None:
        """Emit updates by zero for parameters whose layers a callback has taken out of the model.

        They decay and keep their velocity, as in Python.
        """
        own = {id(each) for each in every}
        for parameter in self.optimizer.learning:
            if id(parameter) not in own:
                parameter.gradient_memory[:] = 0
                if learning.fused:
                    learning.emit_update(build, parameter)

    def _emit_clipped_update(self, build: Builder, learning: Learning) -> None:
        """Emit the clipping of the whole gradient by its norm, and then the update."""
        settings = self.optimizer.settings
        learning_ones = self.optimizer.learning
        if not learning_ones:
            return
        gradients = [each.gradient_memory for each in learning_ones]
        counts = [chunks.py_func(each.size) for each in gradients]
        sums = build.take(sum(counts), np.float64)
        for i, each in enumerate(gradients):
            place = sums + 8 * sum(counts[:i])
            build.emit(
                updates.gradient_squares, size=each.size, gradient=each, sums=place, wait=False
            )
        build.wait()
        build.emit(updates.clip_norm, chunks=sum(counts), sums=sums, settings=settings)
        for parameter in learning_ones:
            learning.emit_update(build, parameter)


class EvaluationProgram(Program):
    """The loss and the number of right rows of batches, without training."""

    def __init__(self, model, loss, source: Source, batch: int, dtype, threads: int = 1):
        self._made_of = model, loss, source
        super().__init__(batch, dtype, threads)
        del self._made_of  # the model may keep the program

    def _inputs(self):
        _, loss, source = self._made_of
        return inputs_of(source, as_loss(loss), self.dtype)

    def _lower(self, build):
        model, loss, _ = self._made_of
        _, y, truth = self._forward(build, model, loss)
        emit_loss(build, loss, y, truth, self.totals, False)
