"""Pictures and findings that several experiments share."""

from __future__ import annotations

import numpy as np

from fastnn.reports import figures
from fastnn.reports.comparison import PYTORCH, Comparison
from fastnn.reports.study import Study


def draw_curves(study: Study, run: Comparison) -> None:
    """Draw loss, accuracy, and the differences between the libraries."""
    lines = "Broad and pale: fastnn; thin: PyTorch." if PYTORCH in run.sides else "By fastnn."
    for key in ("loss", "accuracy"):
        study.picture(
            key,
            figures.curves(run, key),
            f"{key.capitalize()} against epochs",
            f"{lines} The training curve is the mean over an epoch's batches, the test curve that "
            "of the model at its end.",
        )
    draw_differences(study)


def draw_differences(study: Study) -> None:
    """Draw the differences between the libraries in all runs so far, if PyTorch has run."""
    compared = [run for run in study.comparisons if PYTORCH in run.sides]
    if compared:
        study.picture(
            "differences",
            figures.differences(compared),
            "fastnn and PyTorch apart",
            "The larger of the differences in training and test loss at each epoch, as a share of "
            "PyTorch's loss. Below the dashes the two are within 0.1%.",
        )


def tell_overfit(study: Study, run: Comparison, reported: str) -> None:
    """Report whether the test loss rises towards the end, as a report found."""
    test = np.array(run.history.val_loss, np.float64)
    least = int(test.argmin())
    rise = test[-1] / test[least] - 1
    study.finding(
        f"Is there {reported}?",
        f"The test loss is least in epoch {least + 1} of {len(test)} ({test[least]:.4f}) and "
        f"{rise:.1%} above that at the end: "
        + ("it does overfit, slightly." if rise > 0.01 else "not with these data and this start.")
        + f" Training accuracy ends {run.history.accuracy[-1] - run.history.val_accuracy[-1]:+.1%}"  # type: ignore[operator]
        " from test accuracy.",
    )
