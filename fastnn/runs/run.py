"""A training run of `fastnn train`: from settings to a folder of files."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from pathlib import Path
from typing import Any

import numba
import numpy as np

from fastnn._version import __version__
from fastnn.data.dataset import Dataset
from fastnn.data.tables.schema import Schema
from fastnn.files import models
from fastnn.files.atomic import remove, replacing
from fastnn.metrics import predicted, scores
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.normalize import Normalize
from fastnn.nn.sequential import Sequential
from fastnn.plots.confusion import confusion
from fastnn.plots.curves import curves
from fastnn.plots.predictions import predictions
from fastnn.runs import recipe
from fastnn.runs.folder import CONFUSION, CURVES, HISTORY, MODEL, PICTURES, PREDICTIONS
from fastnn.runs.importance import importances
from fastnn.runs.making import (
    can_be_linear,
    check_batches,
    make_loss,
    make_model,
    make_optimizer,
    make_schedule,
)
from fastnn.runs.resuming import MAY_CHANGE, read_settings
from fastnn.runs.settings import RECIPES, SettingError, Settings, choices
from fastnn.runs.verdict import Verdict
from fastnn.training.callbacks.callback import Callback
from fastnn.training.callbacks.early_stopping import EarlyStopping
from fastnn.training.evaluation import Evaluation, evaluate
from fastnn.training.fit import fit
from fastnn.training.history import History
from fastnn.training.prediction import predict
from fastnn.training.steps import NonFiniteLossError
from fastnn.training.training import Training

_SEEDS = 1 << 63
_ENDLESS = 1 << 31  # epochs


class Run(Callback):
    """A model, its data, loss and optimizer, made from settings; equal seeds make equal ones.

    The test rows do not depend on the seed, so that a model file can be evaluated later on rows
    that it was not trained on.

    A regression is trained on standardised targets: losses in the history are in units of their
    variance. After training the last layer is rescaled, so that the model predicts in the target's
    own units.

    By the recipe for tables (`fastnn.runs.recipe`), a small table has a network for each of some
    folds: `model` is the first of them before training, and all of them, joined, afterwards. The
    history holds their means.

    Raises SettingError if the validation share leaves no rows, or the loss does not fit the task.
    """

    def __init__(self, settings: Settings, dataset: Dataset):
        weight_seed, self._fit_seed = _seeds(settings.seed)
        self.settings = settings = dataclasses.replace(settings)  # a copy: defaults are filled in
        settings.choose_sizes(recipe.sizes(len(dataset.x_train), len(dataset.classes) or 1))
        settings.choose_loss(dataset.task)
        assert settings.loss is not None
        dataset = dataclasses.replace(dataset, schema=_schema(dataset, settings.loss))
        self.schema, self.loss = dataset.schema, make_loss(settings)
        self.test_data, self.classes = (dataset.x_test, dataset.y_test), dataset.classes
        self._x, self._y = dataset.x_train, _standardised(dataset.y_train, dataset.schema)
        self._range = dataset.y_train.min(), dataset.y_train.max()
        self._parts = _parts(settings, dataset, self._fit_seed)
        (x, _), (x_held_out, _) = self._rows_of(0)
        self.rows = {"training": len(x), "validation": len(x_held_out), "test": len(dataset.x_test)}
        check_batches(settings, self.rows["training"])
        rng, scaling = np.random.default_rng(weight_seed), _scaling(settings, dataset)
        self._networks = [make_model(settings, dataset, scaling, rng) for _ in self._parts]
        self._make_ready(self._networks[0])
        self.early_stopping: EarlyStopping | None = None
        if settings.early_stopping is not None:
            self.early_stopping = EarlyStopping(patience=settings.early_stopping)
        self._trained: list[recipe.Trained] = []
        self._histories: list[History] = []
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
        self.outcome = "interrupted"
        try:
            for place in range(len(self._parts)):
                is_last = place == len(self._parts) - 1
                self._train_network(
                    place,
                    progress=progress and len(self._parts) == 1,
                    checkpoint=checkpoint if is_last else None,
                    every=every,
                    resume=resume and is_last,
                )
        except NonFiniteLossError:
            self.outcome = "loss not finite"
            raise
        finally:
            del self._x, self._y
            self._finish()
        self.outcome = "finished"

    def _make_ready(self, model: Sequential) -> None:
        """Take a network, with an optimizer and a schedule of its own."""
        self.model = model
        self.optimizer = make_optimizer(self.settings, model)
        self.schedule = make_schedule(self.settings, self.optimizer)

    def _rows_of(self, place: int):
        """Return the rows and targets that a network trains on, and that it is validated on."""
        train, held_out = self._parts[place]
        rows = self._x[train], self._y[train]
        if held_out is None:
            x, y = self.test_data
            return rows, (x, _standardised(y, self.schema))
        return rows, (self._x[held_out], self._y[held_out])

    def _train_network(self, place: int, **options: Any) -> None:
        """Train one of the networks; by the recipe for tables, keep its best weights."""
        settings, (rows, held_out) = self.settings, self._rows_of(place)
        assert settings.epochs is not None
        assert settings.batch_size is not None
        if place > 0:
            self._make_ready(self._networks[place])
        if settings.recipe == "tables":
            self._begin(rows, held_out)
        try:
            fit(
                self.model,
                *rows,
                loss=self.loss,
                optimizer=self.optimizer,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                validation_data=held_out,
                seed=(self._fit_seed + place) % _SEEDS,
                schedule=self.schedule,
                class_weight=self._class_weight,
                clip_norm=settings.clip_norm,
                clip_value=settings.clip_value,
                callbacks=[self, *([self.early_stopping] if self.early_stopping else [])],
                threads=settings.threads,
                **options,
            )
        except NonFiniteLossError:
            if not isinstance(self.early_stopping, BestEpoch):
                raise  # else the model has its best weights
        self._histories.append(self.history)
        if isinstance(self.early_stopping, BestEpoch):
            self._trained.append(self.early_stopping.trained(self.history))

    @property
    def _class_weight(self) -> str | None:
        return None if self.settings.class_weight == "none" else self.settings.class_weight

    def _begin(self, rows, held_out) -> None:
        """Set a network to the linear model of its rows, and see to it that its best is kept."""
        settings = self.settings
        assert settings.loss is not None
        fits = not self.classes or choices("loss")[settings.loss].of_classes
        if fits and can_be_linear(settings):
            x, y = rows
            recipe.begin_linear(self.model, x, y, len(self.classes), self._class_weight)
        if settings.validation != 0:
            first = evaluate(self.model, *held_out, loss=self.loss, threads=settings.threads)
            patience = settings.early_stopping or _ENDLESS
            self.early_stopping = BestEpoch(self.model, first.loss, patience)

    def _finish(self) -> None:
        """Join the networks that are trained to one model, which predicts in the target's units."""
        if self._trained:
            self._trained = recipe.chosen(self._trained)
            self.model = recipe.joined([each.network for each in self._trained])
            self.history = recipe.mean_history(self._histories)
        _scale_back(self.model)
        if self.settings.recipe == "tables" and not self.classes:
            self.model = recipe.bounded(self.model, *self._range, self.settings.dtype)

    def state_dict(self) -> dict[str, Any]:
        """Return the settings, to be kept in a checkpoint."""
        return {"settings": dataclasses.asdict(self.settings)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ValueError if a checkpoint's settings differ in one that may not change."""
        found, own = read_settings(state), self.settings
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
        return self._rows_of(0)

    @property
    def networks(self) -> int:
        """Number of networks, more than one if there are folds."""
        return len(self._networks)

    @property
    def best_epochs(self) -> list[int]:
        """Epochs whose weights the networks have; empty if it is the last one."""
        if self._trained:
            return [each.best_epoch for each in self._trained]
        stopped = self.early_stopping is not None and self.early_stopping.stopped_epoch > 0
        return [self.early_stopping.best_epoch] if self.early_stopping and stopped else []

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
        files = [MODEL, HISTORY]
        if any(map(math.isfinite, self.history.loss)):  # else no epoch went well
            curves(self.history.to_dict(), folder / CURVES)
            files.append(CURVES)
        x, y = self.test_data
        outputs = predict(self.model, x, threads=self.settings.threads)
        more = [] if self.verdict is None else self.verdict.draw(folder)
        if self.classes:
            confusion(y, outputs.argmax(axis=1), self.classes, folder / CONFUSION)
            return [*files, CONFUSION, *more]
        assert self.schema is not None
        assert self.schema.target is not None
        predictions(y, outputs[:, 0], self.schema.target.name, folder / PREDICTIONS)
        return [*files, PREDICTIONS, *more]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `history.json`: plain values, None for non-finite numbers."""
        return {
            "outcome": self.outcome,
            "settings": dataclasses.asdict(self.settings),
            "rows": self.rows,
            "networks": self.networks,
            "best_epochs": self.best_epochs,
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


class BestEpoch(EarlyStopping):
    """Callback that keeps a network's weights of the best epoch, those before the first included.

    `first` is the loss of the initial weights on the validation rows.
    """

    def __init__(self, network: Sequential, first: float, patience: int):
        super().__init__(patience=patience)
        self._network, self._start, self.first = network, network.state_dict(), first

    def on_train_begin(self, training: Training) -> None:
        """Take the initial weights as those of epoch 0."""
        super().on_train_begin(training)
        if training.epoch == 0:
            self.best, self._weights = self.first, self._start

    def trained(self, history: History) -> recipe.Trained:
        """Return what is known of the network after its training."""
        after = [each for each in history.val_loss if each is not None]
        return recipe.Trained(self._network, self._start, [self.first, *after], self.best_epoch)


def _seeds(seed: int) -> tuple[int, int]:
    """Return two seeds: of initial weights, and of the order of rows and dropout."""
    weights, order = np.random.SeedSequence(seed).generate_state(2, np.uint64) >> np.uint64(1)
    return int(weights), int(order)


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


def _scaling(settings: Settings, dataset: Dataset) -> list[Layer]:
    """Return the first layers, which scale the inputs."""
    if settings.recipe == "tables":
        return recipe.scaling(dataset, settings.dtype)
    return [Normalize(dataset.mean, dataset.std, settings.dtype)]


def _parts(settings: Settings, dataset: Dataset, seed: int) -> list[tuple[Any, Any]]:
    """Return the rows to train on and to validate on, for each network.

    There are several networks if the validation share is None, and None stands for the test rows
    if it is 0.
    """
    rows, share = len(dataset.x_train), settings.validation
    groups = dataset.groups
    if share is None and groups is None and dataset.keys is not None:
        share = RECIPES["plain"]["validation"]  # rows are in the order of times
    if share is None:
        return list(recipe.folds(dataset.y_train, bool(dataset.classes), seed, groups))
    if share == 0:
        return [(slice(None), None)]
    held_out = max(1, round(share * rows))
    if held_out >= rows:
        raise SettingError("validation", f"{share} of {rows} training rows leaves none to train on")
    # The last rows are the latest, or a random sample: of rows, or of groups.
    end = rows - held_out
    if groups is not None and len(ends := np.flatnonzero(np.diff(groups)) + 1):
        end = int(ends[np.abs(ends - end).argmin()])
    return [(slice(end), slice(end, rows))]


def _finite_only(value: Any) -> Any:
    """Return nested numbers with None for non-finite ones, which JSON cannot hold."""
    if isinstance(value, dict):
        return {name: _finite_only(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite_only(each) for each in value]
    return value if value is not None and math.isfinite(value) else None
