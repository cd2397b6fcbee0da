"""Splits of a table's rows into training rows and held-out test rows, and into folds."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Split:
    """Split of a table: the share of rows held out, and the seed that draws them.

    The number of rows and a checksum (CRC-32) of the targets identify the table. Rows are drawn
    one by one; or all rows that agree in the column `group` together; or the last ones by the
    column `time` are held out. Raises ValueError for a share outside 0 to 1, for other numbers that
    are not integers of 0 or more, and for names that are no texts.
    """

    share: float
    seed: int
    rows: int
    checksum: int
    group: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        numbers = self.seed, self.rows, self.checksum
        if not (type(self.share) in (int, float) and 0 <= self.share < 1):
            raise ValueError(f"found a share of {self.share!r} held out; expected 0 to below 1")
        if not all(type(each) is int and each >= 0 for each in numbers):
            raise ValueError(f"found a split of {numbers}; expected whole numbers of 0 or more")
        if not all(each is None or isinstance(each, str) for each in (self.group, self.time)):
            raise ValueError(f"found a split by {self.group!r} and {self.time!r}; expected names")
        if self.group is not None and self.time is not None:
            raise ValueError(
                f"group is {self.group!r} and time {self.time!r}; expected one of them"
            )

    @classmethod
    def of(
        cls,
        y: np.ndarray,
        share: float,
        seed: int,
        group: str | None = None,
        time: str | None = None,
    ) -> Split:
        """Return the split that holds out `share` of the rows with targets `y` (rows,)."""
        return cls(share, seed, len(y), _checksum(y), group, time)

    @property
    def column(self) -> str | None:
        """Return the name of the column that rows are split by, if there is one."""
        return self.group if self.time is None else self.time

    def made_of(self, y: np.ndarray) -> bool:
        """Return whether `y` are the targets of the table that was split."""
        return len(y) == self.rows and _checksum(y) == self.checksum

    def parts(self, y: np.ndarray, by: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the training rows and of the held-out rows, in order of use.

        `by` (rows,) are the values of the column `group` or `time`, if there is one.
        """
        held_out = round(self.share * len(y))
        if self.column is None or by is None:
            order = mixed_order(y, self.seed)
        elif self.time is not None:
            order = np.argsort(by, kind="stable")
        else:
            order, held_out = _by_group(by, self.seed, held_out)
        return order[: len(y) - held_out], order[len(y) - held_out :]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, except those that are None."""
        return {name: value for name, value in vars(self).items() if value is not None}


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


def groups_apart(y: np.ndarray, groups: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Return the rows of `count` folds, of which no two have rows of one group.

    `y` and `groups` are (rows,). Groups are dealt by size, the largest first: each to the fold with
    the fewest rows of its most frequent class, if targets are integers, and then the fewest rows.
    `seed` orders groups of one size, and the rows of a fold are in random order group by group.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    main = _most_frequent(y, group, len(sizes))
    place = np.random.default_rng(seed).permutation(len(sizes))  # of each group
    of_classes, rows = np.zeros((main.max() + 1, count)), np.zeros(count)
    fold = np.empty(len(sizes), np.int64)
    for each in np.lexsort((place, -sizes)).tolist():
        of_class = of_classes[main[each]]
        fold[each] = fewest = np.lexsort((rows, of_class))[0]
        of_class[fewest] += sizes[each]
        rows[fewest] += sizes[each]
    order = np.argsort(place[group], kind="stable")
    return [order[fold[group[order]] == number] for number in range(count)]


def _most_frequent(y: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Return the most frequent class of each group; 0 for targets that are no integers."""
    main = np.zeros(groups, np.int64)
    if y.dtype.kind in "iu":
        classes = int(y.max()) + 1
        pairs, counts = np.unique(group * classes + y, return_counts=True)
        pairs = pairs[np.argsort(counts, kind="stable")]
        main[pairs // classes] = pairs % classes  # the last one of a group stays
    return main


def forward_chain(times: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return `count` pairs of rows in order of time: those before a moment, and a stretch after it.

    `times` is (rows,). All stretches, and the rows before the first one, are nearly of one length;
    rows of one time are not parted. There must be `count` of `ends_of_times`.
    """
    order, starts = np.argsort(times, kind="stable"), ends_of_times(times)
    chosen = [-1]
    for each in range(count):
        nearest = np.abs(starts - (each + 1) * len(times) / (count + 1)).argmin()
        last = len(starts) - (count - each)  # which leaves enough for the others
        chosen.append(min(max(int(nearest), chosen[-1] + 1), last))
    ends = [*starts[chosen[1:]], len(times)]
    return [(order[:begin], order[begin:end]) for begin, end in pairwise(ends)]


def ends_of_times(times: np.ndarray) -> np.ndarray:
    """Return the numbers of rows, two or more, after which a time ends and another one begins."""
    ends = np.flatnonzero(np.diff(np.sort(times))) + 1
    return ends[ends >= 2]


def _by_group(by: np.ndarray, seed: int, held_out: int) -> tuple[np.ndarray, int]:
    """Return an order of rows, group by group, and the number of rows of the last groups.

    Groups are in random order by `seed`; the last ones have about `held_out` rows, at least one
    group if that is not 0, but not all.
    """
    _, group, counts = np.unique(by, return_inverse=True, return_counts=True)
    place = np.random.default_rng(seed).permutation(len(counts))  # of each group
    sizes = np.empty_like(counts)
    sizes[place] = counts
    behind = sizes[::-1].cumsum()  # rows of the last group, the last two, ...
    if held_out == 0 or len(counts) == 1:
        return np.argsort(place[group], kind="stable"), 0
    return np.argsort(place[group], kind="stable"), int(
        behind[:-1][np.abs(behind[:-1] - held_out).argmin()]
    )


def _checksum(y: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(y).data)
