"""README's speed table is that of the results."""

import pytest

from bench import readme, sections
from bench.report import Report, figure
from bench.workloads import TABLE, TWO_CLASS


def test_readme_says_what_the_results_say():
    made = readme.block(Report.read(readme.RESULTS))
    text = readme.README.read_text(encoding="utf-8")
    assert readme.replaced(text, made) == text, "run `python -m bench.readme`"


def test_a_block_has_a_row_for_each_network():
    report = Report()
    report.start()
    report.add(figure(sections.STEP_RATIOS, TWO_CLASS.name, "fastnn, us", 7.5))
    report.add(figure(sections.STEP_RATIOS, TWO_CLASS.name, "JAX", 2.25))
    lines = readme.block(report).splitlines()
    assert lines[0].startswith(f"Measured {report.runs[0]['date']}")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    assert [row[0] for row in rows[2:]] == [
        *(workload.name for workload in TABLE.values()), sections.ALL_STEPS
    ]  # fmt: skip
    assert rows[2] == [TWO_CLASS.name, "7.50", "–", "–", "2.25", "–", "–"]
    assert rows[3][1:] == ["–"] * 6


def test_whole_runs_are_told_when_both_have_them():
    report = Report()
    report.start()
    report.add(figure(sections.TRAINED, "fastnn, warm", "s", 0.5))
    assert "a whole run" not in readme.block(report)
    report.add(figure(sections.TRAINED, "PyTorch", "s", 4.0))
    assert "| 0.500  | 4.00" in readme.block(report)


def test_what_is_between_the_markers_is_replaced():
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    once = readme.replaced(text, "new")
    assert "old" not in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert readme.replaced(once, "new") == once


def test_a_readme_without_markers():
    with pytest.raises(ValueError, match=r"README\.md lacks the markers"):
        readme.replaced("nothing here", "new")
