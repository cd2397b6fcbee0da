import dataclasses
import re

import numpy as np
import platformdirs
import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn import datasets
from idx_files import packed_idx
from processes import python

N_TRAIN, N_TEST = 300, 70


@pytest.fixture(autouse=True)
def _no_network_no_cache(monkeypatch, tmp_path):
    def refuse(url, *args, **kwargs):
        raise AssertionError(f"a test went to the network: {url}")

    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda app: str(tmp_path / "cache" / app))


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory):
    """A folder of the four files, with few images."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    for part, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        for kind, array in (
            ("images-idx3", rng.integers(0, 256, (n, 28, 28))),
            ("labels-idx1", np.arange(n) % 10),
        ):
            (folder / f"{part}-{kind}-ubyte").write_bytes(packed_idx(array))
    return folder


# The registry


def test_the_registry_knows_the_five_names():
    expected = {
        "digits": datasets.digits,
        "mnist": datasets.mnist,
        "fashion-mnist": datasets.fashion_mnist,
        "disk": datasets.disk,
        "two-class": datasets.two_class,
    }
    assert expected == datasets.DATASETS


@pytest.mark.parametrize(
    ("name", "close"), [("fashion_mnist", "fashion-mnist"), ("mnst", "mnist"), ("disc", "disk")]
)
def test_an_unknown_name_lists_the_known_ones_and_the_closest(name, close):
    with pytest.raises(ValueError, match=f"unknown data set '{name}'") as info:
        datasets.load(name)
    assert all(known in str(info.value) for known in datasets.DATASETS)
    assert f"did you mean {close!r}?" in str(info.value)


def test_a_name_like_none_gets_no_hint():
    with pytest.raises(ValueError, match="known: digits, mnist") as info:
        datasets.load("zzz")
    assert "did you mean" not in str(info.value)


@pytest.mark.parametrize("name", ["digits", "disk", "two-class"])
def test_a_folder_is_refused_where_none_is_read(name, tmp_path):
    with pytest.raises(ValueError, match="reads no files"):
        datasets.load(name, folder=tmp_path)


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist", "disk", "two-class"])
def test_every_data_set_keeps_the_contract(name, small_mnist):
    folder = small_mnist if "mnist" in name else None
    data = datasets.load(name, subset=40, test_subset=30, seed=3, folder=folder)
    assert data.name == name
    for x, y, n in ((data.x_train, data.y_train, 40), (data.x_test, data.y_test, 30)):
        assert x.shape == (n, data.x_train.shape[1])
        assert y.shape == (n,)
        assert x.dtype == (np.uint8 if "mnist" in name else np.float32)
        assert y.dtype == np.int64
        assert x.flags.c_contiguous
        assert y.flags.c_contiguous
        assert y.min() >= 0
        assert y.max() < len(data.classes)
    if data.image_shape is not None:
        assert np.prod(data.image_shape) == data.x_train.shape[1]
    again = datasets.load(name, subset=40, test_subset=30, seed=3, folder=folder)
    other = datasets.load(name, subset=40, test_subset=30, seed=4, folder=folder)
    for key in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(data, key), getattr(again, key))
    assert not np.array_equal(data.x_train, other.x_train)
    assert not np.array_equal(data.x_test, other.x_test)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("digits", (0, 16, (8, 8))),
        ("mnist", (0, 255, (28, 28))),
        ("fashion-mnist", (0, 255, (28, 28))),
        ("disk", (0, 1, None)),
        ("two-class", (0, 1, None)),
    ],
)
def test_the_scale_and_the_shape_of_the_image(name, scale, small_mnist):
    data = datasets.load(name, folder=small_mnist if "mnist" in name else None)
    assert (data.mean, data.std, data.image_shape) == scale


@pytest.mark.parametrize("n", [1.5, "7", True, [3]])
def test_a_number_of_rows_that_is_none(n):
    with pytest.raises(TypeError, match=re.escape(f"subset is {n!r}; expected an integer")):
        datasets.load("digits", subset=n)


@pytest.mark.parametrize("name", [None, 3, ["digits"]])
def test_a_name_that_is_none(name):
    with pytest.raises(TypeError, match=f"is a {type(name).__name__}; expected a path"):
        datasets.load(name)


@pytest.mark.parametrize("name", ["digits", "mnist", "disk", "two-class"])
@pytest.mark.parametrize("which", ["subset", "test_subset"])
@pytest.mark.parametrize("n", [0, -5])
def test_fewer_than_one_row_is_refused(name, which, n, small_mnist):
    folder = small_mnist if name == "mnist" else None
    with pytest.raises(ValueError, match=f"must be at least 1, got {n}"):
        datasets.load(name, folder=folder, **{which: n})


@pytest.mark.parametrize(
    ("name", "which", "available"),
    [
        ("digits", "subset", 1437),
        ("digits", "test_subset", 360),
        ("mnist", "subset", N_TRAIN),
        ("mnist", "test_subset", N_TEST),
    ],
)
def test_more_rows_than_there_are_are_refused(name, which, available, small_mnist):
    folder = small_mnist if name == "mnist" else None
    datasets.load(name, folder=folder, **{which: available})
    message = f"^{which} must be at most {available}, .* got {available + 1}"
    with pytest.raises(ValueError, match=message):
        datasets.load(name, folder=folder, **{which: available + 1})


def test_the_repr_is_one_line_of_shapes_and_dtypes():
    assert repr(datasets.disk(5, 3)) == (
        "Dataset(disk: x_train (5, 2) float32, y_train (5,) int64, "
        "x_test (3, 2) float32, y_test (3,) int64, 2 classes)"
    )


def test_a_dataset_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        datasets.disk(5, 3).name = "other"


def test_what_is_heavy_is_not_imported():
    code = (
        "import sys\n"
        "from fastnn import datasets\n"
        "print(datasets.load('digits'))\n"
        "heavy = {'numba', 'sklearn', 'pooch', 'kernels', 'PIL', 'pandas', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    run = python(code)
    shapes, heavy = run.stdout.splitlines()
    assert "x_train (1437, 64) float32" in shapes
    assert heavy == "[]"


# digits


@pytest.mark.parametrize("shipped", [True, False])
def test_digits_are_those_of_scikit_learn(shipped, monkeypatch):
    from sklearn.datasets import load_digits

    theirs = load_digits()
    if not shipped:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        monkeypatch.setattr(np, "loadtxt", None)  # so that only load_digits itself can serve
        monkeypatch.setattr(
            "sklearn.datasets.load_digits", lambda **_: (theirs.data, theirs.target)
        )
    data = datasets.digits(seed=7)
    train, test = np.split(np.random.default_rng(7).permutation(1797), [1437])
    np.testing.assert_array_equal(data.x_train, theirs.data[train])
    np.testing.assert_array_equal(data.y_train, theirs.target[train])
    np.testing.assert_array_equal(data.x_test, theirs.data[test])
    np.testing.assert_array_equal(data.y_test, theirs.target[test])
    assert data.classes == tuple(map(str, theirs.target_names))
    assert (data.x_train.min(), data.x_train.max()) == (0, 16)


# disk and two-class


def test_the_disk_has_half_the_area():
    assert np.pi * datasets.DISK_RADIUS**2 == pytest.approx(0.5)
    data = datasets.disk(20_000, 20_000)
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert abs(y.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(y))
        np.testing.assert_allclose(x.mean(axis=0), 0.5, atol=5 * np.sqrt(1 / 12 / len(x)))
        assert x.min() >= 0
        assert x.max() < 1


@given(seed=st.integers(0, 2**63), n=st.integers(1, 200))
def test_disk_labels_follow_the_definition(seed, n):
    data = datasets.disk(n, 50, seed)
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        distance = np.hypot(*(x.astype(np.float64) - 0.5).T)
        np.testing.assert_array_equal(y, distance <= 1 / np.sqrt(2 * np.pi))
    assert data.classes == ("outside", "inside")


def test_the_disk_test_points_stand_apart_from_the_training_points():
    few, many = datasets.disk(10, 50), datasets.disk(50, 60)
    np.testing.assert_array_equal(few.x_test, many.x_test[:50])
    np.testing.assert_array_equal(few.x_train, many.x_train[:10])
    assert not np.isin(many.x_train, many.x_test).all(axis=1).any()


def test_two_class_can_be_learnt_but_not_by_heart():
    from sklearn.neighbors import KNeighborsClassifier

    data = datasets.two_class()
    assert data.x_train.shape == (500, 10)
    assert data.x_test.shape == (200, 10)
    assert 0.4 < data.y_train.mean() < 0.6
    score = KNeighborsClassifier().fit(data.x_train, data.y_train).score(data.x_test, data.y_test)
    assert 0.75 < score < 1
