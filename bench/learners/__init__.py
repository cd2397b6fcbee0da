"""Networks and their training by each library, one file each: `with_X.Learner`.

All begin with the same weights and see the same batches in the same order. The files
import no more than the library, so that what they take from a process's start to a
trained network is the library's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Learner(Protocol):
    """A workload's network and what it is trained on.

    Made with a `Workload`, its `Samples` (`bench.data`), and the number of threads or
    None; raises NotImplementedError if the library has no such network.
    """

    compiles: bool
    """Whether the first epoch takes longer because it is compiled."""

    def reset(self, seed: int) -> None:
        """Begin anew, with the weights that all begin with; dropout draws from the seed."""

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train, in the order that `bench.data.orders` draws from the seed.

        `after_epoch` is called after each epoch and says whether that is enough.
        """

    def score(self) -> tuple[float, float]:
        """Mean loss, and accuracy in percent, over the test samples."""
