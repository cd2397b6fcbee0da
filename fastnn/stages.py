"""Stages: what a layer, or a few together, emit into a program.

A layer that is to be compiled gets a stage here, and its instructions functions in
`kernels.instructions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

import kernels
from fastnn.layers import Activation, Dropout, Flatten, Identity, Linear, Softmax
from fastnn.optimizers import Optimizer
from fastnn.sequential import Sequential
from kernels import epoch, instructions
from kernels.dropout import keep_scale, keep_words, mask_columns
from kernels.jit import Routine, real_type
from kernels.memory import address, leading_dimension, padded

_IDENTITY = kernels.ACTIVATIONS["identity"]


class UnsupportedError(Exception):
    """A chain or loss that no program can express; the message names what."""


@dataclass(frozen=True)
class Block:
    """A batch of rows in the arena: where it begins, its columns, and how far rows are apart.

    `activation` is the function its producer applied last, whose gradient is still to
    be taken by whoever computes the gradient of this block.
    """

    address: int
    columns: int
    ld: int
    activation: int = _IDENTITY

    @property
    def place(self) -> tuple[int, int]:
        """Address and leading dimension, as instructions take them."""
        return self.address, self.ld


@dataclass
class Builder:
    """Collects instructions, and hands out the arena from its base address on."""

    batch: int
    dtype: np.dtype
    base: int = 0
    rows: list[list[int]] = field(default_factory=list)
    kept: list[np.ndarray] = field(default_factory=list)
    taken: int = 0

    def take(self, elements: int, dtype=None) -> int:
        """Address of fresh memory for so many elements."""
        dtype = np.dtype(dtype or self.dtype)
        place = self.base + self.taken
        self.taken += padded(elements, dtype) * dtype.itemsize
        return place

    def block(self, columns: int, activation: int = _IDENTITY) -> Block:
        """Fresh memory for a batch."""
        ld = leading_dimension(columns, self.dtype)
        return Block(self.take(self.batch * ld), columns, ld, activation)

    def keep(self, array: np.ndarray) -> int:
        """Address of an array that is to live as long as the program."""
        self.kept.append(array)
        return address(array)

    def emit(self, kind: Routine, *operands: int, wait: bool = True) -> None:
        """Add an instruction; `wait` says that all threads finish it before the next."""
        row = [kind.address(real_type(self.dtype)), int(wait), *operands]
        self.rows.append(row + [0] * (epoch.COLUMNS - len(row)))

    def through_activation(self, gradient: Block, output: Block) -> Block:
        """The gradient before a block's activation, from the one after it."""
        if output.activation != _IDENTITY:
            self.emit(
                instructions.activation_gradient, output.activation, output.columns,
                *output.place, *gradient.place, *gradient.place,
            )  # fmt: skip
        return gradient


# -------------------------------------------------------------------------- stages


class Stage:
    """A layer, or a few together, in a program."""

    input: Block

    def forward(self, build: Builder, x: Block, training: bool) -> Block:
        """Emit the forward pass and give the output."""
        raise NotImplementedError

    def backward(self, build: Builder, gradient: Block, optimizer: Optimizer, first: bool) -> Block:
        """Emit the backward pass; give the gradient before the activation of the input.

        Nothing needs the gradient with respect to the input of the first stage.
        """
        raise NotImplementedError


class LinearStage(Stage):
    """y = f(x W^T + b)."""

    def __init__(self, layer: Linear, activation: int = _IDENTITY):
        self.layer, self.activation = layer, activation

    def forward(self, build, x, training):
        layer = self.layer
        if x.columns != layer.in_features:
            raise ValueError(f"{layer!r} gets {x.columns} columns; expected {layer.in_features}")
        self.input = x
        y = build.block(layer.out_features, self.activation)
        build.emit(
            instructions.linear, layer.in_features, layer.out_features, self.activation, *x.place,
            *_weight(layer), address(layer._bias.memory), *y.place,
        )  # fmt: skip
        return y

    def backward(self, build, gradient, optimizer, first):
        layer, x = self.layer, self.input
        sizes = layer.in_features, layer.out_features
        below = gradient
        if not first:
            below = build.block(layer.in_features)
            build.emit(
                instructions.linear_input_gradient, *sizes, x.activation, *gradient.place,
                *_weight(layer), *x.place, *below.place,
            )  # fmt: skip
        self._emit_update(build, gradient, optimizer)
        return below

    def _emit_update(self, build, gradient, optimizer):
        """Update the parameters at once, or only write gradients that have to be clipped first."""
        layer, x = self.layer, self.input
        known = {id(parameter) for parameter in optimizer.parameters}
        learns = [id(parameter) in known for parameter in (layer._weight, layer._bias)]
        if not any(learns):
            return
        spare = build.take(max(layer._weight.span, layer._bias.span))
        places: list[int] = []
        memories: list[int] = []
        fused = optimizer.clip_norm is None
        for parameter, learning in zip((layer._weight, layer._bias), learns, strict=True):
            memory = parameter.memory if fused else parameter.gradient_memory
            places.append(address(memory) if learning else spare)
            memories += optimizer.memory_addresses(parameter) if learning else [spare, spare]
        build.emit(
            instructions.linear_update, layer.in_features, layer.out_features,
            *x.place, *gradient.place, places[0], _weight(layer)[1], places[1],
            optimizer.rule if fused else -1, optimizer.steps, address(optimizer.settings),
            *memories, wait=False,
        )  # fmt: skip


def _weight(layer: Linear) -> tuple[int, int]:
    """Address and leading dimension of a layer's weight."""
    return address(layer._weight.memory), layer._weight.memory_shape[1]


class ActivationStage(Stage):
    """y = f(x), where no linear layer comes before."""

    def __init__(self, activation: int):
        self.activation = activation

    def forward(self, build, x, training):
        self.input, self.output = x, build.block(x.columns)
        build.emit(
            instructions.activation, self.activation, x.columns, *x.place, *self.output.place
        )
        return self.output

    def backward(self, build, gradient, optimizer, first):
        y = self.output
        build.emit(
            instructions.activation_gradient, self.activation, y.columns,
            *y.place, *gradient.place, *gradient.place,
        )  # fmt: skip
        return build.through_activation(gradient, self.input)


class SoftmaxStage(Stage):
    """y = softmax(x)."""

    def forward(self, build, x, training):
        self.input, self.output = x, build.block(x.columns)
        build.emit(instructions.softmax_layer, x.columns, *x.place, *self.output.place)
        return self.output

    def backward(self, build, gradient, optimizer, first):
        y = self.output
        build.emit(
            instructions.softmax_gradient, y.columns, *y.place, *gradient.place, *gradient.place
        )
        return build.through_activation(gradient, self.input)


class DropoutStage(Stage):
    """y = x / (1 - p) where kept, else 0."""

    def __init__(self, layer: Dropout):
        self.layer = layer

    def forward(self, build, x, training):
        layer = self.layer
        self.drops = training and layer.p > 0.0
        self.input = x
        if not self.drops:
            return x
        y = build.block(x.columns)
        ld_mask = mask_columns(x.columns)
        self.mask = build.take(build.batch * ld_mask, np.uint8), ld_mask
        build.emit(
            instructions.dropout_layer, x.columns, *x.place, *y.place, *self.mask, layer.seed,
            layer.drawn, layer.stream, keep_words(layer.p), self._scale(),
        )  # fmt: skip
        return y

    def backward(self, build, gradient, optimizer, first):
        if not self.drops:
            return gradient
        build.emit(
            instructions.dropout_gradient, gradient.columns, *gradient.place, *self.mask,
            self._scale(), *gradient.place,
        )  # fmt: skip
        return build.through_activation(gradient, self.input)

    def _scale(self) -> int:
        return float_bits(keep_scale(self.layer.p))


def float_bits(number: float) -> int:
    """The bits of a number as an operand, which is an integer."""
    return int(np.float64(number).view(np.int64))


def flat_layers(model: Sequential) -> list:
    """Layers of a chain, and of the chains in it, in order."""
    layers: list = []
    for layer in model:
        layers += flat_layers(layer) if isinstance(layer, Sequential) else [layer]
    return layers


def stages_of(layers: Sequence) -> list[Stage]:
    """Stages that do what the layers do; raises UnsupportedError for a layer there is none for."""
    stages: list[Stage] = []
    for layer in layers:
        kind = type(layer)
        if kind in (Identity, Flatten):
            continue
        if kind is Linear:
            stages.append(LinearStage(layer))
        elif isinstance(layer, Activation) and kind.__module__ == Activation.__module__:
            code = kernels.ACTIVATIONS[layer.name]
            last = stages[-1] if stages else None
            if isinstance(last, LinearStage) and last.activation == _IDENTITY:
                last.activation = code
            else:
                stages.append(ActivationStage(code))
        elif kind is Softmax:
            stages.append(SoftmaxStage())
        elif kind is Dropout:
            stages.append(DropoutStage(layer))
        else:
            raise UnsupportedError(f"{kind.__name__} is not a layer that fastnn compiles")
    return stages
