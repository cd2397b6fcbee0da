"""Figures, targets, and the JSON that keeps them over several runs."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure import Spread
from bench.report import Report, Target, figure, geometric_mean


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


@given(st.lists(st.floats(0.01, 100), min_size=1))
def test_geometric_mean_of_inverses_is_the_inverse(ratios):
    mean = geometric_mean(ratios)
    assert mean == pytest.approx(math.prod(ratios) ** (1 / len(ratios)), rel=1e-6)
    assert geometric_mean(1 / each for each in ratios) == pytest.approx(1 / mean)


@pytest.fixture
def report():
    made = Report()
    made.start()
    made.note_versions({"torch": "2.13.0"})
    made.add(figure("matmul", "8x8x8", "times NumPy", Spread(2.0, 1.5, 2.5, 41), Target(1.0), 0.7))
    made.add(figure("matmul", "16x16x16", "GFLOP/s", 12.3456))
    made.note("test_matmul[16]: JAX", "jax is not installed")
    return made


def test_json_holds_all(report, tmp_path):
    path = tmp_path / "results" / "latest.json"
    report.write(path)
    values = json.loads(path.read_text(encoding="utf-8"))
    assert set(values) == {"quick", "runs", "problems", "figures"}
    (run,) = values["runs"]
    assert set(run) == {"date", "machine", "versions"}
    assert run["versions"]["torch"] == "2.13.0"
    assert {"processor", "cores", "memory_gb", "system"} <= set(run["machine"])
    assert values["problems"] == {"test_matmul[16]: JAX": "jax is not installed"}
    assert values["figures"][0] == {
        "section": "matmul", "subject": "8x8x8", "quantity": "times NumPy", "value": 2.0,
        "low": 1.5, "high": 2.5, "rounds": 41, "target": {"bound": 1.0, "at_least": True},
        "at": 0.7, "run": 0, "met": True,
    }  # fmt: skip
    assert Report.read(path).figures == report.figures
    assert [each.name for each in path.parent.iterdir()] == ["latest.json"]


def test_a_later_run_adds_to_an_earlier_one(report, tmp_path):
    path = tmp_path / "latest.json"
    report.write(path)
    later = Report.read(path)
    later.start()
    assert not later.measured
    later.add(figure("matmul", "16x16x16", "GFLOP/s", 99.0))
    later.note("test_matmul[16]: JAX", None)
    later.write(path)

    found = Report.read(path)
    assert found.value("matmul", "8x8x8", "times NumPy") == 2.0
    assert found.value("matmul", "16x16x16", "GFLOP/s") == 99.0
    assert [each.run for each in found.figures.values()] == [0, 1]
    assert len(found.runs) == 2
    assert not found.problems


def test_a_run_of_which_nothing_is_left_is_forgotten(report, tmp_path):
    path = tmp_path / "latest.json"
    report.write(path)
    later = Report.read(path)
    later.start()
    for each in list(later.figures.values()):
        later.add(each)
    later.write(path)
    found = Report.read(path)
    assert len(found.runs) == 1
    assert {each.run for each in found.figures.values()} == {0}


def test_a_problem_alone_is_kept_too(tmp_path):
    made = Report()
    made.start()
    made.note("test_layer", "broken")
    assert made.measured
    made.write(tmp_path / "latest.json")
    assert Report.read(tmp_path / "latest.json").problems == {"test_layer": "broken"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": [{"nothing": 1}]}'])
def test_a_file_that_holds_no_results(text, tmp_path):
    path = tmp_path / "latest.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"latest\.json holds no results of this suite"):
        Report.read(path)
