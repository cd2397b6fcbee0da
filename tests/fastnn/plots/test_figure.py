"""Texts of pictures mean nothing but themselves, whoever chose them."""

import warnings
import xml.dom.minidom
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

import fastnn
from fastnn import plots
from fastnn.data.dataset import Dataset
from fastnn.plots.figure import LiteralFigure
from fastnn.plots.style import new_figure

EVIL = [
    "x $^$", "$0-$50", r"$\frac{1}{0}$", r"\$", r"a\$b$c", "_x", "__", "<b>&", "a\x1b[2Jb",
    "a\0b", "\udce9", "\u202eab", "%", "", " ", "$", "$$", "a\nb", "猫", r"\input{x}",
]  # fmt: skip
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 2)), np.arange(40) % 2
SHARES = RNG.dirichlet([1, 1], 40)
HISTORY = {"loss": [2.0, 0.5, 0.001], "val_loss": [2.1, 0.5, 0.1]}


def model(inputs, outputs):
    return fastnn.Sequential(fastnn.Linear(inputs, outputs, seed=0))


DRAW = {
    "comparison": lambda a, b, path: plots.comparison({a: HISTORY, b: HISTORY}, path),
    "confusion": lambda a, b, path: plots.confusion([0, 1, 1], [0, 1, 0], [a, b], path),
    "predictions": lambda a, b, path: plots.predictions(X[:, 0], X[:, 1], a, path),
    "weights": lambda a, b, path: plots.weights(model(2, 3), features=[a, b], path=path),
    "mistakes": lambda a, b, path: plots.mistakes(X, Y, SHARES, [a, b], path=path),
    "images": lambda a, b, path: plots.mistakes(
        np.resize(X, (40, 16)), Y, SHARES, [a, b], (4, 4), path, most=2
    ),
    "classes": lambda a, b, path: plots.decision(model(2, 2), X, Y, [a, b], [b, a], path),
    "numbers": lambda a, b, path: plots.decision(model(2, 1), X, X[:, 0], (), [a, b], path),
    "sweep": lambda a, b, path: plots.sweep({a: ["p", b], "c": [1, 2]}, [0.1, 0.2], "loss", path),
}


@pytest.fixture(autouse=True)
def _no_glyphs():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield


def texts(figure):
    FigureCanvasAgg(figure).draw()
    return [each for each in figure.findobj(Text) if each.get_text()]


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_names_of_every_kind_are_drawn(draw, ending, tmp_path):
    path = tmp_path / f"picture.{ending}"
    for first, second in (("x $^$", "\udce9\0--"), ("$0-$50", "_\x1b[2J")):
        draw(first, second, path)
        if ending == "svg":
            xml.dom.minidom.parse(str(path))


def test_classes_of_any_name_are_drawn():
    confused = np.arange(len(EVIL))
    texts(plots.confusion(confused, confused[::-1], EVIL))


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_no_text_is_a_formula_but_matplotlibs_own(draw):
    for text in texts(draw("x $^$", "$y$", None)):
        if "$" in text.get_text() and r"\mathdefault" not in text.get_text():
            assert text._preprocess_math(text.get_text()) == (text.get_text(), False)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_settings_of_the_user_change_nothing_of_it(draw):
    """TeX would run what a name says; Python's formulas come with other numbers, too."""
    with matplotlib.rc_context({"text.usetex": True, "axes.formatter.use_mathtext": True}):
        figure = draw("x $^$", r"\input{/etc/passwd}", None)
        for text in texts(figure):
            assert not text.get_usetex()


@settings(max_examples=15, deadline=None)
@given(st.text("$\\^_{}%&#~a \n", min_size=1), st.text(min_size=1))
def test_any_text_is_drawn_as_a_tick_a_title_and_a_name(one, other):
    figure = new_figure(3, 3, layout="none")
    axes = figure.subplots()
    axes.set_xticks([0, 1], [one, other])
    axes.set_title(one)
    axes.text(0, 0, other)
    texts(figure)


def test_numbers_of_matplotlibs_are_formulas():
    figure = new_figure(3, 3)
    axes = figure.subplots()
    axes.plot([1, 2], [1e-6, 1e6])
    axes.set_yscale("log")
    labels = [each.get_text() for each in texts(figure)]
    assert any(each.startswith(r"$\mathdefault{10^{") for each in labels)
    for text in axes.get_yticklabels():
        if text.get_text():
            assert text._preprocess_math(text.get_text())[1] is True


@pytest.mark.parametrize("name", ["_x", "_", "__nolegend__", "_nolegend_", "_child1"])
def test_a_legend_names_all(name):
    for figure in (
        plots.comparison({name: HISTORY, "b": HISTORY}),
        plots.decision(model(2, 2), X, Y, [name, "b"]),
    ):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*(label|legend)")
            texts(figure)
        assert [each.get_text() for each in figure.legends[0].get_texts()] == [name, "b"]


def test_two_classes_of_one_name_are_two_in_the_legend():
    figure = plots.decision(model(2, 2), X, Y, ["a", "a"])
    assert [each.get_text() for each in figure.legends[0].get_texts()] == ["a", "a"]


def test_every_figure_is_such_a_one(tmp_path):
    for draw in DRAW.values():
        assert isinstance(draw("a", "b", None), LiteralFigure)
    from fastnn.reports import figures, pictures

    assert isinstance(figures.panel()[0], LiteralFigure)
    assert isinstance(pictures.images(np.ones((1, 2, 2)), ["a"]), LiteralFigure)
    assert isinstance(pictures.surfaces({1: np.ones((2, 2))}), LiteralFigure)


def test_a_run_on_such_names_ends_well(tmp_path):
    from fastnn.runs.run import Run
    from fastnn.runs.settings import Settings

    data = Dataset("x", X.astype("f4"), Y, X.astype("f4"), Y, ("x $^$", "$0-$50"))
    run = Run(Settings("disk", epochs=2), data)
    run.train()
    run.evaluate()
    assert "confusion.png" in run.write(tmp_path)


def test_notebooks_show_a_picture():
    figure = new_figure(3, 2)
    figure.subplots().plot([1, 2])
    png, size = figure._repr_png_()
    assert Image.open(BytesIO(png)).size == (450, 300)
    assert size == {"width": 288, "height": 192}
