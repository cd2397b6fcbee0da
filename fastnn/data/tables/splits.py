"""Splits of a table's rows into training rows and held-out test rows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Split:
    """Split of a table: the share of rows held out, and the seed that draws them.

    The number of rows and a checksum (CRC-32) of the targets identify the table. Raises ValueError
    for a share outside 0 to 1, and for other numbers that are not integers of 0 or more.
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
        """Return the split that holds out `share` of the rows with targets `y` (rows,)."""
        return cls(share, seed, len(y), _checksum(y))

    def made_of(self, y: np.ndarray) -> bool:
        """Return whether `y` are the targets of the table that was split."""
        return len(y) == self.rows and _checksum(y) == self.checksum

    def parts(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the training rows and of the held-out rows, in order of use."""
        order = mixed_order(y, self.seed)
        held_out = round(self.share * len(y))
        return order[: len(y) - held_out], order[len(y) - held_out :]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self).copy()


def mixed_order(y: np.ndarray, seed: int) -> np.ndarray:
    """Return a random order of rows by `seed`, stratified by class if targets are integers.

    `y` is (rows,). Every stretch of a stratified order holds each class nearly in proportion, and
    the row of a class with only one row comes first. Other targets give a plain permutation.
    """
    rng = np.random.default_rng(seed)
    if y.dtype.kind not in "iu":
        return rng.permutation(len(y))
    shuffled = rng.permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]  # random order within each class
    counts = np.bincount(y)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    count = np.repeat(counts, counts)
    # Row r of a class with n rows gets a random place from r / n to (r + 1) / n.
    place = (np.arange(len(y)) - starts + rng.random(len(y))) / count
    place[count == 1] = 0
    return by_class[np.argsort(place, kind="stable")]


def _checksum(y: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(y).data)
