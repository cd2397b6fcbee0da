"""Results of a sweep: a table of the best settings, the best model's scores, and a picture."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fastnn.cli.output import say
from fastnn.cli.tables import print_table
from fastnn.runs.search import READERS
from fastnn.runs.settings import Settings

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.runs.results import Result, Results

PICTURE = "sweep.png"
_TABLE_ROWS = 10


def _varied(results: Collection[Result]) -> list[str]:
    """Return the settings that vary among results, other than by the optimizers' defaults."""
    names = [
        name
        for name in READERS
        if len({getattr(each.settings, name) for each in results}) > 1
        and not all(_is_default(each.settings, name) for each in results)
    ]
    return names or ["hidden"]


def _is_default(settings: Settings, name: str) -> bool:
    """Return whether a setting has its optimizer's default."""
    usual = Settings(optimizer=settings.optimizer, recipe="plain")
    return name != "optimizer" and getattr(settings, name) == getattr(usual, name)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def score_of(result: Result | None) -> str:
    """Return a run's score on the validation rows as text."""
    if result is None or result.outcome != "finished":
        return "-"
    if result.val_accuracy is not None:
        return f"{result.val_accuracy:.2%}"
    return f"loss {result.val_loss:.4g}"


def print_results(found: Results) -> None:
    """Print a table of the best settings; runs that differ only in the seed share a row."""
    results = list(found.results.values())
    names = [name for name in _varied(results) if name != "seed"] or ["hidden"]
    groups: dict[tuple, list[Result]] = defaultdict(list)
    for each in results:
        groups[tuple(getattr(each.settings, name) for name in names)].append(each)
    ranked = sorted(groups.items(), key=lambda group: _mean_rank(group[1]), reverse=True)
    seeds = max(map(len, groups.values())) > 1
    classifies = found.best is not None and found.best.val_accuracy is not None
    titles = [name.replace("_", " ") for name in names]
    titles += ["runs"] * seeds + ["accuracy" if classifies else "loss"]
    rows = [
        [
            *map(_text, values),
            *[str(len(group))] * seeds,
            _spread(group, classifies),
        ]
        for values, group in ranked[:_TABLE_ROWS]
    ]
    say("on the rows that validate" + (", mean ± deviation over the seeds" if seeds else ""))
    print_table(titles, rows)
    if len(ranked) > _TABLE_ROWS:
        say(f"and {len(ranked) - _TABLE_ROWS:,} more, in results.jsonl")


def _mean_rank(group: list[Result]) -> tuple:
    """Return a key that is greater for better settings: their mean scores over the seeds."""
    finished = [each for each in group if each.outcome == "finished"]
    accuracy = [each.val_accuracy for each in finished if each.val_accuracy is not None]
    loss = [each.val_loss for each in finished if each.val_loss is not None]
    return (
        len(finished) == len(group),
        statistics.mean(accuracy) if accuracy else 0.0,
        -statistics.mean(loss) if loss else float("-inf"),
    )


def _spread(group: list[Result], classifies: bool) -> str:
    """Return the mean and the standard deviation of the score over the seeds, as text."""
    name, form, factor = (
        ("val_accuracy", "{:.2f}", 100) if classifies else ("val_loss", "{:.4g}", 1)
    )
    scores = [score for each in group if (score := getattr(each, name)) is not None]
    if len(scores) < len(group) or any(each.outcome != "finished" for each in group):
        return "not finite"
    text = form.format(factor * statistics.mean(scores))
    if len(scores) > 1:
        text += f" ± {factor * statistics.stdev(scores):.2g}"
    return text + "%" * classifies


def print_best(found: Results, data: Dataset) -> None:
    """Print the best model's settings, and its score on the test rows."""
    import fastnn
    from fastnn.metrics import regression_scores
    from fastnn.runs.results import BEST

    assert found.best is not None
    best, model = found.best, fastnn.load(found.folder / BEST)
    chosen = _varied(found.results.values())
    told = ", ".join(
        f"{name.replace('_', ' ')} {_text(getattr(best.settings, name))}" for name in chosen
    )
    if data.classes:
        loss = fastnn.CrossEntropyLoss()
        result = fastnn.evaluate(model, data.x_test, data.y_test, loss=loss)
        test = f"test accuracy {result.accuracy:.2%}"
    else:
        scores = regression_scores(data.y_test, fastnn.predict(model, data.x_test)[:, 0])
        test = f"test r2 {scores['r2']:.4f}"
    say(f"best: {told}: validation {score_of(best)}, {test}")


def print_comparison(
    results: list[Result], rate: float, torch_rate: float, torch_scores: list[float]
) -> None:
    """Print how many models a second PyTorch and fastnn train, and their mean scores."""
    import torch

    classifies = any(each.val_accuracy is not None for each in results)
    name, form = ("val_accuracy", "{:.2%}") if classifies else ("val_loss", "{:.4g}")
    scores = [score for each in results if (score := getattr(each, name)) is not None]
    mean, theirs = (form.format(statistics.mean(some)) for some in (scores, torch_scores))
    what = "accuracy" if classifies else "loss"
    say(
        f"PyTorch {torch.__version__}: {torch_rate:.3g} models a second; mean validation {what} "
        f"{theirs}, fastnn's {mean}"
    )
    if rate:
        say(f"fastnn trains {rate / torch_rate:.3g} times as many models a second")


def write_picture(found: Results) -> list[str]:
    """Draw scores against settings; return the names of all files of the sweep."""
    from fastnn.plots.sweep import sweep
    from fastnn.runs.results import BEST, RESULTS

    results = list(found.results.values())
    classifies = found.best is not None and found.best.val_accuracy is not None
    name = "val_accuracy" if classifies else "val_loss"
    scores = [getattr(each, name) if each.outcome == "finished" else None for each in results]
    settings = {
        name.replace("_", " "): [getattr(each.settings, name) for each in results]
        for name in _varied(results)
    }
    label = "validation accuracy" if classifies else "validation loss"
    sweep(settings, scores, label, found.folder / PICTURE, higher_is_better=classifies)
    return [RESULTS, BEST, PICTURE]
