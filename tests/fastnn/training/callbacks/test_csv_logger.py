import csv
import os
from concurrent.futures import ThreadPoolExecutor

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


def test_what_a_power_cut_left_of_the_lines_is_left_out(run, tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    run(logger, epochs=3)
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        b"".join(whole[:3]) + bytes(9) + b"\xff,,,,,,\r\n" + b"x,,,,,,\r\n" + whole[3][:5]
    )
    training = fastnn.Training(None, None, None, fastnn.History())
    training.epoch = 3
    logger.on_train_begin(training)
    logger.on_train_end(training)
    assert path.read_bytes() == b"".join(whole[:3])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_csv_into_a_pipe(run, tmp_path):
    path = tmp_path / "log.csv"
    os.mkfifo(path)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(path.read_text)
        run(CSVLogger(path), epochs=3)
        lines = read.result(60).splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]
    assert path.is_fifo()
    run(CSVLogger("/dev/null"), epochs=2)
    assert not os.path.isfile("/dev/null")
