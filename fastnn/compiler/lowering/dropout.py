"""The stage of dropout."""

from __future__ import annotations

import numpy as np

from fastnn.compiler.lowering.stage import Stage, lowers
from fastnn.nn.dropout import Dropout
from kernels.base.kinds import Matrix
from kernels.functions.dropout import keep_halves, keep_scale, mask_columns
from kernels.instructions import layers as instructions


@lowers(Dropout)
class DropoutStage(Stage):
    """y = x / (1 - p) where kept, else 0."""

    def forward(self, build, x, training):
        """Emit y = x / (1 - p) where kept, else 0; return x where nothing drops."""
        layer, self.input = self.layer, x
        self.drops = training and layer.p > 0.0
        if not self.drops:
            return x
        y, columns = build.block(x.columns), mask_columns(x.columns)
        self.mask = Matrix(build.take(build.batch * columns, np.uint8), columns)
        build.emit(
            instructions.dropout,
            columns=x.columns,
            x=x,
            y=y,
            mask=self.mask,
            seed=layer.seed,
            drawn=layer.drawn,
            stream=layer.stream,
            keep=keep_halves(layer.p),
            scale=keep_scale(layer.p),
        )
        return y

    def backward(self, build, gradient, learning):
        """Emit g / (1 - p) where kept, else 0."""
        if not self.drops:
            return gradient
        build.emit(
            instructions.dropout_gradient,
            columns=gradient.columns,
            g=gradient,
            mask=self.mask,
            scale=keep_scale(self.layer.p),
            out=gradient,
        )
        return build.through_activation(gradient, self.input)
