"""What all stages have in common, and what several of them emit."""

from __future__ import annotations

import numpy as np

from fastnn.compiler.builder import Block, Builder, Place
from fastnn.nn.parameters import Parameter
from fastnn.optim.optimizers import Optimizer
from kernels.base.memory import address
from kernels.instructions import common as instructions


class UnsupportedError(Exception):
    """A chain or loss that no program can express; the message names what."""


class Stage:
    """A layer, or a few together, in a program."""

    input: Block
    learns = False
    """Whether there are parameters, so that a gradient has to come this far."""
    below: Stage | None = None
    """The stage that needs the gradient with respect to the input; None where none does."""
    above: Stage | None = None
    """The stage that takes the output; None where that is the model's."""

    def arrange(self, build: Builder, optimizer: Optimizer | None) -> None:
        """Find parameters, and borrow those that an optimizer changes, laid out as it likes."""

    def forward(self, build: Builder, x: Block, training: bool) -> Block:
        """Emit the forward pass and give the output."""
        raise NotImplementedError

    def gradient_block(self, build: Builder, columns: int) -> Block:
        """Fresh memory for a linear stage's gradient with respect to this one's output."""
        return build.block(columns)

    def backward(self, build: Builder, gradient: Block, optimizer: Optimizer) -> Block:
        """Emit the backward pass; give the gradient before the activation of the input."""
        raise NotImplementedError

    def track(self, build: Builder) -> None:
        """Emit what is to be noted of a batch whose loss is finite."""


def float_bits(number: float) -> int:
    """The bits of a number as an operand, which is an integer."""
    return int(np.float64(number).view(np.int64))


def emit_update(build: Builder, parameter: Parameter, place: Place, optimizer: Optimizer) -> None:
    """Update a parameter by its gradient, which lies where Python sees it."""
    build.emit(
        instructions.update, parameter.span, place.address, parameter.gradient_address,
        optimizer.rule_for(parameter), optimizer.steps, address(optimizer.settings),
        *place.memories, wait=False,
    )  # fmt: skip
