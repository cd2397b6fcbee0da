"""`fit`: epochs of compiled steps, with validation, callbacks and checkpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.compiler.cost import step_work, threads_for
from fastnn.compiler.limits import EVALUATION_BATCH
from fastnn.compiler.source import Source
from fastnn.nn.loss import Loss, as_loss
from fastnn.nn.seeds import fresh_seed
from fastnn.nn.sequential import Sequential
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.schedule import Schedule
from fastnn.training.batches import are_batches, check_repeatable, read_epoch
from fastnn.training.callbacks.callback import Callback, listeners, notify
from fastnn.training.callbacks.progress import Progress
from fastnn.training.checkpoints import Checkpoints, TrainingState
from fastnn.training.evaluation import Evaluation, Evaluator, means
from fastnn.training.facts import facts_of
from fastnn.training.history import History
from fastnn.training.inputs import (
    all_finite,
    check_bound,
    check_kinds,
    classifies_by,
    read_samples,
    read_seed,
    read_targets,
)
from fastnn.training.sample_weights import read_weights
from fastnn.training.steps import Steps, check_rows
from fastnn.training.training import Training
from kernels.base import arrays

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = ["fit"]


def fit(
    model: Sequential,
    x: Any,
    y: Any = None,
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int = 32,
    validation_data: Any = None,
    shuffle: bool = True,
    drop_last: bool = False,
    seed: int | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping[Any, float] | ArrayLike | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    schedule: Schedule | None = None,
    callbacks: Iterable[Callback | Callable[[Training], object]] = (),
    progress: bool = False,
    threads: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
) -> History:
    """Train a model and return the history of its epochs.

    An epoch is one pass over the data in batches; the last batch may be smaller. One seed gives
    one result, to the bit, for any number of threads. Ctrl-C ends training within some hundredths
    of a second (KeyboardInterrupt); the model then holds the weights after a complete step.

    Parameters
    ----------
    model : Sequential
        The model to train, in place.
    x : array_like
        Samples, (samples, ...), of float32, float64, integers or bytes, finite, also read-only,
        strided or mapped from a file. Contiguous samples of the model's dtype and bytes are not
        copied. Bytes (uint8) stay bytes; a `Normalize` layer scales them. Each sample is
        flattened to a row, except for a custom first layer, which gets the shape of `x`. Lists,
        torch tensors, and frames and series of pandas and polars are arrays here, too.

        Without `y`, an iterable of batches (x, y), such as a `DataLoader`: all of an epoch are read
        and held in memory, then trained on in their order, and read again for the next epoch.
        That is slower than arrays by the time of reading.
    y : array_like, optional
        Targets: class indices (samples,), one-hot rows or probabilities (samples, classes), or for
        a regression numbers (samples,) or (samples, columns).
    loss : Loss
        The loss to minimise, such as `CrossEntropyLoss()`.
    optimizer : Optimizer
        Optimizer of the model's parameters, such as `SGD(model.parameters(), lr=0.1)`.
    epochs : int
        Number of epochs, those of a resumed run included.
    batch_size : int, default 32
        Rows of a batch; 32 is the default of Keras and of `fastnn train`, whose learning rates suit
        it. Batches of an iterable keep their size.
    validation_data : tuple or iterable, optional
        Samples and targets (x, y), or (x, y, weights), to evaluate after each epoch; or an iterable
        of batches (x, y) that is no sequence, such as a `DataLoader`.
    shuffle : bool, default True
        Whether each epoch draws a new order of the samples.
    drop_last : bool, default False
        Whether an epoch leaves out the rows at its end that do not fill a batch.
    seed : int, optional
        Seed of the order of samples and of dropout; None draws one, for which `manual_seed` cares.
    sample_weight : array_like, optional
        Weights of the samples in the mean loss of a batch, (samples,); accuracy counts rows.
    class_weight : dict, array_like or "balanced", optional
        Weights of the classes, which multiply those of the samples: a dict from class index to
        weight, one weight for each class, or "balanced": samples / (classes * class's samples).
    clip_norm, clip_value : float, optional
        Bounds of the gradient in this run, as `Optimizer.clip_norm` and `Optimizer.clip_value`;
        None keeps the optimizer's settings.
    schedule : Schedule, optional
        Schedule of the optimizer's learning rate; it moves on after each epoch and its
        validation, or with each batch.
    callbacks : iterable, default ()
        `Callback` objects, or functions of a `Training` to call after each epoch.
    progress : bool, default False
        Whether a progress bar is shown.
    threads : int, optional
        Threads to use; None chooses the number by the work of a step, up to `get_num_threads()`.
    checkpoint : path-like, optional
        Checkpoint file to write every `every` epochs and after the last; `load` reads its model.
    every : int, default 1
        Epochs from one checkpoint to the next.
    resume : bool, default False
        Whether to continue from the checkpoint, if the file exists. With the same arguments and
        data the result has the bits of an uninterrupted run; a larger `epochs` trains longer.

    Returns
    -------
    History
        Losses, accuracies and seconds of each epoch.

    Raises
    ------
    TypeError or ValueError
        For data or settings that do not fit the model; nothing has been changed then.
    OSError
        If the checkpoint cannot be written, or another run writes it now.
    ModelFileError
        If the checkpoint is damaged, or belongs to another training.
    NonFiniteLossError
        If a loss or a weight becomes infinite or NaN; the model holds its last finite weights.

    Examples
    --------
    >>> import fastnn
    >>> data = fastnn.datasets.disk(n_train=200, n_test=50)
    >>> model = fastnn.Sequential(fastnn.Linear(2, 8), fastnn.Tanh(), fastnn.Linear(8, 2))
    >>> optimizer = fastnn.Adam(model.parameters(), lr=0.05)
    >>> history = fastnn.fit(
    ...     model, data.x_train, data.y_train, loss=fastnn.CrossEntropyLoss(),
    ...     optimizer=optimizer, epochs=20, batch_size=32, seed=0,
    ... )
    >>> len(history), history.loss[-1] < history.loss[0]
    (20, True)
    """
    check_kinds(model, loss, optimizer)
    epochs, every = arrays.count("epochs", epochs), arrays.count("every", every)
    batch_size, seed = arrays.count("batch_size", batch_size), read_seed(seed)
    check_bound(clip_norm=clip_norm, clip_value=clip_value)
    all_callbacks = listeners([Progress(), *callbacks] if progress else callbacks)
    facts = facts_of(model)
    dtype = facts.dtype
    _check_learnable(model, optimizer)
    batches = None
    if y is None:
        check_repeatable(x, epochs)
        if sample_weight is not None:
            raise ValueError(
                "sample_weight is given, and x is an iterable of batches; expected None"
            )
        batches, shuffle = x, False
        x, y, batch_size = read_epoch("x", batches)
    samples = read_samples("x", x, dtype, facts.takes_rows)
    columns = facts.output_columns("x", model, samples)
    targets = read_targets("y", y, len(samples), columns, loss, dtype)
    classifies = classifies_by(loss, y, columns)
    weights = read_weights(loss, targets, sample_weight, class_weight, classes=columns, dtype=dtype)
    validator = None
    if validation_data is not None:
        validation = _validation(validation_data, samples, columns, loss, dtype)
        validator = Evaluator(
            model, validation, loss, classifies, EVALUATION_BATCH, threads, times=epochs
        )
    batch, rows = min(batch_size, len(samples)), len(samples)
    if drop_last:
        if batch_size > len(samples):
            raise ValueError(
                f"batches of {batch_size} of {len(samples)} samples leave none with "
                "drop_last=True; expected a smaller batch_size"
            )
        rows -= rows % batch
    check_rows(model, rows, batch)
    if schedule is not None:
        _check_schedule(schedule, optimizer)
    step_count = epochs * -(-rows // batch)
    count = threads_for(step_work(model, batch), threads, step_count)
    rng = np.random.default_rng(fresh_seed() if seed is None else seed)
    if batches is not None and weights is None and getattr(loss, "of_classes", False):
        weights = np.ones(len(samples), dtype)  # other epochs may have rows to ignore
    order = np.arange(len(samples))
    source = Source(samples, targets, order[:rows], weights)

    training = Training(model, loss, optimizer, History(), schedule)
    training.epochs, training.validating = epochs, validator is not None
    conditions = {
        "samples": len(samples),
        "batch_size": batch,
        "shuffle": shuffle,
        "seed": seed,
        "loss": type(loss).__name__,
    }
    if drop_last:  # which earlier versions did not have
        conditions["drop_last"] = True
    state = TrainingState(training, order, rng, [schedule, *all_callbacks], conditions)
    with (
        _clipping(optimizer, clip_norm, clip_value),
        Checkpoints(state, checkpoint, every, resume) as checkpoints,
    ):
        if schedule is not None:
            left = epochs - training.epoch
            schedule.begin(left, -(-rows // batch), validator is not None)
        if seed is not None and training.epoch == 0:
            for stream, layer in enumerate(facts.dropouts):
                layer.reseed(seed, stream)
        model.train()
        model.link = as_loss(loss).link
        steps = Steps(training, source, batch, count, dtype, all_callbacks)
        training.batches = steps.runner.batches

        def tell(batches: int) -> None:
            training.batch = batches
            notify(all_callbacks, "on_batches_end", training)

        with steps, validator or nullcontext():
            try:
                notify(all_callbacks, "on_train_begin", training)
                while training.epoch < epochs and not training.stop:
                    training.epoch += 1
                    notify(all_callbacks, "on_epoch_begin", training)
                    started = time.perf_counter()
                    if shuffle:
                        rng.shuffle(order)
                    if batches is not None and training.history:
                        _read_again(source, batches, loss, class_weight, columns, dtype)
                        steps.reread()
                    totals = steps.run_epoch(tell)
                    seconds = time.perf_counter() - started
                    optimizer.tell_skipped(stacklevel=3)
                    mean, accuracy = means(totals, source, loss, classifies, dtype)
                    val = Evaluation(None, None)  # type: ignore[arg-type]
                    if validator is not None:
                        val = validator.compute()
                    training.history.add(
                        loss=mean,
                        accuracy=accuracy,
                        val_loss=val.loss,
                        val_accuracy=val.accuracy,
                        seconds=seconds,
                    )
                    if schedule is not None:
                        schedule.epoch_done(training.history)
                    notify(all_callbacks, "on_epoch_end", training)
                    checkpoints.save_if_due()
            finally:
                steps.settle()
                notify(all_callbacks, "on_train_end", training)
    return training.history


def _read_again(source: Source, batches: Iterable, loss, class_weight, columns, dtype) -> None:
    """Write another epoch of batches into a source; raise ValueError for one of other shapes."""
    x, y, _ = read_epoch("x", batches)
    samples = read_samples("x", x, dtype, source.x.ndim == 2)
    if (samples.shape, samples.dtype) != (source.x.shape, source.x.dtype):
        raise ValueError(
            f"an epoch of x has shape {samples.shape} and dtype {samples.dtype}; expected those of "
            f"the first one, {source.x.shape} and {source.x.dtype}"
        )
    targets = read_targets("y", y, len(samples), columns, loss, dtype)
    weights = read_weights(loss, targets, None, class_weight, classes=columns, dtype=dtype)
    assert source.y is not None
    source.x[:], source.y[:] = samples, targets
    if source.weights is not None:
        source.weights[:] = 1 if weights is None else weights


@contextmanager
def _clipping(optimizer: Optimizer, norm: float | None, value: float | None) -> Iterator[None]:
    """Set the optimizer's clipping bounds that are given, and restore them afterwards."""
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
    """Return the validation data as a source; raise as `fit` does for data that do not fit."""
    if are_batches(data):
        data = read_epoch("validation x", data)[:2]
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
    """Raise TypeError unless this is a schedule, ValueError if it has another optimizer."""
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule is {schedule!r}; expected one of fastnn.schedules")
    if schedule.optimizer is not optimizer:
        raise ValueError("the schedule was made for another optimizer than fit is given")


def _check_learnable(model: Sequential, optimizer: Optimizer) -> None:
    """Raise ValueError unless the optimizer's parameters are the model's, and finite."""
    own = {id(parameter) for parameter in model.parameters()}
    if not all(id(parameter) in own for parameter in optimizer.parameters):
        raise ValueError("the optimizer has parameters that are not the model's")
    for name, parameter in model.named_parameters():
        if not all_finite(parameter.memory):
            raise ValueError(f"parameter {name} holds numbers that are not finite")
