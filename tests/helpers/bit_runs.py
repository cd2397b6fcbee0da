"""Trainings with every layer, loss and optimizer, to be compared bit by bit.

As a script it writes what all of them come to into a file: `python bit_runs.py FILE`.
"""

import sys

import numpy as np

import fastnn
from fastnn import Callback, Dropout, Linear, Normalize, Sequential, schedules
from own_layers import Own

THREADS = 1, 2, 3, 4, 7
SAMPLES, COLUMNS, WIDTH, CLASSES = 200, 40, 70, 6


def _linear(inputs, outputs, dtype, place):
    return Linear(inputs, outputs, dtype=dtype, seed=place)


def _activations(d):
    kinds = (
        fastnn.ReLU, fastnn.Tanh, fastnn.Sigmoid, fastnn.LeakyReLU, fastnn.ELU, fastnn.GELU,
        lambda: fastnn.GELU("tanh"), fastnn.SiLU, fastnn.Softplus, fastnn.Mish, fastnn.Hardswish,
        fastnn.Hardtanh, fastnn.SmoothClip,
        fastnn.Softmax, fastnn.LogSoftmax, fastnn.Identity, fastnn.Flatten,
    )  # fmt: skip
    layers = [_linear(COLUMNS, WIDTH, d, 0)]
    for place, kind in enumerate(kinds, 1):
        layers += [kind(), _linear(WIDTH, WIDTH, d, place)]
    return [*layers, fastnn.LayerNorm(WIDTH, dtype=d), _linear(WIDTH, CLASSES, d, 99)]


def _norms(d):
    # Without a bias, whose gradient before BatchNorm1d is rounding alone, which Adam enlarges.
    first = Linear(COLUMNS, WIDTH, False, d, seed=1)
    return [
        Normalize(0.1, 1.2, d), first, fastnn.BatchNorm1d(WIDTH, dtype=d),
        fastnn.ReLU(), Dropout(0.3),
        Sequential(_linear(WIDTH, 130, d, 2), fastnn.LayerNorm(130, dtype=d), fastnn.Tanh()),
        Dropout(0.1), _linear(130, CLASSES, d, 3),
    ]  # fmt: skip


def _plain(d, outputs=CLASSES):
    return [
        _linear(COLUMNS, WIDTH, d, 1), fastnn.Tanh(), Dropout(0.2), _linear(WIDTH, outputs, d, 2),
    ]  # fmt: skip


def _log_softmax(d):
    return [*_plain(d), fastnn.LogSoftmax()]


F, D = np.float32, np.float64
RUNS = {
    "activations": (_activations, F, "labels", fastnn.CrossEntropyLoss(label_smoothing=0.1),
                    lambda p: fastnn.SGD(p, 0.05, momentum=0.9, nesterov=True)),
    "activations-float64": (_activations, D, "labels", fastnn.CrossEntropyLoss(),
                            lambda p: fastnn.Adam(p, 0.01, weight_decay=0.01)),
    "norms": (_norms, F, "labels", fastnn.CrossEntropyLoss(),
              lambda p: fastnn.AdamW(p, 0.01, clip_norm=0.5)),
    "norms-float64": (_norms, D, "labels", fastnn.CrossEntropyLoss(np.arange(1, CLASSES + 1)),
                      lambda p: fastnn.RMSprop(p, 0.01, momentum=0.5, centered=True)),
    "nll": (_log_softmax, F, "labels", fastnn.NLLLoss(),
            lambda p: fastnn.Adam(p, 0.01, amsgrad=True)),
    "bce": (_plain, F, "one-hot", fastnn.BCEWithLogitsLoss(),
            lambda p: fastnn.RMSprop(p, 0.01, clip_value=0.01)),
    "mse": (_plain, F, "numbers", fastnn.MSELoss(), lambda p: fastnn.SGD(p, 0.01)),
    "l1": (_plain, F, "numbers", fastnn.L1Loss(), lambda p: fastnn.SGD(p, 0.01, dampening=0.1)),
    "huber": (_plain, D, "numbers", fastnn.HuberLoss(0.5), lambda p: fastnn.AdamW(p, 0.01)),
    "poisson": (_plain, F, "labels of columns", fastnn.PoissonNLLLoss(),
                lambda p: fastnn.Adam(p, 0.001)),
    "quantile": (_plain, F, "numbers", fastnn.QuantileLoss(0.3),
                 lambda p: fastnn.SGD(p, 0.01, momentum=0.5)),
    "gaussian": (_plain, D, "halves", fastnn.GaussianNLLLoss(eps=0.3),
                 lambda p: fastnn.SGD(p, 0.01)),
}  # fmt: skip
"""Layers, dtype, targets, loss and optimizer of each training."""


def _data(dtype, targets):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, COLUMNS)).astype(dtype)
    labels = rng.integers(0, CLASSES, SAMPLES)
    numbers = rng.normal(size=(SAMPLES, CLASSES)).astype(dtype)
    return x, {
        "labels": labels,
        "one-hot": np.eye(CLASSES, dtype=dtype)[labels],
        "numbers": numbers,
        "halves": numbers[:, : CLASSES // 2],
        "labels of columns": (numbers > 0).astype(dtype),
    }[targets]


class Killed(Exception):  # noqa: N818
    """A training was ended as if its process had been killed."""


class Kill(Callback):
    """Ends a training when its second epoch begins."""

    def on_epoch_begin(self, training):
        if training.epoch == 2:
            raise Killed


def results(name, threads=1, own=False, path=None, kill=False):
    """Everything that a training comes to, as arrays by name; None if it was killed.

    With `own`, the training steps in Python, layer by layer.
    """
    layers, dtype, targets, loss, optimizer = RUNS[name]
    model = Sequential(*layers(dtype), *([Own()] if own else []))
    x, y = _data(dtype, targets)
    optimizer = optimizer(model.parameters())
    try:
        history = fastnn.fit(
            model, x, y, loss=loss, optimizer=optimizer, epochs=3, batch_size=64, seed=5,
            sample_weight=np.linspace(0.5, 2, SAMPLES), validation_data=(x[:50], y[:50]),
            schedule=schedules.StepLR(optimizer, 1, 0.8), threads=threads,
            checkpoint=path, resume=path is not None, callbacks=[Kill()] if kill else [],
        )  # fmt: skip
    except Killed:
        return None
    found = dict(model.state_dict())
    for i, arrays in enumerate(optimizer.state_dict()["memory"]):
        found |= {f"memory.{i}.{j}": array for j, array in enumerate(arrays)}
    found["loss"] = np.array([*history.loss, *history.val_loss])
    found["outputs"] = fastnn.predict(model, x, threads=threads, batch_size=50)
    found["evaluation"] = np.array(
        [fastnn.evaluate(model, x, y, loss=loss, threads=threads, batch_size=64).loss]
    )
    return found


if __name__ == "__main__":
    arrays = {f"{name}/{key}": a for name in RUNS for key, a in results(name, threads=2).items()}
    np.savez(sys.argv[1], **arrays)
