"""Cases of training a workload by a library's `Learner`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench import data
from bench.learners import Learner
from bench.peers import Case, compile_seconds
from bench.workloads import Workload


def trainer(
    make: Callable[..., Learner], threads: Callable[[], int | None] = lambda: None
) -> Callable[..., Case]:
    """Return an operation that trains epochs of a workload, shuffling included.

    If `threads` returns a number, it is set as the learner's number of threads before each call.
    """

    def training(**settings) -> Case:
        workload = Workload(**settings)
        learner = make(workload, data.samples(workload))

        def call() -> None:
            if threads() is not None:
                learner.threads = threads()  # type: ignore[attr-defined]
            learner.train(workload.epochs)

        def check() -> dict[str, float]:
            facts, scores = {}, []
            if learner.compiles:
                facts["compile_seconds"] = compile_seconds(lambda: learner.train(1, 0))
            for seed in range(workload.seeds):
                learner.reset(seed)
                learner.train(workload.epochs_to_learn, seed)
                scores.append(learner.score())
            loss, accuracy = np.mean(scores, axis=0)
            return facts | {"loss": float(loss), "accuracy": float(accuracy)}

        return Case(call, check)

    return training
