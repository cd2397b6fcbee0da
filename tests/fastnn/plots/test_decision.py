import numpy as np
import pytest

import fastnn
from fastnn import plots


def line(weight, bias):
    """A network of one layer: classes on both sides of a line, or a plane of numbers."""
    layer = fastnn.Linear(2, len(bias), seed=0)
    layer.weight, layer.bias = np.array(weight, np.float32), np.array(bias, np.float32)
    return fastnn.Sequential(layer)


CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_the_plane_is_shaded_by_class_and_cut_where_the_model_does():
    model = line([[0, 0], [40, 0]], [0, -20])  # the second class to the right of 0.5
    figure = plots.decision(model, CORNERS, np.array([0, 1, 0, 1]), ["left", "right"], ["u", "v"])
    axes = figure.axes[0]
    shades = np.asarray(axes.images[0].get_array()) @ [0.299, 0.587, 0.114]
    left, right = shades[:, :100], shades[:, 140:]
    assert left.max() < right.min() - 0.2  # apart in grey too
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("u", "v")
    cut = np.concatenate([path.vertices for c in axes.collections for path in c.get_paths()])
    assert np.abs(cut[:, 0] - 0.5).max() < 0.01
    points = {drawn.get_label(): drawn for drawn in axes.get_lines()}
    np.testing.assert_array_equal(points["left"].get_xydata(), CORNERS[[0, 2]])
    assert points["left"].get_marker() != points["right"].get_marker()


def test_a_regression_is_shaded_by_its_numbers():
    figure = plots.decision(line([[1, 2]], [0]), CORNERS, np.array([0.0, 1.0, 2.0, 3.0]))
    areas = figure.axes[0].collections[0]
    assert areas.levels[0] <= 0
    assert areas.levels[-1] >= 3


@pytest.mark.parametrize(
    ("x", "y"), [(np.zeros((3, 3)), np.zeros(3)), (np.zeros((3, 2)), np.zeros(2)), ([], [])]
)
def test_rows_of_other_shapes_are_an_error(x, y):
    with pytest.raises(ValueError, match=r"x must be \(n, 2\)"):
        plots.decision(line([[1, 2]], [0]), x, y)
