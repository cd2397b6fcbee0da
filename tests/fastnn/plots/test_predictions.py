import numpy as np
import pytest
from sklearn.metrics import r2_score

from fastnn import plots


def test_points_and_scores():
    true, predicted = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 2.0])
    (axes,) = plots.predictions(true, predicted, "price").axes
    diagonal, points = axes.get_lines()
    np.testing.assert_array_equal(points.get_xydata(), np.stack([true, predicted], 1))
    np.testing.assert_array_equal(diagonal.get_xydata(), [[1, 1], [3, 3]])
    assert f"R² {r2_score(true, predicted):.3f}" in axes.get_title()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true price", "predicted price")


def test_of_many_points_some_are_drawn():
    points = plots.predictions(np.arange(20_001), np.arange(20_001)).axes[0].get_lines()[1]
    assert 1000 < len(points.get_xdata()) <= 5000


@pytest.mark.parametrize(("true", "predicted"), [([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]])])
def test_other_shapes_are_an_error(true, predicted):
    with pytest.raises(ValueError, match="must be of one shape"):
        plots.predictions(true, predicted)
