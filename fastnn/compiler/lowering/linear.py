"""The stage of a linear layer and the activation that follows it."""

from __future__ import annotations

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.lowering.stage import Learning, Stage, lowers, place_of
from fastnn.nn.activations import Activation
from fastnn.nn.linear import Linear
from kernels.base.memory import padded
from kernels.functions.activations import ACTIVATIONS, IDENTITY
from kernels.instructions import linear as instructions
from kernels.product import few_outputs, panels
from kernels.product.choice import FEW


@lowers(Linear)
class LinearStage(Stage):
    """y = f(x W^T + b)."""

    learns = True

    def __init__(self, layer: Linear):
        super().__init__(layer)
        self.activation = IDENTITY

    def absorbs(self, layer):
        """Absorb an activation whose derivative is computed from its output."""
        if self.activation != IDENTITY or not isinstance(layer, Activation):
            return False
        self.activation = ACTIVATIONS[layer.name]
        return True

    def arrange(self, build, learning):
        """Set the places of the parameters, with a wide weight in panels if updates are fused."""
        layer = self.layer
        count, _ = panels.sizes(layer.in_features, layer.out_features, build.dtype)
        wide = count > 1 and layer.out_features > FEW
        wide = wide and learning is not None and learning.fused
        columns = layer.out_features if wide else 0
        build.widest = max(build.widest, layer.in_features, layer.out_features)
        self.weights = place_of(build, layer._weight, learning, columns)
        self.bias = place_of(build, layer._bias, learning)

    def forward(self, build, x, training):
        """Emit the product, with bias and activation in the same instruction."""
        layer = self.layer
        layer.output_columns(x.columns)  # raises if that is another number
        self.input = x
        if x.panel:
            return self._forward_in_halves(build, x)
        block = build.block_in_panels if self._is_private(build) else build.block
        y = block(layer.out_features, self.activation)
        build.emit(
            instructions.linear,
            inputs=layer.in_features,
            outputs=layer.out_features,
            activation=self.activation,
            x=x,
            w=self.weights,
            bias=self.bias.pointer,
            y=y,
            # With two threads, each reads only the panel that it wrote itself.
            wait=y.panel == 0 or build.threads > 2,
        )
        return y

    def _is_private(self, build: Builder) -> bool:
        """Return True if each thread alone reads the outputs that it computes."""
        wide = self.layer.out_features > FEW
        return wide and isinstance(self.above, LinearStage) and self.above.takes_halves(build)

    def takes_halves(self, build: Builder) -> bool:
        """Return True if each thread can sum the products of its own inputs."""
        sizes = self.layer.in_features, self.layer.out_features
        return few_outputs.shared_in_halves(*sizes, build.dtype, build.threads)

    def _forward_in_halves(self, build: Builder, x: Block) -> Block:
        """Emit the forward pass of inputs in panels, of which each thread has its own."""
        layer, y = self.layer, build.block(self.layer.out_features, self.activation)
        apart = padded(build.batch * FEW, build.dtype)
        sums = build.take(2 * apart)
        build.emit(
            instructions.linear_halves,
            inputs=layer.in_features,
            outputs=layer.out_features,
            x=x,
            w=self.weights,
            sums=sums,
            apart=apart,
        )
        build.emit(
            instructions.linear_from_halves,
            outputs=layer.out_features,
            activation=self.activation,
            sums=sums,
            apart=apart,
            bias=self.bias.pointer,
            y=y,
            wait=self.above is not None,  # the loss shares out rows in the same way
        )
        return y

    def backward(self, build, gradient, learning):
        """Emit the gradient of the input, if a stage below needs it, and the update."""
        layer, x = self.layer, self.input
        below = gradient
        if self.below is not None:
            below = self.below.gradient_block(build, layer.in_features)
            # In panels, each thread reads and writes only its own columns, as in the update.
            own = x.panel != 0 and below.panel != 0
            build.emit(
                instructions.linear_input_gradient,
                inputs=layer.in_features,
                outputs=layer.out_features,
                activation=x.activation,
                g=gradient,
                w=self.weights,
                y=x,
                out=below,
                wait=not own,
            )
        self._emit_update(build, gradient, learning)
        return below

    def gradient_block(self, build, columns):
        """Return new memory for a gradient, in panels if only a wide weight's update reads it."""
        if self.below is None and self.weights.panel:
            return build.block_in_panels(columns)
        return build.block(columns)

    def _emit_update(self, build: Builder, gradient: Block, learning: Learning) -> None:
        """Emit the update of the parameters, or only their gradients if these are clipped first."""
        layer, fused = self.layer, learning.fused
        parameters = layer._weight, layer._bias
        learns = [learning.knows(each) for each in parameters]
        if not any(learns):
            return
        # The gradient of a parameter that does not learn goes to spare memory.
        spare = 0 if all(learns) else build.take(max(each.span for each in parameters))
        of_w, of_bias = (
            learning.update_of(build, each, fused and knows)
            for each, knows in zip(parameters, learns, strict=True)
        )
        w, bias = (
            spare if not knows else place.pointer if fused else build.keep(each.gradient_memory)
            for each, place, knows in zip(
                parameters, (self.weights, self.bias), learns, strict=True
            )
        )
        build.emit(
            instructions.linear_update,
            inputs=layer.in_features,
            outputs=layer.out_features,
            x=self.input,
            g=gradient,
            w=Block(w, layer.out_features, self.weights.ld, panel=self.weights.panel),
            w_memory=self.weights.memory,
            of_w=of_w,
            bias=bias,
            bias_memory=self.bias.memory,
            of_bias=of_bias,
            wait=False,
        )
