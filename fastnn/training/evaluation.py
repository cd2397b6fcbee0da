"""`evaluate` and `predict`: a model applied to a whole data set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.compiler.cost import step_work, threads_for
from fastnn.compiler.limits import EVALUATION_BATCH
from fastnn.compiler.lowered import Lowered
from fastnn.compiler.program import (
    EvaluationProgram,
    UnsupportedError,
)
from fastnn.compiler.runner import Runner
from fastnn.compiler.samples import form_of, inputs_of
from fastnn.compiler.source import Source
from fastnn.nn.loss import Loss, as_loss
from fastnn.nn.sequential import Sequential, model_dtype
from fastnn.training.batches import check_repeatable, read_epoch
from fastnn.training.eager import EagerRunner
from fastnn.training.facts import facts_of
from fastnn.training.inputs import (
    check_kinds,
    classifies_by,
    read_samples,
    read_targets,
)
from fastnn.training.sample_weights import read_weights, total_weight
from kernels.base import arrays

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = ["Evaluation", "evaluate"]


class Evaluation(NamedTuple):
    """Loss and accuracy of a model on a data set, the result of `evaluate`.

    Parameters
    ----------
    loss : float
        Mean loss.
    accuracy : float or None
        Share of rows whose class is predicted correctly, 0 to 1; None for a regression.

    Examples
    --------
    >>> from fastnn import Evaluation
    >>> Evaluation(0.25, 0.9)
    Evaluation(loss=0.25, accuracy=0.9)
    """

    loss: float
    accuracy: float | None


def evaluate(
    model: Sequential,
    x: Any,
    y: Any = None,
    *,
    loss: Loss,
    batch_size: int = EVALUATION_BATCH,
    sample_weight: ArrayLike | None = None,
    threads: int | None = None,
) -> Evaluation:
    """Return mean loss and accuracy of a model on a data set, without dropout.

    Parameters
    ----------
    model : Sequential
        The model; it is not changed.
    x : array_like
        Samples, (samples, ...), as in `fit`.
    y : array_like, optional
        Targets of the samples, as in `fit`; None if `x` is an iterable of batches (x, y).
    loss : Loss
        The loss to compute.
    batch_size : int, default 256
        Rows computed at a time; the result does not depend on it, except for rounding.
    sample_weight : array_like, optional
        Weights of the samples in the mean of the loss, (samples,).
    threads : int, optional
        Threads to use; None chooses the number by the amount of work.

    Returns
    -------
    Evaluation
        `loss` and `accuracy`; accuracy is None if targets are not classes.

    Raises
    ------
    TypeError or ValueError
        For data that do not fit the model, as in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import CrossEntropyLoss, Linear, Sequential, evaluate
    >>> model = Sequential(Linear(2, 2, init="zeros"))
    >>> evaluate(model, np.eye(2), [0, 0], loss=CrossEntropyLoss()).accuracy
    1.0
    """
    check_kinds(model, loss)
    batch_size = arrays.count("batch_size", batch_size)
    facts = facts_of(model)
    dtype = facts.dtype
    if y is None:
        check_repeatable(x, 1)
        x, y, _ = read_epoch("x", x)
    samples = read_samples("x", x, dtype, facts.takes_rows)
    columns = facts.output_columns("x", model, samples)
    targets = read_targets("y", y, len(samples), columns, loss, dtype)
    classifies = classifies_by(loss, y, columns)
    weights = read_weights(loss, targets, sample_weight, classes=columns, dtype=dtype)
    source = Source(samples, targets, np.arange(len(samples)), weights)
    with Evaluator(model, source, loss, classifies, batch_size, threads) as evaluator:
        return evaluator.compute()


class Evaluator(Lowered):
    """Evaluator of a model on a data set, to be called repeatedly; a context manager.

    The program is made once, and again when the model's layers or settings change. The expected
    number of calls, `times`, decides whether threads pay.
    """

    def __init__(
        self,
        model: Sequential,
        source: Source,
        loss: Loss,
        classifies: bool,
        batch_size: int,
        threads: int | None,
        times: int = 1,
    ):
        self.model, self._source, self._loss = model, source, loss
        self._classifies, self._dtype = classifies, model_dtype(model)
        self._batch = min(batch_size, len(source.x))
        steps = times * -(-len(source.x) // self._batch)
        work = step_work(model, self._batch, training=False)
        self._threads = threads_for(work, threads, steps)
        self.begin()

    def _basis(self) -> list:
        return [type(self._loss), repr(self._loss)]

    def _form(self) -> list | None:
        return None if self._threads > 1 else [self._batch, form_of(self._inputs())]

    def _inputs(self) -> dict[str, np.ndarray]:
        return inputs_of(self._source, as_loss(self._loss), self._dtype)

    def _make(self) -> Runner | EagerRunner:
        arguments = self.model, self._loss, self._source, self._batch
        try:
            program = EvaluationProgram(*arguments, self._dtype, self._threads)
            return Runner(program, len(self._source.x))
        except UnsupportedError:
            return EagerRunner(self.model, self._loss, None, self._source, self._batch)

    def compute(self) -> Evaluation:
        """Return loss and accuracy of the model with its current weights."""
        self.refresh()
        runner = self.runner
        runner.totals[:] = 0
        for _ in runner.slices():
            pass
        return Evaluation(
            *means(runner.totals, self._source, self._loss, self._classifies, self._dtype)
        )


def means(totals, source: Source, loss, classifies, dtype) -> tuple[float, float | None]:
    """Return mean loss and accuracy from sums over a data set."""
    assert source.y is not None
    answers, y, weights, samples = as_loss(loss), source.y, source.weights, len(source.order)
    if samples < len(source.x):
        y = y[source.order]
        weights = None if weights is None else weights[source.order]
    elements = total_weight(answers.masses(y, weights, dtype), samples) * answers.terms(y)
    elements = elements or math.nan  # of rows that all have the weight 0
    total, right = map(float, totals)
    if not classifies:
        return total / elements, None
    ignored = None if weights is None else answers.ignored(y)
    return total / elements, right / (samples if ignored is None else np.count_nonzero(~ignored))
