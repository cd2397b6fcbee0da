"""Markdown made from a report."""

import pytest

from bench import tables
from bench.measure import Spread
from bench.report import Report, Target, figure


@pytest.fixture
def report():
    made = Report()
    made.start()
    made.note_versions({"torch": "2.13.0"})
    for name, spread in {"8x8x8": (2.0, 1.5, 2.5, 41), "16x16x16": (0.5, 0.4, 0.6, 41)}.items():
        made.add(figure("matmul", name, "times NumPy", Spread(*spread), Target(1.0)))
    made.add(figure("matmul", "16x16x16", "GFLOP/s", 12.3456))
    made.add(figure("memory", "digits", "MB", 100))
    return made


def test_a_page_has_a_table_for_each_section(report):
    page = tables.page(report, ["latest-whole-runs.png"])
    assert "| 8x8x8    | 2.00 (1.50–2.50), >= 1: met       |         |" in page
    assert "| 16x16x16 | 0.500 (0.400–0.600), >= 1: MISSED | 12.3    |" in page
    assert "\n## memory\n" in page
    assert "![whole runs](latest-whole-runs.png)" in page
    assert "torch 2.13.0" in page
    assert "1 of 2 targets met." in page
    assert "quick" not in page
    assert "not measured" not in page


def test_a_quick_page_says_so(report):
    report.quick = True
    assert "not to be quoted" in tables.page(report).splitlines()[0]


def test_a_page_tells_what_is_missing(report):
    report.note("test_x: JAX", "jax is not installed")
    assert "- test_x: JAX: jax is not installed" in tables.page(report)


def test_a_page_of_two_runs_dates_each_section(report):
    report.runs[0]["date"] = "2026-01-01"
    report.start()
    report.runs[1]["date"] = "2026-02-02"
    report.add(figure("memory", "digits", "MB", 90))
    page = tables.page(report)
    assert "## matmul\n\nMeasured 2026-01-01." in page
    assert "## memory\n\nMeasured 2026-02-02." in page
