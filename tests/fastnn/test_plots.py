import math
import os
import stat
import subprocess
import sys
import weakref

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread

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


# curves


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


# confusion


def shares(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


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
    counts = plots._confusion_counts(y_true, y_pred, 5)
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
        image = figure.axes[0].images[0]
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


# files, and what is left behind

DRAW = {
    "curves": lambda path: plots.curves(HISTORY, path),
    "confusion": lambda path: plots.confusion([0, 1, 1], [0, 1, 0], ["a", "b"], path),
}


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_a_png_is_written_at_150_dots_an_inch(draw, tmp_path):
    path = tmp_path / "new" / "folders" / "picture.png"
    figure = draw(path)
    assert isinstance(figure, Figure)
    height, width = imread(path).shape[:2]
    assert (width, height) == pytest.approx(tuple(150 * figure.get_size_inches()), abs=1)
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]
    pixels = imread(path)[..., :3]
    assert (pixels == 1).all(axis=-1).mean() > 0.1  # white paper
    assert (pixels < 0.5).any()  # and ink


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_no_path_writes_nothing(draw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(None)
    assert not list(tmp_path.iterdir())


def test_an_old_picture_is_replaced(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    plots.curves(HISTORY, str(path))
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_the_picture_has_the_permissions_of_any_new_file(tmp_path):
    plots.curves(HISTORY, tmp_path / "picture.png")
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
@pytest.mark.parametrize("failing", ["drawing", "replacing"])
def test_a_failure_keeps_the_old_picture_and_leaves_no_other_file(
    failing, draw, tmp_path, monkeypatch
):
    def write_half(file, *_, **__):
        file.write(b"half")
        raise OSError("disk full")

    def refuse(source, target):
        assert source.parent == target.parent
        raise OSError("disk full")

    if failing == "drawing":
        monkeypatch.setattr(matplotlib.image, "imsave", write_half)
    else:
        monkeypatch.setattr(plots.os, "replace", refuse)
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        draw(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        plots.curves(HISTORY, tmp_path / "file" / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_an_unwritable_folder_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            plots.curves(HISTORY, tmp_path / "picture.png")
        assert not list(tmp_path.iterdir())
    finally:
        tmp_path.chmod(0o700)


def test_matplotlib_comes_with_the_first_picture_and_pyplot_never():
    code = (
        "import sys\n"
        "from fastnn import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.curves({'loss': [1.0, 0.5]})\n"
        "plots.confusion([0, 1], [0, 1], ['a', 'b'])\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_nothing_keeps_a_figure_alive(draw, tmp_path):
    import gc

    figure = weakref.ref(draw(tmp_path / "picture.png"))
    gc.collect()
    assert figure() is None
