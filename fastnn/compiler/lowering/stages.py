"""Stages: what a layer, or a few together, emit into a program.

A layer that is to be compiled gets a stage here, and its instructions functions in
`kernels.instructions.common`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import kernels
from fastnn.compiler.builder import Block
from fastnn.compiler.lowering.linear import LinearStage
from fastnn.compiler.lowering.stage import Stage, UnsupportedError, emit_update, float_bits
from fastnn.nn.activations import Activation, Rectifier
from fastnn.nn.dropout import Dropout
from fastnn.nn.kinds import LAYERS
from fastnn.nn.linear import Linear
from fastnn.nn.norms import BatchNorm1d, LayerNorm
from fastnn.nn.shapes import Flatten, Identity
from fastnn.nn.softmax import LogSoftmax, Softmax
from kernels.base.memory import address
from kernels.functions.dropout import keep_halves, keep_scale, mask_columns
from kernels.instructions import common as instructions
from kernels.instructions import layers as layer_instructions

_IDENTITY = kernels.ACTIVATIONS["identity"]


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

    def backward(self, build, gradient, optimizer):
        y = self.output
        build.emit(
            instructions.activation_gradient, self.activation, y.columns,
            *y.place, *gradient.place, *gradient.place,
        )  # fmt: skip
        return build.through_activation(gradient, self.input)


class RectifierStage(Stage):
    """y = f(x), whose gradient needs x."""

    def __init__(self, layer: Rectifier):
        self.name = layer.name
        self.parameters = [float_bits(each) for each in layer.parameters_of_function]

    def forward(self, build, x, training):
        self.input, y = x, build.block(x.columns)
        kind = layer_instructions.RECTIFY[self.name]
        build.emit(kind, x.columns, *self.parameters, *x.place, *y.place)
        return y

    def backward(self, build, gradient, optimizer):
        x, kind = self.input, layer_instructions.RECTIFY_GRADIENT[self.name]
        build.emit(kind, x.columns, *self.parameters, *x.place, *gradient.place, *gradient.place)
        return build.through_activation(gradient, x)


class SoftmaxStage(Stage):
    """y = softmax(x), or its logarithm."""

    def __init__(self, logarithm: bool):
        self.logarithm = logarithm

    def forward(self, build, x, training):
        self.input, self.output = x, build.block(x.columns)
        plain, logarithm = layer_instructions.softmax_layer, layer_instructions.log_softmax_layer
        kind = logarithm if self.logarithm else plain
        build.emit(kind, x.columns, *x.place, *self.output.place)
        return self.output

    def backward(self, build, gradient, optimizer):
        y, plain = self.output, layer_instructions.softmax_gradient
        kind = layer_instructions.log_softmax_gradient if self.logarithm else plain
        build.emit(kind, y.columns, *y.place, *gradient.place, *gradient.place)
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
            layer_instructions.dropout_layer, x.columns, *x.place, *y.place, *self.mask, layer.seed,
            layer.drawn, layer.stream, keep_halves(layer.p), self._scale(),
        )  # fmt: skip
        return y

    def backward(self, build, gradient, optimizer):
        if not self.drops:
            return gradient
        build.emit(
            layer_instructions.dropout_gradient, gradient.columns, *gradient.place, *self.mask,
            self._scale(), *gradient.place,
        )  # fmt: skip
        return build.through_activation(gradient, self.input)

    def _scale(self) -> int:
        return float_bits(keep_scale(self.layer.p))


class NormStage(Stage):
    """y = w z + b with z = (x - mean) / sqrt(var + eps)."""

    def __init__(self, layer):
        self.layer = layer
        self.learns = layer.has_weight or layer.has_bias
        self.eps = float_bits(layer.eps)
        self.parameters = layer._weight, layer._bias

    def arrange(self, build, optimizer):
        self.places = [build.learn(each, optimizer) for each in self.parameters]

    def _begin(self, build, x) -> Block:
        """Note the input; gives memory for the output."""
        if x.columns != self.layer.columns:
            raise ValueError(
                f"{self.layer!r} gets {x.columns} columns; expected {self.layer.columns}"
            )
        self.input = x
        return build.block(x.columns)

    @property
    def _tables(self) -> tuple[int, int]:
        weight, bias = self.places
        return weight.address, bias.address

    def _gradients(self, build, optimizer) -> list[int]:
        """Where the gradients of w and b go: for those that do not learn, to where nobody looks."""
        return [
            each.gradient_address if optimizer.knows(each) else build.take(each.span)
            for each in self.parameters
        ]

    def _emit_updates(self, build, optimizer) -> None:
        """Update the parameters, unless all gradients have to be clipped first."""
        if optimizer.clip_norm is None:
            for each, place in zip(self.parameters, self.places, strict=True):
                if optimizer.knows(each):
                    emit_update(build, each, place, optimizer)


class LayerNormStage(NormStage):
    """Mean and variance are those of a row."""

    def forward(self, build, x, training):
        y = self._begin(build, x)
        self.moments = build.take(build.batch), build.take(build.batch)
        build.emit(
            layer_instructions.layer_norm, x.columns, self.eps, *x.place, *self._tables, *y.place,
            *self.moments,
        )  # fmt: skip
        return y

    def backward(self, build, gradient, optimizer):
        x, below = self.input, gradient
        if self.below is not None:
            below = build.block(x.columns)
            build.emit(
                layer_instructions.layer_norm_gradient, x.columns, *x.place, *self.moments,
                self._tables[0], *gradient.place, *below.place, wait=False,
            )  # fmt: skip
        build.emit(
            layer_instructions.layer_norm_parameters, x.columns, *x.place, *self.moments,
            *gradient.place, *self._gradients(build, optimizer),
        )  # fmt: skip
        self._emit_updates(build, optimizer)
        return below if self.below is None else build.through_activation(below, x)


class BatchNormStage(NormStage):
    """Mean and variance are those of a column: the batch's, or running ones."""

    def arrange(self, build, optimizer):
        super().arrange(build, optimizer)
        layer = self.layer
        if optimizer is not None and layer.track_running_stats:
            self.running = [
                build.borrow_row(address(each), layer.columns, True)
                for each in (layer.running_mean, layer.running_var)
            ]

    def forward(self, build, x, training):
        y, layer = self._begin(build, x), self.layer
        if training or not layer.track_running_stats:
            self.moments = build.take(x.columns), build.take(x.columns)
            # A thread's columns are the same ones in the next instruction.
            build.emit(layer_instructions.moments, x.columns, *x.place, *self.moments, wait=False)
        else:
            self.moments = address(layer.running_mean), address(layer.running_var)
        build.emit(
            layer_instructions.batch_norm, x.columns, self.eps, *x.place, *self.moments,
            *self._tables, *y.place,
        )  # fmt: skip
        return y

    def track(self, build):
        layer = self.layer
        if layer.track_running_stats:
            momentum = -1.0 if layer.momentum is None else layer.momentum
            build.emit(
                layer_instructions.track_moments, layer.columns, float_bits(momentum),
                layer.num_batches_tracked, *self.moments, *self.running, wait=False,
            )  # fmt: skip

    def backward(self, build, gradient, optimizer):
        x = self.input
        build.emit(
            layer_instructions.batch_norm_gradient, x.columns, self.eps, *x.place, *self.moments,
            self._tables[0], *gradient.place, *gradient.place, *self._gradients(build, optimizer),
        )  # fmt: skip
        self._emit_updates(build, optimizer)
        return gradient if self.below is None else build.through_activation(gradient, x)


def stages_of(layers: Sequence) -> list[Stage]:
    """Stages that do what the layers do; raises UnsupportedError for a layer there is none for."""
    stages: list[Stage] = []
    for layer in layers:
        kind = type(layer)
        if kind in (Identity, Flatten):
            continue
        if kind is Linear:
            stages.append(LinearStage(layer))
        elif isinstance(layer, Activation) and kind in LAYERS.values():
            code = kernels.ACTIVATIONS[layer.name]
            last = stages[-1] if stages else None
            if isinstance(last, LinearStage) and last.activation == _IDENTITY:
                last.activation = code
            else:
                stages.append(ActivationStage(code))
        elif kind in (Softmax, LogSoftmax):
            stages.append(SoftmaxStage(kind is LogSoftmax))
        elif isinstance(layer, Rectifier) and kind in LAYERS.values():
            stages.append(RectifierStage(layer))
        elif kind is LayerNorm:
            stages.append(LayerNormStage(layer))
        elif kind is BatchNorm1d:
            stages.append(BatchNormStage(layer))
        elif kind is Dropout:
            stages.append(DropoutStage(layer))
        else:
            raise UnsupportedError(f"{kind.__name__} is not a layer that fastnn compiles")
    return stages
