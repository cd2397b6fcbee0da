import json

import matplotlib
import numpy as np
import pytest

from fastnn import History

matplotlib.use("Agg")


def filled(**changes):
    history = History()
    numbers = {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.6, "val_accuracy": 0.7, "seconds": 0.25}
    for _ in range(3):
        history.add(**(numbers | changes))
        numbers["loss"] /= 2
    return history


def test_starts_empty():
    history = History()
    assert len(history) == 0
    assert repr(history) == "History(no epochs)"
    assert history.to_dict() == {}
    assert History().loss is not history.loss


def test_holds_a_number_for_each_epoch():
    history = filled()
    assert len(history) == 3
    assert history.loss == [0.5, 0.25, 0.125]
    assert history.seconds == [0.25] * 3
    history.add(loss=1.0, seconds=2.0)
    assert history.val_accuracy == [0.7, 0.7, 0.7, None]


def test_turns_into_a_dict_of_lists():
    found = filled(val_loss=None, val_accuracy=None).to_dict()
    assert found == {"loss": [0.5, 0.25, 0.125], "accuracy": [0.75] * 3, "seconds": [0.25] * 3}
    assert json.loads(json.dumps(found)) == found


def test_the_dict_is_a_copy():
    history = filled()
    history.to_dict()["loss"].clear()
    assert len(history.loss) == 3


def test_repr_shows_the_last_epoch():
    assert repr(filled()) == (
        "History(3 epochs, 0.75 s, last: loss=0.125, accuracy=0.75, val_loss=0.6, val_accuracy=0.7)"
    )
    short = filled(accuracy=None, val_loss=None, val_accuracy=None)
    assert repr(short) == "History(3 epochs, 0.75 s, last: loss=0.125)"


@pytest.mark.parametrize(
    "changes", [{}, {"accuracy": None, "val_accuracy": None}, {"val_loss": None}]
)
def test_plots(tmp_path, changes):
    figure = filled(**changes).plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    drawn = [line.get_ydata() for axes in figure.axes for line in axes.get_lines()]
    assert any(np.array_equal(y, [0.5, 0.25, 0.125]) for y in drawn)


def test_the_last_number():
    history = filled()
    assert history.last("accuracy") == 0.75
    assert history.last(None) == 0.6
    assert filled(val_loss=None).last(None) == 0.125
    with pytest.raises(ValueError, match="the history has no accuracy, which is to be watched"):
        filled(accuracy=None).last("accuracy")
