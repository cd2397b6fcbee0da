"""The stages of layer and batch normalisation."""

from __future__ import annotations

from fastnn.compiler.builder import Block, Builder
from fastnn.compiler.lowering.stage import Learning, Stage, lowers, place_of
from fastnn.nn.norms import BatchNorm1d, LayerNorm
from kernels.instructions import layers as instructions


class NormStage(Stage):
    """y = w z + b with z = (x - mean) / sqrt(var + eps)."""

    def __init__(self, layer):
        super().__init__(layer)
        self.learns = layer.has_weight or layer.has_bias
        self.parameters = layer._weight, layer._bias

    def arrange(self, build, learning):
        """Set the addresses of w and b."""
        self.gain, self.shift = (place_of(build, p, learning).pointer for p in self.parameters)

    def _begin(self, build: Builder, x: Block) -> Block:
        """Check and keep the input; return memory for the output."""
        self.layer.output_columns(x.columns)  # raises if that is another number
        self.input = x
        return build.block(x.columns)

    def _gradients(self, build: Builder, learning: Learning) -> dict[str, int]:
        """Return addresses for the gradients of w and b, in spare memory if these do not learn."""
        gain, shift = (
            build.keep(each.gradient_memory) if learning.knows(each) else build.take(each.span)
            for each in self.parameters
        )
        return {"gain_gradient": gain, "shift_gradient": shift}

    def _emit_updates(self, build: Builder, learning: Learning) -> None:
        """Emit the update of the parameters, unless all gradients are clipped first."""
        for each in self.parameters:
            if learning.fused and learning.knows(each):
                learning.emit_update(build, each)


@lowers(LayerNorm)
class LayerNormStage(NormStage):
    """Layer normalisation, by mean and variance of each row."""

    def forward(self, build, x, training):
        """Emit y, and keep the means and factors of rows for the backward pass."""
        y = self._begin(build, x)
        self.moments = {"means": build.take(build.batch), "factors": build.take(build.batch)}
        build.emit(
            instructions.layer_norm,
            columns=x.columns,
            eps=self.layer.eps,
            x=x,
            gain=self.gain,
            shift=self.shift,
            y=y,
            **self.moments,
        )
        return y

    def backward(self, build, gradient, learning):
        """Emit the gradients of x, if a stage below needs it, and of w and b."""
        x, below = self.input, gradient
        if self.below is not None:
            below = build.block(x.columns)
            build.emit(
                instructions.layer_norm_gradient,
                columns=x.columns,
                x=x,
                **self.moments,
                gain=self.gain,
                g=gradient,
                out=below,
                wait=False,
            )
        build.emit(
            instructions.layer_norm_parameters,
            columns=x.columns,
            x=x,
            **self.moments,
            g=gradient,
            **self._gradients(build, learning),
        )
        self._emit_updates(build, learning)
        return below if self.below is None else build.through_activation(below, x)


@lowers(BatchNorm1d)
class BatchNormStage(NormStage):
    """Batch normalisation, by mean and variance of each column: the batch's, or running ones."""

    def __init__(self, layer):
        super().__init__(layer)
        self.couples_rows = not layer.track_running_stats

    def arrange(self, build, learning):
        """Set the addresses of w and b, and borrow the running moments."""
        super().arrange(build, learning)
        layer = self.layer
        if learning is not None and layer.track_running_stats:
            mean, variance = (
                build.borrow(each, 1, layer.columns, layer.columns, True, [])[0].pointer
                for each in (layer.running_mean, layer.running_var)
            )
            self.running = {"running_means": mean, "running_variances": variance}

    def forward(self, build, x, training):
        """Emit y, by the moments of the batch or the running ones."""
        y, layer = self._begin(build, x), self.layer
        if training or not layer.track_running_stats:
            self.moments = {"means": build.take(x.columns), "variances": build.take(x.columns)}
            # The next instruction gives each thread the same columns.
            build.emit(instructions.moments, columns=x.columns, x=x, **self.moments, wait=False)
        else:
            self.moments = {
                "means": build.keep(layer.running_mean),
                "variances": build.keep(layer.running_var),
            }
        build.emit(
            instructions.batch_norm,
            columns=x.columns,
            eps=layer.eps,
            x=x,
            **self.moments,
            gain=self.gain,
            shift=self.shift,
            y=y,
        )
        return y

    def track(self, build):
        """Emit the update of the running moments."""
        layer = self.layer
        if layer.track_running_stats:
            build.emit(
                instructions.track_moments,
                columns=layer.columns,
                momentum=-1.0 if layer.momentum is None else layer.momentum,
                tracked=layer.num_batches_tracked,
                **self.moments,
                **self.running,
                wait=False,
            )

    def backward(self, build, gradient, learning):
        """Emit the gradients of x, w and b."""
        x = self.input
        build.emit(
            instructions.batch_norm_gradient,
            columns=x.columns,
            eps=self.layer.eps,
            x=x,
            **self.moments,
            gain=self.gain,
            g=gradient,
            out=gradient,
            **self._gradients(build, learning),
        )
        self._emit_updates(build, learning)
        return gradient if self.below is None else build.through_activation(gradient, x)
