"""Plans of the forward pass: a model lowered once, and applied to any rows until it changes.

Plans are kept with their model. A call takes one that nobody else uses now, so that calls from
several threads never wait for each other, and gives it back.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.layout import Layout
from fastnn.compiler.limits import EVALUATION_BATCH, MOST_THREADS
from fastnn.compiler.lowering.stage import UnsupportedError
from fastnn.compiler.program import Program, chain_of
from fastnn.compiler.samples import emit_rows
from fastnn.nn.activations import Sigmoid
from fastnn.nn.layer import Layer, as_layer
from fastnn.nn.sequential import Sequential, flat_layers, model_dtype
from fastnn.nn.softmax import Softmax
from kernels.base.memory import address, aligned_zeros
from kernels.instructions import samples
from kernels.machine import forward
from kernels.machine.state import ROOM, THREADS
from kernels.machine.team import ALONE, get_num_threads, shared
from kernels.product.choice import LARGE_PASS

BATCHES = 1, 16, EVALUATION_BATCH
"""Most rows of a block: of one row, of few, and of many."""
_SLICE = 250 * LARGE_PASS  # multiply-adds of a call, some 10 ms, between two looks for Ctrl-C
_ELEMENT = 8  # multiply-adds that take as long as an element of a layer's output
_forward: Any = forward.forward["float32"]  # of any dtypes, since it is given addresses
_MOST_KEPT = 16  # plans of one kind that a model keeps, one for each thread that predicts at once


class Ending:
    """The last instructions of a plan: a layer's, and of class indices, or of outputs as they are.

    `layer` is applied to the model's output. Unless `above` is None the results are class indices;
    `above` is the bound of an output of one column above which that is 1.
    """

    def __init__(self, layer: type[Layer] | None = None, above: float | None = None):
        self.layer, self.above = layer, above


OUTPUTS, SOFTMAX, SIGMOID = Ending(), Ending(Softmax), Ending(Sigmoid)
CLASSES, CLASSES_OF_PROBABILITIES = Ending(above=0.0), Ending(above=0.5)


class ForwardProgram(Program):
    """The forward pass of one thread, from rows at the address of `x` to results at that of `y`.

    Both arrays only mark the places in the table where the pass writes other addresses.
    """

    def __init__(self, model: Sequential, x: np.ndarray, batch: int, ending: Ending):
        self._model, self.x, self._ending = model, x, ending
        self.y = np.zeros(1, np.int64)
        self.columns = 0
        super().__init__(batch, model_dtype(model), threads=1)
        del self._model  # which keeps this program
        self.x_places, self.y_places = (self._places_of(each) for each in (x, self.y))

    def _lower(self, build):
        model, ending = self._model, self._ending
        if ending.layer is not None:
            model = Sequential(model, ending.layer())
        tables, stages, self.columns = chain_of(model, self.x.shape[1])
        x = emit_rows(build, self.x, tables)
        for stage in stages:
            if stage.couples_rows:
                raise UnsupportedError(f"{stage.layer!r} computes with whole batches")
            stage.arrange(build, None)
            x = stage.forward(build, x, False)
        self._emit_results(build, x)

    def _emit_results(self, build: Builder, x: Block) -> None:
        """Emit the writing of results from the last batch."""
        above = self._ending.above
        if above is None:
            build.emit(samples.collect, columns=x.columns, x=x, results=self.y)
        else:
            build.emit(samples.classify, columns=x.columns, above=above, x=x, labels=self.y)


def words_of(
    tables: Sequence[tuple[np.ndarray, np.ndarray]],
    batch: int,
    x: tuple[list[int], int],
    y: tuple[list[int], int],
) -> np.ndarray:
    """Return a plan in int64, as the compiled pass reads it.

    `tables` are equal ones, each with the state of a thread. `x` and `y` are the places of the
    addresses of inputs and outputs in a table, which a pass changes, and the bytes of a row.
    """
    (table, _), (inputs, _), (outputs, _) = tables[0], x, y
    fields = {
        forward.BATCH: batch,
        forward.LENGTH: len(table),
        forward.WIDTH: table.shape[1],
        forward.X_STEP: x[1],
        forward.Y_STEP: y[1],
        forward.X_PLACES: len(inputs),
        forward.Y_PLACES: len(outputs),
        forward.COPIES: len(tables),
    }
    words = [*(fields[i] for i in range(forward.FIELDS)), *inputs, *outputs]
    words += [address(each) for pair in tables for each in pair]
    return np.array(words, np.int64)


class _Scratch(threading.local):
    """Scratch memory of one thread of Python, of which only what is used takes memory."""

    def __init__(self):
        self._memory = aligned_zeros(forward.SCRATCH, np.float32)
        self.address = address(self._memory)


scratch = _Scratch()


class Plan:
    """The forward pass of a model for rows of one dtype and number of columns.

    `rows` is a number of rows to expect; raises UnsupportedError for layers that cannot be compiled
    and ValueError for ones that do not fit.
    """

    def __init__(self, model: Sequential, dtype: np.dtype, columns: int, rows: int, ending: Ending):
        self.layout, self._ending = Layout(model), ending
        self._batch = next((each for each in BATCHES if rows <= each), BATCHES[-1])
        self._most = self._batch if self._batch < BATCHES[-1] else math.inf
        self._x = np.zeros((1, columns), dtype)
        self.dtype, self.columns = self._x.dtype, columns
        self.key = ending, self.dtype.char
        self._copies = [self._copy(model)]
        if not self.layout.holds(model):  # another thread has changed the model meanwhile
            self._most = 0
        program = self._copies[0][0]
        self.results = program.dtype if ending.above is None else np.dtype(np.int64)
        """Dtype of the results."""
        self.shape = (program.columns,) if ending.above is None else ()
        """Shape of the results of a row."""
        layers = [as_layer(each) for each in flat_layers(model)]
        work = sum(each.multiply_adds for each in layers)
        self._work = 1 + work + _ELEMENT * len(layers) * max(columns, program.columns)
        self._few = LARGE_PASS // self._work  # rows that one thread computes as fast as several
        self._slice = max(self._batch, _SLICE // self._work)
        real = self.dtype == self.results
        self._alone = forward.forward_alone[self.dtype] if real else None
        self._write()

    def _copy(self, model: Sequential) -> tuple[ForwardProgram, np.ndarray]:
        """Return the program of one more thread, and its state."""
        state = aligned_zeros(ROOM, np.int64)
        state[THREADS] = 1
        return ForwardProgram(model, self._x, self._batch, self._ending), state

    def _add_copies(self, model: Sequential, most: int) -> None:
        """Add the programs of more threads, unless another thread changes the model meanwhile."""
        while len(self._copies) < most:
            copy = self._copy(model)
            if not self.layout.holds(model):
                return
            self._copies.append(copy)
            self._write()

    def _write(self) -> None:
        """Write the plan in int64, as the compiled pass reads it."""
        size = self.results.itemsize * math.prod(self.shape)
        tables = [(each.table, state) for each, state in self._copies]
        program = self._copies[0][0]
        plan = words_of(
            tables, self._batch, (program.x_places, self._x.nbytes), (program.y_places, size)
        )
        # Ctrl-C cannot come between the two, so the address is never that of freed memory.
        self._address, self._words = address(plan), plan

    def fits(self, model: Sequential, rows: int) -> bool:
        """Return True if the model has not changed, and as many rows are what the plan is for."""
        return 0 < rows <= self._most and self.layout.holds(model)

    def evaluates(self) -> bool:
        """Return True if no layer is in training mode."""
        return self.layout.evaluates()

    def reads(self, array: np.ndarray, rows: int) -> bool:
        """Return True if rows are computed from an array, and some after others are written."""
        several = rows > min(self._batch, self._few)
        return several and self._copies[0][0].keeps(array)

    def empty(self, rows: int) -> np.ndarray:
        """Return memory for the results of as many rows."""
        return np.empty((rows, *self.shape), self.results)

    def run(
        self,
        model: Sequential,
        x: np.ndarray,
        y: np.ndarray,
        threads: int | None = None,
        flushes: bool = True,
    ) -> bool:
        """Compute the results `y` of rows `x`, both contiguous; return whether x is finite.

        Subnormal numbers are flushed to 0 meanwhile, unless `flushes` is False.
        """
        rows = len(x)
        if rows <= self._few and self._alone is not None:
            return self._alone(self._address, x, y, scratch.address, flushes) != 0
        most = 1 if rows <= self._few else min(threads or MOST_THREADS, get_num_threads())
        self._add_copies(model, most)
        place, results = address(x), address(y)
        step, step_of_results = x.strides[0], y.strides[0]
        for begin in range(0, rows, self._slice):
            here = min(self._slice, rows - begin)
            places = place + begin * step, results + begin * step_of_results
            arguments = self._address, *places, here, most, scratch.address, flushes
            if most == 1:
                done = _forward(*arguments, ALONE)
            else:
                done = shared(_forward, arguments, here * self._work / LARGE_PASS)
            if not done:
                return False
        return True


def kept(model: Sequential, x: np.ndarray, ending: Ending) -> Plan | None:
    """Return a plan that a model keeps and nobody else uses now, or None if none fits the rows."""
    plans = model._plans
    if plans is None or x.ndim != 2 or not x.flags.c_contiguous:
        return None
    dtype, (rows, columns) = x.dtype, x.shape
    try:
        plan = plans[ending, dtype.char].pop()
    except (KeyError, IndexError):
        return None
    if plan.columns == columns and plan.dtype == dtype and plan.fits(model, rows):
        return plan
    return None


def keep(model: Sequential, plan: Plan) -> None:
    """Keep a plan with its model for the next call."""
    plans = model._plans
    if plans is None:
        plans = model._plans = {}
    pool = plans.setdefault(plan.key, [])
    if len(pool) < _MOST_KEPT:
        pool.append(plan)


def output_of(model: Sequential, x: np.ndarray) -> np.ndarray | None:
    """Return the output of a model in evaluation mode, or None if its layers have to compute it.

    They have to for rows that are no contiguous array of the model's dtype or not finite, where a
    layer is in training mode, and in a model that no plan can express.
    """
    if type(x) is not np.ndarray or x.ndim != 2 or not x.flags.c_contiguous:
        return None
    plan = kept(model, x, OUTPUTS) or _new_plan(model, x)
    if plan is None:
        return None
    y = plan.empty(len(x))
    done = plan.evaluates() and plan.run(model, x, y, flushes=False)
    keep(model, plan)
    return y if done else None


def _new_plan(model: Sequential, x: np.ndarray) -> Plan | None:
    """Return a plan for rows, or None if there can be none."""
    plans = model._plans or {}
    hopeless = plans.get(None)
    if x.size == 0 or (hopeless is not None and hopeless.holds(model)):
        return None
    try:
        if x.dtype == model_dtype(model):
            return Plan(model, x.dtype, x.shape[1], len(x), OUTPUTS)
    except (TypeError, ValueError, AttributeError):
        pass  # the layers themselves raise the error
    except UnsupportedError:
        model._plans = {**plans, None: Layout(model)}
    return None
