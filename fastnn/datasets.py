"""Data sets by name: arrays split into training and test rows, ready for a network."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import importlib.util
import io
import math
import operator
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DIGIT_CLASSES = tuple("0123456789")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DISK_RADIUS = 1 / math.sqrt(2 * math.pi)  # area 1/2: guessing one class is right half the time

_READ_BYTES = 1 << 20
_MAX_DEFLATE_RATIO = 1032  # what a byte of deflate can expand to at most


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test rows of one classification task.

    `x_train` (n_train, features) and `x_test` (n_test, features) are float32, or uint8 for images
    kept as bytes; `y_train` (n_train,) and `y_test` (n_test,) are int64 indices into `classes`.
    `mean` and `std` are what `Normalize(mean, std)` needs to bring x near the unit range, and
    `image_shape` is (height, width) where a row is an image, else None.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    mean: float = 0.0
    std: float = 1.0
    image_shape: tuple[int, int] | None = None

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{key} {array.shape} {array.dtype}"
            for key in ("x_train", "y_train", "x_test", "y_test")
            for array in (getattr(self, key),)
        )
        return f"Dataset({self.name}: {arrays}, {len(self.classes)} classes)"


class DownloadError(OSError):
    """No mirror of a data set could be read."""


class SubsetError(ValueError):
    """More rows are wanted than there are."""


def load(
    name: str,
    *,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load the data set called `name`, one of `DATASETS`.

    `subset` and `test_subset` are the training and test rows wanted: drawn without replacement
    from `seed` where the rows are given, made where they are made. `folder` holds the files of an
    image data set (see `mnist`).

    Raises ValueError for an unknown name, for a number of rows below one or above what there is,
    and for a `folder` where the data set reads none; besides, what the data set's function raises.
    """
    if name not in DATASETS:
        raise ValueError(_unknown(name))
    function = DATASETS[name]
    if folder is not None and function not in (mnist, fashion_mnist):
        raise ValueError(f"data set {name!r} reads no files: folder={os.fspath(folder)!r}")
    made = function in (disk, two_class)
    options = {
        "n_train" if made else "subset": subset,
        "n_test" if made else "test_subset": test_subset,
        "folder": folder,
    }
    return function(
        seed=seed, **{key: value for key, value in options.items() if value is not None}
    )


def digits(*, subset: int | None = None, test_subset: int | None = None, seed: int = 0) -> Dataset:
    """Load scikit-learn's 8x8 handwritten digits, 1797 float32 rows of 64 values from 0 to 16.

    A permutation drawn from `seed` puts 1437 rows (80 %) in the training set, 360 in the test set;
    `subset` and `test_subset` keep that many of them.

    Raises ValueError for a `subset` or `test_subset` below one or above what there is.
    """
    x, y = _digits_table()
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = np.split(order, [len(x) * 8 // 10])
    train = train[_rows("subset", subset, len(train), seed)]
    test = test[_rows("test_subset", test_subset, len(test), seed)]
    return Dataset("digits", x[train], y[train], x[test], y[test], DIGIT_CLASSES, 0.0, 16.0, (8, 8))


def mnist(
    *,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load MNIST: 28x28 handwritten digits, uint8 (60000, 784) to train on, (10000, 784) to test.

    The four IDX files, gzipped or not, are read from `folder`, else from the folder that the
    environment variable FASTNN_DATA names: in its `mnist/`, or directly in it. With neither they
    are downloaded once into the user's cache. `subset` and `test_subset` keep that many rows,
    drawn without replacement from `seed`; a larger subset contains the smaller ones.

    Raises FileNotFoundError where the folder lacks files, ValueError for a damaged file or an
    impossible subset, and `DownloadError` (an OSError) when no mirror answers.
    """
    return _images("mnist", subset, test_subset, seed, folder)


def fashion_mnist(
    *,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load Fashion-MNIST: 28x28 pictures of clothes, in the shapes and dtypes of `mnist`.

    The files are those of `folder` or FASTNN_DATA, in its `fashion-mnist/` or directly in it, else
    downloaded. Arguments and errors are those of `mnist`.
    """
    return _images("fashion-mnist", subset, test_subset, seed, folder)


def disk(n_train: int = 1000, n_test: int = 1000, seed: int = 0) -> Dataset:
    """Draw points in the unit square, labelled by whether they fall in a disk of half its area.

    x is float32 (n, 2), uniform; y is int64, 1 inside the disk of radius 1/sqrt(2 pi) about
    (0.5, 0.5). The test points do not depend on `n_train`, nor the training points on `n_test`.

    Raises ValueError for fewer than one row.
    """
    train, test = np.random.default_rng(seed).spawn(2)
    x_train, y_train = _disk_points(train, _positive("n_train", n_train))
    x_test, y_test = _disk_points(test, _positive("n_test", n_test))
    return Dataset("disk", x_train, y_train, x_test, y_test, ("outside", "inside"))


def two_class(n_train: int = 500, n_test: int = 200, seed: int = 0) -> Dataset:
    """Draw two overlapping classes of 10 features with scikit-learn's `make_classification`.

    x is float32 (n, 10): six features tell the classes apart, two are mixtures of those and two
    are noise. y is int64.

    Raises ValueError for fewer than one row.
    """
    n_train, n_test = _positive("n_train", n_train), _positive("n_test", n_test)
    from sklearn.datasets import make_classification  # a second and a half, so only when asked

    x, y = make_classification(
        n_samples=n_train + n_test,
        n_features=10,
        n_informative=6,
        n_redundant=2,
        n_classes=2,
        random_state=seed,
    )
    x, y = x.astype(np.float32), y.astype(np.int64)
    return Dataset("two-class", x[:n_train], y[:n_train], x[n_train:], y[n_train:], ("0", "1"))


DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "disk": disk,
    "two-class": two_class,
}


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown data set {name!r}; known: {', '.join(DATASETS)}{hint}"


def _positive(what: str, n: int) -> int:
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"{what} must be at least 1, got {n}")
    return n


def _rows(what: str, n: int | None, available: int, seed: int) -> np.ndarray | slice:
    """Index of `n` of the `available` rows; of all of them, without a copy, for None."""
    if n is None:
        return slice(None)
    if _positive(what, n) > available:
        raise SubsetError(f"{what} must be at most {available}, the rows there are, got {n}")
    # The head of a permutation, so that a larger subset contains the smaller ones.
    return np.random.default_rng(seed).permutation(available)[:n]


def _digits_table() -> tuple[np.ndarray, np.ndarray]:
    """Return all digits, float32 (1797, 64), and their labels, int64 (1797,)."""
    # Read from scikit-learn's own file, because importing sklearn.datasets takes over a second.
    spec = importlib.util.find_spec("sklearn")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(root, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            table = np.loadtxt(path, delimiter=",", dtype=np.float32)
            return np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def _disk_points(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.random((n, 2), dtype=np.float32)
    inside = np.square(x - 0.5, dtype=np.float64).sum(axis=1) <= DISK_RADIUS**2
    return x, inside.astype(np.int64)


# Images in IDX files: which files, where they are, and how they are read.


@dataclass(frozen=True)
class _Source:
    """Where an image data set comes from, and how to know its files."""

    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    train_labels_crc32: int
    sha256: Mapping[str, str]


_TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
_TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
_FILES = (*_TRAIN, *_TEST)
_IMAGE_SHAPE = (28, 28)

_SOURCES = {
    "mnist": _Source(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        classes=DIGIT_CLASSES,
        train_labels_crc32=0xBA07E8EF,
        sha256={
            _TRAIN[0]: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            _TRAIN[1]: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            _TEST[0]: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            _TEST[1]: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": _Source(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        classes=FASHION_CLASSES,
        train_labels_crc32=0x2ED6E46A,
        sha256={
            _TRAIN[0]: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            _TRAIN[1]: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            _TEST[0]: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            _TEST[1]: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}


def _images(
    name: str,
    subset: int | None,
    test_subset: int | None,
    seed: int,
    folder: str | os.PathLike[str] | None,
) -> Dataset:
    paths = _find_files(name, folder)
    x_train, y_train = _read_split(name, *(paths[file] for file in _TRAIN))
    train = _rows("subset", subset, len(x_train), seed)
    x_train, y_train = x_train[train], y_train[train]
    x_test, y_test = _read_split(name, *(paths[file] for file in _TEST))
    test = _rows("test_subset", test_subset, len(x_test), seed)
    x_test, y_test = x_test[test], y_test[test]
    classes = _SOURCES[name].classes
    return Dataset(name, x_train, y_train, x_test, y_test, classes, 0.0, 255.0, _IMAGE_SHAPE)


def _find_files(name: str, folder: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Return the path of each of the four files; download them if no folder is named."""
    folder = folder or os.environ.get("FASTNN_DATA")
    if not folder:
        downloaded = _download(name)
        return {file: downloaded / file for file in _FILES}
    root = Path(folder).expanduser()
    # The files of every data set have the same names, so a folder of its own goes first.
    if (root / name).is_dir():
        root = root / name
    found = {file: _packed_or_plain(root / file) for file in _FILES}
    missing = [file for file, path in found.items() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"data set {name!r}: the folder {root} lacks {', '.join(missing)} (gzipped or plain)"
        )
    return found


def _packed_or_plain(path: Path) -> Path:
    return path if path.is_file() else path.with_suffix("")


def _download(name: str) -> Path:
    """Return the cache folder that holds the four files, fetched from the first good mirror."""
    import platformdirs

    source = _SOURCES[name]
    folder = Path(platformdirs.user_cache_dir("fastnn")) / name
    if all(_has_sha256(folder / file, sha256) for file, sha256 in source.sha256.items()):
        return folder

    import pooch

    failures = []
    for mirror in source.mirrors:
        try:
            for file, sha256 in source.sha256.items():
                pooch.retrieve(mirror + file, f"sha256:{sha256}", fname=file, path=folder)
        except (OSError, ValueError) as error:  # no answer, or the wrong bytes
            failures.append(f"  {mirror}{file}: {error}")
        else:
            return folder
    raise DownloadError(
        f"data set {name!r} could not be downloaded into {folder}; mirrors tried:\n"
        + "\n".join(failures)
        + f"\nSet FASTNN_DATA to a folder that holds the four files: {', '.join(_FILES)}"
    )


def _has_sha256(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _read_split(name: str, images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images as uint8 (n, 784) and their labels as int64 (n,)."""
    y = _read_idx(labels, ndim=1)
    n_classes = len(_SOURCES[name].classes)
    if y.max() >= n_classes:
        raise ValueError(f"{labels}: found label {y.max()}, expected 0 to {n_classes - 1}")
    for other, source in _SOURCES.items():
        if other != name and zlib.crc32(y.data) == source.train_labels_crc32:
            raise ValueError(f"{labels}: found the labels of {other!r}, expected those of {name!r}")
    x = _read_idx(images, ndim=3)
    if x.shape[1:] != _IMAGE_SHAPE:
        raise ValueError(f"{images}: found images of {x.shape[1:]}, expected {_IMAGE_SHAPE}")
    if len(x) != len(y):
        raise ValueError(f"{images}: found {len(x)} images, expected {len(y)}, as in {labels}")
    return x.reshape(len(x), -1), y.astype(np.int64)


def _read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read an IDX file of bytes, gzipped or not, as uint8 of `ndim` dimensions.

    Raises ValueError, naming the file, unless it is whole and of that kind.
    """
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        limit = path.stat().st_size * (_MAX_DEFLATE_RATIO if gzipped else 1)
        try:
            with gzip.GzipFile(fileobj=file) if gzipped else file as stream:
                return _parse_idx(path, stream, ndim, limit)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path}: found a damaged gzip stream ({error}), expected a whole file"
            ) from error


def _parse_idx(path: Path, stream: io.BufferedIOBase, ndim: int, limit: int) -> np.ndarray:
    header = stream.read(4 + 4 * ndim)
    magic = bytes((0, 0, 8, ndim))  # 8: the elements are unsigned bytes
    if header[:4] != magic:
        raise ValueError(f"{path}: found magic {header[:4].hex()!r}, expected {magic.hex()!r}")
    if len(header) < 4 + 4 * ndim:
        raise ValueError(f"{path}: found a header of {len(header)} bytes, expected {4 + 4 * ndim}")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    expected = math.prod(shape)
    if expected == 0:
        raise ValueError(f"{path}: found a header for no data, shape {shape}, expected some")
    if expected > limit:  # before a broken header asks for all the memory there is
        raise ValueError(
            f"{path}: found a file of at most {limit} bytes, expected {expected} for shape {shape}"
        )
    array = np.empty(shape, np.uint8)
    filled = _fill(stream, array.data.cast("B"))
    if filled < expected:
        raise ValueError(f"{path}: found {filled} bytes of data, expected {expected}: truncated")
    if stream.read(1):  # reading on to the end also has gzip check its checksum
        raise ValueError(f"{path}: found more than the expected {expected} bytes of data")
    return array


def _fill(stream: io.BufferedIOBase, buffer: memoryview) -> int:
    """Fill `buffer` from `stream` and return the number of bytes read."""
    filled = 0
    while filled < len(buffer):
        # In pieces: GzipFile.readinto makes a bytes object as long as what it is to fill.
        count = stream.readinto(buffer[filled : filled + _READ_BYTES])
        if not count:
            break
        filled += count
    return filled
