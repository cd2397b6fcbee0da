"""What was measured, as JSON and as a table that people read."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import Spread, cores


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

    @property
    def met(self) -> bool | None:
        """Whether it reaches its target, None without one."""
        return None if self.target is None else self.target.met(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, those that are None left out."""
        values = dataclasses.asdict(self) | {"met": self.met}
        return {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        text = _number(self.value)
        if self.low is not None and self.high is not None and self.low < self.high:
            text += f" ({_number(self.low)}–{_number(self.high)})"
        if self.target is not None:
            text += f", {self.target}: {'met' if self.met else 'MISSED'}"
        return text


def figure(
    section: str, subject: str, quantity: str, value: float | Spread, target: Target | None = None
) -> Figure:
    """A figure from a number, or from a spread over rounds."""
    if isinstance(value, Spread):
        spread = value.low, value.high, value.rounds
        return Figure(section, subject, quantity, value.median, *spread, target)
    return Figure(section, subject, quantity, value, target=target)


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean that ratios have: of the inverses it is the inverse."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def _number(value: float) -> str:
    """Text with three digits, or all of a whole number."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) < 0.1:
        return f"{value:.3g}"
    return f"{value:.{3 - len(str(int(abs(value)))) if abs(value) >= 1 else 3}f}"


@dataclass
class Report:
    """All figures of a run, with what they depend on."""

    quick: bool = False
    figures: list[Figure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """What could not be measured, and why."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as kept in JSON."""
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": self.quick,
            "machine": machine(),
            "versions": {"python": platform.python_version()} | self.versions,
            "figures": [each.to_dict() for each in self.figures],
        }

    def write(self, folder: Path) -> Path:
        """Write JSON, and the table made from it; give the path of the JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ("quick.json" if self.quick else "latest.json")
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(markdown(read(path)), encoding="utf-8")
        return path


def read(path: Path) -> dict[str, Any]:
    """Results that `Report.write` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


# --------------------------------------------------------------------------- markdown


def markdown(results: dict[str, Any]) -> str:
    """The tables of a run, from what its JSON holds."""
    figures = [_figure(each) for each in results["figures"]]
    head = [
        "# fastnn beside its peers" + (" (quick: not to be quoted)" if results["quick"] else "")
    ]
    head += ["", _sentence(results), "", _SPREAD]
    for section in _in_order(each.section for each in figures):
        head += ["", f"## {section}", ""]
        head += _table([each for each in figures if each.section == section])
    return "\n".join([*head, "", _targets(figures)]) + "\n"


_SPREAD = "Medians over rounds in which all take turns, with quartiles in brackets."


def _figure(values: dict[str, Any]) -> Figure:
    given = {name: value for name, value in values.items() if name != "met"}
    if "target" in given:
        given["target"] = Target(**given["target"])
    return Figure(**given)


def _sentence(results: dict[str, Any]) -> str:
    facts = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{results['date']}; {facts['processor']}, {facts['cores']} cores, "
        f"{facts['memory_gb']} GB, {facts['system']}; {versions}."
    )


def _targets(figures: list[Figure]) -> str:
    bound = [each for each in figures if each.target is not None]
    return f"{sum(bool(each.met) for each in bound)} of {len(bound)} targets met."


def _in_order(names) -> list[str]:
    return list(dict.fromkeys(names))


def _table(figures: list[Figure]) -> list[str]:
    """Rows are subjects, columns quantities."""
    columns = _in_order(each.quantity for each in figures)
    cells = {(each.subject, each.quantity): str(each) for each in figures}
    rows = [["", *columns]]
    for subject in _in_order(each.subject for each in figures):
        rows.append([subject, *(cells.get((subject, column), "") for column in columns)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return [
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]


# -------------------------------------------------------------------------- the machine


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": cores(),
        "memory_gb": _memory_gb(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return None
