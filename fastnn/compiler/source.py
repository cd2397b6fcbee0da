"""The inputs of programs: samples and targets, and the optimizer's settings for each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """Samples and targets in the form that programs read, and the order of reading.

    `x` is (samples, columns), contiguous, of the program's dtype or uint8. `y` holds int64 class
    indices, or rows of the program's dtype; it is None for prediction. `order` holds the int64
    numbers of the rows that are read. `weights` has a weight for each sample, or is None for equal
    weights.
    """

    x: np.ndarray
    y: np.ndarray | None
    order: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Timetable:
    """Settings of an optimizer for each batch of an epoch.

    `places` are indices into the optimizer's settings; `values` is (batches, places), float64.
    """

    places: tuple[int, ...]
    values: np.ndarray
