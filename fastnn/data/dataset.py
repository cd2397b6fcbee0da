"""A data set: training and test rows of one task."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np

from fastnn.data.tables.schema import Schema
from fastnn.data.tables.understanding import Understood


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test rows of one task, in no particular order.

    Parameters
    ----------
    name : str
        Name of the data set.
    x_train : numpy.ndarray
        Training samples, (n_train, features): float32, or uint8 for images kept as bytes.
    y_train : numpy.ndarray
        Training targets, (n_train,): int64 indices into `classes`, or float64 for a regression.
    x_test : numpy.ndarray
        Test samples, (n_test, features), of the same dtype.
    y_test : numpy.ndarray
        Test targets, (n_test,), of the same dtype.
    classes : tuple of str
        Names of the classes; empty for a regression.
    mean, std : float or numpy.ndarray, default 0.0 and 1.0
        Shift and scale for `Normalize(mean, std)`, for all features or (features,).
    image_shape : tuple of int, optional
        Height and width of an image, if rows are images.
    schema : Schema, optional
        Description of the inputs for the model file (`model.schema = data.schema`).
    summary : tuple of Understood, default ()
        What was understood of the columns of a table, the target last.
    notes : tuple of str, default ()
        Remarks on how a table was read, and on its columns.
    keys : numpy.ndarray, optional
        Numbers by which the rows of a table were split, of the training rows, then of those that
        were held out: groups, or times.

    Examples
    --------
    >>> from fastnn import datasets
    >>> datasets.disk(n_train=100, n_test=50)
    Dataset(disk: x_train (100, 2) float32, y_train (100,) int64, x_test (50, 2) float32,
    y_test (50,) int64, 2 classes)
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    mean: float | np.ndarray = 0.0
    std: float | np.ndarray = 1.0
    image_shape: tuple[int, int] | None = None
    schema: Schema | None = None
    summary: tuple[Understood, ...] = ()
    notes: tuple[str, ...] = ()
    keys: np.ndarray | None = None

    @property
    def groups(self) -> np.ndarray | None:
        """Return numbers (n_train,) that tell groups of training rows apart; None without any."""
        split = None if self.schema is None else self.schema.split
        if split is None or split.group is None or self.keys is None:
            return None
        return self.keys[: len(self.y_train)]

    @property
    def task(self) -> str:
        """Return "classification", or "regression" if there are no classes."""
        return "classification" if self.classes else "regression"

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{key} {array.shape} {array.dtype}"
            for key in ("x_train", "y_train", "x_test", "y_test")
            for array in (getattr(self, key),)
        )
        kind = f"{len(self.classes)} classes" if self.classes else self.task
        return f"Dataset({self.name}: {arrays}, {kind})"


class SubsetError(ValueError):
    """Error of `load`: more rows are requested than the data set has.

    Examples
    --------
    >>> from fastnn import datasets
    >>> try:
    ...     datasets.digits(subset=2000)
    ... except datasets.SubsetError as error:
    ...     print(error)
    subset must be at most 1437, the rows there are, got 2000
    """


def whole(what: str, n, expected: str = "an integer") -> int:
    """Return an integer of any kind as Python's int; raise TypeError, with its name, otherwise."""
    try:
        if not isinstance(n, bool):
            return operator.index(n)
    except TypeError:
        pass
    raise TypeError(f"{what} is {n!r}; expected {expected}")
