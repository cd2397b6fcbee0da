"""The same training in PyTorch, with the same initial weights, batches and dropout masks."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

import kernels
from fastnn.interop.torch_steps import accuracy
from fastnn.interop.torch_training import TorchTraining, mean_loss
from fastnn.nn.loss import Loss
from fastnn.nn.sequential import Sequential
from fastnn.optim.optimizer import Optimizer
from fastnn.training.history import History
from fastnn.training.progress import ProgressBar
from kernels.base import host

_WARM_STEPS, _TIMED_STEPS = 5, 40
_BATCHES_A_MOVE = 50  # batches between updates of the progress bar

Steps = tuple[float, list[Tensor], list[Tensor]]
"""Seconds that steps took, and the loss and the outputs of each batch."""


class Twin(TorchTraining):
    """A training in PyTorch that sees the same batches and dropout masks as fastnn's.

    After `fit`, `threads` is the number of threads on which PyTorch was fastest.
    """

    def __init__(self, model: Sequential, loss: Loss, optimizer: Optimizer):
        super().__init__(model, loss, optimizer)
        self.threads = 1
        self._dropouts: list[SharedDropout] = []
        for place, part in enumerate(self.module):
            if isinstance(part, nn.Dropout):
                self.module[place] = SharedDropout(part.p, stream=len(self._dropouts))
                self._dropouts.append(self.module[place])

    def fit(
        self,
        x,
        y,
        *,
        epochs: int,
        batch_size: int,
        seed: int,
        validation_data,
        bar: ProgressBar | None = None,
    ) -> History:
        """Train as `fastnn.fit` does with the same arguments, and return the same history.

        The seconds are those of the steps, with shuffling and gathering rows, but without drawing
        dropout masks and counting correct rows.
        """
        (samples, targets), held_out = self.tensors(x, y), self.tensors(*validation_data)
        # As in `fit`: one order, shuffled again for each epoch.
        order, rng = np.arange(len(samples)), np.random.default_rng(seed)
        for each in self._dropouts:
            each.reseed(seed)
        history = History()
        with self._on_quickest_threads(samples, targets, batch_size):
            for _ in range(epochs):
                started = time.perf_counter()
                rng.shuffle(order)
                batches = torch.from_numpy(order).split(batch_size)
                seconds = time.perf_counter() - started
                steps, losses, outputs = self._epoch(samples, targets, batches, bar)
                right = targets.index_select(0, torch.cat(batches))
                val_loss, val_accuracy = self.evaluate(*held_out)
                history.add(
                    loss=mean_loss(losses, outputs),
                    accuracy=accuracy(torch.cat(outputs), right),
                    val_loss=val_loss,
                    val_accuracy=val_accuracy,
                    seconds=seconds + steps,
                )
                if bar is not None:
                    bar.epoch_done(history)
        return history

    def _epoch(self, x: Tensor, y: Tensor, batches, bar: ProgressBar | None) -> Steps:
        """Train on batches, and advance the progress bar."""
        seconds = 0.0
        losses: list[Tensor] = []
        outputs: list[Tensor] = []
        for begin in range(0, len(batches), _BATCHES_A_MOVE):
            some = batches[begin : begin + _BATCHES_A_MOVE]
            taken, some_losses, some_outputs = self._timed(x, y, some)
            seconds += taken
            losses += some_losses
            outputs += some_outputs
            if bar is not None:
                bar.batches_done(begin + len(some))
        return seconds, losses, outputs

    def _timed(self, x: Tensor, y: Tensor, batches) -> Steps:
        """Train on batches; time all but the drawing of masks."""
        drawing = self._drawing
        started = time.perf_counter()
        losses, outputs = self.train(x, y, batches)
        seconds = time.perf_counter() - started
        return seconds - (self._drawing - drawing), losses, outputs

    @property
    def _drawing(self) -> float:
        """Seconds spent on drawing masks so far."""
        return sum(each.seconds for each in self._dropouts)

    @contextmanager
    def _on_quickest_threads(self, x: Tensor, y: Tensor, batch_size: int) -> Iterator[None]:
        """Use one thread or all cores, whichever trains a copy of the model faster."""
        before, rows = torch.get_num_threads(), torch.arange(min(batch_size, len(x)))

        def step_seconds(threads: int) -> float:
            return copy.deepcopy(self)._step_seconds(x, y, rows, threads)

        try:
            self.threads = min({1, host.cores()}, key=step_seconds)
            torch.set_num_threads(self.threads)
            yield
        finally:
            torch.set_num_threads(before)

    def _step_seconds(self, x: Tensor, y: Tensor, rows: Tensor, threads: int) -> float:
        """Return the median seconds of a step on `threads` threads."""
        torch.set_num_threads(threads)
        seconds = [self._timed(x, y, [rows])[0] for _ in range(_WARM_STEPS + _TIMED_STEPS)]
        return float(np.median(seconds[_WARM_STEPS:]))


class SharedDropout(nn.Module):
    """Dropout, y = x m / (1 - p), with the masks m of fastnn's `Dropout`.

    `stream` is the layer's number among the model's dropout layers; `seconds` is the time spent on
    drawing masks.
    """

    def __init__(self, p: float, stream: int):
        super().__init__()
        self.p, self.stream, self.seconds = p, stream, 0.0
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the masks of a `fit` with this seed from the first."""
        self.seed, self.step = seed, 0

    def forward(self, x: Tensor) -> Tensor:
        """Return a batch with elements dropped, or unchanged when not training."""
        return x * self._draw(x) if self.training else x

    def _draw(self, x: Tensor) -> Tensor:
        """Return the factors m / (1 - p) of the next batch."""
        started = time.perf_counter()
        place = {"seed": self.seed, "stream": self.stream, "step": self.step}
        factors, _ = kernels.dropout(torch.ones_like(x).numpy(), self.p, **place)
        self.step += 1
        self.seconds += time.perf_counter() - started
        return torch.from_numpy(factors)
