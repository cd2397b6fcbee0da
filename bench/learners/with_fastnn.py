"""fastnn: layers in a `Sequential`, trained by `fit`."""

from __future__ import annotations

from collections.abc import Callable

import fastnn
from bench import data
from bench.data import Samples
from bench.workloads import Workload

_ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def network(workload: Workload) -> fastnn.Sequential:
    """The network of a workload, with the weights that all begin with."""
    layers: list[fastnn.Layer] = []
    if workload.storage == "uint8":
        layers.append(fastnn.Normalize(workload.mean, workload.std))
    linears = list(data.parameters(workload))
    if workload.dropout and len(linears) == 1:
        layers.append(fastnn.Dropout(workload.dropout))
    for place, (weight, bias) in enumerate(linears, 1):
        linear = fastnn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = weight, bias
        layers.append(linear)
        if place < len(linears):
            layers.append(getattr(fastnn, _ACTIVATIONS[workload.activation])())
            if workload.dropout:
                layers.append(fastnn.Dropout(workload.dropout))
        elif workload.output:
            layers.append(getattr(fastnn, _ACTIVATIONS[workload.output])())
    return fastnn.Sequential(*layers)


def optimizer_of(workload: Workload, model: fastnn.Sequential) -> fastnn.SGD | fastnn.Adam:
    """The optimizer of a workload."""
    parameters, clip = model.parameters(), workload.clip_value
    if workload.optimizer == "Adam":
        return fastnn.Adam(parameters, lr=workload.lr, clip_value=clip)
    return fastnn.SGD(parameters, lr=workload.lr, momentum=workload.momentum, clip_value=clip)


class Learner:
    """fastnn's `bench.learners.Learner`."""

    compiles = False

    def __init__(self, workload: Workload, samples: Samples, threads: int | None = None):
        self.workload, self.samples, self.threads = workload, samples, threads
        self.loss = fastnn.MSELoss() if workload.loss == "mse" else fastnn.CrossEntropyLoss()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin anew; `train` seeds dropout."""
        self.model = network(self.workload)
        self.optimizer = optimizer_of(self.workload, self.model)

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train by one `fit`."""

        def stop_when_enough(training: fastnn.Training) -> None:
            training.stop = after_epoch is not None and after_epoch()

        fastnn.fit(
            self.model, self.samples.x, self.samples.y, loss=self.loss, optimizer=self.optimizer,
            epochs=epochs, batch_size=self.workload.batch, seed=seed, threads=self.threads,
            callbacks=[stop_when_enough] if after_epoch else [],
        )  # fmt: skip

    def score(self) -> tuple[float, float]:
        """Mean loss, and accuracy in percent, over the test samples."""
        found = fastnn.evaluate(
            self.model, self.samples.x_test, self.samples.y_test, loss=self.loss
        )
        return found.loss, 100 * (found.accuracy or 0.0)
