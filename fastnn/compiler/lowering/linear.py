"""The stage of a linear layer and the activation behind it."""

from __future__ import annotations

import kernels
from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.lowering.stage import Stage
from fastnn.nn.linear import Linear
from kernels.base.memory import address, padded
from kernels.instructions import common as instructions
from kernels.product import few_outputs, panels

_IDENTITY = kernels.ACTIVATIONS["identity"]


class LinearStage(Stage):
    """y = f(x W^T + b)."""

    learns = True

    def __init__(self, layer: Linear, activation: int = _IDENTITY):
        self.layer, self.activation = layer, activation

    def arrange(self, build, optimizer):
        """Keep a wide weight in panels, unless its gradient is needed as a whole."""
        layer = self.layer
        count, _ = panels.sizes(layer.in_features, layer.out_features, build.dtype)
        wide = count > 1 and layer.out_features > few_outputs.FEW
        wide = wide and optimizer is not None and optimizer.clip_norm is None
        columns = layer.out_features if wide else 0
        build.widest = max(build.widest, layer.in_features, layer.out_features)
        self.weights = build.learn(layer._weight, optimizer, columns)
        self.bias = build.learn(layer._bias, optimizer)

    def forward(self, build, x, training):
        """Emit the product; the activation is a part of it."""
        layer = self.layer
        if x.columns != layer.in_features:
            raise ValueError(f"{layer!r} gets {x.columns} columns; expected {layer.in_features}")
        self.input = x
        if x.panel:
            return self._forward_in_halves(build, x)
        block = build.block_in_panels if self._is_private(build) else build.block
        y = block(layer.out_features, self.activation)
        # What lies in panels is only read by the thread that has written it.
        build.emit(
            instructions.linear, layer.in_features, layer.out_features, self.activation, *x.place,
            *self.weights.matrix, self.bias.address, *y.place, y.panel, wait=y.panel == 0,
        )  # fmt: skip
        return y

    def _is_private(self, build: Builder) -> bool:
        """Whether each thread alone needs what it computes of the output, until its own update."""
        wide = self.layer.out_features > few_outputs.FEW
        return wide and isinstance(self.above, LinearStage) and self.above.takes_halves(build)

    def takes_halves(self, build: Builder) -> bool:
        """Whether threads can each sum what inputs of their own give."""
        sizes = self.layer.in_features, self.layer.out_features
        return few_outputs.shared_in_halves(*sizes, build.dtype, build.threads)

    def _forward_in_halves(self, build: Builder, x: Block) -> Block:
        """Emit the forward pass from panels of each thread's inputs."""
        layer, y = self.layer, build.block(self.layer.out_features, self.activation)
        size = padded(build.batch * few_outputs.FEW, build.dtype)
        sums = build.take(2 * size)
        build.emit(
            instructions.linear_half, layer.in_features, layer.out_features, *x.place, x.panel,
            self.weights.address, self.weights.ld, sums, size,
        )  # fmt: skip
        # The loss, or whatever else comes last, takes the same rows.
        build.emit(
            instructions.linear_from_halves, layer.out_features, self.activation, sums, size,
            self.bias.address, *y.place, wait=self.above is not None,
        )  # fmt: skip
        return y

    def backward(self, build, gradient, optimizer):
        """Emit the gradient of the input, if anything needs it, and the update."""
        layer, x = self.layer, self.input
        sizes = layer.in_features, layer.out_features
        below = gradient
        if self.below is not None:
            below = self.below.gradient_block(build, layer.in_features)
            # In panels, a thread reads and writes what is its own, and so do the updates.
            own = x.panel != 0 and below.panel != 0
            build.emit(
                instructions.linear_input_gradient, *sizes, x.activation, *gradient.place,
                *self.weights.matrix, *x.place, x.panel, *below.place, below.panel,
                wait=not own,
            )  # fmt: skip
        self._emit_update(build, gradient, optimizer)
        return below

    def gradient_block(self, build, columns):
        """In panels where only the update needs it: a thread's columns then lie together."""
        if self.below is None and self.weights.panel:
            return build.block_in_panels(columns)
        return build.block(columns)

    def _emit_update(self, build, gradient, optimizer):
        """Update the parameters at once, or only write gradients that have to be clipped first."""
        layer, x, weights = self.layer, self.input, self.weights
        weight, bias = layer._weight, layer._bias
        learns = optimizer.knows(weight), optimizer.knows(bias)
        if not any(learns):
            return
        spare = 0 if all(learns) else build.take(max(weight.span, bias.span))
        fused = optimizer.clip_norm is None
        rules = [optimizer.rule_for(p) if fused else -1 for p in (weight, bias)]
        place = weights.address if fused else weight.gradient_address
        bias_place = self.bias.address if fused else bias.gradient_address
        build.emit(
            instructions.linear_update, layer.in_features, layer.out_features,
            *x.place, x.panel, *gradient.place, gradient.panel, place if learns[0] else spare,
            weights.ld, weights.panel, bias_place if learns[1] else spare,
            *rules, optimizer.steps, address(optimizer.settings),
            *(weights.memories if learns[0] else [spare, spare]),
            *(self.bias.memories if learns[1] else [spare, spare]), wait=False,
        )  # fmt: skip
