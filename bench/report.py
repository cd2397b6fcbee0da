"""The report, kept as JSON: every figure, with the machine, versions and date of its run."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import machine
from bench.measure import Spread


@dataclass(frozen=True)
class Target:
    """A lower or upper bound that a figure has to reach."""

    bound: float
    at_least: bool = True

    def met(self, value: float) -> bool:
        """Return whether a value reaches the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """One number of the report: `quantity` of `subject`, in a table called `section`."""

    section: str
    subject: str
    quantity: str
    value: float
    low: float | None = None
    high: float | None = None
    rounds: int | None = None
    target: Target | None = None
    at: float | None = None
    """Coordinate on the axis of a picture."""
    run: int = 0
    """Index of the report's run that measured the figure."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity of the figure: a new figure replaces an old one with the same key."""
        return self.section, self.subject, self.quantity

    @property
    def met(self) -> bool | None:
        """True if the figure reaches its target; None without a target."""
        return None if self.target is None else self.target.met(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as plain values, without those that are None."""
        values = dataclasses.asdict(self) | {"met": self.met}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Figure:
        """Return the figure from the values of `to_dict`."""
        given = {name: value for name, value in values.items() if name != "met"}
        if "target" in given:
            given["target"] = Target(**given["target"])
        return cls(**given)

    def __str__(self) -> str:
        text = number(self.value)
        if self.low is not None and self.high is not None and self.low < self.high:
            text += f" ({number(self.low)}–{number(self.high)})"
        if self.target is not None:
            text += f", {self.target}: {'met' if self.met else 'MISSED'}"
        return text


def figure(
    section: str,
    subject: str,
    quantity: str,
    value: float | Spread,
    target: Target | None = None,
    at: float | None = None,
) -> Figure:
    """Return a figure from a number, or from a spread over rounds."""
    if isinstance(value, Spread):
        spread = value.low, value.high, value.rounds
        return Figure(section, subject, quantity, value.median, *spread, target, at)
    return Figure(section, subject, quantity, value, target=target, at=at)


def geometric_mean(ratios: Iterable[float]) -> float:
    """Return the geometric mean, whose inverse is the mean of the inverse ratios."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def number(value: float) -> str:
    """Return a number as text with three significant digits, or more if it is 1,000 or above."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) < 0.1:
        return f"{value:.3g}"
    return f"{value:.{3 - len(str(int(abs(value)))) if abs(value) >= 1 else 3}f}"


@dataclass
class Report:
    """All figures of one or several runs.

    Figures read from a file stay until they are measured again. A run is a dictionary of
    date, machine and versions.
    """

    quick: bool = False
    figures: dict[tuple[str, str, str], Figure] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Reasons why something was not measured or was wrong, by the name of a test."""
    measured: bool = False
    """Flag that this run has added figures or problems."""

    @classmethod
    def read(cls, path: Path) -> Report:
        """Return the report in a file of `write`; raise ValueError if the file has none."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            figures = [Figure.from_dict(each) for each in values["figures"]]
            found = {each.key: each for each in figures}
            return cls(values["quick"], found, values["runs"], values["problems"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no results of this suite ({error!r})") from None

    def start(self) -> None:
        """Begin a run, to which all figures added from now on belong."""
        self.runs.append(
            {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine(),
                "versions": {"python": platform.python_version()},
            }
        )

    def note_versions(self, versions: dict[str, str]) -> None:
        """Add versions of libraries to the current run."""
        self.runs[-1]["versions"].update(versions)

    def add(self, made: Figure) -> None:
        """Add a figure of the current run."""
        self.figures[made.key] = dataclasses.replace(made, run=len(self.runs) - 1)
        self.measured = True

    def note(self, test: str, problem: str | None) -> None:
        """Note a problem of a test, or remove it if `problem` is None."""
        if problem is None:
            self.problems.pop(test, None)
        else:
            self.problems[test] = problem
            self.measured = True

    def value(self, section: str, subject: str, quantity: str) -> float | None:
        """Return the value of a figure, or None if there is no such figure."""
        found = self.figures.get((section, subject, quantity))
        return None if found is None else found.value

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON, with only the runs that have figures."""
        used = sorted({each.run for each in self.figures.values()})
        figures = [
            dataclasses.replace(each, run=used.index(each.run)).to_dict()
            for each in self.figures.values()
        ]
        return {
            "quick": self.quick,
            "runs": [self.runs[run] for run in used],
            "problems": self.problems,
            "figures": figures,
        }

    def write(self, path: Path) -> None:
        """Write the JSON file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
