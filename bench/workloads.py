"""Networks to train, with targets for fastnn's speed relative to its peers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A network, its data and its training, as plain values.

    Dropout is applied to the output of each hidden layer, or to the samples if there is no
    hidden layer.
    """

    sizes: tuple[int, ...]
    """Number of columns of the samples, and of outputs of each linear layer."""
    activation: str
    batch: int
    samples: int
    lr: float
    optimizer: str = "SGD"
    """SGD or Adam."""
    momentum: float = 0.0
    clip_value: float | None = None
    """Bound on the absolute value of each element of the gradient."""
    dropout: float = 0.0
    output: str = ""
    """Activation behind the last layer, or "" for none."""
    loss: str = "cross-entropy"
    """cross-entropy, or mse with one-hot targets."""
    storage: str = "float32"
    """Dtype of the samples: float32 or uint8."""
    mean: float = 128.0
    std: float = 40.0
    """The network gets (b - mean) / std of samples b that are stored as bytes."""
    test_samples: int = 10_000
    task: str = "clouds"
    """Data: clouds or disk, made by `bench.data`, or the name of a data set of fastnn."""
    epochs: int = 1
    """Epochs in one timed call: enough that the start of a training takes little of the time."""
    epochs_to_learn: int = 1
    """Epochs before loss and accuracy are evaluated."""
    seeds: int = 1
    """Number of trainings whose mean loss and accuracy are compared; several with dropout."""
    torch: float | None = None
    """Target: how many times as fast as eager PyTorch."""
    jax: float | None = None
    """Target: how many times as fast as JAX."""

    @property
    def name(self) -> str:
        """Short description of the network, its batch and its optimizer."""
        words = ["-".join(map(str, self.sizes))]
        if len(self.sizes) > 2:
            words.append(self.activation)
        if self.output:
            words.append(f"{self.output} out")
        parts = [" ".join(words)]
        if self.loss == "mse":
            parts.append("MSE")
        if self.dropout:
            parts.append(f"dropout {self.dropout:g}")
        parts += [str(self.batch), self.optimizer + (" momentum" if self.momentum else "")]
        if self.clip_value is not None:
            parts[-1] += ", clipped"
        if self.storage != "float32":
            parts.append(self.storage)
        return ", ".join(parts)

    @property
    def steps(self) -> int:
        """Number of training steps in one timed call."""
        return self.epochs * self.steps_an_epoch

    @property
    def steps_an_epoch(self) -> int:
        """Number of batches in an epoch; the last may be smaller."""
        return -(-self.samples // self.batch)

    @property
    def flops(self) -> int:
        """Number of floating-point operations of the products of one step.

        These are the forward product and the gradient of the weights for each layer, and the
        gradient of the input for all layers but the first.
        """
        pairs = list(zip(self.sizes, self.sizes[1:], strict=False))
        return 2 * self.batch * (3 * sum(i * o for i, o in pairs) - pairs[0][0] * pairs[0][1])

    def smaller(self, samples: int) -> Workload:
        """Return the workload with fewer samples, one epoch and one seed."""
        return dataclasses.replace(
            self, samples=min(samples, self.samples), epochs=1, epochs_to_learn=1, seeds=1
        )


TWO_CLASS = Workload(
    sizes=(10, 100, 2),
    activation="relu",
    batch=64,
    samples=6_400,
    lr=0.1,
    epochs=20,
    epochs_to_learn=5,
    torch=20,
    jax=2,
)
"""Little arithmetic, so that the overhead of calls dominates."""

TWO_CLASS_DEEP = dataclasses.replace(TWO_CLASS, sizes=(10, 100, 100, 2), torch=8, jax=1.6)

DIGITS = Workload(
    sizes=(64, 100, 10),
    activation="tanh",
    batch=20,
    samples=1_437,
    lr=0.02,
    momentum=0.9,
    epochs=40,
    epochs_to_learn=10,
    torch=20,
    jax=2,
)

DIGITS_WIDE = dataclasses.replace(DIGITS, sizes=(64, 500, 10), epochs=20, torch=8, jax=1.7)

DIGITS_FULL_BATCH = dataclasses.replace(
    DIGITS_WIDE,
    batch=1_437,
    lr=0.1,
    clip_value=1.0,
    epochs=40,
    epochs_to_learn=40,
    torch=2.2,
    jax=1.3,
)

DISK = Workload(
    sizes=(2, 25, 25, 25, 2),
    activation="relu",
    batch=100,
    samples=10_000,
    lr=0.1,
    output="tanh",
    loss="mse",
    task="disk",
    epochs=20,
    epochs_to_learn=20,
    torch=15,
    jax=2,
)

PICTURES_LINEAR = Workload(
    sizes=(784, 10),
    activation="relu",
    batch=32,
    samples=20_000,
    lr=0.01,
    output="relu",
    dropout=0.25,
    epochs=4,
    seeds=8,
    torch=12,
    jax=2.5,
)

PICTURES = Workload(
    sizes=(784, 128, 10),
    activation="relu",
    batch=64,
    samples=20_000,
    lr=0.02,
    momentum=0.9,
    epochs=4,
    torch=3.2,
    jax=1.3,
)
"""As wide as MNIST; a third of its rows are already more than the caches hold."""

PICTURES_ADAM = dataclasses.replace(
    PICTURES, optimizer="Adam", momentum=0.0, lr=1e-3, torch=3.5, jax=1.3
)

PICTURES_LARGE = Workload(
    sizes=(784, 512, 512, 10),
    activation="relu",
    batch=128,
    samples=12_800,
    lr=1e-4,
    optimizer="Adam",
    dropout=0.2,
    epochs_to_learn=3,
    seeds=3,
    torch=2.3,
    jax=1.2,
)

PICTURES_AS_BYTES = dataclasses.replace(PICTURES, storage="uint8", torch=None, jax=None)
"""`PICTURES` stored as bytes, which are converted batch by batch."""

TABLE = {
    "10-100-2": TWO_CLASS,
    "10-100-100-2": TWO_CLASS_DEEP,
    "64-100-10": DIGITS,
    "64-500-10": DIGITS_WIDE,
    "64-500-10-full-batch": DIGITS_FULL_BATCH,
    "2-25-25-25-2": DISK,
    "784-10": PICTURES_LINEAR,
    "784-128-10": PICTURES,
    "784-128-10-adam": PICTURES_ADAM,
    "784-512-512-10": PICTURES_LARGE,
}
"""The ten networks of the README's table, by short names."""

ALL_OVER_TORCH, ALL_OVER_JAX = 8.0, 1.8
"""Targets for the geometric means over the table."""

MNIST = Workload(
    sizes=(784, 128, 10),
    activation="relu",
    batch=64,
    samples=60_000,
    lr=0.02,
    momentum=0.9,
    task="mnist",
    mean=33.3,
    std=78.6,
)
"""All of MNIST, trained until a test accuracy is reached."""

MNIST_AS_BYTES = dataclasses.replace(MNIST, storage="uint8")

DIGITS_FIT = Workload(
    sizes=(64, 100, 10),
    activation="tanh",
    batch=20,
    samples=1_437,
    lr=0.02,
    momentum=0.9,
    task="digits",
    mean=4.9,
    std=6.0,
    epochs=20,
    epochs_to_learn=20,
)
"""scikit-learn's digits, for a whole `fit`."""

WHOLE_RUNS = {"mnist": MNIST, "mnist-bytes": MNIST_AS_BYTES, "digits": DIGITS_FIT}
