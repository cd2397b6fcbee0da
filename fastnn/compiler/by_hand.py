"""Steps by hand: the forward and the backward pass of a chain in training mode, a call each.

Afterwards the layers keep what each of them keeps when it computes by itself, as views of the
program's memory, so that their own `backward` works as well.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.forward import scratch, words_of
from fastnn.compiler.layout import Layout
from fastnn.compiler.lowering.linear import LinearStage
from fastnn.compiler.lowering.stage import Learning, Stage, UnsupportedError
from fastnn.compiler.program import Program, chain_of, places_of
from fastnn.compiler.samples import emit_copy
from fastnn.nn.layer import Layer
from fastnn.nn.sequential import Sequential, model_dtype
from kernels.base.kinds import Update
from kernels.base.memory import address, aligned_zeros
from kernels.functions import updates
from kernels.functions.activations import IDENTITY
from kernels.instructions import samples
from kernels.machine import forward
from kernels.machine.interpreter import table_of
from kernels.machine.state import ROOM, THREADS
from kernels.product.choice import LARGE_PASS

_ADDING = np.zeros(updates.SETTINGS)
_ADDING[[updates.LEARNING_RATE, updates.GRADIENT_SCALE, updates.CLIP_VALUE]] = -1.0, 1.0, np.inf
"""Settings by which SGD adds a gradient."""


class _Adding(Learning):
    """Learning that only adds to `Parameter.grad`."""

    def __init__(self):
        self.fused = False

    def knows(self, parameter):
        """Return True if a parameter has a gradient."""
        return parameter.requires_grad

    def update_of(self, build, parameter, fused=True):
        """Return the update that adds a gradient to that of a parameter."""
        return Update(updates.SGD.routine.address(build.real), 0, 0, build.keep(_ADDING))


class _StepProgram(Program):
    """The passes of a chain for at most `rows` rows; its tables are `passing` and `table`.

    The arrays mark the places in the tables where the passes read and write other arrays: rows
    `x` and outputs `y`, and the gradients of both.
    """

    def __init__(self, model: Sequential, dtype: np.dtype, columns: int, rows: int):
        self._model = model
        self.x = np.zeros((1, columns), dtype)
        self.y, self.x_gradient = np.zeros(1, dtype), np.zeros(1, dtype)
        super().__init__(rows, model_dtype(model), threads=1)
        del self._model  # which keeps this program

    def _lower(self, build):
        model = self._model
        tables, stages, self.columns = chain_of(model, self.x.shape[1])
        if not stages or tables is not None or not all(_keeps(each) for each in model.layers):
            raise UnsupportedError("a layer keeps more than its input or its output")
        every = [id(each) for each in model.parameters()]
        if len(set(every)) < len(every):
            raise UnsupportedError(
                "two layers share a parameter, whose gradient is summed in order"
            )
        self.y_gradient = np.zeros((1, self.columns), self.dtype)
        x, layers = emit_copy(build, self.x), iter(model.layers)
        build.emit(samples.check_finite, columns=x.columns, x=x)
        self.kept: list[tuple[Layer, np.ndarray]] = []
        for stage in stages:
            stage.arrange(build, None)
            before, x = x, stage.forward(build, x, True)
            self._note(build, next(layers), before, x)
            if isinstance(stage, LinearStage) and stage.activation != IDENTITY:
                self._note(build, next(layers), x, x)
        build.emit(samples.collect, columns=x.columns, x=x, results=self.y)
        passing, build.rows = build.rows, []
        self.passing = table_of(passing)
        gradient = build.through_activation(emit_copy(build, self.y_gradient), x)
        below: Stage = Stage(None)  # which takes the gradient of the input
        for stage in stages:
            stage.below, below = below, stage
        for stage in reversed(stages):
            gradient = stage.backward(build, gradient, _Adding())
        build.emit(samples.collect, columns=gradient.columns, x=gradient, results=self.x_gradient)

    def _note(self, build: Builder, layer: Layer, x: Block, y: Block) -> None:
        """Note which batch a layer keeps."""
        kept = x if layer.keeps == "_input" else y
        self.kept.append((layer, build.view(kept)))


def _keeps(layer: Any) -> bool:
    """Return True for a layer whose backward pass needs nothing but its input or its output."""
    return isinstance(layer, Layer) and layer.keeps is not None


class HandPlan:
    """The passes of a model for at most `rows` rows of one dtype and number of columns.

    Raises UnsupportedError for layers that keep more than a batch for their backward pass.
    """

    def __init__(self, model: Sequential, dtype: np.dtype, columns: int, rows: int):
        self.layout, self._rows = Layout(model, training=True), rows
        program = self._program = _StepProgram(model, dtype, columns, rows)
        self.dtype, self.columns, self._results = program.dtype, columns, program.columns
        if program.scratch * self.dtype.itemsize > 4 * forward.SCRATCH:
            raise UnsupportedError("the passes need more scratch memory than there is")
        self._state = aligned_zeros(ROOM, np.int64)
        self._state[THREADS] = 1
        row, result = (self.dtype.itemsize * each for each in (columns, self._results))
        self._words = [
            words_of(
                [(table, self._state)],
                rows,
                (places_of(table, x), x_step),
                (places_of(table, y), y_step),
            )
            for table, x, x_step, y, y_step in (
                (program.passing, program.x, row, program.y, result),
                (program.table, program.y_gradient, result, program.x_gradient, row),
            )
        ]
        self._forward, self._backward = map(address, self._words)
        self._run = forward.forward_alone[self.dtype]
        self._kept = [(vars(layer), str(layer.keeps), view) for layer, view in program.kept]
        self._views: list[tuple[dict, str, np.ndarray]] = []
        self._lock = threading.Lock()  # of the thread that uses the tables

    def fits(self, model: Sequential, x: np.ndarray) -> bool:
        """Return True if the model has not changed, and the plan is for rows like `x`."""
        rows, columns = x.shape
        fitting = 0 < rows <= self._rows and columns == self.columns and x.dtype == self.dtype
        return fitting and self.layout.holds(model)

    def forward(self, x: np.ndarray) -> np.ndarray | None:
        """Return the outputs of rows; layers keep their batches.

        Returns None if a number is not finite, or while another thread uses the plan.
        """
        rows = len(x)
        y = np.empty((rows, self._results), self.dtype)
        if not self._pass(self._forward, x, y):
            return None
        self._views = [
            (kept, name, view if rows == self._rows else view[:rows])
            for kept, name, view in self._kept
        ]
        for kept, name, view in self._views:
            kept[name] = view
        return y

    def backward(self, model: Sequential, gradient: np.ndarray) -> np.ndarray | None:
        """Add to all gradients, and return that of the input.

        Returns None for what the layers have to do by themselves: if one of them has computed
        something else meanwhile, or the model or the gradient do not fit.
        """
        if not self._views or not self.layout.holds(model):
            return None
        for kept, name, view in self._views:
            if kept.get(name) is not view:
                return None
        if type(gradient) is not np.ndarray or gradient.dtype != self.dtype:
            return None
        rows = len(self._views[0][2])
        if gradient.shape != (rows, self._results) or not gradient.flags.c_contiguous:
            return None
        below = np.empty((rows, self.columns), self.dtype)
        return below if self._pass(self._backward, gradient, below) else None

    def _pass(self, words: int, x: np.ndarray, y: np.ndarray) -> bool:
        """Compute one of the passes; return False if it halts, or another thread uses the plan."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._run(words, x, y, scratch.address, False) != 0
        finally:
            self._lock.release()


def output_of(model: Sequential, x: np.ndarray) -> np.ndarray | None:
    """Return the output of a model in training mode, or None if its layers have to compute it.

    They have to for rows that are no contiguous array of the model's dtype, not finite, or so many
    that threads pay, and in a model with layers that keep more than a batch.
    """
    if type(x) is not np.ndarray or x.ndim != 2 or not x.flags.c_contiguous:
        return None
    plans = model._plans
    plan = None if plans is None else plans.get(HandPlan)
    if plan is None or not plan.fits(model, x):
        plan = _new_plan(model, x)
        if plan is None:
            return None
    model._step = plan
    return plan.forward(x)


def gradient_of(model: Sequential, gradient: np.ndarray) -> np.ndarray | None:
    """Return the gradient of the last input, or None if the layers have to compute it."""
    return model._step.backward(model, gradient)


def _new_plan(model: Sequential, x: np.ndarray) -> HandPlan | None:
    """Return a plan for rows, which the model keeps, or None if there can be none."""
    if model._plans is None:
        model._plans = {}
    plans = model._plans
    hopeless = plans.get(_StepProgram)
    if x.size == 0 or (hopeless is not None and hopeless.holds(model)):
        return None
    try:
        work = sum(each.multiply_adds for each in model.layers if isinstance(each, Layer))
        if x.dtype == model_dtype(model) and len(x) * work <= LARGE_PASS:
            plan = plans[HandPlan] = HandPlan(model, x.dtype, x.shape[1], len(x))
            return plan
    except (TypeError, ValueError, AttributeError):
        pass  # the layers themselves raise the error
    except UnsupportedError:
        plans[_StepProgram] = Layout(model, training=True)
    return None
