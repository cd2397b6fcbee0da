"""Networks to train, and how much faster than their peers fastnn has to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A network, what it is trained on and how; all settings are plain values."""

    sizes: tuple[int, ...]
    """Columns of the samples, and outputs of each linear layer; activations between them."""
    activation: str
    batch: int
    lr: float
    momentum: float
    samples: int
    storage: str
    """Dtype of the samples: float32 or uint8."""
    epochs: int
    """Epochs in one timed call."""
    target: float
    """Times as fast as PyTorch eager."""

    @property
    def name(self) -> str:
        """The network, its batch and its optimizer, in a few words."""
        optimizer = f"SGD momentum {self.momentum:g}" if self.momentum else "SGD"
        network = "-".join(map(str, self.sizes))
        return f"{network} {self.activation}, {self.batch}, {optimizer}, {self.storage}"

    @property
    def steps(self) -> int:
        """Training steps in one timed call."""
        return self.epochs * -(-self.samples // self.batch)


PICTURES = Workload(
    sizes=(784, 128, 10), activation="relu", batch=64, lr=0.02, momentum=0.9,
    samples=20_000, storage="float32", epochs=1, target=3.0,
)  # fmt: skip
"""As wide as MNIST; a third of its rows are already more than caches hold."""

PICTURES_AS_BYTES = Workload(
    sizes=(784, 128, 10), activation="relu", batch=64, lr=0.02, momentum=0.9,
    samples=20_000, storage="uint8", epochs=1, target=3.0,
)  # fmt: skip
"""The same kept as bytes, which both libraries convert batch by batch."""

TINY = Workload(
    sizes=(10, 100, 2), activation="relu", batch=64, lr=0.1, momentum=0.0,
    samples=32_000, storage="float32", epochs=2, target=15.0,
)  # fmt: skip
"""So little arithmetic that what counts is how it is called."""
