"""fit: epochs of compiled steps, and what callbacks see of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from fastnn.compiler.cost import step_work, threads_for
from fastnn.compiler.source import Source
from fastnn.nn.layer import as_layer
from fastnn.nn.losses import Loss
from fastnn.nn.parameters import blocks_of
from fastnn.nn.sequential import Sequential, flat_layers, model_dtype
from fastnn.optim.optimizers import Optimizer
from fastnn.optim.schedules import Schedule
from fastnn.training.callbacks.callback import Callback, listeners, notify
from fastnn.training.callbacks.progress import Progress
from fastnn.training.checkpoints import Checkpoints, TrainingState
from fastnn.training.evaluation import EVALUATION_BATCH, Evaluation, Evaluator, means
from fastnn.training.history import History
from fastnn.training.inputs import (
    check_bound,
    check_kinds,
    check_positive,
    check_seed,
    classifies_by,
    output_columns,
    read_samples,
    read_targets,
    takes_rows,
)
from fastnn.training.sample_weights import read_weights
from fastnn.training.steps import Steps, dropouts
from fastnn.training.training import Training

__all__ = ["fit"]


def fit(model: Sequential, x, y, *, loss: Loss, optimizer: Optimizer, epochs: int,
        batch_size: int, validation_data=None, shuffle: bool = True, seed: int | None = None,
        sample_weight=None, class_weight=None, clip_norm: float | None = None,
        clip_value: float | None = None, schedule: Schedule | None = None,
        callbacks: Iterable[Callback | Callable[[Training], object]] = (), progress: bool = False,
        threads: int | None = None, checkpoint: str | os.PathLike[str] | None = None,
        every: int = 1, resume: bool = False) -> History:  # fmt: skip
    """Train a model, each epoch one pass over the data in batches, and give its history.

    `x` is (samples, ...) of float32, float64, integers or bytes (uint8 is kept as it is:
    let a `Normalize` layer scale it), of any contiguity, read-only or mapped from a file;
    contiguous samples of the model's dtype or of bytes are not copied. Layers get them as rows;
    a first layer of your own, in the shape they have. `y` is class
    indices (samples,), one-hot or probabilities (samples, classes), or for `MSELoss`
    numbers (samples,) or (samples, columns). `validation_data` is a pair like (x, y), or
    (x, y, weights).

    `sample_weight` (samples,) and `class_weight` (a dict from class index to number, one
    number a class, or "balanced": samples / (classes times samples of the class)) weigh the
    mean of the losses of each batch; accuracy counts rows. `clip_norm` and `clip_value` bound
    the gradient as the optimizer's settings of these names do, for this run; None leaves
    those as they are.

    `schedule`, one of `fastnn.schedules` made for the optimizer, decides the learning rate;
    it moves on after each epoch and its validation, or with each batch.

    `shuffle` draws a new order for each epoch. One `seed` gives one result, to the bit,
    for any number of `threads`: it decides the order and what dropout drops; None draws
    one. `threads` None takes as many as the work in a step pays for, up to
    `get_num_threads()`. The last batch may be smaller. `callbacks` are `Callback` objects or
    functions of a `Training`.

    `checkpoint` names a file that is written after `every` so many epochs, and after the
    last. `resume` goes on from there, with the same call and the same data, to the bits of a
    run that was never stopped, and begins where there is no file yet; more `epochs` than before
    train on. What the model and the optimizer are before does not matter then. A checkpoint
    is a model file, too, for `load`.

    Raises TypeError or ValueError, before anything is changed, for data that do not fit
    the model, OSError for a checkpoint that cannot be written, ModelFileError for one that is
    damaged or of another training, and `NonFiniteLossError` when the loss of a batch is not
    finite. After that, or Ctrl-C (KeyboardInterrupt, within some hundredths of a second), the
    model holds whole steps only.
    """
    check_kinds(model, loss, optimizer)
    check_positive(epochs=epochs, batch_size=batch_size, every=every)
    check_seed(seed)
    check_bound(clip_norm=clip_norm, clip_value=clip_value)
    told = listeners([Progress(), *callbacks] if progress else callbacks)
    dtype = model_dtype(model)
    _check_learnable(model, optimizer)
    samples = read_samples("x", x, dtype, takes_rows(model))
    columns = output_columns("x", model, samples)
    targets = read_targets("y", y, len(samples), columns, loss, dtype)
    classifies = classifies_by(loss, y, columns)
    weights = read_weights(loss, targets, sample_weight, class_weight, classes=columns, dtype=dtype)
    validator = None
    if validation_data is not None:
        validation = _validation(validation_data, samples, columns, loss, dtype)
        validator = Evaluator(
            model, validation, loss, classifies, EVALUATION_BATCH, threads, times=epochs
        )
    batch = min(batch_size, len(samples))
    _check_batches(model, len(samples), batch)
    if schedule is not None:
        _check_schedule(schedule, optimizer)
    step_count = epochs * -(-len(samples) // batch)
    count = threads_for(step_work(model, batch), threads, step_count)
    rng = np.random.default_rng(seed)
    source = Source(samples, targets, np.arange(len(samples)), weights)

    training = Training(model, loss, optimizer, History(), schedule)
    training.epochs, training.validating = epochs, validator is not None
    conditions = {
        "samples": len(samples), "batch_size": batch, "shuffle": shuffle, "seed": seed,
        "loss": type(loss).__name__,
    }  # fmt: skip
    state = TrainingState(training, source.order, rng, [schedule, *told], conditions)
    with _clipping(optimizer, clip_norm, clip_value):
        checkpoints = Checkpoints(state, checkpoint, every, resume)
        if schedule is not None:
            left = epochs - training.epoch
            schedule.begin(left, -(-len(samples) // batch), validator is not None)
        if seed is not None and training.epoch == 0:
            for stream, layer in enumerate(dropouts(model)):
                layer.reseed(seed, stream)
        model.train()
        steps = Steps(training, source, batch, count, told)
        training.batches = steps.runner.batches

        def tell(batches: int) -> None:
            training.batch = batches
            notify(told, "on_batches_end", training)

        with steps, validator or nullcontext():
            try:
                notify(told, "on_train_begin", training)
                while training.epoch < epochs and not training.stop:
                    training.epoch += 1
                    notify(told, "on_epoch_begin", training)
                    started = time.perf_counter()
                    if shuffle:
                        rng.shuffle(source.order)
                    totals = steps.run_epoch(tell)
                    seconds = time.perf_counter() - started
                    mean, accuracy = means(totals, source, loss, classifies, dtype)
                    val = Evaluation(None, None)  # type: ignore[arg-type]
                    if validator is not None:
                        val = validator.compute()
                    training.history.add(
                        loss=mean, accuracy=accuracy, val_loss=val.loss,
                        val_accuracy=val.accuracy, seconds=seconds,
                    )  # fmt: skip
                    if schedule is not None:
                        schedule.epoch_done(training.history)
                    notify(told, "on_epoch_end", training)
                    checkpoints.save_if_due()
            finally:
                steps.settle()
                notify(told, "on_train_end", training)
    return training.history


@contextmanager
def _clipping(optimizer: Optimizer, norm: float | None, value: float | None) -> Iterator[None]:
    """Have an optimizer clip by the bounds that are given, then again as it did before."""
    before = optimizer.clip_norm, optimizer.clip_value
    if norm is not None:
        optimizer.clip_norm = norm
    if value is not None:
        optimizer.clip_value = value
    try:
        yield
    finally:
        if norm is not None:
            optimizer.clip_norm = before[0]
        if value is not None:
            optimizer.clip_value = before[1]


def _validation(data, samples, columns, loss, dtype) -> Source:
    """Validation data as `fit` works on it; raises as `fit` does for data that do not fit."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise TypeError("validation_data is not a pair (x, y), or (x, y, weights)")
    x = read_samples("validation x", data[0], dtype, samples.ndim == 2)
    if x.shape[1:] != samples.shape[1:]:
        raise ValueError(f"validation x has samples of {_size(x)}; x has some of {_size(samples)}")
    y = read_targets("validation y", data[1], len(x), columns, loss, dtype)
    weights = read_weights(loss, y, *data[2:], classes=columns, dtype=dtype)
    return Source(x, y, np.arange(len(x)), weights)


def _size(samples: np.ndarray) -> str:
    columns = samples.shape[1:]
    return f"{columns[0]} columns" if len(columns) == 1 else f"shape {columns}"


def _check_schedule(schedule: Schedule, optimizer: Optimizer) -> None:
    """Raise TypeError for what is no schedule, ValueError for that of another optimizer."""
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule is {schedule!r}; expected one of fastnn.schedules")
    if schedule.optimizer is not optimizer:
        raise ValueError("the schedule was made for another optimizer than fit is given")


def _check_batches(model: Sequential, samples: int, batch: int) -> None:
    """Raise ValueError where a layer would be trained with a batch of one row, if it needs more."""
    if samples % batch == 1 or batch == 1:
        for layer in flat_layers(model):
            if as_layer(layer).least_rows > 1:
                raise ValueError(
                    f"batches of {batch} of {samples} samples leave one of a single row, of which "
                    f"{type(layer).__name__} can learn nothing; take another batch_size"
                )


def _check_learnable(model: Sequential, optimizer: Optimizer) -> None:
    """Raise ValueError unless the optimizer's parameters are the model's, and finite."""
    own = {id(parameter) for parameter in model.parameters()}
    if not all(id(parameter) in own for parameter in optimizer.parameters):
        raise ValueError("the optimizer has parameters that are not the model's")
    if not all(np.isfinite(block).all() for block in blocks_of(model.parameters())):
        for name, parameter in model.named_parameters():
            if not np.isfinite(parameter.data).all():
                raise ValueError(f"parameter {name} holds numbers that are not finite")
