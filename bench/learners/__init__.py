"""Networks and their training by each library, one file each: `with_X.Learner`.

All begin with the same weights and see the same batches in the same order. Each file
imports only its library, so that a process's time from its start to the trained network
is the library's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Learner(Protocol):
    """The network of a workload in one library, with its samples and optimizer.

    The constructor takes a `Workload`, its `Samples` (`bench.data`), and the number of threads or
    None; it raises NotImplementedError if the library has no such network.
    """

    compiles: bool
    """True if the first epoch takes longer because it is compiled."""

    def reset(self, seed: int) -> None:
        """Start over with the initial weights, which all libraries share; `seed` seeds dropout."""

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train, with the rows in the order that `bench.data.orders` draws from the seed.

        `after_epoch` is called after each epoch; training stops when it returns True.
        """

    def score(self) -> tuple[float, float]:
        """Return the mean loss, and the accuracy in percent, over the test samples."""
