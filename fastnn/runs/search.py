"""Searches: the settings of each run of a grid, or of random points, from choices."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastnn.runs.settings import SettingError, Settings, key_of, takes


@dataclass(frozen=True)
class Range:
    """A range of numbers to draw from, uniformly or log-uniformly, rounded to three digits."""

    low: float
    high: float
    logarithmic: bool = False
    whole: bool = False

    def draw(self, rng: random.Random) -> Any:
        """Return a random number of the range."""
        if self.logarithmic:
            number = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            number = rng.uniform(self.low, self.high)
        if self.whole:
            return min(max(round(number), math.ceil(self.low)), math.floor(self.high))
        return min(max(float(f"{number:.3g}"), self.low), self.high)


Choices = Sequence[Any] | Range


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split("-"))


_LOGARITHMIC = ("hidden", "lr", "weight_decay", "batch_size", "epochs")
READERS: dict[str, Callable[[str], Any]] = {
    "hidden": _widths,
    "activation": str,
    "dropout": float,
    "loss": str,
    "optimizer": str,
    "lr": float,
    "momentum": float,
    "weight_decay": float,
    "schedule": str,
    "batch_size": int,
    "epochs": int,
    "norm": str,
    "label_smoothing": float,
    "seed": int,
}
"""Settings that a search may vary, with the function that reads a value from text."""


def read_choices(setting: str, text: str) -> Choices:
    """Return the values in a text: a list such as 1,2,3 or a range such as 0.001:0.1.

    Widths of several layers are separated by -. Raises SettingError for any other text.
    """
    read = READERS[setting]
    try:
        if ":" in text and read in (float, int, _widths):
            low, high = map(float, text.split(":"))
            logarithmic = setting in _LOGARITHMIC
            if not (low < high < math.inf and (low > 0 or not logarithmic)):
                raise ValueError
            return Range(low, high, logarithmic, read is not float)
        return list(dict.fromkeys(read(value.strip()) for value in text.split(",")))
    except ValueError:
        raise SettingError(setting, f"{text!r}; expected {_expected(setting)}") from None


def _expected(setting: str) -> str:
    if setting == "hidden":
        return "widths such as 32,64,128 (64-32 for two layers, 0 for none) or a range 16:256"
    kind = {int: "integers", float: "numbers", str: "names"}[READERS[setting]]  # type: ignore[index]
    return f"{kind} apart by commas" + (" or a range low:high" if kind != "names" else "")


def grid(fixed: Mapping[str, Any], choices: Mapping[str, Choices]) -> list[Settings]:
    """Return settings for all combinations of values, without duplicates.

    Raises SettingError for values that are not allowed, and for ranges, which a grid cannot cover.
    """
    for setting, values in choices.items():
        if isinstance(values, Range):
            raise SettingError(setting, "a range is for a random search; add --random")
    points = (dict(zip(choices, values, strict=True)) for values in _products(choices))
    return list(_distinct(_settings(fixed, point) for point in points))


def sample(
    fixed: Mapping[str, Any], choices: Mapping[str, Choices], count: int, seed: int
) -> list[Settings]:
    """Return settings of `count` distinct random points, or of all points if there are fewer.

    A larger `count` adds points after the same first ones. Raises SettingError for values that are
    not allowed.
    """
    finite = not any(isinstance(values, Range) for values in choices.values())
    if finite and len(every := grid(fixed, choices)) <= count:
        return every
    rng = random.Random(seed)
    # The number of draws is bounded, because a range may hold fewer whole numbers than `count`.
    draws = (_settings(fixed, _drawn(choices, rng)) for _ in range(100 * count))
    return list(itertools.islice(_distinct(draws), count))


def _products(choices: Mapping[str, Choices]) -> Iterator[tuple]:
    return itertools.product(*choices.values())  # type: ignore[arg-type]


def _drawn(choices: Mapping[str, Choices], rng: random.Random) -> dict[str, Any]:
    point = {
        setting: values.draw(rng) if isinstance(values, Range) else rng.choice(values)
        for setting, values in choices.items()
    }
    if isinstance(choices.get("hidden"), Range):
        point["hidden"] = (point["hidden"],)
    return point


def _settings(fixed: Mapping[str, Any], point: Mapping[str, Any]) -> Settings:
    """Return the settings of a point, without momentum if the optimizer has none."""
    given = {**fixed, **point}
    if not takes("optimizer", given.get("optimizer", "sgd"), "momentum"):
        given.pop("momentum", None)
    return Settings(**{"recipe": "plain", **given})


def _distinct(settings: Iterator[Settings]) -> Iterator[Settings]:
    seen = set()
    for each in settings:
        if (key := key_of(each)) not in seen:
            seen.add(key)
            yield each
