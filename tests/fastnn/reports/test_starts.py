import numpy as np
import pytest

import fastnn
from fastnn.reports import starts
from fastnn.reports.study import Study
from histories import history


@pytest.mark.parametrize(
    ("accuracies", "text"),
    [
        ([[0.5, 0.95]], "epoch 2"),
        ([[0.94, 0.5], [0.5, 0.94], [0.5, 0.94]], "epoch 2"),
        ([[0.94], [0.5], [0.5]], "never"),
        ([[0.9, 0.9]], "never"),
    ],
)
def test_the_first_epoch_is_a_median_over_seeds(accuracies, text):
    assert starts._first([history(1.0, val_accuracy=each) for each in accuracies], 0.94) == text


@pytest.mark.parametrize(("last", "says"), [(1.1, "do not explain"), (3.0, "needs no other")])
def test_the_verdict_follows_the_figures(last, says):
    runs = {"one": [history([1.0])], "other": [history([last])]}
    assert says in starts._other_starts(runs, 0.94)


def test_every_start_is_run_from_the_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(starts, "STARTS", {"one": "default", "zeros": "zeros"})
    study, made = Study(tmp_path, torch=False), []
    data = study.load("two-class", subset=40)

    def network(init, seed):
        made.append((init, seed))
        return fastnn.Sequential(fastnn.Linear(10, 2, init=init, seed=seed))

    model = network("default", 0)
    run = study.compare(
        "a run", model, data, loss=fastnn.CrossEntropyLoss(),
        optimizer=fastnn.SGD(model.parameters(), lr=0.01), epochs=2, batch_size=20,
    )  # fmt: skip
    starts.compare_starts(study, run, network, data, reach=0.9, epochs=2, batch_size=20)
    assert made[1:] == [(init, seed) for init in ("default", "zeros") for seed in range(3)]
    assert [picture["file"] for picture in study.pictures] == [
        "starts_loss.png", "starts_val_accuracy.png",
    ]  # fmt: skip
    (finding,) = study.findings
    assert finding["answer"].startswith("PyTorch was not run")
    assert np.isfinite(run.history.loss).all()
