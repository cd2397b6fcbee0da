"""Lowers a chain, a loss and an optimizer to the table that the interpreter runs.

Layers become *stages*; a stage emits the instructions of its forward and backward
pass. An activation behind a linear layer is part of that stage. Everything a step
needs lies in one arena, laid out before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

import kernels
from fastnn.layers import Activation, Dropout, Flatten, Identity, Linear, Normalize, Softmax
from fastnn.losses import CrossEntropyLoss, Loss, MSELoss
from fastnn.optimizers import Optimizer
from fastnn.sequential import Sequential
from kernels import epoch, instructions, updates
from kernels.dropout import keep_scale, keep_words, mask_columns
from kernels.jit import Routine, real_type
from kernels.memory import address, aligned_zeros, leading_dimension, padded

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
        return int(np.float64(keep_scale(self.layer.p)).view(np.int64))


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


# -------------------------------------------------------------------------- samples


@dataclass(frozen=True)
class Source:
    """Samples and targets as programs read them, and the order they are read in.

    `x` is (samples, columns), contiguous, of the program's dtype or bytes; `y` is int64
    class indices, or rows of numbers of the program's dtype; None where only the
    output is wanted. `order` is int64.
    """

    x: np.ndarray
    y: np.ndarray | None
    order: np.ndarray


def _emit_samples(build: Builder, source: Source, normalize: Normalize | None) -> Block:
    """Gather a batch of samples, normalised on the way."""
    columns = source.x.shape[1]
    x = build.block(columns)
    kind = instructions.gather_bytes if source.x.dtype == np.uint8 else instructions.gather
    tables = [0, 0]
    if normalize is not None:
        tables = [build.keep(t.astype(build.dtype)) for t in normalize.tables(columns)]
    build.emit(
        kind, columns, address(source.x), address(source.order), normalize is not None, *tables,
        *x.place, wait=source.y is None,
    )  # fmt: skip
    return x


def _emit_targets(build: Builder, source: Source) -> tuple[int, ...]:
    """Gather a batch of targets; gives them as the loss takes them."""
    assert source.y is not None
    places = address(source.y), address(source.order)
    if source.y.ndim == 1:
        labels = build.take(build.batch, np.int64)
        build.emit(instructions.gather_labels, *places, labels)
        return (labels,)
    t = build.block(source.y.shape[1])
    build.emit(instructions.gather, t.columns, *places, 0, 0, 0, *t.place)
    return t.place


def _emit_loss(build: Builder, loss: Loss, y: Block, targets, totals, training: bool) -> Block:
    """Emit the loss and the tally; give the gradient before the output's activation."""
    losses, hits = build.take(build.batch), build.take(build.batch, np.uint8)
    gradient = build.block(y.columns)
    if type(loss) is CrossEntropyLoss:
        weights = build.keep(np.ones(build.batch, build.dtype))
        by_index = len(targets) == 1
        build.emit(
            instructions.cross_entropy if by_index else instructions.cross_entropy_probability,
            y.columns, *y.place, *targets, weights, *gradient.place, losses, hits,
        )  # fmt: skip
    elif type(loss) is MSELoss:
        build.emit(
            instructions.squared_error, y.columns, *y.place, *targets, *gradient.place, losses, hits
        )
    else:
        raise UnsupportedError(f"{type(loss).__name__} is not a loss that fastnn compiles")
    build.emit(instructions.tally, losses, hits, build.keep(totals), training, wait=False)
    return gradient


# ------------------------------------------------------------------------- programs


class Program:
    """Instructions, and the memory they work on.

    `totals` holds the sum of the losses and the number of right rows since it was
    last set to zero. Raises UnsupportedError for what cannot be compiled.
    """

    def __init__(self, batch: int, dtype):
        self.batch, self.dtype = batch, np.dtype(dtype)
        self.totals = np.zeros(2)
        measure = Builder(batch, self.dtype)
        self._lower(measure)
        self._arena = aligned_zeros(measure.taken, np.uint8)
        build = Builder(batch, self.dtype, address(self._arena))
        self._lower(build)
        build.rows[-1][epoch.WAIT] = 1  # all threads end a step together
        self.table, self._kept = np.array(build.rows, np.int64), build.kept

    def _lower(self, build: Builder) -> None:
        raise NotImplementedError

    def _forward(self, build: Builder, model: Sequential, source: Source, training: bool):
        """Emit samples, targets if there are any, and the forward pass of all stages."""
        layers = [each for each in flat_layers(model) if type(each) not in (Identity, Flatten)]
        normalize = layers.pop(0) if layers and type(layers[0]) is Normalize else None
        stages = stages_of(layers)
        x = _emit_samples(build, source, normalize)
        targets = () if source.y is None else _emit_targets(build, source)
        for stage in stages:
            x = stage.forward(build, x, training)
        return stages, x, targets


class TrainingProgram(Program):
    """One step of training: forward, loss, backward, update."""

    def __init__(self, model, loss, optimizer, source: Source, batch: int, dtype):
        self.model, self.loss, self.optimizer, self.source = model, loss, optimizer, source
        super().__init__(batch, dtype)

    def _lower(self, build):
        stages, y, targets = self._forward(build, self.model, self.source, True)
        gradient = _emit_loss(build, self.loss, y, targets, self.totals, True)
        learning = [i for i, stage in enumerate(stages) if isinstance(stage, LinearStage)]
        if learning:
            gradient = build.through_activation(gradient, y)
            for stage in reversed(stages[learning[0] :]):
                first = stage is stages[learning[0]]
                gradient = stage.backward(build, gradient, self.optimizer, first)
        if self.optimizer.clip_norm is not None:
            build.rows[-1][epoch.WAIT] = 1
            self._emit_clipped_update(build)

    def _emit_clipped_update(self, build):
        """Clip the whole gradient by its norm, and update the parameters by it."""
        optimizer, settings = self.optimizer, address(self.optimizer.settings)
        runs = list(optimizer.runs())
        counts = [updates.chunks.py_func(g.size) for _, g, _ in runs]
        sums = build.take(sum(counts), np.float64)
        for i, (_, g, _) in enumerate(runs):
            place = sums + 8 * sum(counts[:i])
            build.emit(instructions.gradient_squares, g.size, address(g), place)
        build.emit(instructions.clip_norm, sum(counts), sums, settings)
        for p, g, memory in runs:
            memories = ([address(array) for array in memory] + [0, 0])[:2]
            build.emit(
                instructions.update, p.size, address(p), address(g),
                optimizer.rule, optimizer.steps, settings, *memories,
            )  # fmt: skip


class EvaluationProgram(Program):
    """Loss and right rows of batches."""

    def __init__(self, model, loss, source: Source, batch: int, dtype):
        self.model, self.loss, self.source = model, loss, source
        super().__init__(batch, dtype)

    def _lower(self, build):
        _, y, targets = self._forward(build, self.model, self.source, False)
        _emit_loss(build, self.loss, y, targets, self.totals, False)


class PredictionProgram(Program):
    """Outputs of batches, written to `results`, an array (samples, columns) of the dtype."""

    def __init__(self, model, source: Source, results: np.ndarray, batch: int):
        self.model, self.source, self.results = model, source, results
        super().__init__(batch, results.dtype)

    def _lower(self, build):
        _, y, _ = self._forward(build, self.model, self.source, False)
        build.emit(instructions.collect, y.columns, *y.place, address(self.results))
