"""Stages of elementwise functions; layers that leave a batch of rows unchanged have none."""

from __future__ import annotations

from fastnn.compiler.lowering.stage import STAGES, Stage, lowers
from fastnn.nn.activations import Activation, Rectifier
from fastnn.nn.shapes import Flatten, Identity
from kernels.functions.activations import ACTIVATIONS
from kernels.instructions import layers as instructions
from kernels.instructions import linear

STAGES.update({Identity: None, Flatten: None})


@lowers(Activation)
class ActivationStage(Stage):
    """y = f(x), for an activation that no linear layer absorbs."""

    def forward(self, build, x, training):
        """Emit y = f(x)."""
        self.input, self.output = x, build.block(x.columns)
        self.code = ACTIVATIONS[self.layer.name]
        build.emit(linear.activation, activation=self.code, columns=x.columns, x=x, y=self.output)
        return self.output

    def backward(self, build, gradient, learning):
        """Emit g f'(x), computed from y."""
        build.emit(
            linear.activation_gradient,
            activation=self.code,
            columns=gradient.columns,
            y=self.output,
            g=gradient,
            out=gradient,
        )
        return build.through_activation(gradient, self.input)


@lowers(Rectifier)
class RectifierStage(Stage):
    """y = f(x), for a function whose derivative is computed from x."""

    def forward(self, build, x, training):
        """Emit y = f(x)."""
        self.input, y = x, build.block(x.columns)
        self.a, self.b = self.layer.parameters_of_function
        kind = instructions.RECTIFY[self.layer.name]
        build.emit(kind, columns=x.columns, a=self.a, b=self.b, x=x, y=y)
        return y

    def backward(self, build, gradient, learning):
        """Emit g f'(x)."""
        x, kind = self.input, instructions.RECTIFY_GRADIENT[self.layer.name]
        build.emit(kind, columns=x.columns, a=self.a, b=self.b, x=x, g=gradient, out=gradient)
        return build.through_activation(gradient, x)
