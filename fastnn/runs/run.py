"""A training run as `fastnn train` makes it: from settings to a folder of files."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from fastnn._version import __version__
from fastnn.data.dataset import Dataset
from fastnn.data.tables.schema import Schema
from fastnn.files import container
from fastnn.files import models as checkpoint
from fastnn.files.atomic import replacing
from fastnn.files.container import ModelFileError
from fastnn.metrics import regression_scores
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.losses import Loss
from fastnn.nn.normalize import Normalize
from fastnn.nn.sequential import Sequential
from fastnn.optim import schedules
from fastnn.optim.optimizers import Optimizer
from fastnn.optim.schedules import Schedule
from fastnn.plots.confusion import confusion
from fastnn.plots.curves import curves
from fastnn.plots.predictions import predictions
from fastnn.runs.settings import SettingError, Settings, choices, from_plain
from fastnn.training import checkpoints as training_state
from fastnn.training.callbacks.callback import Callback
from fastnn.training.callbacks.early_stopping import EarlyStopping
from fastnn.training.evaluation import Evaluation, evaluate, predict
from fastnn.training.fit import fit
from fastnn.training.history import History
from fastnn.training.steps import NonFiniteLossError
from fastnn.training.training import Training

MODEL, HISTORY, CURVES, CONFUSION = FILES = (
    "model.safetensors", "history.json", "curves.png", "confusion.png",
)  # fmt: skip
"""Names of the files in a run's folder."""
PREDICTIONS = "predictions.png"
"""In the place of the confusions, for a regression."""

MAY_CHANGE = ("epochs", "threads")
"""Settings that a run that is resumed may be given anew."""


class Run(Callback):
    """A model, its data and its optimizer, made from settings; a seed makes the same ones again.

    The data do not depend on the seed: the test rows are the same for every run, so that a model
    file can be evaluated later on rows it has not learned from.

    A regression is trained on standardised targets, so the history's losses are in units of their
    variance; after training the last layer is scaled back, and the model predicts in the target's
    own units.

    Raises SettingError where the validation share leaves no row, or the loss is not for the task.
    """

    def __init__(self, settings: Settings, dataset: Dataset):
        weight_seed, self._fit_seed = _seeds(settings.seed)
        self.settings = settings = dataclasses.replace(settings)  # what is left open is filled in
        settings.choose_loss(dataset.task)
        assert settings.loss is not None
        dataset = dataclasses.replace(dataset, schema=_schema(dataset, settings.loss))
        self.schema = dataset.schema
        self.model = make_model(settings, dataset, np.random.default_rng(weight_seed))
        self.loss = make_loss(settings)
        self.optimizer = make_optimizer(settings, self.model)
        self.schedule = make_schedule(settings, self.optimizer)
        self._training, self._validation = (
            (x, _standardised(y, dataset.schema)) for x, y in _split(settings, dataset)
        )
        self.test_data, self.classes = (dataset.x_test, dataset.y_test), dataset.classes
        self.rows = {
            "training": len(self._training[0]),
            "validation": len(self._validation[0]),
            "test": len(dataset.x_test),
        }
        _check_batches(settings, self.rows["training"])
        self.early_stopping: EarlyStopping | None = None
        if settings.early_stopping is not None:
            self.early_stopping = EarlyStopping(patience=settings.early_stopping)
        self.history = History()
        self.outcome = "not started"
        self.test: Evaluation | None = None
        self.scores: dict[str, float] = {}

    def train(self, progress: bool = False, checkpoint: Path | None = None, every: int = 1,
              resume: bool = False) -> None:  # fmt: skip
        """Fit the model, and let go of the training rows: this can be done once.

        `checkpoint`, `every` and `resume` are those of `fit`. Raises NonFiniteLossError, and
        KeyboardInterrupt; `history` and `model` are then those of the epochs and steps done; and
        for a checkpoint, what `fit` does.
        """
        (x, y), validation = self._training, self._validation
        del self._training, self._validation
        self.outcome, settings = "interrupted", self.settings
        try:
            fit(
                self.model, x, y, loss=self.loss, optimizer=self.optimizer,
                epochs=settings.epochs, batch_size=settings.batch_size,
                validation_data=validation, seed=self._fit_seed, schedule=self.schedule,
                class_weight=None if settings.class_weight == "none" else settings.class_weight,
                clip_norm=settings.clip_norm, clip_value=settings.clip_value,
                callbacks=[self, *([self.early_stopping] if self.early_stopping else [])],
                progress=progress, threads=settings.threads,
                checkpoint=checkpoint, every=every, resume=resume,
            )  # fmt: skip
        except NonFiniteLossError:
            self.outcome = "loss not finite"
            raise
        finally:
            _scale_back(self.model)
        self.outcome = "finished"

    def state_dict(self) -> dict[str, Any]:
        """Return the settings, which a checkpoint keeps."""
        return {"settings": dataclasses.asdict(self.settings)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ValueError unless a checkpoint's settings are this run's, where they matter."""
        found, own = _read_settings(state), self.settings
        for name in set(vars(own)) - set(MAY_CHANGE):
            if getattr(found, name) != getattr(own, name):
                raise ValueError(
                    f"{name} is {getattr(found, name)}; this run's is {getattr(own, name)}"
                )

    def on_train_begin(self, training: Training) -> None:
        """Keep the history, which `fit` does not return when it is interrupted."""
        self.history = training.history

    @property
    def data(self):
        """Rows and targets to train on, and those to validate on, until they have been used."""
        return self._training, self._validation

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.size for parameter in self.model.parameters())

    @property
    def seconds(self) -> float:
        """Seconds of training, validation not counted."""
        return sum(self.history.seconds)

    def evaluate(self) -> Evaluation:
        """Evaluate the model on the test rows."""
        self.test = evaluate(
            self.model, *self.test_data, loss=self.loss, threads=self.settings.threads
        )
        if not self.classes:
            x, y = self.test_data
            self.scores = regression_scores(y, predict(self.model, x)[:, 0])
        return self.test

    def write(self, folder: Path) -> list[str]:
        """Write model and history, and when the run was finished, pictures; give the names.

        Pictures of a run before are removed, so that all files in a folder are of one run.
        """
        for picture in (CURVES, CONFUSION, PREDICTIONS):
            (folder / picture).unlink(missing_ok=True)
        checkpoint.save(self.model, folder / MODEL)
        with replacing(folder / HISTORY) as file:
            file.write(json.dumps(self.to_dict(), indent=1, allow_nan=False).encode() + b"\n")
        if self.outcome != "finished":
            return [MODEL, HISTORY]
        curves(self.history.to_dict(), folder / CURVES)
        x, y = self.test_data
        outputs = predict(self.model, x, threads=self.settings.threads)
        if self.classes:
            confusion(y, outputs.argmax(axis=1), self.classes, folder / CONFUSION)
            return list(FILES)
        assert self.schema is not None
        assert self.schema.target is not None
        predictions(y, outputs[:, 0], self.schema.target.name, folder / PREDICTIONS)
        return [MODEL, HISTORY, CURVES, PREDICTIONS]

    def to_dict(self) -> dict[str, Any]:
        """Return what `history.json` holds: plain values, None for numbers that are not finite."""
        return {
            "outcome": self.outcome,
            "settings": dataclasses.asdict(self.settings),
            "rows": self.rows,
            "parameters": self.parameters,
            "history": _finite_only(self.history.to_dict()),
            "test": {}
            if self.test is None
            else _finite_only({**self.test._asdict(), **self.scores}),
            "versions": {
                "fastnn": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "numba": numba.__version__,
            },
        }


def settings_in(path: Path) -> Settings:
    """Return the settings of the run that wrote a checkpoint.

    Raises ModelFileError for a file that is none of a run's, OSError where it cannot be read.
    """
    for part in training_state.parts_in(path):
        if part["class"] == Run.__name__:
            with container.named(path):
                return _read_settings(part["state"])
    raise ModelFileError(f"{path}: found a checkpoint that `fastnn train` did not write")


def _read_settings(state: dict[str, Any]) -> Settings:
    """Return the settings of a checkpoint; raise ModelFileError for what are none."""
    try:
        return from_plain(state["settings"])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFileError(f"found settings that cannot be read: {error}") from error


def _seeds(seed: int) -> tuple[int, int]:
    """Return seeds for initial weights, and for the order of rows and dropout."""
    weights, order = np.random.SeedSequence(seed).generate_state(2, np.uint64) >> np.uint64(1)
    return int(weights), int(order)


def make_model(settings: Settings, dataset: Dataset, rng: np.random.Generator) -> Sequential:
    """Return a chain of Normalize, hidden layers, and a last Linear.

    A hidden layer is a Linear, a norm, an activation and a Dropout.
    """
    columns, dtype = dataset.x_train.shape[1], settings.dtype
    norm, activation = choices("norm")[settings.norm], choices("activation")[settings.activation]
    layers: list[Layer] = [Normalize(dataset.mean, dataset.std, dtype)]
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


def _schema(dataset: Dataset, loss: str) -> Schema | None:
    """Return the data's schema, which also tells how outputs become probabilities."""
    if dataset.classes and not choices("loss")[loss].of_classes:
        return dataclasses.replace(dataset.schema or Schema(), link="identity")
    return dataset.schema


def _standardised(y: np.ndarray, schema: Schema | None) -> np.ndarray:
    """Return targets of a regression with mean 0 and variance 1; classes as they are."""
    if schema is None or schema.target is None or schema.target.task == "classification":
        return y
    return (y - schema.target.mean) / schema.target.std


def _scale_back(model: Sequential) -> None:
    """Have a model that learned standardised targets predict in the target's own units.

    With y = std (W h + b) + mean, the scale becomes part of the last layer's W and b.
    """
    target = None if model.schema is None else model.schema.target
    if target is not None and target.task == "regression":
        last = model[-1]
        assert isinstance(last, Linear)
        assert last.bias is not None
        last.weight = target.std * last.weight.data
        last.bias = target.std * last.bias.data + target.mean


def _check_batches(settings: Settings, rows: int) -> None:
    """Raise SettingError where batch normalisation would be given a batch of one row."""
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
    """Return the schedule that settings name; the number of epochs tells what they leave open."""
    epochs, gamma = settings.epochs, settings.gamma
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
    options = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.momentum is not None:
        options["momentum"] = settings.momentum
    return choices("optimizer")[settings.optimizer](model.parameters(), **options)


def _split(settings: Settings, dataset: Dataset):
    """Return rows to train on and to validate on; with a share of 0 the test rows validate."""
    x, y = dataset.x_train, dataset.y_train
    if settings.validation == 0:
        return (x, y), (dataset.x_test, dataset.y_test)
    held_out = max(1, round(settings.validation * len(x)))
    if held_out >= len(x):
        raise SettingError(
            "validation", f"{settings.validation} of {len(x)} training rows leaves none to train on"
        )
    # The rows of every data set are in no particular order, so the last are as good as any.
    return (x[:-held_out], y[:-held_out]), (x[-held_out:], y[-held_out:])


def _finite_only(value: Any) -> Any:
    """Return a structure of numbers, with None for those not finite, which JSON lacks."""
    if isinstance(value, dict):
        return {name: _finite_only(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite_only(each) for each in value]
    return value if value is not None and math.isfinite(value) else None
