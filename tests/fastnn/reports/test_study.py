import numpy as np
import pytest
from matplotlib.image import imread

import fastnn
from fastnn.reports import figures
from fastnn.reports.study import MissingDataError, Study


def train(study, **options):
    data = study.load("two-class", subset=60)
    model = fastnn.Sequential(fastnn.Linear(10, 2, seed=0))
    settings = {
        "loss": fastnn.CrossEntropyLoss(), "epochs": 20, "batch_size": 30,
        "optimizer": fastnn.SGD(model.parameters(), lr=0.1, clip_value=0.5), **options,
    }  # fmt: skip
    return study.compare("a run", model, data, **settings)


@pytest.mark.parametrize(("share", "full", "epochs"), [(1, 7, 7), (0.1, 200, 20), (0.1, 4, 1)])
def test_a_share_of_the_epochs_but_one_at_least(tmp_path, share, full, epochs):
    assert Study(tmp_path, share=share).epochs(full) == epochs


def test_both_libraries_run_if_asked_for(tmp_path):
    run = train(Study(tmp_path, share=0.5), reported="what was found")
    assert list(run.sides) == ["fastnn", "PyTorch"]
    assert all(len(side.history) == 10 for side in run.sides.values())
    assert run.agreement()["largest_relative_difference"] < 1e-5
    assert run.reported == "what was found"


def test_one_library_alone_does_not_need_the_other(tmp_path):
    assert list(train(Study(tmp_path, torch=False)).sides) == ["fastnn"]


def test_pytorch_runs_for_as_long_as_fastnn(tmp_path):
    def stop(training):
        training.stop = training.epoch == 3

    run = train(Study(tmp_path), callbacks=[stop])
    assert [len(side.history) for side in run.sides.values()] == [3, 3]


def test_settings_say_what_was_run(tmp_path):
    settings = train(Study(tmp_path, torch=False)).settings
    assert settings["network"] == ["Linear(in_features=10, out_features=2, bias=True)"]
    assert settings["parameters"] == 22
    assert settings["rows"] == {"training": 60, "test": 200}
    assert settings["optimizer"].endswith("nesterov=False, clip_value=0.5)")
    assert (settings["epochs"], settings["batch_size"], settings["dtype"]) == (20, 30, "float32")


def test_a_picture_is_a_png_of_the_common_width(tmp_path):
    study = Study(tmp_path)
    figure, axes = figures.panel()
    axes.plot([1, 2])
    study.picture("a_line", figure, "A line", "It rises.")
    assert study.pictures == [{"file": "a_line.png", "title": "A line", "caption": "It rises."}]
    image = imread(tmp_path / "a_line.png")
    assert image.shape[1] == pytest.approx(figures.WIDTH * 200, abs=1)
    assert np.ptp(image[..., :3]) > 0.5


def test_a_data_set_that_is_damaged_is_missing(tmp_path, monkeypatch):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").write_bytes(b"nothing")
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"found magic.*Set FASTNN_DATA"):
        Study(tmp_path).load("mnist")


def test_what_is_going_on_is_said(tmp_path):
    said = []
    train(Study(tmp_path, say=said.append))
    assert said == ["a run: fastnn", "a run: PyTorch"]


def test_bars_are_shown_while_it_works(tmp_path, capsys):
    train(Study(tmp_path, progress=True))
    assert capsys.readouterr().out.count("epoch 20/20") >= 2
