"""Figures, targets, JSON and the table made from it."""

import json

import pytest

from bench.measure import Spread
from bench.report import Report, Target, figure, markdown, read


def test_targets():
    assert Target(90).met(90)
    assert not Target(90).met(89.9)
    assert Target(2.5, at_least=False).met(2.4)
    assert not Target(2.5, at_least=False).met(2.6)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2, "2"), (2.0, "2.00"), (0.0123456, "0.0123"), (0.5, "0.500"), (12.345, "12.3"),
     (123.45, "123"), (99_999, "99999")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert str(figure("s", "x", "q", value)) == text


def test_a_figure_with_spread_and_target():
    spread = Spread(3.2, 3.0, 3.5, 41)
    assert str(figure("s", "x", "q", spread, Target(3))) == "3.20 (3.00–3.50), >= 3: met"
    assert str(figure("s", "x", "q", spread, Target(3, False))).endswith("<= 3: MISSED")


@pytest.fixture
def report():
    return Report(
        quick=False,
        figures=[
            figure("matmul", "8x8x8", "times NumPy", Spread(2.0, 1.5, 2.5, 41), Target(1.0)),
            figure("matmul", "16x16x16", "times NumPy", Spread(0.5, 0.4, 0.6, 41), Target(1.0)),
            figure("matmul", "16x16x16", "GFLOP/s", 12.3456),
            figure("memory", "digits", "MB", 100),
        ],
        versions={"torch": "2.13.0"},
    )


def test_json_holds_all_and_markdown_is_made_from_it(report, tmp_path):
    path = report.write(tmp_path / "results")
    results = read(path)
    assert path.name == "latest.json"
    assert {"date", "quick", "machine", "versions", "figures"} == set(results)
    assert results["versions"]["torch"] == "2.13.0"
    assert results["figures"][0] == {
        "section": "matmul", "subject": "8x8x8", "quantity": "times NumPy", "value": 2.0,
        "low": 1.5, "high": 2.5, "rounds": 41, "target": {"bound": 1.0, "at_least": True},
        "met": True,
    }  # fmt: skip
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert text == markdown(json.loads(path.read_text(encoding="utf-8")))
    assert "| 8x8x8    | 2.00 (1.50–2.50), >= 1: met       |         |" in text
    assert "| 16x16x16 | 0.500 (0.400–0.600), >= 1: MISSED | 12.3    |" in text
    assert "1 of 2 targets met." in text


def test_quick_results_are_kept_apart_and_say_so(report, tmp_path):
    report.quick = True
    path = report.write(tmp_path)
    assert path.name == "quick.json"
    assert "quick" in path.with_suffix(".md").read_text(encoding="utf-8").splitlines()[0]
