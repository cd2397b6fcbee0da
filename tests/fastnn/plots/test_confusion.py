import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import plots
from fastnn.plots.confusion import _confusion_counts


def shares(figure):
    return np.asarray(figure.axes[0].collections[0].get_array())


def cells(figure, k):
    """Return the counts written into the cells, by where they stand."""
    counts = np.full((k, k), -1)
    for text in figure.axes[0].texts:
        column, row = text.get_position()
        counts[row, column] = int(text.get_text())
    return counts


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_confusion_matrix_counts_pairs(pairs):
    y_true, y_pred = np.array(pairs).T
    counts = _confusion_counts(y_true, y_pred, 5)
    for i in range(5):
        for j in range(5):
            assert counts[i, j] == pairs.count((i, j))


def test_cells_hold_counts_and_shades_hold_shares_of_the_row():
    figure = plots.confusion([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0], ["a", "b", "c"])
    expected = [[3, 1, 0], [1, 1, 0], [0, 0, 0]]  # true class down, predicted class across
    np.testing.assert_array_equal(cells(figure, 3), expected)
    np.testing.assert_allclose(shares(figure), [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 0, 0]])
    axes = figure.axes[0]
    assert "66.67%" in axes.get_title()
    assert "4 of 6" in axes.get_title()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["a", "b", "c"]


@pytest.mark.parametrize("k", [2, 10, 20, 21, 30])
def test_counts_are_written_up_to_twenty_classes(k):
    figure = plots.confusion(np.arange(k), np.arange(k)[::-1], [f"class {i}" for i in range(k)])
    assert len(figure.axes[0].texts) == (k * k if k <= 20 else 0)
    assert len(figure.axes[0].get_xticklabels()) == k


def luminance(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_counts_stand_out_from_their_cells_at_every_shade():
    from matplotlib.colors import to_rgb

    for right in range(1, 100):
        y_pred = np.arange(100) >= right
        figure = plots.confusion(np.zeros(100, int), y_pred.astype(int), ["a", "b"])
        image = figure.axes[0].collections[0]
        for text in figure.axes[0].texts[:2]:
            share = int(text.get_text()) / 100
            behind = luminance(np.array(image.cmap(image.norm(share))[:3]))
            ink = luminance(np.array(to_rgb(text.get_color())))
            low, high = sorted((behind, ink))
            assert (high + 0.05) / (low + 0.05) > 4.5, f"share {share}"


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 3], [0, 1], r"y_true must lie in 0\.\.2 for 3 classes, got 0\.\.3"),
        ([0, 1], [-1, 1], r"y_pred must lie in 0\.\.2 for 3 classes, got -1\.\.1"),
        ([0.0, 1.0], [0, 1], "y_true must hold integers, got float64"),
        ([0, 1], [True, False], "y_pred must hold integers, got bool"),
        ([0, 1], [0], r"got \(2,\) and \(1,\)"),
        ([[0, 1]], [[0, 1]], r"got \(1, 2\) and \(1, 2\)"),
        ([], [], r"got \(0,\) and \(0,\)"),
    ],
)
def test_labels_are_checked(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion(y_true, y_pred, ["a", "b", "c"])


def test_narrow_unsigned_labels_do_not_overflow():
    labels = np.arange(30, dtype=np.uint8)
    np.testing.assert_array_equal(shares(plots.confusion(labels, labels, ["x"] * 30)), np.eye(30))
