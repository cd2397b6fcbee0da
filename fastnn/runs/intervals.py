"""Intervals of scores: how far they may lie off because the test rows are few."""

from __future__ import annotations

import numpy as np

from fastnn.metrics import binary_scale, is_ranked

RESAMPLES = 1000
_GROUPS = 500
_SEED = 0
_LEVEL = 0.95

Interval = tuple[float, float]


def intervals(y: np.ndarray, predicted: np.ndarray) -> dict[str, Interval]:
    """Return 95% bootstrap intervals of the scores that `fastnn.metrics.scores` gives.

    Test rows are drawn with replacement 1,000 times, by a fixed seed, and scored each time; the
    interval holds the middle 95% of these scores. More than 500 rows are first dealt into 500
    random groups, and groups are drawn in place of rows, so that the work per draw is bounded and
    all rows count. ROC AUC is drawn through its linear part, the mean rank of each row among
    those of the other side.

    Parameters
    ----------
    y : numpy.ndarray
        Class indices or numbers, (n,).
    predicted : numpy.ndarray
        Probabilities, (n, classes), or predicted numbers, (n,).

    Returns
    -------
    dict of str to tuple of float
        The lower and upper end for each score; NaN where the score is NaN.

    References
    ----------
    B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or more
    correlated receiver operating characteristic curves", 1988.
    """
    draws = _Draws(len(y))
    with np.errstate(all="ignore"):  # NaN: a draw that lacks a class
        score = _of_numbers if predicted.ndim == 1 else _of_classes
        drawn = score(draws, y, predicted)
    return {name: _middle(values) for name, values in drawn.items()}


class _Draws:
    """Draws with replacement of n rows, or of groups of rows."""

    def __init__(self, n: int):
        rng = np.random.default_rng(_SEED)
        self._count = min(n, _GROUPS)
        self._group = rng.permutation(n) % self._count
        drawn = rng.integers(0, self._count, (RESAMPLES, self._count))
        drawn += self._count * np.arange(RESAMPLES)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=RESAMPLES * self._count)
        self._times = times.reshape(RESAMPLES, self._count).astype(np.float64)

    def sums(self, *values: np.ndarray) -> np.ndarray:
        """Return the sums of arrays (n,) over the rows of each draw, (arrays, draws)."""
        grouped = [np.bincount(self._group, each, self._count) for each in values]
        return np.stack(grouped) @ self._times.T

    def means(self, *values: np.ndarray) -> np.ndarray:
        """Return the means of arrays (n,) over the rows of each draw, (arrays, draws)."""
        *sums, rows = self.sums(*values, np.ones(len(values[0])))
        return np.stack(sums) / rows


def _of_numbers(draws: _Draws, y: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    scale = binary_scale(y)
    y, predicted = y / scale, predicted / scale
    errors, centred = y - predicted, y - y.mean()
    squares, sizes, spread, shift = draws.means(errors**2, np.abs(errors), centred**2, centred)
    r2 = 1 - squares / (spread - shift**2)
    return {"r2": r2, "mae": scale * sizes, "rmse": scale * np.sqrt(squares)}


def _of_classes(draws: _Draws, y: np.ndarray, shares: np.ndarray) -> dict[str, np.ndarray]:
    chosen, classes = shares.argmax(axis=1), range(shares.shape[1])
    least = np.finfo(shares.dtype).eps  # as scikit-learn bounds them
    losses = -np.log(np.maximum(shares[np.arange(len(y)), y], least))
    right = y == chosen
    accuracy, loss = draws.means(right, losses)
    true = draws.sums(*(y == each for each in classes))
    told = draws.sums(*(chosen == each for each in classes))
    both = draws.sums(*(right & (y == each) for each in classes))
    return {
        "accuracy": accuracy,
        "balanced_accuracy": _mean_of(both / true),
        "macro_f1": _mean_of(2 * both / (true + told)),
        "log_loss": loss,
        "roc_auc": _areas(draws, y, shares) if is_ranked(y, shares) else np.full(RESAMPLES, np.nan),
    }


def _areas(draws: _Draws, y: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return ROC AUC of each draw: the mean over classes, or the second one's of two."""
    classes = (1,) if shares.shape[1] == 2 else range(shares.shape[1])
    inside = [y == each for each in classes]
    places = [_places(each, shares[:, k]) for each, k in zip(inside, classes, strict=True)]
    halves = [
        draws.sums(*(place * side for place, side in zip(places, sides, strict=True)))
        / draws.sums(*sides)
        for sides in (inside, [~each for each in inside])
    ]
    areas = [place[side].mean() for place, side in zip(places, inside, strict=True)]
    return _mean_of(np.clip(sum(halves) - np.array(areas)[:, np.newaxis], 0, 1))


def _places(inside: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return, for each row, the share of the other side's rows that lie on its right side.

    Rows `inside` should have greater values than the others; a tie counts half.
    """
    places = np.empty(len(values))
    for side in (inside, ~inside):
        rows = np.flatnonzero(side)
        rows = rows[np.argsort(values[rows])]
        others, own = np.sort(values[~side]), values[rows]
        below = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")
        places[rows] = below / (2 * len(others))
    places[~inside] = 1 - places[~inside]
    return places


def _mean_of(values: np.ndarray) -> np.ndarray:
    """Return the mean over classes (classes, draws), without the classes that a draw lacks."""
    known = np.isfinite(values)
    return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)


def _middle(values: np.ndarray) -> Interval:
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
