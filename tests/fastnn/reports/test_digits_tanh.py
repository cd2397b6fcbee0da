import numpy as np
import pytest

import fastnn
from fastnn.reports import digits_tanh
from fastnn.reports.digits_tanh import StopAtLogit

NAME = "digits-tanh"


def test_quick_epochs_agree_with_pytorch(conducted, held):
    study = conducted(NAME, 0.1)
    held(study)
    assert [run.name for run in study.comparisons] == [
        f"64-{hidden}-10, {way}"
        for way in ("full batch", "batches of 20")
        for hidden in (100, 500, 1000)
    ]


def test_the_full_batch_is_clipped_and_begins_from_a_standard_normal(conducted):
    run, *_ = conducted(NAME, 0.1).comparisons
    assert "momentum=0.9" in run.settings["optimizer"]
    assert "clip_value=1" in run.settings["optimizer"]
    assert run.settings["batch_size"] == run.settings["rows"]["training"] == 1437
    for name, values in digits_tanh.network(500, "normal").state_dict().items():
        if values.size > 100:
            assert values.std() == pytest.approx(1, abs=0.1), name


@pytest.mark.parametrize(("limit", "epochs"), [(0.0, 1), (np.inf, 3)])
def test_training_stops_where_a_logit_passes_the_limit(limit, epochs):
    data, model = fastnn.datasets.load("digits", subset=100), digits_tanh.network(5, "default")
    watch = StopAtLogit(data.x_train, limit)
    history = fastnn.fit(
        model, data.x_train, data.y_train, loss=fastnn.CrossEntropyLoss(),
        optimizer=fastnn.SGD(model.parameters(), lr=0.1), epochs=3, batch_size=100, seed=0,
        callbacks=[watch],
    )  # fmt: skip
    assert len(history) == len(watch.largest) == epochs
    assert watch.largest[-1] == fastnn.predict(model, data.x_train).max()


def test_the_rule_stops_the_fast_run_early(conducted):
    rule, _ = conducted(NAME, 0.1).findings
    assert rule["answer"].startswith("0 of the 3 runs")
    assert "is stopped after 11 epochs" in rule["answer"]


@pytest.mark.slow
def test_all_epochs_agree_with_pytorch(conducted, held):
    study = conducted(NAME, 1.0)
    held(study)
    small = study.comparisons[3:]
    assert all(run.history.val_accuracy[-1] > 0.97 for run in small)
