import os
import stat
import weakref

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import fastnn
from fastnn import plots
from processes import python

EPOCHS = 6
HISTORY = {
    "loss": [2.0, 1.2, 0.8, 0.5, 0.3, 0.25],
    "accuracy": [0.2, 0.5, 0.7, 0.8, 0.9, 0.95],
    "val_loss": [2.1, 1.4, 0.9, 0.6, 0.5, 0.45],
    "val_accuracy": [0.2, 0.4, 0.65, 0.75, 0.85, 0.9],
}


def model(inputs, outputs, seed=0):
    return fastnn.Sequential(
        fastnn.Linear(inputs, 9, seed=seed), fastnn.Tanh(), fastnn.Linear(9, outputs, seed=seed)
    )


RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 2)), np.arange(40) % 3
SHARES = RNG.dirichlet([1, 1, 1], 40)
DRAW = {
    "curves": lambda path: plots.curves(HISTORY, path),
    "comparison": lambda path: plots.comparison({"a": HISTORY, "b": HISTORY}, path),
    "confusion": lambda path: plots.confusion([0, 1, 1], [0, 1, 0], ["a", "b"], path),
    "predictions": lambda path: plots.predictions(X[:, 0], X[:, 1], "price", path),
    "importance": lambda path: plots.importance("ab", [0.2, 0.1], [0, 0.1], "R²", path),
    "calibration": lambda path: plots.calibration(SHARES, Y, path),
    "weights": lambda path: plots.weights(model(16, 3), (4, 4), path=path),
    "heat map": lambda path: plots.weights(model(5, 3), features=[*"abcde"], path=path),
    "mistakes": lambda path: plots.mistakes(X, Y, SHARES, [*"abc"], path=path),
    "images": lambda path: plots.mistakes(
        np.resize(X, (40, 16)), Y, SHARES, [*"abc"], (4, 4), path, most=4
    ),
    "classes": lambda path: plots.decision(model(2, 3), X, Y, [*"abc"], path=path),
    "numbers": lambda path: plots.decision(model(2, 1), X, X[:, 0], path=path),
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
    assert (imread(path)[..., 3:] == 1).all()  # nothing shines through on a dark screen
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
        monkeypatch.setattr(os, "replace", refuse)
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
        "import numpy as np\n"
        "from fastnn import plots\n"
        "assert 'numba' not in sys.modules\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.curves({'loss': [1.0, 0.5]})\n"
        "plots.confusion([0, 1], [0, 1], ['a', 'b'])\n"
        "plots.calibration(np.eye(2), np.arange(2))\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    python(code)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_nothing_keeps_a_figure_alive(draw, tmp_path):
    import gc

    figure = weakref.ref(draw(tmp_path / "picture.png"))
    gc.collect()
    assert figure() is None


@pytest.mark.parametrize(
    ("ending", "head"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_ending_says_how_it_is_written(ending, head, tmp_path):
    path = tmp_path / f"picture.{ending}"
    DRAW["comparison"](path)
    assert path.read_bytes().startswith(head)


def test_inks_are_apart_from_paper_and_from_each_other():
    from matplotlib.colors import to_rgb

    from fastnn.plots import style

    inks = [np.array(to_rgb(each)) for each in style.INKS]
    for place, ink in enumerate(inks):
        assert np.abs(1 - ink).max() > 0.5
        assert all(np.abs(ink - other).max() > 0.15 for other in inks[:place])
    assert len(set(map(str, style.DASHES))) == len(style.DASHES) == len(inks)


@pytest.mark.parametrize("name", ["SEQUENTIAL", "SIGNED"])
def test_shades_grow_lighter_all_the_way(name):
    from matplotlib import colormaps

    from fastnn.plots import style

    shades = colormaps[getattr(style, name)](np.linspace(0, 1, 32))[:, :3]
    grey = shades @ [0.299, 0.587, 0.114]  # what a printer without colour makes of them
    assert (np.diff(grey) > 0).all()
