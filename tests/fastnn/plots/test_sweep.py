import numpy as np
import pytest
from matplotlib.image import imread

from fastnn import plots


def lines(axes):
    return [line.get_xydata() for line in axes.get_lines()]


def test_a_panel_for_each_setting(tmp_path):
    settings = {"hidden": [(64, 32), (8,), (8,), ()], "lr": [0.1, 0.1, 0.01, 0.01]}
    figure = plots.sweep(settings, [0.9, 0.7, 0.5, 0.6], path=tmp_path / "sweep.png")
    first, second = figure.axes
    assert [each.get_text() for each in first.get_xticklabels()] == ["none", "8", "64-32"]
    assert [each.get_text() for each in second.get_xticklabels()] == ["0.01", "0.1"]
    median, dots, best = lines(first)
    np.testing.assert_allclose(median, [[0, 0.6], [1, 0.6], [2, 0.9]])
    np.testing.assert_allclose(dots, [[2, 0.9], [1, 0.7], [1, 0.5], [0, 0.6]])
    np.testing.assert_allclose(best, [[2, 0.9]])
    assert imread(tmp_path / "sweep.png").shape[2] == 4


def test_the_best_loss_is_the_lowest_and_what_is_not_finite_is_left_out():
    scores = [3.0, None, 2.0, float("nan"), float("inf")]
    figure = plots.sweep(
        {"seed": [0, 1, 2, 3, 4]}, scores, "validation loss", higher_is_better=False
    )
    _, dots, best = lines(figure.axes[0])
    np.testing.assert_allclose(dots, [[0, 3.0], [1, 2.0]])
    np.testing.assert_allclose(best, [[1, 2.0]])
    assert figure.axes[0].get_ylabel() == "validation loss"


def test_many_numbers_lie_where_they_are():
    rates = np.geomspace(1e-4, 1, 30).tolist()
    (axes,) = plots.sweep({"lr": rates}, rates).axes
    dots, _ = lines(axes)  # no medians of single runs
    np.testing.assert_allclose(dots[:, 0], rates)
    assert axes.get_xscale() == "log"


def test_four_settings_take_two_rows():
    figure = plots.sweep({name: [1, 2] for name in "abcd"}, [0.1, 0.2])
    assert sum(axes.get_visible() for axes in figure.axes) == 4


@pytest.mark.parametrize(
    ("settings", "scores", "message"),
    [
        ({}, [0.5], "at least one list of 1"),
        ({"lr": [1, 2]}, [0.5], "at least one list of 1"),
        ({"lr": [1]}, [None], "no run has a finite score"),
        ({"lr": []}, [], "no run has a finite score"),
    ],
)
def test_nothing_to_plot_is_an_error(settings, scores, message):
    with pytest.raises(ValueError, match=message):
        plots.sweep(settings, scores)
