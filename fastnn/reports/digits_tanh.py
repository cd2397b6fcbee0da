"""Tanh networks on handwritten digits, by full batches and by small ones.

Network: 64-100-10, 64-500-10 and 64-1000-10. Linear, tanh, Linear, softmax cross-entropy.

Data: scikit-learn's 1,797 digits of 8 x 8 pixels, scaled to 0 to 1; 80% to train on.

Settings: as from scratch: the full batch, gradient descent with momentum 0.9 and learning
rate 0.01, gradients clipped to [-1, 1], weights and biases N(0, 1), training stops when a
logit passes 100; 300 epochs. As in PyTorch: batches of 20, SGD
with momentum 0.9, learning rate 0.01, PyTorch's default start, 100 epochs. Learning rate,
momentum and epochs are not given in the report.

Source: a report on digits with NumPy and PyTorch, loss and test accuracy for 100 and 500
hidden units.
"""

import numpy as np

import fastnn
from fastnn.reports import figures, standard
from fastnn.reports.comparison import FASTNN
from fastnn.reports.study import Study

LIMIT = 100.0
REPORTED = {
    "full batch": "training takes 8 minutes (NumPy)",
    "batches of 20": "training takes 3 minutes (PyTorch)",
}


def network(hidden: int, start: str) -> fastnn.Sequential:
    """Return 64-hidden-10 with weights and biases from N(0, 1) ("normal") or PyTorch's default."""
    rng = np.random.default_rng(0)
    first = fastnn.Linear(64, hidden, init=start, seed=rng)
    last = fastnn.Linear(hidden, 10, init=start, seed=rng)
    if start == "normal":
        first.bias, last.bias = rng.standard_normal(hidden), rng.standard_normal(10)
    return fastnn.Sequential(fastnn.Normalize(0, 16), first, fastnn.Tanh(), last)


class StopAtLogit(fastnn.Callback):
    """Callback that stops when a logit of a training row passes a limit.

    `largest` holds the largest logit after each epoch.
    """

    def __init__(self, x, limit: float = LIMIT):
        self.x, self.limit = x, limit
        self.largest: list[float] = []

    def on_epoch_end(self, training):
        """Note the largest logit, and stop if it passes the limit."""
        self.largest.append(float(fastnn.predict(training.model, self.x).max()))
        training.stop = self.largest[-1] > self.limit


def run(study: Study) -> None:
    """Train each width in both ways, then with and without the rule about logits."""
    data = study.load("digits")
    ways: dict[str, dict] = {"full batch": {}, "batches of 20": {}}
    for hidden in (100, 500, 1000):
        model = network(hidden, "normal")
        ways["full batch"][f"{hidden} hidden"] = study.compare(
            f"64-{hidden}-10, full batch",
            model,
            data,
            loss=fastnn.CrossEntropyLoss(),
            optimizer=fastnn.SGD(model.parameters(), lr=0.01, momentum=0.9, clip_value=1.0),
            epochs=300,
            batch_size=len(data.x_train),
            callbacks=[StopAtLogit(data.x_train)],
            reported=REPORTED["full batch"],
        )
    for hidden in (100, 500, 1000):
        model = network(hidden, "default")
        ways["batches of 20"][f"{hidden} hidden"] = study.compare(
            f"64-{hidden}-10, batches of 20",
            model,
            data,
            loss=fastnn.CrossEntropyLoss(),
            optimizer=fastnn.SGD(model.parameters(), lr=0.01, momentum=0.9),
            epochs=100,
            batch_size=20,
            reported=REPORTED["batches of 20"],
        )
    for way, runs in ways.items():
        for key, what in (("loss", "Loss"), ("val_accuracy", "Test accuracy")):
            study.picture(
                f"{key}_{way.replace(' ', '_')}",
                figures.several(runs, key),
                f"{what}, {way}",
                f"By fastnn (colours) and by PyTorch (dots on them), {way}.",
            )
    standard.draw_differences(study)
    _stop_early(study, data)
    _compare_ways(study, ways)


def _stop_early(study, data) -> None:
    """Train 64-500-10 at a tenfold learning rate with and without the rule about logits."""
    runs, largest = {}, {}
    for name, limit in (("with the rule", LIMIT), ("without it", np.inf)):
        model, watch = network(500, "normal"), StopAtLogit(data.x_train, limit)
        runs[name] = study.fit(
            f"64-500-10, learning rate 0.1, {name}",
            model,
            data,
            loss=fastnn.CrossEntropyLoss(),
            optimizer=fastnn.SGD(model.parameters(), lr=0.1, momentum=0.9, clip_value=1.0),
            epochs=300,
            batch_size=len(data.x_train),
            callbacks=[watch],
        )
        largest[name] = max(watch.largest)
    study.picture(
        "stop_rule",
        figures.several(runs, "val_accuracy"),
        "What stopping at a logit of 100 costs",
        "64-500-10, full batch, learning rate 0.1: test accuracy with and without the rule.",
    )
    stopped, free = runs.values()
    slow = [run for run in study.comparisons if "full batch" in run.name]
    early = sum(len(run.history) < run.settings["epochs"] for run in slow)
    study.finding(
        "Does training have to stop when a logit passes 100?",
        f"{early} of the {len(slow)} runs at a learning rate of 0.01 were stopped by that rule. At "
        f"0.1, 64-500-10 is stopped after {len(stopped)} epochs at "
        f"{stopped.val_accuracy[-1]:.1%} of the test rows; without the rule its logits reach "
        f"{largest['without it']:.0f} and it gets to {max(free.val_accuracy):.1%} (after "
        f"{len(free)} epochs {free.val_accuracy[-1]:.1%}). A softmax that subtracts the largest "
        "logit before exp cannot overflow, so the rule guards against nothing here.",
    )


def _compare_ways(study, ways) -> None:
    """Report accuracy and seconds of full batches from N(0, 1), and of small ones from default."""
    ends = {
        way: ", ".join(
            f"{run.sides[FASTNN].test.accuracy:.1%} of the test rows after "
            f"{run.sides[FASTNN].seconds:.2g} s ({name})"
            for name, run in runs.items()
        )
        for way, runs in ways.items()
    }
    study.finding(
        "Which of the two ways of training is better?",
        "; ".join(f"{way.capitalize()}: {text}" for way, text in ends.items())
        + ". The reports gave 8 minutes from scratch in NumPy and 3 in PyTorch.",
    )
