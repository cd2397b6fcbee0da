"""Stages: what a layer, or a few together, emit into a program, and where they learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastnn.compiler.builder import Block, Builder
from fastnn.nn.parameters import Parameter
from fastnn.optim.optimizers import Optimizer
from kernels.base.kinds import Memory, Update
from kernels.base.memory import address
from kernels.instructions import updates as instructions


class UnsupportedError(Exception):
    """A chain or loss that no program can express; the message names what."""


@dataclass(frozen=True)
class Place:
    """Where a program has a parameter, and what an optimizer remembers of it.

    Rows of a matrix are `ld` elements apart, and panels `panel` (`kernels.product.panels`), which
    is 0 for one matrix; `span` elements are all of them.
    """

    pointer: int
    span: int
    ld: int
    panel: int
    memory: Memory

    @classmethod
    def of(cls, parameter: Parameter) -> Place:
        """Return where Python sees a parameter."""
        pointer, ld = parameter.address, parameter.memory_shape[-1]
        return cls(pointer, parameter.span, ld, 0, Memory(pointer, 0))


class Learning:
    """How a program learns: by an optimizer, at once or after gradients have been written.

    Where `fused`, parameters are updated by each block of their gradient as it is made; else
    gradients are written to where Python sees them.
    """

    def __init__(self, optimizer: Optimizer, fused: bool):
        self.optimizer, self.fused = optimizer, fused
        self._places: dict[int, Place] = {}

    def knows(self, parameter: Parameter) -> bool:
        """Return whether a parameter is one of those to update."""
        return self.optimizer.knows(parameter)

    def place(self, build: Builder, parameter: Parameter, columns: int = 0) -> Place:
        """Borrow a parameter and what is remembered of it, once, unless it is not to be updated.

        With `columns`, those of its matrix, it is borrowed in panels.
        """
        if not self.knows(parameter):
            return Place.of(parameter)
        if id(parameter) not in self._places:
            self._places[id(parameter)] = self._borrow(build, parameter, columns)
        return self._places[id(parameter)]

    def _borrow(self, build: Builder, parameter: Parameter, columns: int) -> Place:
        ld, span = parameter.memory_shape[-1], parameter.span
        rows = parameter.memory_shape[0] if columns else 1
        memories = self.optimizer.memory_addresses(parameter)
        copy, memory = build.borrow(parameter.address, rows, columns or span, ld, True, memories)
        remembered = Memory(memory.pointer, memory.size)
        if not columns:
            return Place(copy.pointer, span, ld, 0, remembered)
        return Place(copy.pointer, copy.size, copy.ld, copy.panel, remembered)

    def update_of(self, build: Builder, parameter: Parameter, fused: bool = True) -> Update:
        """Return how a parameter is updated, or where not `fused` its gradient written."""
        optimizer = self.optimizer
        rule = optimizer.rule.routine.address(build.real) if fused else 0
        return Update(rule, parameter.decays, optimizer.steps, address(optimizer.settings))

    def emit_update(self, build: Builder, parameter: Parameter) -> None:
        """Update a parameter by its gradient, which lies where Python sees it."""
        place = self.place(build, parameter)
        build.emit(
            instructions.update,
            size=parameter.span,
            p=place.pointer,
            g=parameter.gradient_address,
            memory=place.memory,
            how=self.update_of(build, parameter),
            wait=False,
        )


class Stage:
    """A layer, or a few together, in a program."""

    input: Block
    learns = False
    """Whether there are parameters, so that a gradient has to come this far."""
    below: Stage | None = None
    """The stage that needs the gradient with respect to the input; None where none does."""
    above: Stage | None = None
    """The stage that takes the output; None where that is the model's."""

    def __init__(self, layer: Any):
        self.layer = layer

    def absorbs(self, layer: Any) -> bool:
        """Take the next layer into this stage, if it can be, and return whether it was."""
        return False

    def arrange(self, build: Builder, learning: Learning | None) -> None:
        """Find parameters, and borrow those that are updated, laid out as this stage likes."""

    def forward(self, build: Builder, x: Block, training: bool) -> Block:
        """Emit the forward pass and return the output."""
        raise NotImplementedError

    def gradient_block(self, build: Builder, columns: int) -> Block:
        """Return fresh memory for a linear stage's gradient with respect to this one's output."""
        return build.block(columns)

    def backward(self, build: Builder, gradient: Block, learning: Learning) -> Block:
        """Emit the backward pass; return the gradient before the activation of the input."""
        raise NotImplementedError

    def track(self, build: Builder) -> None:
        """Emit what is to be noted of a batch whose loss is finite."""


STAGES: dict[type, type[Stage] | None] = {}
"""Stages by the classes of layers they are for, or that these derive from; None does nothing."""


def lowers(*layers: type) -> Callable[[type[Stage]], type[Stage]]:
    """Return a decorator that makes a class the stage of these layers."""

    def register(stage: type[Stage]) -> type[Stage]:
        STAGES.update(dict.fromkeys(layers, stage))
        return stage

    return register


def place_of(build: Builder, parameter: Parameter, learning: Learning | None, columns=0) -> Place:
    """Return where a program has a parameter: its own copy where it is to be updated."""
    if learning is None:
        return Place.of(parameter)
    return learning.place(build, parameter, columns)


def stages_of(layers: Sequence, known: Sequence[type]) -> list[Stage]:
    """Return stages that do what layers do, whose classes must be among the `known` ones.

    Raises UnsupportedError for a layer there is none for.
    """
    stages: list[Stage] = []
    for layer in layers:
        kind = next((each for each in type(layer).__mro__ if each in STAGES), None)
        if kind is None or type(layer) not in known:
            raise UnsupportedError(f"{type(layer).__name__} is not a layer that fastnn compiles")
        stage = STAGES[kind]
        if stage is not None and not (stages and stages[-1].absorbs(layer)):
            stages.append(stage(layer))
    return stages
