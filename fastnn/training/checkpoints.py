"""Checkpoints: files that hold all that a training needs to resume after an epoch.

A checkpoint is a model file, which `load` reads like any other, with the additional entry
`training` in its description: the states of optimizer, schedule, callbacks and random generator,
the order of the samples and the history. Its arrays are tensors named `training.*`.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fastnn.files import container
from fastnn.files.atomic import check_writable, locked, remove_partials, replacing
from fastnn.files.container import ModelFileError
from fastnn.files.locks import Held
from fastnn.files.models import (
    TRAINING,
    UnknownLayerError,
    check_tensors,
    description_of,
    made,
    parameters_among,
)
from fastnn.nn.kinds import dropouts
from fastnn.nn.sequential import Sequential
from fastnn.training.callbacks.callback import Callback, notify
from fastnn.training.training import Training

_MOST = 2**63  # a program's table holds int64
_MADE_UP = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
"""Errors that reading a forged or foreign state may cause."""


@dataclass
class TrainingState:
    """State of a training after an epoch, which can be saved and restored.

    `order` is the order of the samples, which `rng` shuffles. `parts` are the schedule and the
    callbacks; those that define `state_dict` are saved. `conditions` are plain values that must be
    equal in the resumed training. Of a custom layer only the parameters are saved.
    """

    training: Training
    order: np.ndarray
    rng: np.random.Generator
    parts: Iterable[Any] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = list(filter(_has_state, self.parts))
        self._model = self.training.model
        self._dropouts = dropouts(self._model)

    @cached_property
    def _description(self) -> dict[str, Any]:
        """Description of the model, computed once."""
        return _description(self._model)

    def check_kept(self) -> None:
        """Raise TypeError, naming the object, where a file cannot hold the model or a state."""
        _ = self._description
        container.separated(self._state(), TRAINING)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint atomically; raise OSError if the file cannot be written."""
        state, tensors = container.separated(self._state(), TRAINING)
        description = {**self._description, "link": self._model.link, TRAINING: state}
        content = container.packed(description, {**self._model.state_dict(), **tensors})
        with replacing(path) as file:
            file.write(content)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Restore the state that a checkpoint holds.

        Raises ModelFileError, and changes nothing, if the file is damaged or belongs to another
        training; the message says what differs. Raises OSError if the file cannot be read.
        """
        description, tensors = _read(path)
        with container.named(path):
            weights = parameters_among(tensors)
            check_tensors(self._model, weights)
            self._check_architecture(description["model"], weights)
            before = self._model.state_dict(), self._state()
            try:
                state = container.joined(description[TRAINING], tensors)
                self._check(state)
                self._take(weights, state)
                notify(
                    (each for each in self.parts if isinstance(each, Callback)),
                    "on_resume",
                    self.training,
                )
            except _MADE_UP as error:
                self._take(*before)
                if isinstance(error, ModelFileError):
                    raise
                raise ModelFileError(f"found a state that cannot be taken up: {error}") from error

    def _state(self) -> dict[str, Any]:
        training = self.training
        return {
            "epoch": training.epoch,
            "epochs": training.epochs,
            "stop": training.stop,
            "conditions": dict(self.conditions),
            "optimizer": _part(training.optimizer),
            "learning": [each.requires_grad for each in self._model.parameters()],
            "parts": [_part(part) for part in self.parts],
            "dropout": [[each.seed, each.stream, each.drawn] for each in self._dropouts],
            "random": self.rng.bit_generator.state,
            "order": self.order.copy(),
            "history": {name: list(values) for name, values in training.history.items()},
        }

    def _check_architecture(self, found: Any, weights: Mapping[str, np.ndarray]) -> None:
        """Raise ModelFileError if layers differ from this model's although their shapes agree.

        Another version may describe the same layers with other keys.
        """
        expected = self._description["model"]
        if found == expected:
            return
        with suppress(ModelFileError):
            if _description(made(found, "model", weights))["model"] == expected:
                return
        try:
            pairs = list(zip(_layers(expected), _layers(found), strict=False))
            differing = [(place, a, b) for (place, a), (_, b) in pairs if a != b]
            what = f"a model of {len(_layers(found))} layers; expected {len(_layers(expected))}"
            if differing:
                place, ours, theirs = differing[0]
                what = f"{_named(theirs)} as {place}; expected {_named(ours)}"
        except (AttributeError, LookupError, RecursionError, TypeError):
            what = "an architecture that cannot be read"
        raise ModelFileError(f"found {what}: the checkpoint is of another model")

    def _check(self, state: dict[str, Any]) -> None:
        """Raise ModelFileError if the state belongs to another training."""
        for what, found, expected in (
            ("", state["conditions"], dict(self.conditions)),
            ("optimizer ", state["optimizer"]["class"], _name(self.training.optimizer)),
            ("schedule and callbacks ", _names(state["parts"]), _names(map(_part, self.parts))),
            ("this many layers of dropout: ", len(state["dropout"]), len(self._dropouts)),
        ):
            if found != expected:
                raise ModelFileError(
                    f"found a training with {what}{_differing(found, expected)}; "
                    f"expected {what}{_differing(expected, found)}"
                )
        steps = state["optimizer"]["state"]["steps"]
        counts = [state["epoch"], steps, *itertools.chain(*state["dropout"])]
        if not all(type(count) is int and 0 <= count < _MOST for count in counts):
            raise ModelFileError(f"found counts {counts}; expected integers from 0 to {_MOST - 1}")
        epochs = self.training.epochs
        if not 0 < state["epoch"] <= epochs:
            raise ModelFileError(f"found {state['epoch']} epochs done; expected at most {epochs}")
        order = state["order"]
        # Kernels do not check these indices.
        if order.dtype != self.order.dtype or not np.array_equal(
            np.sort(order), np.sort(self.order)
        ):
            raise ModelFileError(f"found no order of {len(self.order):,} samples; expected one")
        if any(len(values) != state["epoch"] for values in state["history"].values()):
            raise ModelFileError(f"found a history that is not of {state['epoch']} epochs")

    def _take(self, weights: Mapping[str, np.ndarray], state: dict[str, Any]) -> None:
        training = self.training
        self._model.load_state_dict(weights)
        pairs = list(zip(self.parts, state["parts"], strict=True))
        pairs.append((training.optimizer, state["optimizer"]))
        if state["epochs"] != training.epochs:  # the schedule, restored last, sets the new rate
            pairs.reverse()
        for part, each in pairs:
            part.load_state_dict(each["state"])
        parameters = list(self._model.parameters())
        learning = state.get("learning", [each.requires_grad for each in parameters])
        for each, learns in zip(parameters, learning, strict=True):
            each.requires_grad_(learns)
        for layer, (seed, stream, drawn) in zip(self._dropouts, state["dropout"], strict=True):
            layer.reseed(seed, stream)
            layer.drawn = int(drawn)
        self.rng.bit_generator.state = state["random"]
        self.order[:] = state["order"]
        for name, values in training.history.items():
            values[:] = state["history"].get(name, [None] * state["epoch"])
        training.epoch, training.stop = int(state["epoch"]), bool(state["stop"])


class Checkpoints:
    """Writer of a training's state to `path`, every `every` epochs and after the last one.

    On entering, the path is locked and, with `resume`, the state is restored from the file, if it
    exists; on leaving, the lock is released. Without a path nothing is written. Raises ValueError
    for `resume` without a path, InUseError if another run has the path, OSError if the file cannot
    be written, and the errors of `TrainingState.check_kept` and `TrainingState.restore`.
    """

    def __init__(
        self, state: TrainingState, path: str | os.PathLike[str] | None, every: int, resume: bool
    ):
        if path is None and resume:
            raise ValueError("resume is True; expected the path of a checkpoint with it")
        self._state, self._path, self._every, self._resume = state, path, every, resume
        self._lock: Held | None = None

    def __enter__(self) -> Checkpoints:
        if self._path is not None:
            check_writable(self._path)
            # A callback may change the current folder: the lock and the file stay where they are.
            self._path = os.path.abspath(self._path)
            self._state.check_kept()
            self._lock = locked(self._path)
            try:
                self._begin(self._path)
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def _begin(self, path: str | os.PathLike[str]) -> None:
        remove_partials(path)
        if self._resume and os.path.exists(path):
            self._state.restore(path)

    def save_if_due(self) -> None:
        """Write a checkpoint if one is due after this epoch."""
        training = self._state.training
        last = training.stop or training.epoch == training.epochs
        if self._path is not None and (last or training.epoch % self._every == 0):
            assert self._lock is not None
            self._lock.check()
            self._state.save(self._path)


def parts_in(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return class names and states of the schedule and the callbacks in a checkpoint.

    Raises ModelFileError if the file is not a complete checkpoint, OSError if it cannot be read.
    """
    description, tensors = _read(path)
    with container.named(path):
        try:
            return [
                {"class": part["class"], "state": container.joined(part["state"], tensors)}
                for part in description[TRAINING]["parts"]
            ]
        except _MADE_UP as error:
            raise ModelFileError(f"found parts that cannot be read: {error}") from error


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return description and tensors of a checkpoint; raise ModelFileError if incomplete."""
    found = container.read(path)
    with container.named(path):
        if found.description is None or TRAINING not in found.description:
            raise ModelFileError("found a model alone; expected the checkpoint of a training")
        if not found.checked:
            raise ModelFileError("found no checksum; expected the one that fastnn wrote")
    return found.description, found.tensors


def _description(model: Sequential) -> dict[str, Any]:
    """Return the description of a model as read back from JSON; None for custom layers.

    Raises the TypeError and ValueError of `save` for other models that cannot be saved.
    """
    try:
        return json.loads(json.dumps(description_of(model)))
    except UnknownLayerError:
        return {"model": None}


def _layers(described: Any, place: str = "model") -> list[tuple[str, Any]]:
    """Return places and descriptions of all layers, those of nested chains included."""
    if described is None:
        return []
    if described["class"] != "Sequential":
        return [(place, described)]
    inner = enumerate(described["layers"])
    return [found for i, each in inner for found in _layers(each, f"{place}[{i}]")]


def _named(described: Any) -> str:
    """Return a layer's description as a constructor call."""
    arguments = ", ".join(f"{name}={value}" for name, value in described["arguments"].items())
    return f"{described['class']}({arguments})"


def _has_state(part: Any) -> bool:
    """Return whether an object defines `state_dict` itself, not only by `Callback`."""
    return getattr(type(part), "state_dict", Callback.state_dict) is not Callback.state_dict


def _part(part: Any) -> dict[str, Any]:
    return {"class": _name(part), "state": part.state_dict()}


def _name(part: Any) -> str:
    return type(part).__name__


def _names(parts: Iterable[Mapping[str, Any]]) -> list[str]:
    return [part["class"] for part in parts]


def _differing(one: Any, other: Any) -> str:
    """Return one value as text for a message; of a dict only entries that differ from `other`."""
    if not isinstance(one, dict):
        return str(one)
    return ", ".join(
        f"{name} {value}"
        for name, value in one.items()
        if name not in other or other[name] != value
    )
