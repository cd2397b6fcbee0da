"""Stages of functions of each element, and of layers that do nothing to a batch of rows."""

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
    """y = f(x), where no linear layer comes before."""

    def forward(self, build, x, training):
        """Emit y = f(x)."""
        self.input, self.output = x, build.block(x.columns)
        self.code = ACTIVATIONS[self.layer.name]
        build.emit(linear.activation, activation=self.code, columns=x.columns, x=x, y=self.output)
        return self.output

    def backward(self, build, gradient, learning):
        """Emit g f'(.), in terms of y."""
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
    """y = f(x), whose gradient needs x."""

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
