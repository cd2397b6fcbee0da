"""The same training from other initial weights, to see whether these explain a difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import fastnn
from fastnn.data.dataset import Dataset
from fastnn.nn.initializers import normal
from fastnn.nn.sequential import Sequential
from fastnn.reports import figures
from fastnn.reports.comparison import PYTORCH, Comparison
from fastnn.reports.study import Study
from fastnn.training.history import History

STARTS = {
    "PyTorch's default": "default",
    "He": "kaiming_normal",
    "N(0, 0.1²)": normal(0.0, 0.1),
    "N(0, 0.01²)": normal(0.0, 0.01),
    "N(0, 1)": normal(0.0, 1.0),
}
_SEEDS = range(3)
_AGREE = 1e-3


def compare_starts(
    study: Study,
    run: Comparison,
    network: Callable[..., Sequential],
    data: Dataset,
    *,
    reach: float,
    epochs: int,
    batch_size: int,
) -> None:
    """Train `network(init, seed)` for each kind of initial weights and seed; report the effect.

    The first epochs in which test accuracy reaches `reach` are compared.
    """
    runs: dict[str, list[History]] = {name: [] for name in STARTS}
    for name, init in STARTS.items():
        for seed in _SEEDS:
            model = network(init, seed)
            history = study.fit(
                f"start {name}, seed {seed}",
                model,
                data,
                loss=fastnn.CrossEntropyLoss(),
                optimizer=fastnn.SGD(model.parameters(), lr=0.01),
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
                threads=1,
            )
            runs[name].append(history)
    for key, what in (("loss", "Training loss"), ("val_accuracy", "Test accuracy")):
        study.picture(
            f"starts_{key}",
            figures.starts(runs, key),
            f"{what} from other starts",
            f"The same network, data and settings by fastnn; only the initial weights differ. "
            f"Lines are medians over {len(_SEEDS)} seeds, bands their span.",
        )
    study.finding(
        "Did the scratch version learn more slowly than PyTorch for any reason but its start "
        "and settings?",
        f"{_same_start(run)} {_other_starts(runs, reach)}",
    )


def _same_start(run: Comparison) -> str:
    """Return a sentence on the difference between libraries from the same initial weights."""
    if PYTORCH not in run.sides:
        return "PyTorch was not run, so only the starts can be compared."
    gap = float(run.relative_differences().max())
    ours, theirs = run.sides.values()
    verdict = "No reason in the code" if gap < _AGREE else "Something else differs too"
    return (
        f"{verdict}: from one start, with the same batches, the losses of the two libraries differ "
        f"by at most {gap:.1e} of the loss in {len(run.history)} epochs, and they end at "
        f"{ours.test.accuracy:.1%} and {theirs.test.accuracy:.1%} of the test rows."
    )


def _other_starts(runs: dict[str, list[History]], reach: float) -> str:
    """Return a sentence on the difference between initial weights in the same library."""
    finals = {name: float(np.median([h.loss[-1] for h in hs])) for name, hs in runs.items()}
    low, high = min(finals, key=finals.__getitem__), max(finals, key=finals.__getitem__)
    firsts = "; ".join(f"{name}: {_first(hs, reach)}" for name, hs in runs.items())
    return (
        f"The start alone moves the final training loss from {finals[low]:.2g} ({low}) to "
        f"{finals[high]:.2g} ({high}), and the epoch in which {reach:.0%} of the test rows are "
        f"first right ({firsts}; medians over {len(_SEEDS)} seeds). A gap as reported between "
        "scratch and PyTorch needs no other explanation."
        if finals[high] > 1.3 * finals[low]
        else f"The starts tried here end within {finals[high] - finals[low]:.2g} in training loss, "
        "so they do not explain the reported gap."
    )


def _first(histories: list[History], reach: float) -> str:
    """Return as text the median over seeds of the first epoch with test accuracy `reach`."""
    firsts = []
    for history in histories:
        right = np.array(history.val_accuracy, np.float64) >= reach
        firsts.append(int(right.argmax()) + 1 if right.any() else np.inf)
    middle = float(np.median(firsts))
    return f"epoch {middle:.0f}" if np.isfinite(middle) else "never"
