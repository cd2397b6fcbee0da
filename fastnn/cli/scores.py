"""Tables of scores: of a network beside simple models, of folds, and of columns that matter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fastnn.cli.output import say
from fastnn.cli.tables import print_table

if TYPE_CHECKING:
    from fastnn.runs.intervals import Interval
    from fastnn.runs.verdict import Verdict

_MOST_COLUMNS = 10
_WIDTH = 30  # letters of a name
_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
}
_SHARES = ("accuracy", "balanced_accuracy")

Scores = Mapping[str, float]


def main_scores(scores: Scores, prefix: str = "") -> str:
    """Return the accuracy, or R2 and RMSE, as text; the prefix comes before each name."""
    if "accuracy" in scores:
        return f"{prefix}accuracy {scores['accuracy']:.2%}"
    return f"{prefix}r2 {scores['r2']:.4f}, {prefix}rmse {scores['rmse']:.4g}"


def print_scores(
    scores: Scores, intervals: Mapping[str, Interval], others: Mapping[str, Scores] | None = None
) -> None:
    """Print a network's scores, the ends of their intervals, and scores of other models below."""
    from fastnn.runs.intervals import RESAMPLES

    low, high = ({name: ends[side] for name, ends in intervals.items()} for side in (0, 1))
    rows = {"network": scores, "  95%: from": low, "  to": high, **(others or {})}
    _print(rows, "model")
    say(f"95%: the middle of {RESAMPLES:,} bootstrap resamples of the test rows")


def print_verdict(verdict: Verdict) -> None:
    """Print the scores of a network and of simple models, and the columns that matter most."""
    print_scores(verdict.scores, verdict.intervals, verdict.rivals)
    if verdict.fitted_to:
        say(f"linear: fitted to {verdict.fitted_to}")
    found, shuffled, repeats = verdict.importances
    if not found:
        say("which columns matter: not measured, for many columns or few or equal test targets")
        return
    rows = [
        [_short(each.column), _number(verdict.score, each.mean), _number(verdict.score, each.std)]
        for each in found[:_MOST_COLUMNS]
    ]
    print_table(["column", f"fall of {_TITLES[verdict.score]}", "deviation"], rows)
    more = len(found) - _MOST_COLUMNS
    if more > 0:
        say(f"and {more:,} more column{'s' * (more > 1)}")
    say(f"a column is shuffled {repeats} times among {shuffled:,} test rows")


def print_folds(folds: Sequence[Scores], summary: Mapping[str, tuple[float, float]]) -> None:
    """Print the scores of each fold, their means and standard deviations."""
    rows = {f"fold {place}": scores for place, scores in enumerate(folds, 1)}
    mean, std = ({name: each[side] for name, each in summary.items()} for side in (0, 1))
    _print({**rows, "mean": mean, "deviation": std}, "run")


def _print(rows: Mapping[str, Scores], what: str) -> None:
    names = list(next(iter(rows.values())))
    cells = [
        [title, *(_number(name, scores[name]) for name in names)] for title, scores in rows.items()
    ]
    print_table([what, *(_TITLES[name] for name in names)], cells)


def _number(score: str, value: float) -> str:
    if not math.isfinite(value):
        return "-"
    if score in _SHARES:
        return f"{value:z.2%}"
    return f"{value:.4g}" if score in ("mae", "rmse") else f"{value:z.4f}"


def _short(name: str) -> str:
    return name if len(name) <= _WIDTH else name[: _WIDTH - 1] + "…"
