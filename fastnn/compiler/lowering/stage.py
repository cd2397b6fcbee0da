"""Stages, which emit the instructions of one layer or of several layers together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastnn.compiler.builder import Block, Builder
from fastnn.nn.parameters import Parameter
from fastnn.optim.optimizer import Optimizer
from kernels.base.kinds import Memory, Update
from kernels.instructions import updates as instructions


class UnsupportedError(Exception):
    """A layer or loss that no program can express; the message names it."""


@dataclass(frozen=True)
class Place:
    """Addresses at which a program has a parameter and the optimizer's memories of it.

    Rows of a matrix are `ld` elements apart, and panels `panel` elements (0 without panels, see
    `kernels.product.panels`); the parameter takes `span` elements in all.
    """

    pointer: int
    span: int
    ld: int
    panel: int
    memory: Memory

    @classmethod
    def of(cls, build: Builder, parameter: Parameter) -> Place:
        """Return the place of a parameter's own memory, which Python reads."""
        _check_dtype(build, parameter)
        pointer, ld = build.keep(parameter.memory), parameter.memory_shape[-1]
        return cls(pointer, parameter.span, ld, 0, Memory(pointer, 0))


def _check_dtype(build: Builder, parameter: Parameter) -> None:
    """Raise ValueError for a parameter of another dtype, which a thread may have put there."""
    if parameter.dtype != build.dtype:
        raise ValueError(f"a parameter is {parameter.dtype} now; expected {build.dtype}")


class Learning:
    """An optimizer, and how a program updates parameters by it.

    If `fused`, each block of a gradient updates its parameters as soon as it is computed; else
    gradients are written to `Parameter.grad`.
    """

    def __init__(self, optimizer: Optimizer, fused: bool):
        self.optimizer, self.fused = optimizer, fused
        self._places: dict[int, Place] = {}

    def knows(self, parameter: Parameter) -> bool:
        """Return True if the optimizer updates this parameter."""
        return parameter.requires_grad and self.optimizer.knows(parameter)

    def place(self, build: Builder, parameter: Parameter, columns: int = 0) -> Place:
        """Borrow a parameter and the optimizer's memories of it; return their place.

        Parameters that are not updated stay in their own memory. Where `columns`, the number of
        columns of the parameter's matrix, is not 0, the copies are in panels.
        """
        if not self.knows(parameter):
            return Place.of(build, parameter)
        if id(parameter) not in self._places:
            self._places[id(parameter)] = self._borrow(build, parameter, columns)
        return self._places[id(parameter)]

    def _borrow(self, build: Builder, parameter: Parameter, columns: int) -> Place:
        _check_dtype(build, parameter)
        ld, span = parameter.memory_shape[-1], parameter.span
        rows = parameter.memory_shape[0] if columns else 1
        memories = list(self.optimizer.memories_of(parameter))
        copy, memory = build.borrow(parameter.memory, rows, columns or span, ld, True, memories)
        remembered = Memory(memory.pointer, memory.size)
        if not columns:
            return Place(copy.pointer, span, ld, 0, remembered)
        return Place(copy.pointer, copy.size, copy.ld, copy.panel, remembered)

    def update_of(self, build: Builder, parameter: Parameter, fused: bool = True) -> Update:
        """Return the update of a parameter; unless `fused` it only writes the gradient."""
        optimizer = self.optimizer
        rule = optimizer.rule.routine.address(build.real) if fused else 0
        settings = build.keep(optimizer.settings)
        return Update(rule, bool(parameter.decays), optimizer.steps, settings)

    def emit_update(self, build: Builder, parameter: Parameter) -> None:
        """Emit the update of a parameter by the gradient in `Parameter.grad`."""
        place = self.place(build, parameter)
        build.emit(
            instructions.update,
            size=parameter.span,
            p=place.pointer,
            g=parameter.gradient_memory,
            memory=place.memory,
            how=self.update_of(build, parameter),
            wait=False,
        )


class Stage:
    """One layer, or several together, in a program."""

    input: Block
    learns = False
    """True if there are parameters, which need the gradient of the output."""
    below: Stage | None = None
    """The stage that needs the gradient of the input; None if no stage does."""
    couples_rows = False
    """True if a row of the output depends on other rows of the batch, also without training."""
    above: Stage | None = None
    """The stage that takes the output; None for the last stage."""

    def __init__(self, layer: Any):
        self.layer = layer

    def absorbs(self, layer: Any) -> bool:
        """Return True if this stage also does the work of `layer`, which follows it."""
        return False

    def arrange(self, build: Builder, learning: Learning | None) -> None:
        """Set the places of the parameters, in the layout that this stage reads."""

    def forward(self, build: Builder, x: Block, training: bool) -> Block:
        """Emit the forward pass, and return the output."""
        raise NotImplementedError

    def gradient_block(self, build: Builder, columns: int) -> Block:
        """Return new memory for the gradient of the output, which a linear stage computes."""
        return build.block(columns)

    def backward(self, build: Builder, gradient: Block, learning: Learning) -> Block:
        """Emit the backward pass; return the gradient of the input, before its activation."""
        raise NotImplementedError

    def track(self, build: Builder) -> None:
        """Emit the update of statistics by a batch, after its loss was found finite."""


STAGES: dict[type, type[Stage] | None] = {}
"""Stages by the classes (or base classes) of their layers; None for layers that do nothing."""


def lowers(*layers: type) -> Callable[[type[Stage]], type[Stage]]:
    """Return a decorator that registers a class as the stage of these layers."""

    def register(stage: type[Stage]) -> type[Stage]:
        STAGES.update(dict.fromkeys(layers, stage))
        return stage

    return register


def place_of(build: Builder, parameter: Parameter, learning: Learning | None, columns=0) -> Place:
    """Return the place of a parameter: the program's own copy if the parameter is updated."""
    if learning is None:
        return Place.of(build, parameter)
    return learning.place(build, parameter, columns)


def stages_of(layers: Sequence, is_known: Callable[[Any], bool]) -> list[Stage]:
    """Return the stages of layers, which must be known.

    Raises UnsupportedError for a layer without a stage.
    """
    stages: list[Stage] = []
    for layer in layers:
        kind = next((each for each in type(layer).__mro__ if each in STAGES), None)
        if kind is None or not is_known(layer):
            raise UnsupportedError(f"{type(layer).__name__} is not a layer that fastnn compiles")
        stage = STAGES[kind]
        if stage is not None and not (stages and stages[-1].absorbs(layer)):
            stages.append(stage(layer))
    return stages
