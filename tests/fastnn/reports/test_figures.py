import numpy as np
import pytest

from fastnn.reports import figures
from fastnn.reports.comparison import FASTNN, PYTORCH, Comparison, Side
from fastnn.training.evaluation import Evaluation
from histories import history


def falling(losses):
    losses = np.array(losses)
    return history(losses, losses + 0.1, accuracy=1 - losses / 20, val_accuracy=1 - losses / 10)


def comparison(*values):
    sides = zip((FASTNN, PYTORCH), values, strict=False)
    result = Evaluation(0.1, 0.9)
    return Comparison(
        "a run", {}, "", {name: Side(falling(v), result, result) for name, v in sides}
    )


def drawn(figure):
    """Lines of the figure's panel by the name in the legend."""
    (axes,) = figure.axes
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in axes.get_lines()}


def test_curves_of_both_libraries():
    lines = drawn(figures.curves(comparison([3, 2, 1], [3, 2, 1.5]), "loss"))
    assert list(lines) == ["training, fastnn", "training, PyTorch", "test, fastnn", "test, PyTorch"]
    np.testing.assert_allclose(lines["training, PyTorch"], [3, 2, 1.5])
    np.testing.assert_allclose(lines["test, fastnn"], [3.1, 2.1, 1.1])


def test_curves_of_one_library():
    assert list(drawn(figures.curves(comparison([3, 2]), "accuracy"))) == [
        "training, fastnn", "test, fastnn",
    ]  # fmt: skip


def test_accuracies_are_in_percent():
    figure = figures.curves(comparison([3, 2, 1]), "accuracy")
    figure.canvas.draw()
    (axes,) = figure.axes
    assert axes.get_ylabel() == "accuracy"
    assert all(label.get_text().endswith("%") for label in axes.get_yticklabels())


@pytest.mark.parametrize(("values", "scale"), [([3, 2, 1], "linear"), ([30, 2, 0.01], "log")])
def test_losses_that_span_much_are_on_a_log_scale(values, scale):
    (axes,) = figures.several({"a": falling(values)}, "loss").axes
    assert axes.get_yscale() == scale


def test_several_runs_with_pytorch_as_dots_on_them():
    figure = figures.several({"one": comparison([3, 2], [3, 1]), "two": falling([5, 4])}, "loss")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert [list(line.get_ydata()) for line in axes.get_lines()] == [[3, 2], [3, 1], [5, 4]]


def test_differences_are_relative_and_where_there_are_none_drawn_too():
    figure = figures.differences([comparison([1, 2, 3], [1, 2, 3.3])])
    gaps = drawn(figure)["a run"]
    assert gaps[2] == pytest.approx(0.3 / 3.3)
    assert (gaps > 0).all()
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] > gaps.max()


def test_differences_of_the_last_digits_are_within_the_panel():
    figure = figures.differences([comparison([1, 2], [1, 2]), comparison([1, 2], [1, 2 + 1e-15])])
    (axes,) = figure.axes
    assert axes.get_ylim()[0] < drawn(figure)["a run"].max() < 1e-14


def test_starts_are_a_median_and_a_span():
    runs = {"a start": [falling([3, 2]), falling([4, 1]), falling([9, 3])]}
    figure = figures.starts(runs, "loss")
    np.testing.assert_allclose(drawn(figure)["a start"], [4, 2])
    (band,) = figure.axes[0].collections
    assert band.get_paths()[0].get_extents().intervaly == pytest.approx([1, 9])


def test_steps_are_whole_numbers():
    lines = drawn(figures.steps({"Adam": [0, 3, 6], "SGD": [0, 0, 0]}, "dead logits"))
    np.testing.assert_allclose(lines["Adam"], [0, 3, 6])
