import numpy as np
import pytest

from fastnn import plots


def test_bars_are_falls_and_lines_deviations():
    (axes,) = plots.importance(["a", "b", "c"], [0.1, 0.3, -0.05], [0.01, 0.02, 0]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a", "c"]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [30, 10, -5])
    lines = axes.collections[0].get_segments()
    np.testing.assert_allclose([line[:, 0] for line in lines], [[28, 32], [9, 11], [-5, -5]])
    top, bottom = (bar.get_y() for bar in axes.patches[:2])
    assert axes.transData.transform((0, top))[1] > axes.transData.transform((0, bottom))[1]
    assert "accuracy, in percent" in axes.get_xlabel()


def test_other_scores_are_in_their_own_units():
    (axes,) = plots.importance(["a"], [0.1], [0.01], "R²").axes
    assert axes.patches[0].get_width() == pytest.approx(0.1)
    assert "fall of R²," in axes.get_xlabel()


def test_of_many_columns_the_most_important_are_drawn_and_long_names_cut():
    names = [f"{place:03}{'long' * 20}" for place in range(100)]
    (axes,) = plots.importance(names, range(100), [0] * 100, "R²").axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [label[:3] for label in labels] == [f"{place:03}" for place in range(99, 79, -1)]
    assert max(map(len, labels)) == 30
    assert axes.get_title() == "20 of 100 columns"


@pytest.mark.parametrize("counts", [(0, 0, 0), (2, 1, 2), (1, 1, 2)])
def test_other_lengths_are_an_error(counts):
    with pytest.raises(ValueError, match="expected one for each of at least one column"):
        plots.importance(*(["a"] * counts[0], [0.1] * counts[1], [0.1] * counts[2]))
