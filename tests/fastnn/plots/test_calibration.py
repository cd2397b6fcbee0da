import numpy as np
import pytest

from fastnn import plots


def test_points_are_accuracy_against_confidence_above_the_rows():
    sure = np.array([0.95, 0.95, 0.95, 0.95, 0.65, 0.65])
    upper, lower = plots.calibration(
        np.stack([sure, 1 - sure], 1), np.array([0, 0, 0, 1, 0, 1])
    ).axes
    diagonal, curve = upper.get_lines()
    np.testing.assert_allclose(diagonal.get_xydata(), [[0.5, 0.5], [1, 1]])
    np.testing.assert_allclose(curve.get_xydata(), [[0.65, 0.5], [0.95, 0.75]])
    assert [bar.get_height() for bar in lower.patches] == [2, 4]
    assert "18.33%" in upper.get_title()  # (4 x 0.2 + 2 x 0.15) / 6


@pytest.mark.parametrize(
    ("shares", "y"),
    [(np.ones((3, 2)), np.zeros(2)), (np.ones(3), np.zeros(3)), (np.ones((0, 2)), [])],
)
def test_other_shapes_are_an_error(shares, y):
    with pytest.raises(ValueError, match=r"probabilities must be \(n, classes\)"):
        plots.calibration(shares, y)
