"""Tables of a report in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.report import Figure, Report

_SPREAD = "Medians over rounds in which all take turns, with quartiles in brackets."


def page(report: Report, pictures: Sequence[str] = ()) -> str:
    """Return the page of a report: its pictures, and all tables."""
    figures = list(report.figures.values())
    note = " (quick: not to be quoted)" if report.quick else ""
    lines = [f"# fastnn beside its peers{note}", ""]
    lines += [sentence(run) for run in _used_runs(report)] + ["", _SPREAD]
    for name in pictures:
        lines += ["", f"![{_title(name)}]({name})"]
    for section in in_order(each.section for each in figures):
        here = [each for each in figures if each.section == section]
        lines += ["", f"## {section}", ""]
        if len(report.runs) > 1:
            dates = in_order(report.runs[each.run]["date"] for each in here)
            lines += [f"Measured {' and '.join(dates)}.", ""]
        lines += table(here)
    if report.problems:
        lines += ["", "## What was not measured, or was wrong", ""]
        lines += [f"- {name}: {problem}" for name, problem in report.problems.items()]
    return "\n".join([*lines, "", _targets(figures)]) + "\n"


def _title(name: str) -> str:
    """Return the title of a picture from the name of its file."""
    return name.removesuffix(".png").split("-", 1)[-1].replace("-", " ")


def _used_runs(report: Report) -> list[dict[str, Any]]:
    used = sorted({each.run for each in report.figures.values()})
    return [report.runs[run] for run in used]


def sentence(run: dict[str, Any]) -> str:
    """Return a sentence with date, machine and versions of a run."""
    facts = run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"{run['date']}; {facts['processor']}, {facts['cores']} cores, "
        f"{facts['memory_gb']} GB, {facts['system']}; {versions}."
    )


def _targets(figures: list[Figure]) -> str:
    bound = [each for each in figures if each.target is not None]
    return f"{sum(bool(each.met) for each in bound)} of {len(bound)} targets met."


def in_order(names: Iterable[str]) -> list[str]:
    """Return names without duplicates, in the order of their first occurrence."""
    return list(dict.fromkeys(names))


def table(figures: Sequence[Figure]) -> list[str]:
    """Return the lines of a table whose rows are subjects and whose columns are quantities."""
    columns = in_order(each.quantity for each in figures)
    cells = {(each.subject, each.quantity): str(each) for each in figures}
    rows = [["", *columns]]
    for subject in in_order(each.subject for each in figures):
        rows.append([subject, *(cells.get((subject, column), "") for column in columns)])
    return grid(rows)


def grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table with aligned columns; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return [
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) + " |"
        for row in ruled
    ]
