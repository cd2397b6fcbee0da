import os

import numpy as np
import pytest

from fastnn.reports import mnist_linear
from fastnn.reports.study import MissingDataError, Study

NAME = "mnist-linear"


@pytest.fixture(scope="module")
def on_noise(like_mnist, tmp_path_factory):
    """One epoch of each run on images in place of MNIST's."""
    study = Study(tmp_path_factory.mktemp(NAME), share=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTNN_DATA", str(like_mnist))
        mnist_linear.run(study)
    return study


def test_an_epoch_agrees_with_pytorch_dropout_included(on_noise, held):
    held(on_noise)
    assert [run.name for run in on_noise.comparisons] == [
        "SGD", "SGD, dropout 0.25", "Adam, dropout 0.5", "Adam, dropout 0.5, no ReLU",
    ]  # fmt: skip


def test_it_draws_weights_mistakes_and_dead_logits(on_noise):
    files = {picture["file"] for picture in on_noise.pictures}
    assert {"weights.png", "mistakes.png", "dead_logits.png", "first_steps.png"} <= files


def test_weights_are_divided_by_their_norm():
    linear = mnist_linear.network()[1]
    assert np.linalg.norm(linear.weight.data) == pytest.approx(1)
    assert not linear.bias.data.any()


def test_without_mnist_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"lacks train-images.*Set FASTNN_DATA to a folder"):
        mnist_linear.run(Study(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif("FASTNN_DATA" not in os.environ, reason="needs MNIST")
def test_all_epochs_agree_with_pytorch_and_the_relu_is_the_reason(conducted, held):
    study = conducted(NAME, 1.0)
    held(study)
    sgd, dropped, stuck, free = (run.sides["fastnn"] for run in study.comparisons)
    assert sgd.train.accuracy > 0.93
    assert dropped.test.accuracy > 0.915
    assert stuck.test.accuracy < 0.85
    assert free.test.accuracy > 0.91
    assert study.findings[0]["answer"].startswith("Yes, the ReLU is the reason.")
