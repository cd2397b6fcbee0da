"""Compiled outputs of a network for fixed samples, computed repeatedly during training."""

from __future__ import annotations

import numpy as np

from fastnn.compiler.forward import OUTPUTS, Plan
from fastnn.estimators.network import Network


class Outputs:
    """Outputs of a network, before the output activation, for samples."""

    def __init__(self, network: Network, x: np.ndarray, threads: int | None):
        self._network, self._x, self._threads = network, x, threads
        self._values = np.empty((len(x), network.columns), network.dtype)
        self._plan = self._make()

    def _make(self) -> Plan:
        model, (rows, columns) = self._network.model, self._x.shape
        return Plan(model, self._x.dtype, columns, rows, OUTPUTS)

    def compute(self) -> np.ndarray:
        """Return the current outputs (samples, columns), in a buffer that the next call reuses."""
        model, rows = self._network.model, len(self._x)
        if not self._plan.fits(model, rows):
            self._network.check_layers()
            self._plan = self._make()
        self._plan.run(model, self._x, self._values, self._threads)
        return self._values
