"""What was measured, kept as JSON: every figure, with the machine, versions and date of its run."""

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
    """A bound that a figure has to reach."""

    bound: float
    at_least: bool = True

    def met(self, value: float) -> bool:
        """Whether a value reaches it."""
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
    """Place on the axis of a picture."""
    run: int = 0
    """Which of the report's runs measured it."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is of: a figure measured again takes the place of the old one."""
        return self.section, self.subject, self.quantity

    @property
    def met(self) -> bool | None:
        """Whether it reaches its target, None without one."""
        return None if self.target is None else self.target.met(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, those that are None left out."""
        values = dataclasses.asdict(self) | {"met": self.met}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Figure:
        """Figure from what `to_dict` gave."""
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
    section: str, subject: str, quantity: str, value: float | Spread,
    target: Target | None = None, at: float | None = None,
) -> Figure:  # fmt: skip
    """A figure from a number, or from a spread over rounds."""
    if isinstance(value, Spread):
        spread = value.low, value.high, value.rounds
        return Figure(section, subject, quantity, value.median, *spread, target, at)
    return Figure(section, subject, quantity, value, target=target, at=at)


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean that ratios have: of the inverses it is the inverse."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def number(value: float) -> str:
    """Text with three digits, or all of a whole number."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) < 0.1:
        return f"{value:.3g}"
    return f"{value:.{3 - len(str(int(abs(value)))) if abs(value) >= 1 else 3}f}"


@dataclass
class Report:
    """All figures of one or several runs.

    Figures read from a file stay until they are measured again; each knows its run, a
    dictionary of date, machine and versions.
    """

    quick: bool = False
    figures: dict[tuple[str, str, str], Figure] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """What could not be measured or was wrong, by the name of a test, and why."""
    measured: bool = False
    """Whether this run has added anything."""

    @classmethod
    def read(cls, path: Path) -> Report:
        """Report that `write` wrote; raises ValueError for a file that holds none."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            figures = [Figure.from_dict(each) for each in values["figures"]]
            found = {each.key: each for each in figures}
            return cls(values["quick"], found, values["runs"], values["problems"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no results of this suite ({error!r})") from None

    def start(self) -> None:
        """Begin a run: what is added from now on is of it."""
        self.runs.append(
            {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine(),
                "versions": {"python": platform.python_version()},
            }
        )

    def note_versions(self, versions: dict[str, str]) -> None:
        """Add versions of libraries to the run's."""
        self.runs[-1]["versions"].update(versions)

    def add(self, made: Figure) -> None:
        """Add a figure of this run."""
        self.figures[made.key] = dataclasses.replace(made, run=len(self.runs) - 1)
        self.measured = True

    def note(self, test: str, problem: str | None) -> None:
        """Say what was wrong in a test, or with None that all was well."""
        if problem is None:
            self.problems.pop(test, None)
        else:
            self.problems[test] = problem
            self.measured = True

    def value(self, section: str, subject: str, quantity: str) -> float | None:
        """Value of a figure, None where there is none."""
        found = self.figures.get((section, subject, quantity))
        return None if found is None else found.value

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as kept in JSON, with only the runs that figures are of."""
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
        """Write the JSON, all of it or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
