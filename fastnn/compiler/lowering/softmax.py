"""The stages of softmax and its logarithm."""

from __future__ import annotations

from fastnn.compiler.lowering.stage import Stage, lowers
from fastnn.nn.softmax import LogSoftmax, Softmax
from kernels.instructions import layers as instructions


@lowers(Softmax)
class SoftmaxStage(Stage):
    """y = softmax(x)."""

    there, back = instructions.softmax, instructions.softmax_gradient

    def forward(self, build, x, training):
        """Emit y from x."""
        self.input, self.output = x, build.block(x.columns)
        build.emit(self.there, columns=x.columns, x=x, y=self.output)
        return self.output

    def backward(self, build, gradient, learning):
        """Emit the gradient of x, computed from y."""
        y = self.output
        build.emit(self.back, columns=y.columns, y=y, g=gradient, out=gradient)
        return build.through_activation(gradient, self.input)


@lowers(LogSoftmax)
class LogSoftmaxStage(SoftmaxStage):
    """y = log softmax(x)."""

    there, back = instructions.log_softmax, instructions.log_softmax_gradient
