"""What programs read from outside: samples and targets, and the settings of each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """Samples and targets as programs read them, and the order in which they are read.

    `x` is (samples, columns), contiguous, of the program's dtype or bytes. `y` is int64 class
    indices, or rows of numbers of the program's dtype; None where only the output is wanted.
    `order` is int64. `weights`, of the dtype, weigh the samples; None where all weigh the same.
    """

    x: np.ndarray
    y: np.ndarray | None
    order: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Timetable:
    """Settings of an optimizer for each batch of an epoch.

    `places` are places in the array of settings, `values` is (batches, places) of float64.
    """

    places: tuple[int, ...]
    values: np.ndarray
