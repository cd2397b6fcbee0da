"""Files of this version and of earlier ones are read: the same outputs, and trainings go on.

Bits are promised on one kind of processor only; elsewhere numbers are equal to rounding, which
some dozens of steps of training carry further.
"""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from golden_runs import HERE, TABLES, data, layers_of_every_kind, outputs_of, run
from numpy.testing import assert_allclose

import fastnn
from command_line import run as command
from fastnn.data.tables.columns import Category, Flag, Moment, Number
from fastnn.nn.kinds import LAYERS

MODELS = sorted(HERE.glob("*/*.safetensors"))
CHECKPOINTS = sorted(HERE.glob("*/*.ckpt"))
PREDICTED = sorted(HERE.glob("*/*.csv"))


def name_of(path):
    return f"{path.parent.name}-{path.name}"


def expected_of(path):
    """The arrays that come of a file, or of the one that it was made from."""
    stem = path.name.partition(".")[0]
    with np.load(path.parent / "expected.npz") as file:
        return {key.partition(".")[2]: file[key] for key in file if key.partition(".")[0] == stem}


def check_close(found, expected):
    rtol, atol = (1e-4, 1e-5) if found.dtype == np.float32 else (1e-9, 1e-10)
    assert found.dtype == expected.dtype
    assert_allclose(found, expected, rtol, atol)


@pytest.mark.filterwarnings("ignore:column .city")
@pytest.mark.parametrize("path", MODELS, ids=name_of)
def test_models(path):
    check_close(outputs_of(path), expected_of(path)[""])


@pytest.mark.filterwarnings("ignore:Square is not a layer that fastnn compiles")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("path", CHECKPOINTS, ids=name_of)
def test_trainings_go_on(path, threads, tmp_path):
    expected = expected_of(path)
    copy = Path(shutil.copy(path, tmp_path))
    name = path.name.partition(".")[0]
    for _ in range(2):  # the second time there is nothing left to do
        found = run(name, copy, epochs=4, threads=threads)
        check_close(found["outputs"], expected["outputs"])
        assert_allclose(found["numbers"], expected["numbers"], rtol=1e-4)


@pytest.mark.parametrize("path", PREDICTED, ids=name_of)
def test_rows_of_a_table(path):
    done = command("predict", path.with_suffix(".safetensors"), TABLES[path.stem], "--out", "-")
    found, expected = done.stdout.splitlines(), path.read_text().splitlines()
    assert found[0] == expected[0]
    for row, right in zip(csv.reader(found[1:]), csv.reader(expected[1:]), strict=True):
        for cell, wanted in zip(row, right, strict=True):
            assert cell == wanted or float(cell) == pytest.approx(float(wanted), rel=1e-4, abs=1e-4)


def test_every_layer_is_kept():
    kept = set()
    layers = layers_of_every_kind(np.dtype(np.float32))
    while layers:
        layer = layers.pop()
        kept.add(type(layer).__name__)
        layers += list(layer) if type(layer).__name__ == "Sequential" else []
    assert kept - {"Sequential"} == set(LAYERS)


def test_columns_of_every_kind_are_kept():
    (path,) = (each for each in MODELS if each.name == "table-kinds.safetensors")
    columns = fastnn.load(path).schema.columns
    assert {type(each) for each in columns} == {Number, Category, Flag, Moment}
    assert any(each.other for each in columns if isinstance(each, Category))
    assert not all(each.spelling.plain for each in columns if isinstance(each, Number))
    moments = [each for each in columns if isinstance(each, Moment)]
    assert {(each.clock, each.date) for each in moments} == {(0, 1), (1, 0), (1, 1)}


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 600_000
    assert len(data()["x"]) == 80
