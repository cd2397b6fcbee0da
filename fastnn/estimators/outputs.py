"""Compiled outputs of a network for fixed samples, computed repeatedly during training."""

from __future__ import annotations

import numpy as np

from fastnn.compiler.program import PredictionProgram
from fastnn.compiler.runner import Runner
from fastnn.compiler.source import Source
from fastnn.estimators.network import Network
from fastnn.training.evaluation import EVALUATION_BATCH, threads_to_compute


class Outputs:
    """Outputs of a network, before the output activation, for samples; computed `most` times."""

    def __init__(self, network: Network, x: np.ndarray, threads: int | None, most: int):
        self.values = np.empty((len(x), network.columns), network.dtype)
        self._source = Source(x, None, np.arange(len(x)))
        batch = min(EVALUATION_BATCH, len(x))
        count = threads_to_compute(network.model, len(x), batch, threads, most)
        program = PredictionProgram(network.model, self._source, self.values, batch, count)
        self._runner = Runner(program, len(x))

    def compute(self) -> np.ndarray:
        """Return the current outputs (samples, columns), in a buffer that the next call reuses."""
        for _ in self._runner.slices():
            pass
        return self.values

    def close(self) -> None:
        """End the threads."""
        self._runner.__exit__(None, None, None)
