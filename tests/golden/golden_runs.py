"""Models and trainings whose files are kept, and what comes of a file.

A file of an earlier version is resumed by the training of the same name here: add trainings, and
leave those that are here as they are.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

import fastnn
from fastnn import Linear, Sequential, callbacks, schedules
from fastnn.data.tables.sources import open_source

HERE = Path(__file__).parent
TABLES = {
    name: HERE / file
    for name, file in (
        ("table-kind", "table.csv"), ("table-price", "table.csv"), ("table-kinds", "kinds.csv"),
    )
}  # fmt: skip
"""Files of tables by the models that are made of them; `kinds.csv` has columns of every kind."""

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
ROWS = 60
"""Training rows; those behind them are for validation."""


@cache
def data() -> dict[str, np.ndarray]:
    """Return inputs by name, and targets `y`; kept in a file because generators may change."""
    with np.load(HERE / "data.npz") as file:
        return dict(file)


# ------------------------------------------------------------------------------- models


def layers_of_every_kind(d: np.dtype) -> list:
    """Return a chain with every layer, and every way to make one."""

    def linear(inputs, outputs, bias=True):
        return Linear(inputs, outputs, bias, d, seed=10 * inputs + outputs)

    return [
        fastnn.Normalize(0.1, 1.3, d), fastnn.Flatten(), linear(12, 11), fastnn.ReLU(),
        Sequential(
            linear(11, 10, False), fastnn.BatchNorm1d(10, dtype=d), fastnn.LeakyReLU(0.03),
            Sequential(
                linear(10, 9), fastnn.LayerNorm(9, dtype=d), fastnn.GELU(), fastnn.Dropout(0.1)
            ),
            Sequential(), fastnn.Identity(),
        ),
        linear(9, 8), fastnn.LayerNorm(8, bias=False, eps=1e-4, dtype=d), fastnn.GELU("tanh"),
        linear(8, 8), fastnn.LayerNorm([8], elementwise_affine=False, dtype=d), fastnn.ELU(0.7),
        linear(8, 7), fastnn.BatchNorm1d(7, eps=1e-3, momentum=None, dtype=d), fastnn.SiLU(),
        linear(7, 7), fastnn.BatchNorm1d(7, affine=False, dtype=d), fastnn.Softplus(2.0, 5.0),
        linear(7, 7), fastnn.BatchNorm1d(7, momentum=0.3, dtype=d), fastnn.Mish(),
        linear(7, 7), fastnn.Hardswish(), linear(7, 7), fastnn.SmoothClip(2.0),
        linear(7, 7), fastnn.Hardtanh(-0.5, 2.0), linear(7, 7), fastnn.Tanh(),
        linear(7, 6), fastnn.Softmax(), linear(6, 6), fastnn.Sigmoid(),
        linear(6, 3), fastnn.LogSoftmax(),
    ]  # fmt: skip


def chain_on_bytes(d: np.dtype) -> list:
    """Return a chain that takes bytes."""
    mean, std = np.linspace(80, 140, 12), np.linspace(30, 50, 12)
    return [
        fastnn.Normalize(mean, std, d), fastnn.Dropout(0.2), Linear(12, 20, dtype=d, seed=1),
        fastnn.Tanh(), Linear(20, 3, dtype=d, seed=2),
    ]  # fmt: skip


INPUTS = {
    "every-float32": "x",
    "every-float64": "x",
    "bytes-float32": "bytes",
    "digits": "pixels",
    "table-kind": "table-kind",
    "table-price": "table-price",
}
"""The models, and which of the data each takes; others take the rows of their table."""


def outputs_of(path: Path) -> np.ndarray:
    """Return the outputs of the model in a file, whose name begins with that of a model."""
    model, name = fastnn.load(path), path.name.partition(".")[0]
    if name in INPUTS:
        rows = data()[INPUTS[name]]
    else:
        rows = model.schema.encode(open_source(TABLES[name]))
    return fastnn.predict(model, rows, threads=1)


# ---------------------------------------------------------------------------- trainings


class Square(fastnn.Layer):
    """A layer of one's own, without parameters: y = x |x|."""

    def forward(self, x):
        self._x = x
        return x * np.abs(x)

    def backward(self, gradient):
        return gradient * 2 * np.abs(self._x)


class KilledError(Exception):
    """A training was ended as if its process had been killed."""


class Kill(callbacks.Callback):
    """Ends a training when an epoch begins."""

    def __init__(self, epoch: int):
        self.epoch = epoch

    def on_epoch_begin(self, training):
        if training.epoch == self.epoch:
            raise KilledError


def _net(d, seed):
    return [
        Linear(12, 14, dtype=d, seed=seed + 1), fastnn.ReLU(), fastnn.Dropout(0.2),
        Linear(14, 3, dtype=d, seed=seed + 2),
    ]  # fmt: skip


def _net_with_norms(d, seed):
    def linear(inputs, outputs, number):
        return Linear(inputs, outputs, dtype=d, seed=seed + number)

    return [
        linear(12, 11, 1), fastnn.BatchNorm1d(11, dtype=d), fastnn.GELU(), fastnn.Dropout(0.3),
        Sequential(
            linear(11, 9, 2), fastnn.LayerNorm(9, dtype=d), fastnn.Tanh(), fastnn.Dropout(0.1)
        ),
        linear(9, 3, 3),
    ]  # fmt: skip


def _net_of_ones_own(d, seed):
    first, _, drop, last = _net(d, seed)
    return [first, Square(), drop, last]


def _sgd(p):
    return fastnn.SGD(p, 0.05, momentum=0.9, weight_decay=0.001)


def _adam(p):
    return fastnn.Adam(p, 0.01)


TRAININGS = {
    "sgd-float32": (
        _net_with_norms, F32, _sgd,
        lambda o: schedules.LinearLR(o, 1.0, 0.2, 16, every="step"), {"clip_norm": 0.8}, 4,
    ),
    "adam-float64": (
        _net_with_norms, F64, _adam,
        lambda o: schedules.cosine_with_warmup(o, 4, 1), {"clip_norm": 0.5}, 4,
    ),
    "adamw-float32": (
        _net, F32, lambda p: fastnn.AdamW(p, 0.02, weight_decay=0.05),
        lambda o: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.3), {"clip_norm": 0.6}, 4,
    ),
    "sgd-cycle-float32": (
        _net, F32, _sgd, lambda o: schedules.OneCycleLR(o, 0.1), {"clip_value": 0.02}, 4,
    ),
    "adam-more-float32": (
        _net, F32, _adam, lambda o: schedules.StepLR(o, 1, 0.6), {"class_weight": "balanced"}, 2,
    ),
    "own-float32": (
        _net_of_ones_own, F32, _adam,
        lambda o: schedules.ExponentialLR(o, 0.7), {"clip_norm": 0.5}, 4,
    ),
    "rmsprop-float32": (
        _net, F32, lambda p: fastnn.RMSprop(p, 0.01, momentum=0.5, centered=True),
        lambda o: schedules.MultiStepLR(o, [5, 9], 0.5, every="step"), {}, 4,
    ),
    "amsgrad-float32": (
        _net, F32, lambda p: fastnn.AdamW(p, 0.01, amsgrad=True),
        lambda o: schedules.SequentialLR(
            o, [schedules.LinearLR(o, 0.5, 1.0, 2), schedules.CosineAnnealingLR(o, 4)], [2]),
        {}, 4,
    ),
}  # fmt: skip
"""Layers, dtype, optimizer, schedule, options of `fit`, and epochs of the run that was stopped."""


def run(name: str, path: Path, epochs: int, kill: int | None = None, threads: int = 1):
    """Train to so many epochs, from a checkpoint if there is one; return what has come of it.

    These are the model's outputs and the numbers of the history. `kill` is an epoch in which the
    training is ended, and None returned.
    """
    layers, d, optimizer, schedule, options, _ = TRAININGS[name]
    model = Sequential(*layers(d, 100 if kill else 700))  # a resumed model is what the file holds
    optimizer = optimizer(model.parameters())
    stopping = callbacks.EarlyStopping(patience=3)
    x, y = data()["x"].astype(d), data()["y"]
    try:
        history = fastnn.fit(
            model, x[:ROWS], y[:ROWS], loss=fastnn.CrossEntropyLoss(), optimizer=optimizer,
            epochs=epochs, batch_size=16, seed=9, validation_data=(x[ROWS:], y[ROWS:]),
            schedule=schedule(optimizer), threads=threads, checkpoint=path, resume=True,
            callbacks=[stopping, *([] if kill is None else [Kill(kill)])], **options,
        )  # fmt: skip
    except KilledError:
        return None
    numbers = [
        optimizer.steps, optimizer.lr, stopping.best_epoch, stopping.best, *history.loss,
        *history.accuracy, *history.val_loss, *history.val_accuracy,
    ]  # fmt: skip
    return {"outputs": fastnn.predict(model, x, threads=threads), "numbers": np.array(numbers)}
