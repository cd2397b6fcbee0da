import math

import numpy as np
import pytest

from fastnn import plots

EPOCHS = 6
HISTORY = {
    "loss": [2.0, 1.2, 0.8, 0.5, 0.3, 0.25],
    "accuracy": [0.2, 0.5, 0.7, 0.8, 0.9, 0.95],
    "val_loss": [2.1, 1.4, 0.9, 0.6, 0.5, 0.45],
    "val_accuracy": [0.2, 0.4, 0.65, 0.75, 0.85, 0.9],
}


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def points(values):
    return [[epoch, value] for epoch, value in enumerate(values, start=1)]


def annotations(axes):
    return [text.get_text() for text in axes.texts]


def test_two_panels_hold_the_four_series():
    loss, accuracy = plots.curves(HISTORY).axes
    assert lines(loss) == {
        "training": points(HISTORY["loss"]),
        "validation": points(HISTORY["val_loss"]),
    }
    assert lines(accuracy) == {
        "training": points(HISTORY["accuracy"]),
        "validation": points(HISTORY["val_accuracy"]),
    }
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"


def test_final_values_are_written_beside_the_curves_in_their_order():
    loss, accuracy = plots.curves(HISTORY).axes
    assert sorted(annotations(loss)) == ["training\n0.25", "validation\n0.45"]
    assert sorted(annotations(accuracy)) == ["training\n95.00%", "validation\n90.00%"]
    heights = {text.get_text(): text.xy[1] for text in accuracy.texts}
    assert heights["training\n95.00%"] > heights["validation\n90.00%"]
    colors = {line.get_label(): line.get_color() for line in accuracy.get_lines()}
    assert {text.get_text().split()[0]: text.get_color() for text in accuracy.texts} == colors
    assert len(set(colors.values())) == 2


@pytest.mark.parametrize(
    "without", [{}, {"accuracy": None, "val_accuracy": []}, {"accuracy": [None] * EPOCHS}]
)
def test_one_panel_without_accuracies(without):
    history = {"loss": HISTORY["loss"], "val_loss": HISTORY["val_loss"], **without}
    (loss,) = plots.curves(history).axes
    assert set(lines(loss)) == {"training", "validation"}


def test_missing_keys_and_entries_are_left_out():
    history = {"loss": [2.0, 1.0, math.nan, 0.5], "val_loss": [None, 1.5, None, 0.8]}
    (loss,) = plots.curves(history).axes
    assert lines(loss) == {
        "training": [[1, 2.0], [2, 1.0], [4, 0.5]],
        "validation": [[2, 1.5], [4, 0.8]],
    }
    (loss,) = plots.curves({"val_loss": np.array([1.0, 0.5])}).axes
    assert lines(loss) == {"validation": [[1, 1.0], [2, 0.5]]}


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"loss": None}, {"loss": [math.nan, None]}])
def test_nothing_to_plot_is_an_error(history):
    with pytest.raises(ValueError, match="no finite loss or accuracy"):
        plots.curves(history)


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([2.0, 0.021], "linear"),
        ([2.0, 0.019], "log"),
        ([2.0, 0.0], "linear"),
        ([2.0, -1.0], "linear"),
    ],
)
def test_the_loss_axis_is_logarithmic_beyond_two_decades(losses, scale):
    loss, accuracy = plots.curves({"loss": losses, "accuracy": [0.001, 1.0]}).axes
    assert loss.get_yscale() == scale
    assert accuracy.get_yscale() == "linear"


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 137])
def test_epochs_are_whole_numbers_that_start_at_one(epochs):
    figure = plots.curves({"loss": np.linspace(1, 0.5, epochs)})
    figure.canvas.draw()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert shown
    assert all(tick == round(tick) and 1 <= tick <= epochs for tick in shown)


def test_the_panel_is_plain():
    (axes,) = plots.curves({"loss": [1.0, 0.5]}).axes
    visible = {name for name, spine in axes.spines.items() if spine.get_visible()}
    assert visible == {"left", "bottom"}


@pytest.mark.parametrize("final", [(0.9, 0.9), (0.1, 0.1001), (1.0, 0.999), (0.2, 0.9)])
@pytest.mark.parametrize("rest", [0.1, 0.9])
def test_the_labels_do_not_run_into_each_other_nor_out_of_the_panel(final, rest):
    history = {"accuracy": [rest, final[0]], "val_accuracy": [rest, final[1]]}
    figure = plots.curves({"loss": [1.0, 0.5], **history})
    figure.canvas.draw()
    axes = figure.axes[1]
    first, second = (text.get_window_extent() for text in axes.texts)
    assert first.y0 > second.y1 or second.y0 > first.y1
    for box in (first, second):
        assert axes.bbox.y0 - 1 <= box.y0
        assert box.y1 <= axes.bbox.y1 + 1
        assert box.x0 > axes.bbox.x1
        assert box.x1 < figure.bbox.x1


# comparison

RUNS = {f"run {place}": {key: np.array(v) / (place + 1) for key, v in HISTORY.items()}
        for place in range(9)}  # fmt: skip


def test_a_comparison_draws_validation_marked_and_training_thin():
    figure = plots.comparison({"a": HISTORY, "b": {"loss": HISTORY["loss"]}})
    loss, accuracy = figure.axes
    marked = {line.get_label(): line for line in loss.get_lines() if line.get_linewidth() > 1}
    assert marked["a"].get_ydata().tolist() == HISTORY["val_loss"]
    assert marked["b"].get_ydata().tolist() == HISTORY["loss"]  # it has no validation
    (thin,) = (line for line in loss.get_lines() if line.get_linewidth() < 1)
    assert thin.get_ydata().tolist() == HISTORY["loss"]
    assert thin.get_color() == marked["a"].get_color()
    assert [
        line.get_ydata().tolist() for line in accuracy.get_lines() if line.get_marker() != "None"
    ] == [HISTORY["val_accuracy"]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_runs_differ_in_dashes_and_markers_not_in_colour_alone():
    loss = plots.comparison(RUNS).axes[0]
    marked = [line for line in loss.get_lines() if line.get_marker() != "None"]
    assert [line.get_label() for line in marked] == list(RUNS)
    in_grey = {(str(line._unscaled_dash_pattern), line.get_marker()) for line in marked}
    assert len(in_grey) == len(RUNS)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match=r"no finite loss or accuracy in the histories of .'a'"):
        plots.comparison({"a": {"loss": [math.nan]}})
