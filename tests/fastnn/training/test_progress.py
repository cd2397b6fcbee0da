import io
import sys
from types import ModuleType

import numpy as np
import pytest
import rich.console
import rich.progress

from fastnn import SGD, CrossEntropyLoss, History, Identity, Linear, Sequential, fit
from fastnn.training import progress
from fastnn.training.progress import ProgressBar


@pytest.fixture
def screen(monkeypatch):
    """Return the text that a terminal would have been shown."""
    text = io.StringIO()
    console = rich.console.Console(file=text, force_terminal=True, width=120)
    usual = rich.progress.Progress
    monkeypatch.setattr(
        rich.progress, "Progress", lambda *columns, **how: usual(*columns, console=console, **how)
    )
    return text


def test_shows_epochs_and_results(screen):
    history = History()
    with ProgressBar(2, 10) as bar:
        bar.batches_done(5)
        history.add(loss=1.5, accuracy=0.25, val_accuracy=0.125, seconds=1.0)
        bar.epoch_done(history)
        bar.batches_done(10)
        history.add(loss=0.5, seconds=1.0)
        bar.epoch_done(history)
    shown = screen.getvalue()
    assert "epoch 2/2" in shown
    assert "100%" in shown
    assert "loss 0.5000" in shown


def test_shows_accuracy_where_there_is_one(screen):
    history = History()
    history.add(loss=1.5, accuracy=0.25, val_accuracy=0.125, seconds=1.0)
    with ProgressBar(1, 10) as bar:
        bar.epoch_done(history)
    assert "loss 1.5000  accuracy 25.00%  validation 12.50%" in screen.getvalue()


def test_shows_nothing_unless_visible(screen, capsys):
    with ProgressBar(2, 10, visible=False) as bar:
        bar.batches_done(5)
        bar.epoch_done(History())
    assert screen.getvalue() == ""
    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:Identity2 is not")
@pytest.mark.parametrize("eager", [False, True])
def test_fit_moves_it_and_trains_alike(screen, bits, eager):
    class Identity2(Identity):
        pass

    results = []
    for shown in (False, True):
        layers = [Linear(4, 3, seed=0), *([Identity2()] if eager else [])]
        model = Sequential(*layers)
        x = np.random.default_rng(0).normal(size=(50, 4))
        fit(model, x, np.arange(50) % 3, loss=CrossEntropyLoss(),
            optimizer=SGD(model.parameters(), lr=0.1), epochs=4, batch_size=8, seed=0,
            progress=shown)  # fmt: skip
        results.append(bits(model))
        assert ("epoch 4/4" in screen.getvalue()) == shown
    assert results[0] == results[1]
    assert "100%" in screen.getvalue()


def test_the_terminal_is_given_back_after_an_error(screen):
    model = Sequential(Linear(4, 3))

    def fail(training):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(model, np.ones((50, 4)), np.arange(50) % 3, loss=CrossEntropyLoss(), epochs=4,
            batch_size=8, optimizer=SGD(model.parameters()), progress=True,
            callbacks=[fail])  # fmt: skip
    assert screen.getvalue().rstrip("\n").endswith("\x1b[?25h")  # the cursor is shown again


class Notebook:
    """What a notebook shows below a cell, in the place of the package IPython."""

    kernel = "of a notebook"

    def __init__(self, monkeypatch):
        self.shown = []
        ipython, its_display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: self
        its_display.display = self.display
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", its_display)

    def display(self, value, display_id):
        assert display_id
        self.update(value)
        return self

    def update(self, value):
        self.shown.append((value._repr_html_(), repr(value)))


def test_a_notebook_is_shown_a_bar(monkeypatch, capsys):
    notebook, history = Notebook(monkeypatch), History()
    monkeypatch.setattr(progress, "_PERIOD", -1.0)
    with ProgressBar(2, 10) as bar:
        bar.batches_done(5)
        assert '<progress value="5" max="20"' in notebook.shown[-1][0]
        assert "epoch 1/2" in notebook.shown[-1][0]
        assert "25%" in notebook.shown[-1][1]
        assert "s left" in notebook.shown[-1][1]
        history.add(loss=1.5, accuracy=0.25, seconds=1.0)
        bar.epoch_done(history)
        history.add(loss=0.5, seconds=1.0)
        bar.epoch_done(history)
    html, text = notebook.shown[-1]
    assert '<progress value="20" max="20"' in html
    assert text == "epoch 2/2  100%  loss 0.5000"
    assert capsys.readouterr().out == ""


def test_a_notebook_is_not_shown_every_epoch(monkeypatch):
    notebook, history = Notebook(monkeypatch), History()
    monkeypatch.setattr(progress, "_PERIOD", 1e9)
    with ProgressBar(100, 1) as bar:
        for _ in range(100):
            history.add(loss=1.5)
            bar.epoch_done(history)
    assert len(notebook.shown) == 2
    assert "100%" in notebook.shown[-1][1]


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch, screen):
    Notebook(monkeypatch)
    monkeypatch.delattr(Notebook, "kernel")
    with ProgressBar(2, 10):
        pass
    assert "epoch 1/2" in screen.getvalue()


def test_a_resumed_notebook_tells_the_time_of_its_own_epochs(monkeypatch):
    notebook = Notebook(monkeypatch)
    monkeypatch.setattr(progress, "_PERIOD", -1.0)
    with ProgressBar(4, 10, finished=2):
        assert '<progress value="20" max="40"' in notebook.shown[-1][0]
        assert notebook.shown[-1][1] == "epoch 3/4  50%  "
