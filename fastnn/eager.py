"""Batches stepped in Python, for chains with layers or losses that no program expresses.

The same order of samples and the same formulas as compiled training, and for layers
that are compiled the same bits.
"""

from __future__ import annotations

import math

import numpy as np

from fastnn.losses import Loss, MSELoss
from fastnn.optimizers import Optimizer
from fastnn.program import Source
from fastnn.sequential import Sequential


class EagerRunner:
    """Does what a `Runner` does; without an optimizer it only evaluates."""

    threads = 1

    def __init__(self, model: Sequential, loss: Loss, optimizer: Optimizer | None, source: Source,
                 batch: int):  # fmt: skip
        self.model, self.loss, self.optimizer, self.source = model, loss, optimizer, source
        self.batch, self.ticks, self.last_loss = batch, 0, math.nan
        self.batches = -(-len(source.x) // batch)
        self.totals = np.zeros(2)

    def __enter__(self) -> EagerRunner:
        return self

    def __exit__(self, *error) -> None:
        pass

    def slices(self):
        """Run all batches, yielding the number of the next one after each."""
        self.model.train(self.optimizer is not None)
        for batch in range(self.batches):
            done = self.run(batch, batch + 1)
            yield batch + done
            if not done:
                return

    def run(self, begin: int, end: int) -> int:
        """Run batches `begin` to `end`; give how many were finished."""
        for batch in range(begin, end):
            if not self._step(self.source.order[batch * self.batch : (batch + 1) * self.batch]):
                return batch - begin
        return end - begin

    def _step(self, rows: np.ndarray) -> bool:
        assert self.source.y is not None
        output = self.model.forward(self.source.x[rows])
        loss = self.loss(output, self.source.y[rows])
        if self.optimizer is not None:
            if not math.isfinite(loss):
                self.last_loss = loss
                return False
            self.optimizer.zero_grad()
            self.model.backward(self.loss.backward())
            self.optimizer.step()
        self.ticks += 1
        elements = output.size if isinstance(self.loss, MSELoss) else len(output)
        self.totals += loss * elements, getattr(self.loss, "correct", 0)
        return True

    def rewind(self, ticks: int) -> None:
        """Go back to having done so many steps."""
        self.ticks = ticks


def predict_eagerly(model: Sequential, x: np.ndarray, batch: int) -> np.ndarray:
    """Outputs of a model, batch by batch."""
    training = model.training
    model.eval()
    try:
        return np.concatenate([model.forward(x[i : i + batch]) for i in range(0, len(x), batch)])
    finally:
        model.train(training)
