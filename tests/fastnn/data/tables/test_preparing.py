import errno
import os
import sys

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from fastnn import datasets
from fastnn.data.tables import rows
from fastnn.data.tables.sources import TargetError
from fastnn.data.tables.table import TableError
from fastnn.datasets import SubsetError
from processes import python
from tables import holed, written

RNG = np.random.default_rng(0)
N = 200
AGE, ROOMS = RNG.normal(40, 12, N), RNG.integers(1, 6, N)
CITY = RNG.choice(["Ulm", "Bonn", "Jena"], N, p=[0.5, 0.3, 0.2])
PRICE = 1000.0 * ROOMS - 3 * AGE + 500 * (CITY == "Ulm")


@pytest.fixture
def houses(tmp_path):
    """A file of houses, changed by what it is called with."""

    def write(**columns):
        whole = {"age": AGE, "city": CITY, "rooms": ROOMS, "price": PRICE} | columns
        return written(tmp_path / "houses.csv", **whole)

    return write


# what becomes of a table


def test_rows_are_split_and_kept_together_with_their_targets(houses):
    data = datasets.load(houses(), target="price")
    assert data.name == "houses.csv"
    assert data.task == "regression"
    assert data.classes == ()
    assert (data.x_train.shape, data.x_test.shape) == ((160, 5), (40, 5))
    assert data.x_train.dtype == np.float32
    assert data.y_train.dtype == np.float64
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    expected = np.column_stack([AGE, CITY == "Bonn", CITY == "Jena", CITY == "Ulm", ROOMS])
    order = np.argsort(PRICE)
    np.testing.assert_array_equal(np.sort(PRICE), np.sort(y))
    np.testing.assert_array_equal(x[np.argsort(y)], expected[order].astype(np.float32))
    assert data.schema.features == ["age", "city=Bonn", "city=Jena", "city=Ulm", "rooms"]
    assert "regression" in repr(data)


def test_a_seed_draws_the_split(houses):
    path = houses()
    first, again, other = (datasets.load(path, target="price", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.y_test, other.y_test)


def test_mean_and_deviation_are_scikit_learns_of_the_training_rows_alone(houses):
    data = datasets.load(houses(), target="price", dtype=np.float64)
    scaler = StandardScaler().fit(data.x_train[:, [0, 4]])
    np.testing.assert_allclose(np.take(data.mean, [0, 4]), scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(np.take(data.std, [0, 4]), scaler.scale_, rtol=1e-12)
    np.testing.assert_array_equal(data.mean[1:4], 0)  # categories stay 0 and 1
    np.testing.assert_array_equal(data.std[1:4], 1)
    assert data.schema.target.mean == pytest.approx(data.y_train.mean())
    assert data.schema.target.std == pytest.approx(data.y_train.std())


def test_many_columns_of_one_scale_keep_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 17, (50, 64))
    pixels[:, 0] = 0
    pixels[7, 0] = 3  # ink in one row alone
    np.savez(tmp_path / "a.npz", x=pixels, y=np.arange(50) % 2)
    data = datasets.load(tmp_path / "a.npz", target="y")
    assert (data.mean, data.std) == (0, 16)


def test_bytes_stay_bytes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", x=pixels, y=np.repeat(["cat", "dog"], 25))
    data = datasets.load(tmp_path / "a.npz", target="y")
    assert data.x_train.dtype == np.uint8
    assert data.x_train.shape == (40, 12)
    assert data.classes == ("cat", "dog")


def test_the_summary_tells_of_all_rows(houses):
    data = datasets.load(houses(age=holed(AGE, 3, 4)), target="price", impute=True)
    age, city, rooms, price = data.summary
    assert age.missing == 2
    known = np.delete(AGE, [3, 4])
    assert (age.facts.low, age.facts.high) == (known.min(), known.max())
    assert city.counts == {name: (name == CITY).sum() for name in ("Ulm", "Bonn", "Jena")}
    assert (rooms.facts.low, rooms.facts.high) == (1, 5)
    assert (price.facts.low, price.facts.high) == (PRICE.min(), PRICE.max())
    assert [each.kind for each in data.summary] == ["number", "category", "number", "target"]


# the task


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (np.where(ROOMS > 2, "big", "small"), ("big", "small")),
        (ROOMS, ("1", "2", "3", "4", "5")),
        (ROOMS.astype(float), ("1.0", "2.0", "3.0", "4.0", "5.0")),
        (ROOMS > 2, ("False", "True")),
        (ROOMS * 5, ("5", "10", "15", "20", "25")),
        (ROOMS + 0.5, ()),
        (np.arange(N), ()),
        (np.arange(N) % 21, ()),
    ],
)
def test_the_task_is_told_from_the_target(target, classes, houses):
    data = datasets.load(houses(price=target), target="price")
    assert data.classes == classes
    if classes:
        found = np.bincount(np.concatenate([data.y_train, data.y_test]))
        np.testing.assert_array_equal(found, np.unique(target, return_counts=True)[1])


def test_the_task_can_be_told(houses):
    path = houses(price=ROOMS)
    assert datasets.load(path, target="price", task="regression").y_train.dtype == np.float64
    path = houses(price=np.arange(N) % 21)
    assert len(datasets.load(path, target="price", task="classification").classes) == 21


def test_few_rows_of_different_numbers_are_a_regression(tmp_path):
    path = written(tmp_path / "few.csv", a=range(12), b=range(12))
    data = datasets.load(path, target="b", keep=["a"])
    assert data.task == "regression"


# missing values


def test_missing_values_are_said_with_their_columns_and_counts(houses):
    path = houses(age=holed(AGE, 1, 2, 9), city=holed(CITY, 5))
    with pytest.raises(TableError, match=r"missing in age \(3\), city \(1\) of 200 rows; --impute"):
        datasets.load(path, target="price", impute=False)


def test_imputed_values_are_median_and_most_frequent_of_the_training_rows(houses):
    path = houses(age=holed(AGE, *range(60)), city=holed(CITY, *range(60, 120)))
    data = datasets.load(path, target="price", impute=True)
    age, city, rooms = data.schema.columns
    train = data.schema.split.parts(PRICE)[0]
    assert age.fill == pytest.approx(np.median(AGE[train[train >= 60]]))
    known = CITY[train[(train < 60) | (train >= 120)]].tolist()
    assert city.fill == max(sorted(set(known)), key=known.count)
    assert rooms.fill == np.median(ROOMS[train])  # it may be missing later
    filled = data.x_train[np.isin(train, range(60)), 0]
    np.testing.assert_array_equal(filled, np.float32(age.fill))


def test_rows_without_a_target_are_left_out_and_counted(houses):
    path = houses(price=holed(PRICE, 0, 7))
    data = datasets.load(path, target="price")
    assert len(data.y_train) + len(data.y_test) == N - 2
    assert "2 rows of 200 without a target 'price': left out" in data.notes
    whole = datasets.load(houses(age=AGE[1:], city=CITY[1:], rooms=ROOMS[1:], price=PRICE[1:]),
                          target="price")  # fmt: skip
    one = datasets.load(houses(price=holed(PRICE, 0)), target="price")
    np.testing.assert_array_equal(one.x_test, whole.x_test)
    np.testing.assert_array_equal(one.y_train, whole.y_train)


# columns


def test_columns_are_dropped_or_told_to_be_categories(houses):
    path = houses(name=[f"house {i}" for i in range(N)])
    data = datasets.load(path, target="price", drop=["name", "age"], categorical=["rooms"])
    assert data.schema.features == [
        "city=Bonn", "city=Jena", "city=Ulm", *(f"rooms={i}" for i in range(1, 6)),
    ]  # fmt: skip


def test_categories_are_those_of_the_training_rows(houses):
    test = datasets.load(houses(), target="price").schema.split.parts(PRICE)[1]
    city = CITY.astype(object)
    city[test[0]] = "Rom"
    data = datasets.load(houses(city=city), target="price")
    assert data.schema.columns[1].categories == ("Bonn", "Jena", "Ulm")
    assert any("1 row holds 'Rom', which training had not" in note for note in data.notes)
    np.testing.assert_array_equal(data.x_test[0, 1:4], 0)


def test_what_is_odd_is_noted(houses):
    path = houses(same=[7] * N, time=1e12 + 3 * np.arange(N))
    notes = "\n".join(datasets.load(path, target="price").notes)
    assert "column 'same' is left out: it is 7 in all rows; --keep 'same' takes it" in notes
    assert "column time: float32 rounds its values" in notes
    wide = datasets.load(path, target="price", dtype=np.float64)
    assert not any("rounds" in note for note in wide.notes)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"id": np.arange(N)}, "column 'id' is left out: it is a running index; --keep 'id'"),
        (
            {"": np.random.default_rng(1).permutation(N)},
            "'Unnamed: 4' is left out: it is a running",
        ),
        ({"id": [f"n-{i}" for i in range(N)]}, "'id' is left out: it has its own text in each row"),
        ({"same": ["x"] * N}, "column 'same' is left out: it is 'x' in all rows"),
        ({"none": [""] * N}, "column 'none' is left out: it holds no values"),
    ],
)
def test_columns_that_tell_nothing_are_left_out_and_can_be_kept(change, note, houses):
    (name,) = change
    data = datasets.load(houses(**change), target="price")
    assert data.x_train.shape[1] == 5
    assert any(note in each for each in data.notes)
    assert [each.became for each in data.summary if "left out" in each.became]
    if name not in ("", "none"):
        kept = datasets.load(houses(**change), target="price", keep=[name])
        assert kept.x_train.shape[1] > 5


# options of the split


def test_groups_stay_together(houses):
    group = np.arange(N) % 23
    data = datasets.load(houses(house=group), target="price", group="house")
    train, test = (set(group[np.isin(PRICE, y)]) for y in (data.y_train, data.y_test))
    assert train | test == set(range(23))
    assert not train & test
    assert "house" not in data.schema.features
    assert any("'house' stay together" in note for note in data.notes)


def test_the_last_rows_by_time_are_held_out(houses):
    days = np.random.default_rng(3).permutation(N)
    day = np.datetime64("2024-01-01") + days
    data = datasets.load(houses(day=day), target="price", time="day")
    np.testing.assert_array_equal(data.y_test, PRICE[np.argsort(days)][-40:])
    path = houses(day=holed(day, 5))
    with pytest.raises(TableError, match="column 'day' is no time in 1 rows"):
        datasets.load(path, target="price", time="day")
    with pytest.raises(TableError, match=r"column 'city' holds '.*'; expected numbers or"):
        datasets.load(path, target="price", time="city")


def test_test_rows_may_be_in_a_file_of_their_own(houses, tmp_path):
    path = houses()
    other = written(tmp_path / "test.csv", price=PRICE[:9], rooms=ROOMS[:9], age=AGE[:9],
                    city=["Rom", *CITY[1:9]])  # fmt: skip
    data = datasets.load(path, target="price", test_file=other)
    assert data.x_train.shape == (N, 5)
    np.testing.assert_array_equal(data.y_test, PRICE[:9])
    np.testing.assert_array_equal(data.x_test[:, 0], np.float32(AGE[:9]))
    assert any("'Rom', which training had not" in note for note in data.notes)


# several files


def test_files_of_a_pattern_are_one_table(houses, tmp_path):
    whole = datasets.load(houses(), target="price")
    for part in range(2):
        rows = slice(part * 100, part * 100 + 100)
        columns = {"age": AGE, "city": CITY, "rooms": ROOMS, "price": PRICE}
        written(
            tmp_path / f"part{part}.csv", **{name: each[rows] for name, each in columns.items()}
        )
    parts = datasets.load(str(tmp_path / "part*.csv"), target="price")
    np.testing.assert_array_equal(parts.x_train, whole.x_train)
    np.testing.assert_array_equal(parts.y_test, whole.y_test)


# targets elsewhere


def test_columns_without_names_are_counted(tmp_path):
    array = np.column_stack([AGE, ROOMS, PRICE])
    np.save(tmp_path / "a.npy", array)
    last, named = (datasets.load(tmp_path / "a.npy", target=each) for each in ("-1", "2"))
    np.testing.assert_array_equal(last.y_test, named.y_test)
    assert last.schema.target.name == "2"
    assert not last.schema.named
    first = datasets.load(tmp_path / "a.npy", target="0")
    assert first.schema.features == ["1", "2"]


def test_a_target_may_come_from_a_file_of_its_own(tmp_path):
    np.save(tmp_path / "x.npy", np.column_stack([AGE, ROOMS]))
    np.save(tmp_path / "y.npy", ROOMS)
    data = datasets.load(tmp_path / "x.npy", target=str(tmp_path / "y.npy"))
    assert data.x_train.shape == (160, 2)
    np.testing.assert_array_equal(data.y_train + 1, data.x_train[:, 1])
    assert data.schema.target.name == "y"
    np.save(tmp_path / "y.npy", ROOMS[:-1])
    with pytest.raises(TableError, match="a target for each of 200 rows"):
        datasets.load(tmp_path / "x.npy", target=str(tmp_path / "y.npy"))


# what is refused


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {},
            TargetError,
            "no target is named; expected one of its columns: age, city, rooms, price",
        ),
        ({"target": "Price"}, TargetError, "no target 'Price' .*did you mean 'price'"),
        ({"target": "-1"}, TargetError, "no target '-1'"),  # columns have names
        ({"target": "price", "drop": ["agee"]}, TableError, "no column to drop 'agee'.*'age'"),
        ({"target": "price", "categorical": ["x"]}, TableError, "no categorical column 'x'"),
        ({"target": "price", "drop": ["age", "city", "rooms"]}, TableError, "no column is left"),
        ({"target": "city", "task": "regression"}, TableError, "'city' holds '.*' in row"),
        ({"target": "price", "task": "guess"}, ValueError, "task is 'guess'; expected classif"),
        ({"target": "price", "test": 0.001}, TableError, "leave 200 to train on and 0 to test on"),
        ({"target": "price", "subset": 161}, SubsetError, "subset must be from 1 to 160"),
        ({"target": "price", "test_subset": 0}, SubsetError, "test_subset must be from 1 to 40"),
    ],
)
def test_what_cannot_be_learned_from(options, kind, message, houses):
    with pytest.raises(kind, match=message):
        datasets.load(houses(), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": [""] * N, "city": [""] * N, "rooms": [1] * N}, "no column is left to learn from"),
        ({"price": [1.5] * N}, "target 'price' is 1.5 in all training rows"),
        ({"price": ["a"] * N}, "target 'price' is 'a' in all"),
    ],
)
def test_columns_that_cannot_be_learned_from(change, message, houses):
    with pytest.raises(TableError, match=message):
        datasets.load(houses(**change), target="price")


@pytest.mark.parametrize("option", [{"target": "y"}, {"drop": ["x"]}, {"keep": ["x"]}])
def test_named_data_sets_have_a_target_of_their_own(option):
    with pytest.raises(ValueError, match=r"has a target of its own|is no table, and takes no"):
        datasets.load("digits", **option)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.load(tmp_path / "none.csv", target="y")
    with pytest.raises(FileNotFoundError):
        datasets.load("none.csv", target="y")


# more than memory


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_rows_on_the_disk_are_those_in_memory(kind, houses, tmp_path, monkeypatch):
    path = houses()
    if kind == "npy":
        path = tmp_path / "a.npy"
        np.save(path, np.column_stack([AGE, ROOMS, PRICE]))
    target = "price" if kind == "csv" else "2"
    small = datasets.load(path, target=target)
    monkeypatch.setattr(rows, "IN_MEMORY", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    large = datasets.load(path, target=target)
    assert isinstance(large.x_train, np.memmap)
    for key in ("x_train", "y_train", "x_test", "y_test", "mean", "std"):
        np.testing.assert_array_equal(getattr(small, key), getattr(large, key))
    left = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert not left  # the file has no name


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no way to ask for room")
def test_a_disk_without_room_is_an_error(houses, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(rows, "IN_MEMORY", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        datasets.load(houses(), target="price")


LARGE = """
import resource, sys, threading, time
import numpy as np
from pathlib import Path
import fastnn
from fastnn.runs import run as runs
from fastnn.__main__ import app
from typer.testing import CliRunner

def memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what + ":")) >> 10

def trained_by_fit(path):
    rows = np.load(path, mmap_mode="r")
    model = fastnn.Sequential(fastnn.Linear(rows.shape[1], 2, seed=0))
    history = fastnn.fit(
        model, rows, np.arange(len(rows)) % 2, loss=fastnn.CrossEntropyLoss(),
        optimizer=fastnn.SGD(model.parameters(), lr=0.01), epochs=1, batch_size=256, seed=0,
    )
    assert len(history) == 1

def trained_by_command(path):
    out = path.parent / "run"
    result = CliRunner().invoke(app, ["train", str(path), "--target", "-1", "--epochs", "1",
                                      "--hidden", "0", "--batch-size", "256", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert (out / "model.safetensors").stat().st_size < 1_000_000

small, large, way = Path(sys.argv[1]), Path(sys.argv[2]), globals()[sys.argv[3]]
way(small)  # compiled, and all modules imported
before, peak = memory("RssAnon"), 0
watching = True
def watch():
    global peak
    while watching:
        peak = max(peak, memory("RssAnon"))
        time.sleep(0.002)
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
# More would not be given: no array that holds the file can be made.
limit = (memory("VmData") + 150) << 20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
way(large)
watching = False
watcher.join()
print(peak - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("way", ["trained_by_fit", "trained_by_command"])
def test_a_file_of_300_mb_is_trained_on_in_a_fraction_of_that(way, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    n, columns = 600_000, 128
    block = np.random.default_rng(0).normal(size=(6000, columns)).astype(np.float32)
    block[:, -1] = block[:, 0] > 0
    np.save(tmp_path / "small.npy", block)
    large = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.float32, (n, columns))
    for begin in range(0, n, len(block)):
        large[begin : begin + len(block)] = block
    assert large.nbytes > 300e6
    del large
    # Pages of mapped files are the system's to take back; what counts is the process's own memory.
    done = python(LARGE, tmp_path / "small.npy", tmp_path / "large.npy", way, timeout=None)
    assert int(done.stdout) < 80  # megabytes; the largest are the order of rows and the targets
