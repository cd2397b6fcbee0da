import io

import numpy as np
import pytest
import rich.console
import rich.progress

from fastnn import SGD, CrossEntropyLoss, History, Identity, Linear, Sequential, fit
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
    for progress in (False, True):
        layers = [Linear(4, 3, seed=0), *([Identity2()] if eager else [])]
        model = Sequential(*layers)
        x = np.random.default_rng(0).normal(size=(50, 4))
        fit(model, x, np.arange(50) % 3, loss=CrossEntropyLoss(),
            optimizer=SGD(model.parameters(), lr=0.1), epochs=4, batch_size=8, seed=0,
            progress=progress)  # fmt: skip
        results.append(bits(model))
        assert ("epoch 4/4" in screen.getvalue()) == progress
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
