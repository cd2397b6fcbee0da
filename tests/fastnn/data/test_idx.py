"""Image data sets in IDX files, read, damaged and downloaded."""

import dataclasses
import gzip
import hashlib
import os
import re
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import platformdirs
import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import datasets
from fastnn.data import idx
from idx_files import packed_idx

REAL_FILES = os.environ.get("FASTNN_DATA")
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
FOUR_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
N_TRAIN, N_TEST = 300, 70


@pytest.fixture(autouse=True)
def _no_network_no_cache(monkeypatch, tmp_path):
    def refuse(url, *args, **kwargs):
        raise AssertionError(f"a test went to the network: {url}")

    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda app: str(tmp_path / "cache" / app))


def numbered(n, first=0):
    """Return images that hold their own number, and labels that are its last digit."""
    number = np.arange(first, first + n)
    images = np.random.default_rng(first).integers(0, 256, (n, 28, 28))
    images[:, 0, 0], images[:, 0, 1] = number // 256, number % 256
    return images, number % 10


def contents(n_train=N_TRAIN, n_test=N_TEST, first=0):
    train, test = numbered(n_train, first), numbered(n_test, 1000 + first)
    return dict(zip(FOUR_FILES, map(packed_idx, (*train, *test)), strict=True))


def write(folder, files, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if packed:
            (folder / name).write_bytes(gzip.compress(data, compresslevel=1))
        else:
            (folder / name.removesuffix(".gz")).write_bytes(data)
    return folder


def numbers(x):
    return x[:, 0].astype(int) * 256 + x[:, 1]


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory):
    return write(tmp_path_factory.mktemp("small"), contents())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["own folder", "the folder itself"])
@pytest.mark.parametrize("by", ["argument", "environment"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_images_are_read_where_they_are(name, by, place, packed, tmp_path, monkeypatch):
    files = contents()
    write(tmp_path / name if place == "own folder" else tmp_path, files, packed)
    if by == "environment":
        monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
        data = datasets.load(name)
    else:
        monkeypatch.setenv("FASTNN_DATA", "/nowhere")  # the argument goes first
        data = datasets.load(name, folder=tmp_path)
    for x, y, images, labels in (
        (data.x_train, data.y_train, TRAIN_IMAGES, TRAIN_LABELS),
        (data.x_test, data.y_test, TEST_IMAGES, TEST_LABELS),
    ):
        assert x.tobytes() == files[images][16:]
        assert y.astype(np.uint8).tobytes() == files[labels][8:]
    assert data.x_train.shape == (N_TRAIN, 784)
    assert data.x_test.shape == (N_TEST, 784)


def test_each_data_set_has_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    write(tmp_path / "mnist", contents(first=0))
    write(tmp_path / "fashion-mnist", contents(first=100))
    assert numbers(datasets.mnist().x_train)[0] == 0
    assert numbers(datasets.fashion_mnist().x_train)[0] == 100


def test_the_class_names():
    assert "".join(idx.DIGIT_CLASSES) == "0123456789"
    assert len(set(idx.FASHION_CLASSES)) == 10
    assert idx.FASHION_CLASSES[9] == "Ankle boot"


def test_a_plain_file_under_the_packed_name_is_read(small_mnist, tmp_path):
    for name, data in contents().items():
        (tmp_path / name).write_bytes(data)
    expected = datasets.mnist(folder=small_mnist)
    np.testing.assert_array_equal(datasets.mnist(folder=tmp_path).x_train, expected.x_train)


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "sets" / "mnist", contents())
    assert len(datasets.mnist(folder="~/sets").x_train) == N_TRAIN


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_missing_files_are_named_with_their_folder(by, tmp_path, monkeypatch):
    write(tmp_path / "mnist", contents())
    (tmp_path / "mnist" / TRAIN_IMAGES).unlink()
    (tmp_path / "mnist" / TEST_LABELS).unlink()
    if by == "environment":
        monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as info:
        datasets.load("mnist", folder=tmp_path if by == "argument" else None)
    message = str(info.value)
    assert str(tmp_path / "mnist") in message
    assert [name in message for name in FOUR_FILES] == [True, False, False, True]


def test_a_folder_that_is_not_there_lacks_all_four(tmp_path):
    with pytest.raises(FileNotFoundError) as info:
        datasets.mnist(folder=tmp_path / "none")
    assert str(tmp_path / "none") in str(info.value)
    assert all(name in str(info.value) for name in FOUR_FILES)


@settings(max_examples=30)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_subset_is_drawn_without_replacement_with_its_labels(small_mnist, data, seed):
    n = data.draw(st.integers(1, N_TRAIN))
    more = data.draw(st.integers(n, N_TRAIN))
    m = data.draw(st.integers(1, N_TEST))
    small = datasets.mnist(subset=n, test_subset=m, seed=seed, folder=small_mnist)
    large = datasets.mnist(subset=more, seed=seed, folder=small_mnist)
    assert small.x_train.shape == (n, 784)
    assert small.x_test.shape == (m, 784)
    for x, y in ((small.x_train, small.y_train), (small.x_test, small.y_test)):
        assert len(set(numbers(x))) == len(x)
        np.testing.assert_array_equal(y, numbers(x) % 10)
    assert numbers(small.x_train).max() < N_TRAIN
    assert numbers(small.x_test).min() >= 1000
    assert set(numbers(small.x_train)) <= set(numbers(large.x_train))


def test_reading_holds_one_copy_of_the_data(tmp_path):
    n = 20_000
    size = n * 784
    images, labels = np.zeros((n, 28, 28), np.uint8), np.zeros(n, np.uint8)
    files = dict(
        zip(FOUR_FILES, map(packed_idx, (images, labels, images[:1], labels[:1])), strict=True)
    )
    write(tmp_path, files)
    tracemalloc.start()
    try:
        data = datasets.mnist(folder=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data.x_train.nbytes == size
    assert size < peak < 1.5 * size


@pytest.mark.parametrize("bomb", [TRAIN_IMAGES, TRAIN_LABELS])
def test_a_file_that_unpacks_to_far_more_than_the_other_one_is_refused_unread(bomb, tmp_path):
    """A hundred kilobytes that hold a hundred megabytes."""
    write(tmp_path, contents())
    shape = (127_000, 28, 28) if bomb == TRAIN_IMAGES else (100_000_000,)
    header = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
    replaced(bomb, header + bytes(100_000_000))(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=f"{re.escape(str(tmp_path))}.*found .* images, expected"
        ):
            datasets.mnist(folder=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def replaced(name, data, packed=True):
    """Return a change of one file: `data` for its bytes, gzipped if `packed`."""
    return lambda folder: (folder / name).write_bytes(gzip.compress(data) if packed else data)


def cut(name, keep):
    """Return a change of one file that keeps only its bytes `[:keep]`, as they lie on disk."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


IMAGES, LABELS = numbered(N_TRAIN)
DAMAGES = {
    "gzip cut in the data": (TRAIN_IMAGES, cut(TRAIN_IMAGES, 5000)),
    "gzip cut in its header": (TRAIN_IMAGES, cut(TRAIN_IMAGES, 5)),
    "gzip without its checksum": (TRAIN_IMAGES, cut(TRAIN_IMAGES, -8)),
    "test labels cut": (TEST_LABELS, cut(TEST_LABELS, 30)),
    "nothing": (TRAIN_IMAGES, cut(TRAIN_IMAGES, 0)),
    "gzip of nothing": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, b"")),
    "IDX cut in the data": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(IMAGES)[:-1])),
    "plain IDX cut": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(IMAGES)[:-1], packed=False)),
    "IDX cut in its header": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(IMAGES)[:11])),
    "a byte too many": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(IMAGES) + b"\0")),
    "a web page": (TRAIN_LABELS, replaced(TRAIN_LABELS, b"<html>404</html>", packed=False)),
    "labels for images": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(LABELS))),
    "images for labels": (TRAIN_LABELS, replaced(TRAIN_LABELS, packed_idx(IMAGES))),
    "other sizes": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(IMAGES[:, :27]))),
    "an image too few": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(IMAGES[1:]))),
    "a label too few": (TRAIN_IMAGES, replaced(TRAIN_LABELS, packed_idx(LABELS[1:]))),
    "no images": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, packed_idx(IMAGES[:0]))),
    "label 10": (TRAIN_LABELS, replaced(TRAIN_LABELS, packed_idx(LABELS + 1))),
    "a huge count": (TRAIN_IMAGES, replaced(TRAIN_IMAGES, b"\0\0\x08\x03" + b"\xff" * 12)),
    "a huge plain count": (
        TRAIN_IMAGES,
        replaced(TRAIN_IMAGES, b"\0\0\x08\x03" + b"\xff" * 12, packed=False),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_what_was_found_and_expected(damage, tmp_path):
    blamed, change = DAMAGES[damage]
    write(tmp_path, contents())
    datasets.mnist(folder=tmp_path)
    change(tmp_path)
    with pytest.raises(ValueError, match=r"found .* expected ") as info:
        datasets.mnist(folder=tmp_path)
    assert str(info.value).startswith(str(tmp_path / blamed))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@settings(max_examples=200)
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(scratch, data):
    whole = gzip.compress(packed_idx(LABELS), mtime=0)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    path = scratch / "flipped"
    path.write_bytes(flipped)
    try:
        read = idx._read_idx(path, ndim=1)
    except ValueError as error:
        message = str(error)
    else:  # gzip's header has bits without a meaning, and deflate pads its end
        np.testing.assert_array_equal(read, LABELS)
        return
    assert str(path) in message


@settings(max_examples=100)
@given(data=st.data(), packed=st.booleans())
def test_a_file_cut_anywhere_is_refused(scratch, data, packed):
    whole = gzip.compress(packed_idx(LABELS)) if packed else packed_idx(LABELS)
    path = scratch / "cut"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"found .* expected ") as info:
        idx._read_idx(path, ndim=1)
    assert str(path) in str(info.value)


@pytest.mark.parametrize("packed", [True, False])
def test_the_files_of_the_other_data_set_are_not_taken_for_these(packed, tmp_path, monkeypatch):
    write(tmp_path, contents(), packed)
    crc = zlib.crc32(contents()[TRAIN_LABELS][8:])
    source = dataclasses.replace(idx._SOURCES["mnist"], train_labels_crc32=crc)
    monkeypatch.setitem(idx._SOURCES, "mnist", source)
    datasets.mnist(folder=tmp_path)
    with pytest.raises(ValueError, match="labels of 'mnist', expected those of 'fashion-mnist'"):
        datasets.fashion_mnist(folder=tmp_path)


# Mirrors


@pytest.fixture
def mirrors(monkeypatch):
    """Simulate the network under the real pooch: a dict of URL -> bytes or exception, and a log.

    The expected sha256 of the four files are those of `contents()`, packed.
    """
    packed = {name: gzip.compress(data, mtime=0) for name, data in contents().items()}
    sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in packed.items()}
    source = dataclasses.replace(idx._SOURCES["mnist"], sha256=sha256)
    monkeypatch.setitem(idx._SOURCES, "mnist", source)
    served = {mirror + name: packed[name] for mirror in source.mirrors for name in FOUR_FILES}
    log = []

    def download(url, output_file, pooch):
        log.append(url)
        if isinstance(served[url], Exception):
            raise served[url]
        Path(output_file).write_bytes(served[url])

    retrieve = pooch.core.retrieve
    monkeypatch.setattr(
        pooch, "retrieve", lambda *args, **kwargs: retrieve(*args, downloader=download, **kwargs)
    )
    return served, log


def urls(mirror, names=FOUR_FILES):
    return [idx._SOURCES["mnist"].mirrors[mirror] + name for name in names]


def test_the_first_mirror_is_enough_and_asked_once(mirrors, monkeypatch):
    _, log = mirrors
    first = datasets.mnist()
    assert log == urls(0)
    monkeypatch.setattr(pooch, "retrieve", None)  # from now on the cache must do
    np.testing.assert_array_equal(datasets.mnist().x_train, first.x_train)
    assert len(first.x_train) == N_TRAIN


@pytest.mark.parametrize(
    "failure", [ConnectionError("no route"), TimeoutError("slow"), b"<html>moved</html>"]
)
def test_the_next_mirror_is_asked_when_one_fails(failure, mirrors):
    served, log = mirrors
    served[urls(0)[1]] = failure
    data = datasets.mnist()
    assert len(data.x_train) == N_TRAIN
    # What the first mirror did give is kept.
    assert log == urls(0)[:2] + urls(1)[1:]


def test_a_damaged_file_in_the_cache_is_downloaded_again(mirrors, tmp_path):
    _, log = mirrors
    datasets.mnist()
    log.clear()
    (cached,) = tmp_path.rglob(TEST_IMAGES)
    cached.write_bytes(cached.read_bytes()[:100])
    assert len(datasets.mnist().x_test) == N_TEST
    assert log == urls(0, [TEST_IMAGES])


def test_when_all_mirrors_fail_one_error_says_what_to_do(mirrors):
    served, _ = mirrors
    served[urls(0)[0]] = ConnectionError("no route to host")
    served[urls(1)[0]] = b"not the file"
    with pytest.raises(idx.DownloadError) as info:
        datasets.mnist()
    message = str(info.value)
    assert isinstance(info.value, OSError)
    assert all(url in message for url in (urls(0)[0], urls(1)[0]))
    assert "no route to host" in message
    assert "hash" in message
    assert "Set FASTNN_DATA to a folder" in message
    assert all(name in message for name in FOUR_FILES)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_every_file_has_its_hash_and_two_mirrors(name):
    source = idx._SOURCES[name]
    assert tuple(source.sha256) == FOUR_FILES
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in source.sha256.values())
    assert len(source.mirrors) == len(set(source.mirrors)) == 2
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in source.mirrors)


# The real files


@pytest.mark.skipif(not REAL_FILES, reason="needs the real files: set FASTNN_DATA")
@pytest.mark.parametrize(
    ("name", "first_labels"), [("mnist", [5, 0, 4, 1, 9]), ("fashion-mnist", [9, 0, 0, 3, 0])]
)
def test_the_real_files(name, first_labels):
    data = datasets.load(name, folder=REAL_FILES)
    assert data.x_train.shape == (60_000, 784)
    assert data.x_test.shape == (10_000, 784)
    assert data.y_train[:5].tolist() == first_labels
    np.testing.assert_array_equal(np.bincount(data.y_test, minlength=10) > 800, True)
    crc = zlib.crc32(data.y_train.astype(np.uint8).data)
    assert crc == idx._SOURCES[name].train_labels_crc32
