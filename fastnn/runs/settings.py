"""Settings of `fastnn train`: names, defaults and allowed values.

Importing this module is quick: layers, losses and optimizers, which know their own names, are
imported when a function here needs them.
"""

from __future__ import annotations

import difflib
import inspect
import json
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastnn.compiler.limits import MOST_THREADS
from fastnn.data.names import NAMES, TABLE, is_path, is_pattern

DEFAULT_LOSSES = {"classification": "cross-entropy", "regression": "mse"}
"""Name of the default loss of each task."""

SCHEDULES = {
    "linear": (),
    "constant": (),
    "step": ("step_size", "gamma"),
    "multi-step": ("milestones", "gamma"),
    "exponential": ("gamma",),
    "cosine": (),
    "warmup-cosine": ("warmup",),
    "one-cycle": (),
    "plateau": ("patience", "gamma"),
}
"""Names of schedules, and the settings that each takes."""

RECIPES: dict[str, dict[str, Any]] = {
    "plain": {
        "hidden": (100,),
        "optimizer": "sgd",
        "schedule": "linear",
        "batch_size": 32,
        "epochs": 30,
        "validation": 0.1,
    },
    "tables": {"optimizer": "adamw", "lr": 0.002, "schedule": "linear"},
}
"""Names of recipes, and the defaults that each sets; those that `tables` lacks depend on the rows
(`fastnn.runs.recipe`)."""

CLASS_WEIGHTS = ("none", "balanced")
DTYPES = ("float32", "float64")
OF_TABLES = (
    "task", "impute", "drop", "keep", "categorical", "numeric", "dates", "delimiter", "decimal",
    "thousands", "encoding", "header", "missing", "comment", "group", "time",
    "test_file",
)  # fmt: skip
_OF_OPTIMIZERS = ("lr", "momentum", "weight_decay")
_WIDEST = 1_000_000
_SEEDS = 2**32
_LARGEST = 1 << 1023  # integers below are floating-point numbers, too


class SettingError(ValueError):
    """Error for a value that is not allowed; `setting` is the name of the setting."""

    def __init__(self, setting: str, message: str):
        super().__init__(message)
        self.setting = setting

    def __reduce__(self):
        """Return all arguments for pickling, which by default keeps only the message."""
        return type(self), (self.setting, str(self))


@dataclass
class Settings:
    """Settings of a training run; None stands for a default that depends on other settings.

    What depends on the rows, too, is filled in by `choose_sizes`; a `validation` of None stays,
    and stands for folds.

    Raises SettingError for values that are not allowed.
    """

    dataset: str = "digits"
    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    dropout: float = 0.0
    loss: str | None = None
    optimizer: str | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    batch_size: int | None = None
    epochs: int | None = None
    subset: int | None = None
    validation: float | None = None
    seed: int = 0
    dtype: str = "float32"
    threads: int | None = None
    target: str | None = None
    task: str | None = None
    impute: bool = True
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    missing: tuple[str, ...] = ()
    comment: str | None = None
    group: str | None = None
    time: str | None = None
    test_file: str | None = None
    split_seed: int | None = None
    test: float = 0.2
    norm: str = "none"
    label_smoothing: float = 0.0
    class_weight: str = "none"
    clip_norm: float | None = None
    clip_value: float | None = None
    early_stopping: int | None = None
    step_size: int | None = None
    gamma: float | None = None
    milestones: tuple[int, ...] = ()
    warmup: int | None = None
    patience: int | None = None
    recipe: str | None = None

    def __post_init__(self) -> None:
        check_dataset(self.dataset)
        self._follow_recipe()
        self._check_names()
        self._check_optimizer()
        self._check_sizes()
        self._check_schedule()
        self._check_steps()

    @property
    def seed_of_split(self) -> int:
        """Seed that draws the test rows of a file."""
        return self.seed if self.split_seed is None else self.split_seed

    def _follow_recipe(self) -> None:
        """Fill in the recipe, which is that of tables for files, and the defaults that it sets."""
        if self.recipe is None:
            self.recipe = "tables" if is_path(self.dataset) else "plain"
        one_of("recipe", self.recipe, RECIPES)
        usual = dict(RECIPES[self.recipe])
        if self.optimizer not in (None, usual["optimizer"]):
            usual.pop("lr", None)  # it is for the recipe's own optimizer
        for name, value in usual.items():
            if getattr(self, name) is None:
                setattr(self, name, value)

    def choose_sizes(self, sizes: Mapping[str, Any]) -> None:
        """Fill in what the recipe for tables leaves to the numbers of rows and outputs."""
        for name, value in sizes.items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        if self.validation is None and self.norm != "none":  # such networks cannot be joined
            self.validation = RECIPES["plain"]["validation"]
        self._check_schedule()

    def _check_names(self) -> None:
        self._check_table()
        one_of("activation", self.activation, choices("activation"))
        if self.loss is not None:
            one_of("loss", self.loss, choices("loss"))
        assert self.optimizer is not None
        assert self.schedule is not None
        one_of("optimizer", self.optimizer, choices("optimizer"))
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("norm", self.norm, choices("norm"))
        one_of("class_weight", self.class_weight, CLASS_WEIGHTS)
        one_of("dtype", self.dtype, DTYPES)

    def _check_table(self) -> None:
        """Check the settings of a table, which only a file may have."""
        if self.task is not None:
            one_of("task", self.task, DEFAULT_LOSSES)
        seeds = f"an integer from 0 to {_SEEDS - 1}"
        self._expect("split_seed", seeds, self.split_seed is None or 0 <= self.split_seed < _SEEDS)
        if self.group is not None and self.time is not None:
            raise SettingError("time", "rows are split by group or by time, not by both")
        self._expect("test", "a number above 0 and below 1", 0 < self.test < 1)
        for name in ("target", *OF_TABLES):
            usual = Settings.__dataclass_fields__[name].default
            if getattr(self, name) != usual and not is_path(self.dataset):
                raise SettingError(
                    name,
                    f"data set {self.dataset} has a target and columns of its "
                    "own; this is for files",
                )

    def choose_loss(self, task: str) -> None:
        """Fill in the default loss of a task; raise SettingError if the given loss does not fit.

        A classification takes any loss, a regression only losses that are not of classes.
        """
        if self.loss is None:
            self.loss = DEFAULT_LOSSES[task]
        elif task == "regression" and choices("loss")[self.loss].of_classes:
            raise SettingError(
                "loss", f"{self.loss} is for classes; the target is numbers (regression)"
            )
        if task == "regression" and self.class_weight != "none":
            raise SettingError("class_weight", "the target is numbers (regression), not classes")
        if self.label_smoothing and not takes("loss", self.loss, "label_smoothing"):
            takers = ", ".join(takers_of("loss", "label_smoothing"))
            raise SettingError("label_smoothing", f"{self.loss} has none; only {takers} does")

    def _check_schedule(self) -> None:
        """Check the settings of the schedule; those that are None have defaults in `runs.run`."""
        for name in ("step_size", "gamma", "milestones", "warmup", "patience"):
            takers = [each for each, takes in SCHEDULES.items() if name in takes]
            if getattr(self, name) not in (None, ()) and self.schedule not in takers:
                raise SettingError(
                    name, f"schedule {self.schedule} does not take it; {', '.join(takers)} does"
                )
        for name, least in (("step_size", 1), ("warmup", 1), ("patience", 0)):
            value = getattr(self, name)
            self._expect(name, f"an integer of {least} or more", value is None or value >= least)
        self._expect("milestones", "epochs of 1 or more", all(m >= 1 for m in self.milestones))
        if self.warmup is not None and self.epochs is not None:
            self._expect("warmup", f"fewer epochs than {self.epochs}", self.warmup < self.epochs)
        top = 1.0 if self.schedule != "plateau" else math.nextafter(1.0, 0.0)
        allowed = self.gamma is None or 0 < self.gamma <= top
        self._expect("gamma", "a factor above 0 that lowers the rate", allowed)

    def _check_steps(self) -> None:
        """Check label smoothing, bounds on gradients and early stopping."""
        self._expect("label_smoothing", "a number from 0 to 1", 0 <= self.label_smoothing <= 1)
        for name in ("clip_norm", "clip_value"):
            bound = getattr(self, name)
            self._expect(name, "a number above 0", bound is None or 0 < bound < math.inf)
        patience = self.early_stopping
        self._expect("early_stopping", "a positive integer", patience is None or patience >= 1)

    def _check_optimizer(self) -> None:
        """Check the settings of the optimizer, and fill in its defaults."""
        assert self.optimizer is not None
        usual = optimizer_defaults(self.optimizer)
        if self.lr is None:
            self.lr = usual["lr"]
        if self.weight_decay is None:
            self.weight_decay = usual["weight_decay"]
        if self.momentum is None:
            self.momentum = usual.get("momentum")
        elif "momentum" not in usual:
            takers = " and ".join(takers_of("optimizer", "momentum"))
            raise SettingError("momentum", f"{self.optimizer} has no momentum; only {takers} do")
        assert self.lr is not None
        assert self.weight_decay is not None
        self._expect("lr", "a number above 0", 0 < self.lr < math.inf)
        self._expect("weight_decay", "a number of 0 or more", 0 <= self.weight_decay < math.inf)
        self._expect(
            "momentum",
            "a number from 0 to below 1",
            self.momentum is None or 0 <= self.momentum < 1,
        )

    def _check_sizes(self) -> None:
        if self.hidden == (0,):
            self.hidden = ()
        for width in self.hidden or ():
            if not 1 <= width <= _WIDEST:
                raise SettingError(
                    "hidden",
                    f"{width}; expected an integer from 1 to {_WIDEST}, or a single 0 for no layer",
                )
        self._expect("dropout", "a number from 0 to below 1", 0 <= self.dropout < 1)
        share = self.validation
        self._expect("validation", "a number from 0 to below 1", share is None or 0 <= share < 1)
        self._expect("seed", f"an integer from 0 to {_SEEDS - 1}", 0 <= self.seed < _SEEDS)
        for name in ("batch_size", "epochs", "subset"):
            number = getattr(self, name)
            self._expect(name, "a positive integer", number is None or number >= 1)
        self._expect(
            "threads",
            f"an integer from 1 to {MOST_THREADS}",
            self.threads is None or 1 <= self.threads <= MOST_THREADS,
        )

    def _expect(self, setting: str, description: str, allowed: bool) -> None:
        if not allowed:
            raise SettingError(setting, f"{getattr(self, setting)}; expected {description}")


def choices(setting: str) -> dict[str, Any]:
    """Return the allowed names of a setting, with the classes that they stand for.

    The modules of layers, losses and optimizers, and so numba, are imported.
    """
    from fastnn.nn import activations, losses, norms
    from fastnn.nn.kinds import public
    from fastnn.optim import optimizers

    homes = {"activation": activations, "loss": losses, "norm": norms, "optimizer": optimizers}
    kinds = public(homes[setting]).values()
    named = {kind.command_name: kind for kind in kinds if kind.command_name is not None}
    return {"none": None, **named} if setting == "norm" else named


def takes(setting: str, name: str, argument: str) -> bool:
    """Return whether the class that a setting names has an argument of that name."""
    kind = choices(setting).get(name)
    return kind is not None and argument in inspect.signature(kind).parameters


def takers_of(setting: str, argument: str) -> list[str]:
    """Return the names among a setting's choices whose classes have an argument."""
    return [name for name in choices(setting) if takes(setting, name, argument)]


def optimizer_defaults(optimizer: str) -> dict[str, float]:
    """Return the default values of an optimizer's settings."""
    kind = choices("optimizer")[optimizer]
    arguments = inspect.signature(kind).parameters
    usual = {name: each.default for name, each in arguments.items() if name in _OF_OPTIMIZERS}
    return usual | kind.command_settings


def check_dataset(name: str) -> None:
    """Raise SettingError unless a data set or a file has that name."""
    if not is_path(name):
        one_of("dataset", name, NAMES)
    elif name != TABLE and not Path(name).is_file() and not is_pattern(name):
        raise SettingError("dataset", f"there is no file {name}")


def one_of(setting: str, name: str, known: Iterable[str]) -> None:
    """Raise SettingError for an unknown name; the message has all known names and the closest."""
    known = list(known)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SettingError(setting, f"unknown name {name!r}; known: {', '.join(known)}{hint}")


def from_plain(plain: Mapping[str, Any]) -> Settings:
    """Return settings from plain values of JSON, where tuples are lists.

    Raises SettingError for values that are not allowed, TypeError for unknown names and other
    types.
    """
    return Settings(**{"recipe": "plain", **given_in(plain)})  # files of old do not name it


def given_in(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return what plain values give for settings; raise TypeError for other names or types."""
    given = {name: tuple(each) if type(each) is list else each for name, each in plain.items()}
    check_types(Settings, given)
    return given


def check_types(kind: type, given: Mapping[str, Any]) -> None:
    """Raise TypeError unless values are of the types that a dataclass has for their names."""
    hints = typing.get_type_hints(kind)
    for name, value in given.items():
        if name not in hints:
            raise TypeError(f"{name!r} is unknown; expected {', '.join(hints)}")
        if not _is_of(value, hints[name]):
            raise TypeError(f"{name} is {value!r}; expected {hints[name]}")


def _is_of(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type, an optional type, or a tuple of a type."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is_of(each, arguments[0]) for each in value)
    if arguments:
        return any(_is_of(value, each) for each in arguments)
    if hint is float:
        return type(value) is float or (type(value) is int and abs(value) < _LARGEST)
    return type(value) is hint


def key_of(settings: Settings) -> str:
    """Return a text that is equal for settings that produce the same model."""
    return json.dumps({**asdict(settings), "threads": None}, sort_keys=True)
