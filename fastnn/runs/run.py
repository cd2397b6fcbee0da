"""A training run of `fastnn train`: from settings to a folder of files."""

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
from fastnn.files import container, models
from fastnn.files.atomic import remove, replacing
from fastnn.files.container import ModelFileError
from fastnn.metrics import predicted, scores
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.loss import Loss
from fastnn.nn.normalize import Normalize
from fastnn.nn.sequential import Sequential
from fastnn.optim import schedules
from fastnn.optim.optimizer import Optimizer
from fastnn.optim.schedule import Schedule
from fastnn.plots.confusion import confusion
from fastnn.plots.curves import curves
from fastnn.plots.predictions import predictions
from fastnn.runs.importance import importances
from fastnn.runs.settings import SettingError, Settings, choices, from_plain
from fastnn.runs.verdict import PICTURE as IMPORTANCE
from fastnn.runs.verdict import Verdict
from fastnn.training import checkpoints
from fastnn.training.callbacks.callback import Callback
from fastnn.training.callbacks.early_stopping import EarlyStopping
from fastnn.training.evaluation import Evaluation, evaluate, predict
from fastnn.training.fit import fit
from fastnn.training.history import History
from fastnn.training.steps import NonFiniteLossError
from fastnn.training.training import Training

MODEL, HISTORY = "model.safetensors", "history.json"
CURVES, CONFUSION, PREDICTIONS = "curves.png", "confusion.png", "predictions.png"
PICTURES = CURVES, CONFUSION, PREDICTIONS, IMPORTANCE
FILES = MODEL, HISTORY, *PICTURES
"""Names of the files in a run's folder.

`PREDICTIONS` is a regression's in place of `CONFUSION`; `IMPORTANCE` is a table's.
"""

MAY_CHANGE = ("epochs", "threads")
"""Settings that may change when a run is resumed."""


class Run(Callback):
    """A model, its data, loss and optimizer, made from settings; equal seeds make equal ones.

    The test rows do not depend on the seed, so that a model file can be evaluated later on rows
    that it was not trained on.

    A regression is trained on standardised targets: losses in the history are in units of their
    variance. After training the last layer is rescaled, so that the model predicts in the target's
    own units.

    Raises SettingError if the validation share leaves no rows, or the loss does not fit the task.
    """

    def __init__(self, settings: Settings, dataset: Dataset):
        weight_seed, self._fit_seed = _seeds(settings.seed)
        self.settings = settings = dataclasses.replace(settings)  # a copy: defaults are filled in
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
        self.verdict: Verdict | None = None
        self.folds: dict[str, Any] = {}

    def train(
        self,
        progress: bool = False,
        checkpoint: Path | None = None,
        every: int = 1,
        resume: bool = False,
    ) -> None:
        """Train the model once; the training rows are released afterwards.

        `checkpoint`, `every` and `resume` are arguments of `fit`, with its errors. After
        NonFiniteLossError or KeyboardInterrupt, `history` and `model` are as far as training came.
        """
        (x, y), validation = self._training, self._validation
        del self._training, self._validation
        self.outcome, settings = "interrupted", self.settings
        try:
            fit(
                self.model,
                x,
                y,
                loss=self.loss,
                optimizer=self.optimizer,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                validation_data=validation,
                seed=self._fit_seed,
                schedule=self.schedule,
                class_weight=None if settings.class_weight == "none" else settings.class_weight,
                clip_norm=settings.clip_norm,
                clip_value=settings.clip_value,
                callbacks=[self, *([self.early_stopping] if self.early_stopping else [])],
                progress=progress,
                threads=settings.threads,
                checkpoint=checkpoint,
                every=every,
                resume=resume,
            )
        except NonFiniteLossError:
            self.outcome = "loss not finite"
            raise
        finally:
            _scale_back(self.model)
        self.outcome = "finished"

    def state_dict(self) -> dict[str, Any]:
        """Return the settings, to be kept in a checkpoint."""
        return {"settings": dataclasses.asdict(self.settings)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ValueError if a checkpoint's settings differ in one that may not change."""
        found, own = _read_settings(state), self.settings
        for name in set(vars(own)) - set(MAY_CHANGE):
            if getattr(found, name) != getattr(own, name):
                raise ValueError(
                    f"{name} is {getattr(found, name)}; this run's is {getattr(own, name)}"
                )

    def on_train_begin(self, training: Training) -> None:
        """Keep the history, because `fit` does not return it when it is interrupted."""
        self.history = training.history

    @property
    def data(self):
        """Rows and targets to train on, and to validate on; available until `train` is called."""
        return self._training, self._validation

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.size for parameter in self.model.parameters())

    @property
    def seconds(self) -> float:
        """Seconds of training, without validation."""
        return sum(self.history.seconds)

    def evaluate(self) -> Evaluation:
        """Return the model's loss and accuracy on the test rows; keep them in `test`."""
        self.test = evaluate(
            self.model, *self.test_data, loss=self.loss, threads=self.settings.threads
        )
        x, y = self.test_data
        if self.verdict is not None or not self.classes:
            told = predicted(self.model, predict(self.model, x))
            self.scores = scores(y, told)
            if self.verdict is not None:
                self.verdict.judge(y, told, self.scores, importances(self.model, x, y))
        return self.test

    def write(self, folder: Path) -> list[str]:
        """Write the model, the history and, if the run finished, pictures; return the file names.

        Pictures of an earlier run are removed, so that all files in the folder are of one run.
        """
        for picture in PICTURES:
            remove(folder / picture)
        models.save(self.model, folder / MODEL)
        with replacing(folder / HISTORY) as file:
            file.write(json.dumps(self.to_dict(), indent=1, allow_nan=False).encode() + b"\n")
        if self.outcome != "finished":
            return [MODEL, HISTORY]
        curves(self.history.to_dict(), folder / CURVES)
        x, y = self.test_data
        outputs = predict(self.model, x, threads=self.settings.threads)
        more = [] if self.verdict is None else self.verdict.draw(folder)
        if self.classes:
            confusion(y, outputs.argmax(axis=1), self.classes, folder / CONFUSION)
            return [MODEL, HISTORY, CURVES, CONFUSION, *more]
        assert self.schema is not None
        assert self.schema.target is not None
        predictions(y, outputs[:, 0], self.schema.target.name, folder / PREDICTIONS)
        return [MODEL, HISTORY, CURVES, PREDICTIONS, *more]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `history.json`: plain values, None for non-finite numbers."""
        return {
            "outcome": self.outcome,
            "settings": dataclasses.asdict(self.settings),
            "rows": self.rows,
            "parameters": self.parameters,
            "history": _finite_only(self.history.to_dict()),
            "test": {}
            if self.test is None
            else _finite_only({**self.test._asdict(), **self.scores}),
            **_finite_only({} if self.verdict is None else self.verdict.to_dict()),
            **_finite_only({"folds": self.folds} if self.folds else {}),
            "versions": {
                "fastnn": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "numba": numba.__version__,
            },
        }


def settings_in(path: Path) -> Settings:
    """Return the settings of the run that wrote a checkpoint.

    Raises ModelFileError if no run wrote the file, OSError if it cannot be read.
    """
    for part in checkpoints.parts_in(path):
        if part["class"] == Run.__name__:
            with container.named(path):
                return _read_settings(part["state"])
    raise ModelFileError(f"{path}: found a checkpoint that `fastnn train` did not write")


def _read_settings(state: dict[str, Any]) -> Settings:
    """Return the settings in a checkpoint's state; raise ModelFileError if they are invalid."""
    try:
        return from_plain(state["settings"])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFileError(f"found settings that cannot be read: {error}") from error


def _seeds(seed: int) -> tuple[int, int]:
    """Return two seeds: of initial weights, and of the order of rows and dropout."""
    weights, order = np.random.SeedSequence(seed).generate_state(2, np.uint64) >> np.uint64(1)
    return int(weights), int(order)


def make_model(settings: Settings, dataset: Dataset, rng: np.random.Generator) -> Sequential:
    """Return a chain of Normalize, hidden blocks, and a last Linear.

    A hidden block is a Linear, a norm (optional), an activation and a Dropout (optional).
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
    """Return the data's schema, with the identity as link if outputs are no logits."""
    if dataset.classes and not choices("loss")[loss].of_classes:
        return dataclasses.replace(dataset.schema or Schema(), link="identity")
    return dataset.schema


def _standardised(y: np.ndarray, schema: Schema | None) -> np.ndarray:
    """Return a regression's targets with mean 0 and variance 1; return classes unchanged."""
    if schema is None or schema.target is None or schema.target.task == "classification":
        return y
    return (y - schema.target.mean) / schema.target.std


def _scale_back(model: Sequential) -> None:
    """Rescale the last layer of a regression to predict in the target's own units.

    From y = std (W h + b) + mean: W becomes std W, and b becomes std b + mean.
    """
    target = None if model.schema is None else model.schema.target
    if target is not None and target.task == "regression":
        last = model[-1]
        assert isinstance(last, Linear)
        assert last.bias is not None
        last.weight = target.std * last.weight.data
        last.bias = target.std * last.bias.data + target.mean


def _check_batches(settings: Settings, rows: int) -> None:
    """Raise SettingError if batch normalisation would get a batch of one row."""
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
    """Return the rows to train on and to validate on: the test rows if the share is 0."""
    x, y = dataset.x_train, dataset.y_train
    if settings.validation == 0:
        return (x, y), (dataset.x_test, dataset.y_test)
    held_out = max(1, round(settings.validation * len(x)))
    if held_out >= len(x):
        raise SettingError(
            "validation", f"{settings.validation} of {len(x)} training rows leaves none to train on"
        )
    # Rows of all data sets are in random order, so the last ones are a random sample.
    return (x[:-held_out], y[:-held_out]), (x[-held_out:], y[-held_out:])


def _finite_only(value: Any) -> Any:
    """Return nested numbers with None for non-finite ones, which JSON cannot hold."""
    if isinstance(value, dict):
        return {name: _finite_only(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite_only(each) for each in value]
    return value if value is not None and math.isfinite(value) else None
