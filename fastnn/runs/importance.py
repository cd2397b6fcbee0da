"""Permutation importance: how much worse a model is when one column of the table is shuffled."""

from __future__ import annotations

import numpy as np

from fastnn.metrics import binary_scale
from fastnn.nn.sequential import Sequential
from fastnn.runs.importances import Importance, Importances
from fastnn.training.prediction import predict

_MOST_REPEATS = 10
_FEWEST_REPEATS = 3
_MOST_ROWS = 1000
_FEWEST_ROWS = 50
_MOST_COLUMNS = 2000
_MOST_WORK = 20_000_000_000  # products of a weight and an input: less than a second
_SEED = 0


def importances(model: Sequential, x: np.ndarray, y: np.ndarray) -> Importances:
    """Return the permutation importance of each column of the table that a model was trained on.

    A column is shuffled among at most 1,000 rows, with all its network inputs together, and the
    fall of accuracy (classes) or R2 (numbers) is taken; up to ten times. Rows and repeats are fewer
    where columns and weights are many, so that it takes about a second. It is not measured if less
    than three times 50 rows would be left, for more than 2,000 columns, if the rows have the same
    target, or if predictions are not finite.

    Parameters
    ----------
    model : Sequential
        The model, with the schema of its inputs.
    x : numpy.ndarray
        Test rows, (n, inputs).
    y : numpy.ndarray
        Class indices or numbers, (n,).

    Returns
    -------
    Importances
        The columns' importances, and how many rows were shuffled how often.

    References
    ----------
    L. Breiman, "Random forests", 2001, section 10.
    """
    assert model.schema is not None
    rng, columns = np.random.default_rng(_SEED), model.schema.columns
    rows, repeats = _affordable(model, len(columns), len(x))
    used = np.sort(rng.choice(len(x), rows, replace=False))
    x, y = np.ascontiguousarray(x[used]), y[used]
    if len(y) < 2 or np.ptp(y) == 0:
        return Importances([], rows, repeats)
    orders = np.concatenate([rng.permutation(rows) for _ in range(repeats)])
    whole, shuffled = _errors(model, x, y)[0], np.tile(x, (repeats, 1))
    if not np.isfinite(whole):
        return Importances([], rows, repeats)
    found, place = [], 0
    for column in columns:
        inputs = slice(place, place := place + column.width)
        shuffled[:, inputs] = x[orders, inputs]
        falls = _errors(model, shuffled, y) - whole
        shuffled[:, inputs] = np.tile(x[:, inputs], (repeats, 1))
        found.append(Importance(column.name, float(falls.mean()), float(falls.std(ddof=1))))
    return Importances(sorted(found, key=lambda each: -each.mean), rows, repeats)


def _affordable(model: Sequential, columns: int, rows: int) -> tuple[int, int]:
    """Return how many of the rows, and how many repeats, take about a second: 0 if too few."""
    weights = sum(parameter.size for parameter in model.parameters())
    budget = _MOST_WORK // max(1, columns * weights)
    rows = min(rows, _MOST_ROWS, max(_FEWEST_ROWS, budget // _MOST_REPEATS))
    repeats = min(_MOST_REPEATS, budget // max(1, rows))
    return (rows, repeats) if repeats >= _FEWEST_REPEATS and columns <= _MOST_COLUMNS else (0, 0)


def _errors(model: Sequential, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1 - accuracy, or 1 - R2, of each repetition of the rows, (repetitions,)."""
    outputs = predict(model, x)
    if model.classes:
        return (outputs.argmax(axis=1).reshape(-1, len(y)) != y).mean(axis=1)
    scale = binary_scale(y)
    y, told = y / scale, outputs.astype(np.float64).reshape(-1, len(y)) / scale
    return ((told - y) ** 2).mean(axis=1) / y.var()
