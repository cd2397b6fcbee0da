import csv

import pytest

import fastnn
from fastnn.callbacks import CSVLogger


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("validates", [False, True])
def test_csv(run, data, tmp_path, validates):
    path = tmp_path / "logs" / "log.csv"
    path.parent.mkdir()
    path.write_text("what was there\n")

    def slower(training):
        training.optimizer.lr /= 2

    seen = []
    _, history = run(
        slower, CSVLogger(path), lambda t: seen.append(len(read(path))), epochs=3,
        validation_data=data if validates else None,
    )  # fmt: skip
    lines = read(path)
    assert [line["epoch"] for line in lines] == ["1", "2", "3"]
    assert [float(line["lr"]) for line in lines] == [0.1, 0.05, 0.025]
    for name in ("loss", "accuracy", "seconds"):
        assert [float(line[name]) for line in lines] == getattr(history, name)
    for name in ("val_loss", "val_accuracy"):
        expected = getattr(history, name)
        assert [float(line[name]) if line[name] else None for line in lines] == expected
    assert seen == [1, 2, 3]


def test_csv_of_a_run_that_goes_on(run, tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    run(logger, epochs=3)
    kept = path.read_text().splitlines()[:3]
    training = fastnn.Training(None, None, None, fastnn.History())
    training.epoch = 2
    logger.on_train_begin(training)
    logger.on_train_end(training)
    assert path.read_text().splitlines() == kept
