import copy
import json
import pickle

import matplotlib
import numpy as np
import pandas
import polars
import pytest

from fastnn import History, plots

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


def test_is_a_dict_of_its_lists():
    history = filled(val_loss=None, val_accuracy=None)
    assert history["loss"] is history.loss
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert dict(history)["val_loss"] == [None] * 3
    assert "loss" in history
    assert "recall" not in history
    history.loss = [1.0]
    assert history["loss"] == [1.0]
    with pytest.raises(KeyError, match="no list 'recall'; expected one of"):
        history["recall"]
    with pytest.raises(AttributeError, match="no list 'recall'; expected one of"):
        history.recall  # noqa: B018


def test_copies_have_lists_of_their_own():
    for again in (pickle.loads(pickle.dumps(filled())), copy.deepcopy(filled())):
        assert again == filled()
        again.add(loss=1.0)
        assert again["loss"] == [*filled().loss, 1.0]


def test_becomes_a_frame():
    history = filled(accuracy=None)
    for frame in (pandas.DataFrame(history), polars.DataFrame(history)):
        assert list(frame.columns) == list(history)
        assert frame["loss"].to_list() == history.loss
    assert plots.curves(history).axes[0].get_ylabel() == "loss"


def test_notebooks_show_a_table():
    html = filled(accuracy=None, val_accuracy=None)._repr_html_()
    assert "<caption>3 epochs, 0.75 s</caption>" in html
    assert html.count("<tr>") == 4
    assert "<th>val_loss</th>" in html
    assert "accuracy" not in html
    assert "<td>3</td><td>0.125</td><td>0.6</td><td>0.25</td>" in html
    long = History(range(1000), seconds=[0.0] * 1000)
    assert long._repr_html_().count("<tr>") == 11
    assert "<td>1000</td><td>999</td>" in long._repr_html_()
    assert History()._repr_html_().count("<tr>") == 1
