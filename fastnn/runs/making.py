"""Models, losses, optimizers and schedules that settings stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn.data.dataset import Dataset
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.loss import Loss
from fastnn.nn.sequential import Sequential
from fastnn.optim import schedules
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.schedule import Schedule
from fastnn.runs.settings import SettingError, Settings, choices


def can_be_linear(settings: Settings) -> bool:
    """Return whether a network with these settings can compute a linear model."""
    return settings.activation == "relu" and settings.norm == "none" and settings.dropout == 0


def make_model(
    settings: Settings, dataset: Dataset, scaling: list[Layer], rng: np.random.Generator
) -> Sequential:
    """Return a chain of the layers that scale, hidden blocks, and a last Linear.

    A hidden block is a Linear, a norm (optional), an activation and a Dropout (optional).
    """
    columns, dtype = dataset.x_train.shape[1], settings.dtype
    norm, activation = choices("norm")[settings.norm], choices("activation")[settings.activation]
    assert settings.hidden is not None
    layers = list(scaling)
    for width in settings.hidden:
        layers.append(Linear(columns, width, dtype=dtype, seed=rng))
        if norm is not None:
            layers.append(norm(width, dtype=dtype))
        layers.append(activation())
        if settings.dropout > 0:
            layers.append(Dropout(settings.dropout))
        columns = width
    outputs = len(dataset.classes) or 1
    model = Sequential(*layers, Linear(columns, outputs, dtype=dtype, seed=rng))
    model.classes, model.schema = dataset.classes, dataset.schema
    return model


def check_batches(settings: Settings, rows: int) -> None:
    """Raise SettingError if batch normalisation would get a batch of one row."""
    assert settings.batch_size is not None
    size, norm = settings.batch_size, choices("norm")[settings.norm]
    alone = 1 in (size, rows) or rows % size == 1
    if alone and norm is not None and norm.least_rows > 1 and settings.hidden:
        raise SettingError(
            "batch_size",
            f"batches of {size} of {rows} rows leave one of a single row, of which batch "
            "normalisation can learn nothing",
        )


def make_loss(settings: Settings) -> Loss:
    """Return the loss that settings name."""
    assert settings.loss is not None
    smoothing = {"label_smoothing": settings.label_smoothing} if settings.label_smoothing else {}
    return choices("loss")[settings.loss](**smoothing)


def make_schedule(settings: Settings, optimizer: Optimizer) -> Schedule | None:
    """Return the schedule that settings name; defaults depend on the number of epochs."""
    epochs, gamma = settings.epochs, settings.gamma
    assert epochs is not None
    assert settings.schedule is not None
    third, tenth = max(1, epochs // 3), max(1, round(epochs / 10))
    late = [max(1, epochs // 2), max(1, epochs * 3 // 4)]
    drop = 0.1 if gamma is None else gamma
    slope = 0.01 ** (1 / epochs) if gamma is None else gamma
    assert settings.lr is not None
    lr, patience = settings.lr, 5 if settings.patience is None else settings.patience
    make: dict[str, Callable[[], Schedule | None]] = {
        "constant": lambda: None,
        "linear": lambda: schedules.LinearLR(optimizer, 1.0, 0.0, epochs),
        "step": lambda: schedules.StepLR(optimizer, settings.step_size or third, drop),
        "multi-step": lambda: schedules.MultiStepLR(optimizer, settings.milestones or late, drop),
        "exponential": lambda: schedules.ExponentialLR(optimizer, slope),
        "cosine": lambda: schedules.CosineAnnealingLR(optimizer, epochs),
        "warmup-cosine": lambda: schedules.cosine_with_warmup(
            optimizer, max(epochs, 2), settings.warmup or tenth
        ),
        "one-cycle": lambda: schedules.OneCycleLR(optimizer, lr),
        "plateau": lambda: schedules.ReduceLROnPlateau(optimizer, "min", drop, patience),
    }
    return make[settings.schedule]()


def make_optimizer(settings: Settings, model: Sequential) -> Optimizer:
    """Return the optimizer that settings name, for all parameters of a model."""
    assert settings.optimizer is not None
    options = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.momentum is not None:
        options["momentum"] = settings.momentum
    return choices("optimizer")[settings.optimizer](model.parameters(), **options)
