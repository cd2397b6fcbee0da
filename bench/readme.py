"""The speed table of README.md, made from the results.

    python -m bench.readme

writes it between the markers in README.md; a test fails if table and results disagree.
"""

from __future__ import annotations

from pathlib import Path

from bench import sections
from bench.peers import PEERS
from bench.report import Report, number
from bench.tables import grid, sentence
from bench.workloads import TABLE

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "bench" / "results" / "latest.json"
BEGIN = "<!-- made by `python -m bench.readme` from bench/results/latest.json -->"
END = "<!-- end of what bench.readme makes -->"

_NONE = "–"


def block(report: Report) -> str:
    """Return the text between the markers: machines, a row for each network, and whole runs."""
    figures = [each for each in report.figures.values() if each.section == sections.STEP_RATIOS]
    runs = sorted({each.run for each in figures})
    lines = [f"Measured {sentence(report.runs[run])}" for run in runs] or ["Nothing measured yet."]
    return "\n".join([*lines, "", *grid(_steps(report)), *_whole_runs(report)])


def _steps(report: Report) -> list[list[str]]:
    """Return rows of training steps: microseconds by fastnn, and the ratio of each peer."""
    peers = [peer.title for name, peer in PEERS.items() if name != "fastnn" and peer.trains]
    head = ["a training step, shuffling included", "fastnn, µs", *(f"{p}, times" for p in peers)]
    rows = [head]
    for subject in [*(workload.name for workload in TABLE.values()), sections.ALL_STEPS]:
        found = [report.value(sections.STEP_RATIOS, subject, q) for q in ("fastnn, us", *peers)]
        rows.append([subject, *(_NONE if each is None else number(each) for each in found)])
    return rows


def _whole_runs(report: Report) -> list[str]:
    """Return lines of a table of whole runs that fastnn and PyTorch have both done."""
    to_98, trained = "seconds to 98%", sections.TRAINED
    pairs = {
        "98% test accuracy on MNIST, 784-128-10: seconds of training": [
            report.value(sections.TO_ACCURACY, to_98, name) for name in ("fastnn", "PyTorch")
        ],
        "a digits model of 97%: seconds from process start": [
            report.value(trained, name, "s") for name in ("fastnn, warm", "PyTorch")
        ],
        "peak memory of an epoch of MNIST, samples as bytes: MB": [
            report.value(sections.RUN_MEMORY, "MNIST, samples as bytes", name)
            for name in ("fastnn", "PyTorch")
        ],
    }
    rows = [
        [name, *(number(each) for each in pair if each is not None)]
        for name, pair in pairs.items()
        if None not in pair
    ]
    return ["", *grid([["a whole run", "fastnn", "PyTorch"], *rows])] if rows else []


def replaced(text: str, made: str) -> str:
    """Return README with `made` between the markers; raise ValueError if these are missing."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the markers {BEGIN!r} and {END!r}")
    return f"{head}{BEGIN}\n\n{made}\n\n{END}{tail}"


def write() -> None:
    """Update README.md."""
    text = README.read_text(encoding="utf-8")
    README.write_text(replaced(text, block(Report.read(RESULTS))), encoding="utf-8")


if __name__ == "__main__":
    write()
