"""Splits: which rows of a table are held out for testing."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Split:
    """A share of the rows held out, drawn by `seed`, in a table that `rows` and `checksum` know.

    The checksum (CRC-32) is of the targets. Raises ValueError for a share outside 0 to 1, and
    numbers that are no counts.
    """

    share: float
    seed: int
    rows: int
    checksum: int

    def __post_init__(self) -> None:
        numbers = self.seed, self.rows, self.checksum
        if not (type(self.share) in (int, float) and 0 <= self.share < 1):
            raise ValueError(f"found a share of {self.share!r} held out; expected 0 to below 1")
        if not all(type(each) is int and each >= 0 for each in numbers):
            raise ValueError(f"found a split of {numbers}; expected whole numbers of 0 or more")

    @classmethod
    def of(cls, y: np.ndarray, share: float, seed: int) -> Split:
        """Hold out `share` of the rows with targets `y` (rows,)."""
        return cls(share, seed, len(y), _checksum(y))

    def made_of(self, y: np.ndarray) -> bool:
        """Whether these are the targets that were split."""
        return len(y) == self.rows and _checksum(y) == self.checksum

    def parts(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on and rows held out, in the order in which they are used."""
        order = mixed_order(y, self.seed)
        held_out = round(self.share * len(y))
        return order[: len(y) - held_out], order[len(y) - held_out :]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self).copy()


def mixed_order(y: np.ndarray, seed: int) -> np.ndarray:
    """An order of rows drawn by `seed`; class indices are spread evenly along it.

    `y` is (rows,). Of integers, every stretch of the order holds each class nearly in proportion
    (stratification), and a class's only row comes first; numbers are permuted.
    """
    rng = np.random.default_rng(seed)
    if y.dtype.kind not in "iu":
        return rng.permutation(len(y))
    shuffled = rng.permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]  # in random order in each class
    counts = np.bincount(y)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    count = np.repeat(counts, counts)
    # The r-th of n rows goes anywhere in the r-th n-th of the order.
    place = (np.arange(len(y)) - starts + rng.random(len(y))) / count
    place[count == 1] = 0
    return by_class[np.argsort(place, kind="stable")]


def _checksum(y: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(y).data)
