"""The recipe for tables: how `fastnn train FILE` trains what no option says otherwise.

- Numbers are scaled robustly, (x - median) / interquartile range, and clipped smoothly (RealMLP,
  arXiv 2407.04491), by layers of the model. What is 0 or 1 stays so. The bound is wider where
  linear models show that what is far out tells of the target.
- A network of ReLUs begins as the linear model that a ridge regression, or scikit-learn's
  LogisticRegression, finds in a fraction of a second, and learns from there what is not linear
  (AdamW, with a rate that falls to 0). So it is seldom worse than the linear model, also on a few
  dozen rows.
- The weights of the epoch with the lowest validation loss are kept; the linear model counts as
  epoch 0.
- Up to `MOST_FOLDED` rows, a network is trained for each of five folds, and validated on the rows
  of that fold; with few rows, on several partitions into folds. Their mean is the model: one chain
  of layers, since networks side by side are a wider network. Unless the networks improve clearly
  on the linear models, over the folds, the mean of these is taken.
- A regression predicts nothing outside the range of the training targets, or not far outside.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from fastnn.data.dataset import Dataset
from fastnn.data.tables.splits import groups_apart
from fastnn.nn.activations import Hardtanh, SmoothClip
from fastnn.nn.layer import Layer
from fastnn.nn.linear import Linear
from fastnn.nn.normalize import Normalize
from fastnn.nn.sequential import Sequential
from fastnn.runs.ridge import ridge
from fastnn.training.history import History
from fastnn.training.prediction import predict

MOST_FOLDED, FOLDS, MOST_ROUNDS = 10_000, 5, 4
CLEARLY = 2.0  # standard errors by which the validation loss must fall below the linear models'

BOUNDS = (3.0, 10.0, 100.0, 1000.0)
"""Bounds of the smooth clipping: the first, unless linear models are clearly better by another."""

_CLEARLY_BETTER = 0.9  # share of the first bound's squared error
_SAMPLE, _LEAST_SAMPLE = 1_000_000, 100  # numbers to look at; least rows of them
_RIDGE_WORK = 200_000  # numbers that the choice of a bound looks at
_LINEAR_WORK = 4_000_000  # numbers times outputs that a linear model is fitted to
_CONSTANT = 1e-6  # deviation of a column that tells nothing
_FAR = 100.0  # times the greatest output of a linear model, which no prediction reaches
_FEWEST = 3  # rows that a linear model is fitted to


def sizes(rows: int, outputs: int) -> dict[str, Any]:
    """Return widths of hidden layers, rows of a batch, epochs, and the validation share if any.

    Few rows get some thousand steps, and many rows fewer epochs, so that training takes seconds.
    A layer has room for the linear model's outputs and as many units again.
    """
    if 1 < rows <= MOST_FOLDED:
        epochs = min(max(300_000 // rows, 30), 100)
        return {"hidden": (max(64, 2 * outputs),), "batch_size": 32, "epochs": epochs}
    epochs, width = min(max(1_600_000 // rows, 3), 60), max(128, 2 * outputs)
    return {"hidden": (width, width), "batch_size": 256, "epochs": epochs, "validation": 0.1}


def folds(
    y: np.ndarray, of_classes: bool, seed: int, groups: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return indices of the rows to train and to validate on, for each network of a small table.

    Each fold has its share of every class, and rows of one group stay together, unless they are
    all of one. Few rows are dealt out several times.
    """
    rng, parts = np.random.default_rng(seed), []
    several = 1 if groups is None else len(np.unique(groups))
    for _ in range(min(max(400 // len(y), 1), MOST_ROUNDS)):
        if groups is not None and several > 1:
            apart = groups_apart(y, groups, min(FOLDS, several), int(rng.integers(2**32)))
            parts += [(np.setdiff1d(np.arange(len(y)), each), np.sort(each)) for each in apart]
            continue
        order = rng.permutation(len(y))
        if of_classes:
            order = order[np.argsort(y[order], kind="stable")]
        count = min(FOLDS, len(y))
        dealt = [np.sort(order[place::count]) for place in range(count)]
        parts += [(np.setdiff1d(order, held_out), held_out) for held_out in dealt]
    return parts


# ------------------------------------------------------------------------------- inputs


def scaling(dataset: Dataset, dtype: str) -> list[Layer]:
    """Return the layers that scale and clip a table's inputs; pixels keep their common scale.

    Inputs that are 0 or 1, as those of categories are, stay as they are.
    """
    if np.ndim(dataset.mean) == 0:
        return [Normalize(dataset.mean, dataset.std, dtype)]
    sample = max(_SAMPLE // dataset.x_train.shape[1], _LEAST_SAMPLE)
    every = -(-len(dataset.x_train) // sample)
    x = dataset.x_train[::every].astype(np.float64)
    low, first, median, third, high = np.percentile(x, [0, 25, 50, 75, 100], axis=0)
    half = high / 2 - low / 2
    spread = np.where(third > first, third - first, np.where(half > 0, half, 1.0))
    limits = np.finfo(dtype)
    spread = np.clip(spread, limits.tiny, limits.max / 10)  # so that the factor is finite, too
    binary = ((x == 0) | (x == 1)).all(axis=0)
    shift, scale = np.where(binary, 0.0, median), np.where(binary, 1.0, spread)
    y = dataset.y_train[::every]
    if dataset.classes:
        y = np.eye(len(dataset.classes))[y]
    return [Normalize(shift, scale, dtype), SmoothClip(_bound((x - shift) / scale, y))]


def _bound(z: np.ndarray, y: np.ndarray) -> float:
    """Return the first bound, or a wider one by which linear models predict clearly better.

    Each row is predicted by a ridge regression of all others.
    """
    rows = slice(max(_RIDGE_WORK // z.shape[1], _LEAST_SAMPLE))
    z, y = z[rows], y[rows]
    if len(z) < _FEWEST or np.ptp(y) == 0:
        return BOUNDS[0]
    y = (y - y.mean(axis=0)) / y.std()
    errors = []
    for bound in BOUNDS:
        clipped = z / np.hypot(1.0, z / bound)
        std = clipped.std(axis=0)
        clipped = (clipped - clipped.mean(axis=0)) / np.where(std < _CONSTANT, 1.0, std)
        errors.append(ridge(clipped, y).error)
    best = int(np.argmin(errors))
    return BOUNDS[best] if errors[best] < _CLEARLY_BETTER * errors[0] else BOUNDS[0]


# -------------------------------------------------------------------------- the linear start


def begin_linear(
    model: Sequential, x: np.ndarray, y: np.ndarray, classes: int, class_weight: str | None
) -> bool:
    """Set a network's weights such that it computes a linear model; return whether it now does.

    The first unit of each hidden layer passes on the linear model's first output, and so on; such
    a unit stays positive, unless its output is far beyond that of any row in training. `classes`
    is 0 for numbers. The chain is of Linear and ReLU behind the layers of `scaling`; it stays as it
    is if it is too narrow, or if all rows are of one class.
    """
    linear = [layer for layer in model if isinstance(layer, Linear)]
    outputs = linear[-1].out_features
    if any(layer.out_features <= outputs for layer in linear[:-1]):
        return False
    scaled = Sequential(*model.layers[: model.layers.index(linear[0])])
    most = min(_SAMPLE // x.shape[1], _LINEAR_WORK // (x.shape[1] * outputs))
    rows = slice(max(most, _LEAST_SAMPLE))
    x = predict(scaled, x[rows])
    fitted = _linear_model(x, y[rows], classes, class_weight)
    if fitted is None:
        return False
    weight, bias = fitted
    if len(linear) == 1:
        linear[0].weight, linear[0].bias = weight, bias
        return True
    reach = np.abs(x @ weight.T + bias).max(axis=0)
    high = np.minimum(_bound_of(scaled) * np.abs(weight).sum(axis=1) + np.abs(bias), _FAR * reach)
    _set_first(linear[0], weight, bias + high)
    for layer in linear[1:-1]:
        _set_first(layer, np.eye(outputs, layer.in_features), np.zeros(outputs))
    linear[-1].weight = np.eye(outputs, linear[-1].in_features)
    linear[-1].bias = -high
    return True


def _bound_of(model: Sequential) -> float:
    """Return the bound of the inputs; those that are not clipped are pixels, from 0 to 1."""
    return max((each.bound for each in model if isinstance(each, SmoothClip)), default=1.0)


@cache
def _libraries() -> ThreadpoolController:
    """Return the controller of BLAS threads, cached because the search takes milliseconds."""
    return ThreadpoolController()


def _set_first(layer: Linear, weight: np.ndarray, bias: np.ndarray) -> None:
    """Set the weights and biases of a layer's first units."""
    layer.weight[: len(weight)] = weight
    assert layer.bias is not None
    layer.bias[: len(bias)] = bias


def _linear_model(
    x: np.ndarray, y: np.ndarray, classes: int, class_weight: str | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return weights (outputs, columns) and biases of a linear model; None if there is none."""
    x = x.astype(np.float64)
    if len(x) < _FEWEST:
        return None
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std < _CONSTANT] = 1.0
    z = (x - mean) / std
    if not classes:
        weight, bias, _ = ridge(z, y)
    else:
        present = np.unique(y)
        if len(present) == 1:
            return None
        found, offset = _logistic(z, y, class_weight)
        if len(present) == 2:
            found, offset = np.vstack([-found, found]) / 2, np.hstack([-offset, offset]) / 2
        weight = np.zeros((classes, x.shape[1]))
        bias = np.full(classes, offset.min() - 1.0)  # of a class without a row
        weight[present], bias[present] = found, offset
    weight = weight / std
    return weight, bias - weight @ mean


def _logistic(
    z: np.ndarray, y: np.ndarray, class_weight: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases of a logistic regression; a row for each class, or one for two."""
    from sklearn.linear_model import LogisticRegression

    # BLAS threads that wait for a core take a hundred times as long as one thread.
    one_thread = _libraries().limit(limits=1, user_api="blas")
    with one_thread, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few iterations, or classes of one row
        fitted = LogisticRegression(tol=1e-3, class_weight=class_weight).fit(z, y)
    return fitted.coef_, fitted.intercept_


class Trained(NamedTuple):
    """A network with the weights of its best epoch, and what it began with.

    `losses` are those on the validation rows, before the first epoch and after each.
    """

    network: Sequential
    start: dict[str, np.ndarray]
    losses: list[float]
    best_epoch: int


# ------------------------------------------------------------------------- the whole model


def chosen(trained: list[Trained]) -> list[Trained]:
    """Return the networks; with initial weights unless, over the folds, their best are better."""
    if len(trained) == 1 or _improve([each.losses for each in trained]):
        return trained
    for each in trained:
        each.network.load_state_dict(each.start)
    return [each._replace(best_epoch=0) for each in trained]


def _improve(curves: Sequence[Sequence[float]]) -> bool:
    """Return whether the losses of several networks fall clearly below the first ones."""
    shortest = min(map(len, curves))
    losses = np.array([curve[:shortest] for curve in curves])
    gains = losses[:, 0] - losses[:, losses.mean(axis=0).argmin()]
    folds = min(len(gains), FOLDS)  # other rounds deal out the same rows again
    return bool(gains.mean() > CLEARLY * gains.std(ddof=1) / np.sqrt(folds))


def mean_history(histories: Sequence[History]) -> History:
    """Return the means of the networks' losses and accuracies, and the sums of their seconds."""
    if len(histories) == 1:
        return histories[0]
    whole, shortest = History(), min(map(len, histories))
    for name, values in whole.items():
        reduce = np.sum if name == "seconds" else np.mean
        for epoch in range(shortest):
            numbers = [each[name][epoch] for each in histories]
            values.append(None if None in numbers else float(reduce(numbers)))
    return whole


def joined(models: Sequence[Sequential]) -> Sequential:
    """Return a chain whose output is the mean of the outputs of equal chains, without norms.

    Hidden units lie side by side: the first weight matrix holds those of all networks one below
    the other, a later one has them as blocks on its diagonal, and the last has them in a row.
    """
    if len(models) == 1:
        return models[0]
    layers: list[Layer] = []
    places = [place for place, layer in enumerate(models[0]) if isinstance(layer, Linear)]
    for place, layer in enumerate(models[0]):
        if isinstance(layer, Linear):
            same = [model[place] for model in models]
            layers.append(_side_by_side(same, place == places[0], place == places[-1]))
        else:
            layers.append(layer)
    whole = Sequential(*layers)
    whole.classes, whole.schema = models[0].classes, models[0].schema
    return whole


def _side_by_side(layers: Sequence[Any], is_first: bool, is_last: bool) -> Linear:
    """Return the layer that does what layers of several networks do, the last one their mean."""
    from scipy.linalg import block_diag

    weights = [layer.weight.data for layer in layers]
    biases = [layer.bias.data for layer in layers]
    if is_first and is_last:
        weight = np.mean(weights, axis=0)
    elif is_first:
        weight = np.vstack(weights)
    elif is_last:
        weight = np.hstack(weights) / len(layers)
    else:
        weight = block_diag(*weights)
    bias = np.mean(biases, axis=0) if is_last else np.concatenate(biases)
    whole = Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype, seed=0)
    whole.weight, whole.bias = weight, bias
    return whole


def bounded(model: Sequential, low: float, high: float, dtype: str) -> Sequential:
    """Return a chain with a last layer that keeps to a range, that of a regression's targets.

    Where inputs far from all others tell of the target, half the range is left on both sides.
    """
    beyond = (high / 2 - low / 2) if _bound_of(model) > BOUNDS[0] else 0.0
    low, high = np.array([low - beyond, high + beyond], dtype).tolist()
    if not (np.isfinite([low, high]).all() and low < high):
        return model
    whole = Sequential(*model, Hardtanh(low, high))
    whole.classes, whole.schema = model.classes, model.schema
    return whole
