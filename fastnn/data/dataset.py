"""A data set: training and test rows of one task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastnn.data.tables.schema import Schema
from fastnn.data.tables.summary import ColumnSummary


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test rows of one task, in no particular order.

    Parameters
    ----------
    name : str
        What the data set is called.
    x_train, x_test : array (n_train, features) and (n_test, features)
        Samples: float32, or uint8 for images that are kept as bytes.
    y_train, y_test : array (n_train,) and (n_test,)
        Targets: int64 indices into `classes`, or for a regression float64.
    classes : tuple of str
        Names of the classes; empty for a regression.
    mean, std : float or array (features,), default 0.0 and 1.0
        What `Normalize(mean, std)` needs to bring x near the unit range.
    image_shape : (int, int), optional
        Height and width where a row is an image.
    schema : Schema, optional
        What a model file must know of the data (`model.schema = data.schema`).
    summary : tuple of ColumnSummary
        Of data from a file: what each column holds, the target's last.
    notes : tuple of str
        Of data from a file: what is odd about the columns.
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
    summary: tuple[ColumnSummary, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """Return "classification", or "regression" where there are no classes."""
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
    """More rows are wanted than there are."""
