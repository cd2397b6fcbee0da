"""The base class of optimizers, which work on the flat memory of parameters.

All settings may be changed between steps (`optimizer.lr = 0.01`). The arrays that an optimizer
remembers, such as momentum, have the memory layout of the parameters.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np

from fastnn.nn.parameters import Parameter, copy_into
from kernels.base.arrays import count, is_number
from kernels.base.memory import lasting, lasting_zeros
from kernels.functions import updates


class Setting:
    """An attribute that is stored in the kernels' array of settings, and checked when it is set."""

    def __init__(self, place: int, low: float, high: float, description: str):
        self.place, self.low, self.high, self.description = place, low, high, description

    def __set_name__(self, owner, name: str) -> None:
        self.name = name

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else float(optimizer.settings[self.place])

    def __set__(self, optimizer, value: float) -> None:
        number = is_number(value)
        if not number or not self.low <= value <= self.high:
            kind = type(optimizer).__name__
            name = self.name.removeprefix("_")
            error = ValueError if number else TypeError
            raise error(f"{kind}: {name} is {value!r}; expected {self.description}")
        optimizer.settings[self.place] = value


BELOW_ONE = float(np.nextafter(1.0, 0.0))
_LARGEST = float(np.finfo(np.float64).max)


class Optimizer:
    """Base class of optimizers.

    Before a step, `clip_value` bounds the elements of the gradient and `clip_norm` the
    Euclidean norm of the whole gradient, as `torch.nn.utils.clip_grad_value_` and
    `clip_grad_norm_` do; None does not clip. Nothing is learned from a gradient whose norm, to be
    clipped, is infinite or NaN; a RuntimeWarning says so once.
    """

    command_name: str | None = None
    """Name on the command line; None if the optimizer is not offered there."""
    command_settings: Mapping[str, float] = {}
    """Defaults on the command line that differ from the constructor's."""
    _told = False  # that a step was skipped
    momentum_place: int | None = None
    """Index of the setting that `OneCycleLR` lowers while it raises the learning rate, or None."""

    _lr = Setting(updates.LEARNING_RATE, 0.0, _LARGEST, "a number of 0 or more")
    weight_decay = Setting(updates.WEIGHT_DECAY, 0.0, _LARGEST, "a number of 0 or more")
    _clip_value = Setting(updates.CLIP_VALUE, 0.0, np.inf, "a number of 0 or more, or None")
    _clip_norm = Setting(updates.CLIP_NORM, 0.0, np.inf, "a number of 0 or more, or None")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        weight_decay: float,
        clip_value: float | None,
        clip_norm: float | None,
    ):
        self._parameters = tuple(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"{type(self).__name__}: got a {type(parameter).__name__}; expected "
                    "Parameters, such as model.parameters() gives"
                )
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError(f"{type(self).__name__}: a parameter is there twice")
        self._settings = lasting_zeros(updates.SETTINGS, np.float64)
        self.settings[updates.GRADIENT_SCALE] = 1.0
        self.initial_lr: float | None = None
        """Learning rate from which schedules start; None until there is a schedule."""
        self.lr, self.weight_decay = lr, weight_decay
        self.clip_value, self.clip_norm = clip_value, clip_norm
        self.steps = 0
        self._remember()

    @property
    def rule(self) -> updates.Rule:
        """The formula of a step, and the number of arrays that it remembers."""
        raise NotImplementedError(f"{type(self).__name__} does not define rule")

    def _remember(self) -> None:
        """Allocate the memories: for each dtype, arrays with the layout of the parameters."""
        self._starts: list[int] = []
        totals: dict[np.dtype, int] = {}
        for parameter in self.parameters:
            start = totals.get(parameter.dtype, 0)
            self._starts.append(start)
            totals[parameter.dtype] = start + parameter.span
        memories = self.rule.memories
        self._memory = {
            dtype: lasting_zeros(memories * size, dtype).reshape(memories, size)
            for dtype, size in totals.items()
        }

    @cached_property
    def _arrays(self) -> list[tuple[Parameter, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """The parameters, and flat views of each one's values, gradient and memories."""
        return [
            (each, (each.memory, each.gradient_memory, self._memories_at(place)))
            for place, each in enumerate(self.parameters)
        ]

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_arrays"}

    def __setstate__(self, state: dict) -> None:
        # Unpickled arrays may be read-only, mapped from a file, or not aligned.
        vars(self).update(state)
        older, self._settings = self._settings, lasting_zeros(updates.SETTINGS, np.float64)
        self.settings[: len(older)] = older  # older pickles have fewer settings
        self._memory = {
            dtype: lasting(array.reshape(-1)).reshape(array.shape)
            for dtype, array in self._memory.items()
        }

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        return self._parameters

    @property
    def learning(self) -> tuple[Parameter, ...]:
        """The parameters that learn now, in order: those whose `requires_grad` is true."""
        return tuple(each for each in self.parameters if each.requires_grad)

    @property
    def settings(self) -> np.ndarray:
        """The kernels' array of settings, as a view; assigning copies values into it."""
        return self._settings[:]

    @settings.setter
    def settings(self, values) -> None:
        copy_into(self.settings, values, "settings")

    @property
    def memory(self) -> dict[np.dtype, np.ndarray]:
        """Views of the memories of each dtype, (memories, size); assigning copies into them."""
        return {dtype: array[:] for dtype, array in self._memory.items()}

    @memory.setter
    def memory(self, arrays: Mapping) -> None:
        for dtype, array in self.memory.items():
            copy_into(array, arrays[dtype], "memory")

    def knows(self, parameter: Parameter) -> bool:
        """Return True if the optimizer updates this parameter."""
        return any(each is parameter for each in self.parameters)

    def memories_of(self, parameter: Parameter) -> np.ndarray:
        """Return the memories of a parameter, (memories, span), as a view."""
        place = next(i for i, each in enumerate(self.parameters) if each is parameter)
        return self._memories_at(place)

    def _memories_at(self, place: int) -> np.ndarray:
        parameter, start = self.parameters[place], self._starts[place]
        return self._memory[parameter.dtype][:, start : start + parameter.span]

    @property
    def steps(self) -> int:
        """Number of steps done, of 0 or more; rules such as Adam's depend on it."""
        return vars(self)["steps"]

    @steps.setter
    def steps(self, value: int) -> None:
        vars(self)["steps"] = count(f"{type(self).__name__}: steps", value, 0)

    @property
    def lr(self) -> float:
        """Learning rate; schedules start from the value that was set last."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr, self.initial_lr = value, None

    @property
    def clip_value(self) -> float | None:
        """Bound on the elements of the gradient, or None."""
        return None if np.isinf(self._clip_value) else self._clip_value

    @clip_value.setter
    def clip_value(self, bound: float | None) -> None:
        self._clip_value = np.inf if bound is None else bound

    @property
    def clip_norm(self) -> float | None:
        """Bound on the norm of the gradient, or None."""
        return None if np.isinf(self._clip_norm) else self._clip_norm

    @clip_norm.setter
    def clip_norm(self, bound: float | None) -> None:
        self._clip_norm = np.inf if bound is None else bound
        self.settings[updates.GRADIENT_SCALE] = 1.0  # the last scale is of the old bound

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for parameter in self.parameters:
            parameter.gradient_memory.fill(0)

    def step(self) -> None:
        """Update all parameters that learn by their gradients."""
        scale = 1.0
        if self.clip_norm is not None:
            norm = updates.gradient_norm(
                gradient for each, (_, gradient, _) in self._arrays if each.requires_grad
            )
            scale = updates.clip_factor.py_func(norm, self.clip_norm)
            if math.isnan(scale):
                self.settings[updates.SKIPPED] += 1
                self.tell_skipped(stacklevel=3)
        self.settings[updates.GRADIENT_SCALE] = scale
        rule, steps, settings = self.rule, self.steps, self.settings
        for each, arrays in self._arrays:
            if each.requires_grad:
                updates.update_flat(rule, each.decays, steps, settings, *arrays)
        self.steps += 1

    def tell_skipped(self, stacklevel: int) -> None:
        """Warn, once, if a gradient could not be clipped and its step was skipped."""
        if self.settings[updates.SKIPPED] and not self._told:
            self._told = True
            warnings.warn(
                f"{type(self).__name__}: the norm of a gradient is infinite or NaN; nothing is "
                "learned from such a step",
                RuntimeWarning,
                stacklevel,
            )

    def state_dict(self) -> dict:
        """Return copies of the settings, the number of steps, and each parameter's memories."""
        return {
            "rule": self.rule.name,
            "settings": self.settings.copy(),
            "steps": self.steps,
            "memory": [[np.array(each) for each in views] for views in self._seen()],
        }

    def load_state_dict(self, state: dict) -> None:
        """Restore a state; raise ValueError if it is of another kind of model or optimizer."""
        shapes = [[each.shape for each in views] for views in self._seen()]
        given = [[np.shape(each) for each in arrays] for arrays in state["memory"]]
        if shapes != given:
            raise ValueError(
                f"{type(self).__name__}: the state remembers arrays of shapes {given}; "
                f"expected {shapes}"
            )
        rule = state.get("rule", self.rule.name)  # older states have no entry
        if rule != self.rule.name:
            raise ValueError(
                f"{type(self).__name__}: the state is of an optimizer with the rule {rule}; "
                f"expected {self.rule.name}"
            )
        if state["settings"][updates.DECOUPLED] != self.settings[updates.DECOUPLED]:
            raise ValueError(
                f"{type(self).__name__}: the state is of an optimizer with the other weight decay "
                "(Adam's is added to the gradient, AdamW's is not)"
            )
        given = state["settings"]
        self.settings[: len(given)] = given  # older states have fewer settings
        self.steps = int(state["steps"])
        for views, values in zip(self._seen(), state["memory"], strict=True):
            for view, value in zip(views, values, strict=True):
                view[...] = value

    def _seen(self) -> Iterator[list[np.ndarray]]:
        """Return the memories of each parameter, in its shape."""
        for place, parameter in enumerate(self.parameters):
            yield [parameter.seen_in(array) for array in self._memories_at(place)]

    def _describe(self) -> dict:
        return {"lr": self.lr}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._describe().items())
        return f"{type(self).__name__}({arguments})"
