"""Comparison of sides on a noisy machine: sides take turns, and ratios are taken within rounds."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bench.peers import PEERS

# Bounds in seconds of the pause after a turn, in which its threads stop spinning. A pause is as
# long as the turn within these bounds, and at least the peer's `lingers`.
_REST = 0.002, 0.04
_TRIALS = 7
_ALL_COUNTS = 8  # up to this number of cores, all thread counts are tried; else powers of two


class Timeable(Protocol):
    """Something that can be timed, usually a `bench.worker.Side`."""

    def time(self, seconds: float) -> float:
        """Return the mean seconds of a call, from enough calls to last about `seconds`."""


class Clock:
    """Timer for pytest-benchmark, advanced by the seconds that fastnn took."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Add seconds."""
        self._now += seconds


CLOCK = Clock()


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over a number of rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of one or more numbers."""
        found = list(values)
        if len(found) == 1:
            return cls(found[0], found[0], found[0], 1)
        low, median, high = statistics.quantiles(found, n=4, method="inclusive")
        return cls(median, low, high, len(found))

    def __mul__(self, factor: float) -> Spread:
        """Return the spread in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.rounds)


@dataclass(frozen=True)
class Pace:
    """Number of rounds of a comparison, and seconds of a turn.

    If all rounds would take longer than `budget` seconds, there are fewer, but at least `fewest`.
    """

    rounds: int
    seconds: float
    budget: float = math.inf
    fewest: int = 1

    def sooner(self) -> Pace:
        """Return a pace with a third of the rounds, for comparisons at many points."""
        rounds = max(1, self.rounds // 3)
        return Pace(rounds, self.seconds, self.budget / 3, min(self.fewest, 5))

    def rounds_of(self, seconds: float) -> int:
        """Return the number of rounds to take if one takes `seconds`."""
        within = self.rounds if seconds <= 0 else self.budget / seconds
        return int(max(min(self.fewest, self.rounds), min(self.rounds, within)))


FULL = Pace(rounds=41, seconds=0.005, budget=12.0, fewest=9)
QUICK = Pace(rounds=5, seconds=0.001, budget=2.0, fewest=3)


class Rounds:
    """Seconds of a call of each side in each round."""

    def __init__(self, seconds: Mapping[str, list[float]]):
        self.seconds = seconds

    def of(self, side: str) -> Spread:
        """Return the spread of a side's seconds."""
        return Spread.of(self.seconds[side])

    def rate(self, side: str, work: float) -> Spread:
        """Return the spread of a side's work per second, given the work of a call."""
        return Spread.of(work / each for each in self.seconds[side])

    def ratio(self, slow: str, fast: str) -> Spread:
        """Return the spread of the ratio of seconds, `slow` / `fast`, within rounds."""
        return self.ratio_to_best([slow], fast)

    def ratio_to_best(self, slow: Iterable[str], fast: str) -> Spread:
        """Return `ratio` for the side in `slow` with the least median."""
        best = min(slow, key=lambda side: statistics.median(self.seconds[side]))
        pairs = zip(self.seconds[best], self.seconds[fast], strict=True)
        return Spread.of(one / other for one, other in pairs)


def in_turns(benchmark, sides: Mapping[str, Timeable], pace: Pace) -> Rounds:
    """Time each side once in each round, where every round begins with another side.

    A warm-up round determines how many rounds the pace has time for. `benchmark`
    (pytest-benchmark's fixture, with `CLOCK` as its timer) records the first side.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    ours, order = next(iter(sides)), deque(sides)

    def turns() -> None:
        for name in order:
            started = time.perf_counter()
            seconds[name].append(sides[name].time(pace.seconds))
            rest = min(max(time.perf_counter() - started, _REST[0]), _REST[1])
            time.sleep(max(rest, PEERS[name].lingers if name in PEERS else 0.0))

    def one_round() -> None:
        turns()
        order.rotate(1)
        CLOCK.advance(seconds[ours][-1])

    rounds = pace.rounds
    if math.isfinite(pace.budget):
        started = time.perf_counter()
        turns()
        rounds = pace.rounds_of(time.perf_counter() - started)
        for each in seconds.values():
            each.clear()
    benchmark.pedantic(one_round, rounds=rounds)
    return Rounds(seconds)


class Threads(Enum):
    """A number of threads that is not yet known."""

    BEST = "the one that takes least"
    OWN_CHOICE = "the library's"


def cores() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_counts() -> list[int]:
    """Return the thread counts to try, from 1 to the number of cores."""
    most = cores()
    if most <= _ALL_COUNTS:
        return list(range(1, most + 1))
    powers = (2**exponent for exponent in range(most.bit_length()))
    return sorted({*powers, most})


def fastest_count(
    time_with: Callable[[int], float], counts: Iterable[int] | None = None, trials: int = _TRIALS
) -> int:
    """Return the thread count with the least median of a few trials, which are interleaved."""
    tried = list(thread_counts() if counts is None else counts)
    if len(tried) == 1:
        return tried[0]
    seconds: dict[int, list[float]] = {count: [] for count in tried}
    for _ in range(trials):
        for count in tried:
            seconds[count].append(time_with(count))
    return min(tried, key=lambda count: statistics.median(seconds[count]))
