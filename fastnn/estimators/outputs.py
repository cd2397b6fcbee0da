"""Compiled outputs of a network for fixed samples, computed repeatedly during training."""

from __future__ import annotations

import numpy as np

from fastnn.compiler.lowered import Lowered
from fastnn.compiler.program import PredictionProgram, layout
from fastnn.compiler.runner import Runner
from fastnn.compiler.source import Source
from fastnn.estimators.network import Network
from fastnn.training.evaluation import EVALUATION_BATCH, threads_to_compute


class Outputs(Lowered):
    """Outputs of a network, before the output activation, for samples; computed `most` times."""

    def __init__(self, network: Network, x: np.ndarray, threads: int | None, most: int):
        self.values = np.empty((len(x), network.columns), network.dtype)
        self._source = Source(x, None, np.arange(len(x)))
        self._network, self._batch = network, min(EVALUATION_BATCH, len(x))
        self._threads = threads_to_compute(network.model, len(x), self._batch, threads, most)
        self.lower()

    def _basis(self) -> list:
        return layout(self._network.model)

    def _make(self) -> Runner:
        self._network.check_layers()
        how = self._source, self.values, self._batch, self._threads
        return Runner(PredictionProgram(self._network.model, *how), len(self.values))

    def compute(self) -> np.ndarray:
        """Return the current outputs (samples, columns), in a buffer that the next call reuses."""
        self.refresh()
        for _ in self.runner.slices():
            pass
        return self.values
