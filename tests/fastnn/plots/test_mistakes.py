import numpy as np
import pytest

from fastnn import plots

CLASSES = ["cat", "dog"]
Y = np.array([0, 0, 1, 1, 1])
SHARES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.99, 0.01], [0.1, 0.9]])
X = np.arange(20.0).reshape(5, 4)


def test_images_of_the_worst_come_first():
    figure = plots.mistakes(X, Y, SHARES, CLASSES, (2, 2))
    shown = [axes for axes in figure.axes if axes.images]
    rows = [int(np.asarray(axes.images[0].get_array()).ravel()[0]) // 4 for axes in shown]
    assert rows == [3, 1, 2]
    assert [axes.get_title() for axes in shown] == [
        "dog → cat\n99.0%", "cat → dog\n80.0%", "dog → cat\n60.0%",
    ]  # fmt: skip
    assert figure.get_suptitle() == "the worst 3 of 3 mistakes in 5 rows"


def test_rows_that_are_no_images_have_bars_of_both_probabilities():
    (axes,) = plots.mistakes(X, Y, SHARES, CLASSES, most=2).axes
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, [0.99, 0.8, 0.01, 0.2])
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["row 3: dog → cat", "row 1: cat → dog"]
    assert {bar.get_hatch() for bar in axes.patches} == {"///", None}  # apart without colour


def test_nothing_wrong_is_an_error():
    with pytest.raises(ValueError, match="no mistakes"):
        plots.mistakes(X, SHARES.argmax(axis=1), SHARES, CLASSES)


def test_rows_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match="as many rows"):
        plots.mistakes(X[:4], Y, SHARES, CLASSES)
