"""Checkpoints: what decides how a training goes on after an epoch, in one file.

A checkpoint is a model file, which `load` reads as one, with the entry `training` in its
description: the states of optimizer, callbacks and random numbers, the order of the samples and
the history. Arrays among them are tensors whose names begin with `training.`.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fastnn.files import container
from fastnn.files.atomic import check_writable, remove_partials, replacing
from fastnn.files.container import ModelFileError
from fastnn.files.models import (
    TRAINING,
    UnknownLayerError,
    check_tensors,
    description_of,
    parameters_among,
)
from fastnn.nn.dropout import Dropout
from fastnn.nn.sequential import Sequential, every_layer
from fastnn.training.callbacks.callback import Callback
from fastnn.training.training import Training

_MOST = 2**63  # what a program's table holds
_MADE_UP = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
"""What a state that no training wrote may lead to."""


@dataclass
class TrainingState:
    """All that changes from epoch to epoch, to be saved after one and taken up again.

    `order` is that of the samples, which `rng` shuffles. `parts` are schedule and callbacks; those
    with a `state_dict` of their own are kept. `conditions` are plain values that
    must be the same for a training to go on as it would have. A layer of the user's own is kept by
    its parameters alone.
    """

    training: Training
    order: np.ndarray
    rng: np.random.Generator
    parts: Iterable[Any] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = list(filter(_has_state, self.parts))
        self._model = self.training.model
        self._dropouts = [x for x in every_layer([self._model]) if isinstance(x, Dropout)]

    @cached_property
    def _description(self) -> dict[str, Any]:
        """The model's description."""
        return _description(self._model)

    def check_kept(self) -> None:
        """Raise TypeError, naming it, for a model or a part's state that a file cannot keep."""
        _ = self._description
        container.separated(self._state(), TRAINING)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, whole or not at all; raises OSError where it cannot be written."""
        state, tensors = container.separated(self._state(), TRAINING)
        description = {**self._description, TRAINING: state}
        content = container.packed(description, {**self._model.state_dict(), **tensors})
        with replacing(path) as file:
            file.write(content)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Take up the state that a checkpoint holds.

        Raises ModelFileError, with everything as it was, for a file that is damaged or of another
        training than this one, and says what differs; and OSError where it cannot be read.
        """
        description, tensors = _read(path)
        with container.named(path):
            weights = parameters_among(tensors)
            check_tensors(self._model, weights)
            self._check_architecture(description["model"])
            before = self._model.state_dict(), self._state()
            try:
                state = container.joined(description[TRAINING], tensors)
                self._check(state)
                self._take(weights, state)
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
            "parts": [_part(part) for part in self.parts],
            "dropout": [[each.seed, each.stream, each.drawn] for each in self._dropouts],
            "random": self.rng.bit_generator.state,
            "order": self.order.copy(),
            "history": {name: list(values) for name, values in vars(training.history).items()},
        }

    def _check_architecture(self, found: Any) -> None:
        """Raise ModelFileError for layers that are not this model's, though their shapes are."""
        expected = self._description["model"]
        if found == expected:
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
        """Raise ModelFileError for a state that is of another training."""
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
        # Kernels read samples at these places unchecked.
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
        if state["epochs"] != training.epochs:  # of another schedule: the rate is the new one's
            pairs.reverse()
        for part, each in pairs:
            part.load_state_dict(each["state"])
        for layer, (seed, stream, drawn) in zip(self._dropouts, state["dropout"], strict=True):
            layer.reseed(seed, stream)
            layer.drawn = int(drawn)
        self.rng.bit_generator.state = state["random"]
        self.order[:] = state["order"]
        for name, values in vars(training.history).items():
            values[:] = state["history"].get(name, [None] * state["epoch"])
        training.epoch, training.stop = int(state["epoch"]), bool(state["stop"])


class Checkpoints:
    """Writes a training's state to `path` after `every` so many epochs, and after the last.

    Where `resume` is true and there is a file, the training takes up what it holds. With no path
    nothing is written. Raises ValueError for `resume` without a path, OSError, naming it, where a
    file cannot be written, and what `TrainingState`'s methods do.
    """

    def __init__(self, state: TrainingState, path: str | os.PathLike[str] | None, every: int,
                 resume: bool):  # fmt: skip
        self._state, self._path, self._every = state, path, every
        if path is None:
            if resume:
                raise ValueError("resume is True; expected the path of a checkpoint with it")
            return
        check_writable(path)
        state.check_kept()
        remove_partials(path)
        if resume and os.path.exists(path):
            state.restore(path)

    def save_if_due(self) -> None:
        """Write a checkpoint if this is an epoch after which there should be one."""
        training = self._state.training
        last = training.stop or training.epoch == training.epochs
        if self._path is not None and (last or training.epoch % self._every == 0):
            self._state.save(self._path)


def parts_in(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Class names and states of the parts that a checkpoint holds, such as callbacks.

    Raises ModelFileError for a file that is no whole checkpoint, OSError where it cannot be read.
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
    """Description and tensors of a file that is a whole checkpoint."""
    found = container.read(path)
    with container.named(path):
        if found.description is None or TRAINING not in found.description:
            raise ModelFileError("found a model alone; expected the checkpoint of a training")
        if not found.checked:
            raise ModelFileError("found no checksum; expected the one that fastnn wrote")
    return found.description, found.tensors


def _description(model: Sequential) -> dict[str, Any]:
    """Description of a model, as a file gives it back; of layers of the user's own there is none.

    Raises TypeError and ValueError as `save` does for other models that cannot be saved.
    """
    try:
        return json.loads(json.dumps(description_of(model)))
    except UnknownLayerError:
        return {"model": None}


def _layers(described: Any, place: str = "model") -> list[tuple[str, Any]]:
    """Descriptions of all layers, chains apart, and their places."""
    if described is None:
        return []
    if described["class"] != "Sequential":
        return [(place, described)]
    inner = enumerate(described["layers"])
    return [found for i, each in inner for found in _layers(each, f"{place}[{i}]")]


def _named(described: Any) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in described["arguments"].items())
    return f"{described['class']}({arguments})"


def _has_state(part: Any) -> bool:
    """Whether a part has a state of its own, rather than the one of all callbacks."""
    return getattr(type(part), "state_dict", Callback.state_dict) is not Callback.state_dict


def _part(part: Any) -> dict[str, Any]:
    return {"class": _name(part), "state": part.state_dict()}


def _name(part: Any) -> str:
    return type(part).__name__


def _names(parts: Iterable[Mapping[str, Any]]) -> list[str]:
    return [part["class"] for part in parts]


def _differing(one: Any, other: Any) -> str:
    """What is said of one thing that differs from another: of dicts, the entries that do."""
    if not isinstance(one, dict):
        return str(one)
    return ", ".join(
        f"{name} {value}"
        for name, value in one.items()
        if name not in other or other[name] != value
    )
