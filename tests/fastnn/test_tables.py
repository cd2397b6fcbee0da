import numpy as np
import pytest

import fastnn
from command_line import run
from fastnn import datasets
from fastnn.data.tables.table import TableError
from fastnn.runs.settings import SettingError
from tables import written

RNG = np.random.default_rng(0)
N = 300
SIZE, CITY = RNG.normal(80, 20, N), RNG.choice(["Ulm", "Bonn", "Köln"], N)
PRICE = 3 * SIZE + 50 * (CITY == "Ulm") + RNG.normal(0, 5, N)
COLUMNS = {"size": SIZE, "city": CITY, "price": PRICE}


def test_a_frame_becomes_a_model_that_predicts_frames(tmp_path):
    model = fastnn.tables.fit(COLUMNS, "price")
    told = model.predict_frame({"city": CITY, "size": SIZE})["prediction"]
    assert 1 - ((told - PRICE) ** 2).mean() / PRICE.var() > 0.95
    fastnn.save(model, tmp_path / "model.safetensors")
    again = fastnn.load(tmp_path / "model.safetensors").predict_frame(COLUMNS)["prediction"]
    np.testing.assert_array_equal(told, again)


@pytest.mark.parametrize(
    ("target", "options"),
    [("price", ()), ("city", ("--hidden", 8, "--epochs", 3, "--seed", 2, "--drop", "price"))],
)
def test_it_is_what_the_command_trains(target, options, tmp_path):
    path = written(tmp_path / "a.csv", **COLUMNS)
    given = {} if not options else {"hidden": (8,), "epochs": 3, "seed": 2, "drop": ["price"]}
    model = fastnn.tables.fit(path, target, **given)
    run("train", path, "--target", target, *options, "--out", tmp_path / "run")
    same = fastnn.load(tmp_path / "run" / "model.safetensors")
    x = datasets.load(path, target=target, drop=given.get("drop", ())).x_test
    np.testing.assert_array_equal(fastnn.predict(model, x), fastnn.predict(same, x))


@pytest.mark.parametrize("module", ["pandas", "polars", "pyarrow"])
def test_frames_of_all_kinds_give_the_same_model(module):
    library = pytest.importorskip(module)
    frame = (library.table if module == "pyarrow" else library.DataFrame)(COLUMNS)
    model, usual = (fastnn.tables.fit(each, "price", epochs=2) for each in (frame, COLUMNS))
    for name, array in usual.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)
    told = model.predict_frame(frame.head(5) if module != "pyarrow" else frame.slice(0, 5))
    assert len(told["prediction"]) == 5


def test_what_is_held_out_is_what_load_holds_out():
    model = fastnn.tables.fit(COLUMNS, "price", epochs=2, test=0.5, split_seed=3)
    data = datasets.load(COLUMNS, target="price", test=0.5, seed=3)
    assert model.schema.split == data.schema.split
    assert len(data.y_test) == N / 2


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target": "rent"}, TableError, "there is no target 'rent' among the columns size, city"),
        ({"hiden": 3}, TypeError, "'hiden' is unknown; expected"),
        ({"epochs": "3"}, TypeError, "epochs is '3'; expected"),
        ({"epochs": 0}, SettingError, "0; expected a positive integer"),
        ({"loss": "cross-entropy"}, SettingError, "cross-entropy is for classes"),
        ({"group": "person"}, TableError, "no column of groups 'person'"),
    ],
)
def test_what_is_wrong_is_one_clear_error(settings, error, message):
    settings = {"target": "price"} | settings
    with pytest.raises(error, match=message):
        fastnn.tables.fit(COLUMNS, **settings)
