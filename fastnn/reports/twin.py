"""The same network in PyTorch: same initial weights, order of batches, and dropout masks.

Written as a good user of PyTorch writes it: samples scaled once, rows gathered by index, a
fused optimizer, losses read after the epoch, and the number of threads that is quickest.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

import kernels
from fastnn.nn.activations import ReLU, Sigmoid, Tanh
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.losses import CrossEntropyLoss, Loss, MSELoss
from fastnn.nn.normalize import Normalize
from fastnn.nn.sequential import Sequential, flat_layers
from fastnn.optim.optimizers import SGD, AdamW, Optimizer
from fastnn.training.evaluation import Evaluation
from fastnn.training.history import History
from fastnn.training.inputs import classifies_by, read_targets
from fastnn.training.progress import ProgressBar
from kernels.base import host

VERSION = torch.__version__
_EVALUATION_ROWS = 4096
_WARM_STEPS, _TIMED_STEPS = 5, 40
_BATCHES_A_MOVE = 50  # of the progress bar


class Twin:
    """PyTorch's version of a model, loss and optimizer, with copies of the weights as they are.

    Layers are `Linear`, activations and `Dropout`, behind `Normalize` layers that are applied
    to the samples once; losses are `CrossEntropyLoss` and `MSELoss` without weights. Raises
    TypeError for others. `threads` is what PyTorch was quickest
    with, once `fit` has run.
    """

    def __init__(self, model: Sequential, loss: Loss, optimizer: Optimizer):
        chain = list(flat_layers(model))
        heads = next((i for i, each in enumerate(chain) if not isinstance(each, Normalize)), 0)
        self._normalize, layers = chain[:heads], chain[heads:]
        self.module = nn.Sequential(*map(_module, layers))
        self.loss, self.threads = loss, 1
        self._criterion = _criterion(loss)
        self._optimizer = _optimizer(optimizer, self.module.parameters())
        self._clip_value, self._clip_norm = optimizer.clip_value, optimizer.clip_norm
        self._dropouts = [each for each in self.module if isinstance(each, SharedDropout)]

    def fit(self, x, y, *, epochs: int, batch_size: int, seed: int, validation_data,
            bar: ProgressBar | None = None) -> History:  # fmt: skip
        """Train as `fastnn.fit` does with the same arguments, and give the same history.

        Seconds are those of the steps, shuffling and gathering rows; neither drawing dropout
        masks nor counting right answers is timed.
        """
        samples, targets = self._samples(x), self._targets(y)
        # As in `fit`: one order, shuffled again for each epoch.
        order, rng = np.arange(len(samples)), np.random.default_rng(seed)
        self._share_masks(samples, seed)
        history, before = History(), torch.get_num_threads()
        try:
            self.threads = self._quickest_threads(samples, targets, batch_size)
            torch.set_num_threads(self.threads)
            for _ in range(epochs):
                started = time.perf_counter()
                rng.shuffle(order)
                batches = torch.from_numpy(order).split(batch_size)
                seconds = time.perf_counter() - started
                steps, mean, outputs = self._epoch(samples, targets, batches, bar)
                val = self.evaluate(*validation_data)
                history.add(
                    loss=mean, accuracy=_accuracy(outputs, y[order]), val_loss=val.loss,
                    val_accuracy=val.accuracy, seconds=seconds + steps,
                )  # fmt: skip
                if bar is not None:
                    bar.epoch_done(history)
        finally:
            torch.set_num_threads(before)
        return history

    def _epoch(self, x: Tensor, y: Tensor, batches, bar) -> tuple[float, float, Tensor]:
        """Train on batches of rows; give the seconds of the steps, mean loss, and outputs."""
        self.module.train()
        seconds, losses, outputs = 0.0, [], []
        for done, rows in enumerate(batches, 1):
            for each in self._dropouts:
                each.draw(len(rows))
            started = time.perf_counter()
            loss, output = self._step(x.index_select(0, rows), y.index_select(0, rows))
            seconds += time.perf_counter() - started
            losses.append(loss * len(rows))
            outputs.append(output)
            if bar is not None and done % _BATCHES_A_MOVE == 0:
                bar.batches_done(done)
        return seconds, float(torch.stack(losses).double().sum()) / len(x), torch.cat(outputs)

    def evaluate(self, x, y) -> Evaluation:
        """Mean loss and accuracy on a data set, dropout off."""
        output = self.predict(x)
        classifies = classifies_by(self.loss, y, output.shape[1])
        accuracy = _accuracy(output, y) if classifies else None
        return Evaluation(float(self._criterion(output.double(), self._targets(y, np.float64))),
                          accuracy)  # fmt: skip

    def predict(self, x) -> Tensor:
        """Outputs for samples, dropout off."""
        self.module.eval()
        with torch.no_grad():
            return torch.cat(
                [self.module(some) for some in self._samples(x).split(_EVALUATION_ROWS)]
            )

    def _step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        self._optimizer.zero_grad()
        output = self.module(x)
        loss = self._criterion(output, y)
        loss.backward()
        if self._clip_value is not None:
            nn.utils.clip_grad_value_(self.module.parameters(), self._clip_value)
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self._clip_norm)
        self._optimizer.step()
        return loss.detach(), output.detach()

    @property
    def _dtype(self) -> np.dtype:
        return next(self.module.parameters()).detach().numpy().dtype

    @property
    def _columns(self) -> int:
        return [each for each in self.module if isinstance(each, nn.Linear)][-1].out_features

    def _samples(self, x) -> Tensor:
        for layer in self._normalize:
            x = layer.forward(x)
        return torch.from_numpy(np.ascontiguousarray(x, self._dtype))

    def _targets(self, y, dtype=None) -> Tensor:
        return torch.from_numpy(
            read_targets("y", y, len(y), self._columns, self.loss, dtype or self._dtype)
        )

    def _share_masks(self, samples: Tensor, seed: int) -> None:
        """Have dropout drop what fastnn's drops in a `fit` of this seed."""
        for stream, each in enumerate(self._dropouts):
            each.seed, each.stream, each.step = seed, stream, 0
        self.module.eval()
        with torch.no_grad():
            self.module(samples[:1])  # which tells dropout how wide its input is

    def _quickest_threads(self, x: Tensor, y: Tensor, batch_size: int) -> int:
        """One or all cores, whichever takes a copy through some steps in less time."""
        rows = torch.arange(min(batch_size, len(x)))
        return min({1, host.cores()}, key=lambda n: copy.deepcopy(self)._time(x, y, rows, n))

    def _time(self, x: Tensor, y: Tensor, rows: Tensor, threads: int) -> float:
        torch.set_num_threads(threads)
        self.module.train()
        for each in self._dropouts:
            each.draw(len(rows))
        seconds = []
        for _ in range(_WARM_STEPS + _TIMED_STEPS):
            started = time.perf_counter()
            self._step(x.index_select(0, rows), y.index_select(0, rows))
            seconds.append(time.perf_counter() - started)
        return float(np.median(seconds[_WARM_STEPS:]))


class SharedDropout(nn.Module):
    """y = x m / (1 - p), with the masks m that fastnn's `Dropout` draws."""

    seed = stream = step = columns = 0

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self._factors = torch.ones(())

    def draw(self, rows: int) -> None:
        """Draw the mask of the next batch."""
        ones = np.ones((rows, self.columns), self._dtype)
        factors, _ = kernels.dropout(ones, self.p, seed=self.seed, step=self.step,
                                     stream=self.stream)  # fmt: skip
        self._factors = torch.from_numpy(factors)
        self.step += 1

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of a batch, or give it as it is when not training."""
        if self.training:
            return x * self._factors
        self.columns, self._dtype = x.shape[1], x.numpy().dtype
        return x


def _accuracy(output: Tensor, y: np.ndarray) -> float:
    return float((output.argmax(1).numpy() == y).mean())


def _linear(layer: Linear) -> nn.Linear:
    dtype = getattr(torch, layer.dtype.name)
    linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.has_bias, dtype=dtype)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            getattr(linear, name).copy_(torch.from_numpy(np.array(parameter.data)))
    return linear


_MODULES: dict[type[Layer], Callable[..., nn.Module]] = {
    Linear: _linear,
    ReLU: lambda _: nn.ReLU(),
    Tanh: lambda _: nn.Tanh(),
    Sigmoid: lambda _: nn.Sigmoid(),
    Dropout: lambda layer: SharedDropout(layer.p),
}
_LOSSES = {CrossEntropyLoss: nn.CrossEntropyLoss, MSELoss: nn.MSELoss}


def _module(layer: Layer) -> nn.Module:
    if type(layer) not in _MODULES:
        known = ", ".join(each.__name__ for each in _MODULES)
        raise TypeError(f"{layer!r} has no twin in PyTorch; expected one of {known}")
    return _MODULES[type(layer)](layer)


def _criterion(loss: Loss) -> nn.Module:
    for kind, theirs in _LOSSES.items():
        if type(loss) is kind and repr(loss) == repr(kind()):  # no setting but the defaults
            return theirs()
    known = ", ".join(f"{each.__name__}()" for each in _LOSSES)
    raise TypeError(f"{loss!r} has no twin in PyTorch; expected {known}")


def _optimizer(ours: Optimizer, parameters) -> torch.optim.Optimizer:
    common = {"lr": ours.lr, "weight_decay": ours.weight_decay, "fused": True}
    if isinstance(ours, SGD):
        return torch.optim.SGD(parameters, momentum=ours.momentum, dampening=ours.dampening,
                               nesterov=ours.nesterov, **common)  # fmt: skip
    kind = torch.optim.AdamW if isinstance(ours, AdamW) else torch.optim.Adam
    return kind(parameters, betas=ours.betas, eps=ours.eps, **common)  # type: ignore[attr-defined]
