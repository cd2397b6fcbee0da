"""fastnn: layers in a `Sequential`, trained by `fit`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import fastnn
from bench.data import Samples
from bench.learners.networks import network, optimizer
from bench.workloads import Workload


class Learner:
    """fastnn's `bench.learners.Learner`."""

    compiles = False

    def __init__(self, workload: Workload, samples: Samples, threads: int | None = None):
        self.workload, self.samples, self.threads = workload, samples, threads
        self.loss = fastnn.MSELoss() if workload.loss == "mse" else fastnn.CrossEntropyLoss()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start over with the initial weights; `train` seeds dropout."""
        workload = self.workload
        as_bytes = workload.storage == "uint8"
        before = [fastnn.Normalize(workload.mean, workload.std)] if as_bytes else []
        self.model = network(workload, fastnn, np.asarray, *before)
        self.optimizer = optimizer(workload, fastnn, self.model, clip_value=workload.clip_value)

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train by one `fit`."""

        def stop_when_enough(training: fastnn.Training) -> None:
            training.stop = after_epoch is not None and after_epoch()

        fastnn.fit(
            self.model,
            self.samples.x,
            self.samples.y,
            loss=self.loss,
            optimizer=self.optimizer,
            epochs=epochs,
            batch_size=self.workload.batch,
            seed=seed,
            threads=self.threads,
            callbacks=[stop_when_enough] if after_epoch else [],
        )

    def score(self) -> tuple[float, float]:
        """Return the mean loss, and the accuracy in percent, over the test samples."""
        found = fastnn.evaluate(
            self.model, self.samples.x_test, self.samples.y_test, loss=self.loss
        )
        return found.loss, 100 * (found.accuracy or 0.0)
