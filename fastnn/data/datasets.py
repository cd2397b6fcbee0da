"""Data sets by name or from files: training and test rows, ready for a network."""

from __future__ import annotations

import difflib
import importlib.util
import math
import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastnn.data import idx
from fastnn.data.images import Conversion
from fastnn.data.tables.columns import Schema
from fastnn.data.tables.reading import SUFFIXES
from fastnn.data.tables.summary import ColumnSummary

DISK_RADIUS = 1 / math.sqrt(2 * math.pi)  # area 1/2: guessing one class is right half the time

_IMAGES = {
    "mnist": (idx.DIGIT_CLASSES, Conversion()),
    "fashion-mnist": (idx.FASHION_CLASSES, Conversion(box=28, centre="middle")),
}
_DIGIT_PICTURES = Conversion((8, 8), box=8, top=16.0, centre="middle")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test rows of one task, in no particular order.

    `x_train` (n_train, features) and `x_test` (n_test, features) are float32, or uint8 for images
    kept as bytes; `y_train` (n_train,) and `y_test` (n_test,) are int64 indices into `classes`, or
    for a regression, which has no classes, float64. `mean` and `std`, numbers or (features,), are
    what `Normalize(mean, std)` needs to bring x near the unit range, and `image_shape` is (height,
    width) where a row is an image, else None. `schema` is what a model file must know of the data
    (`model.schema = data.schema`). Of data from a file, `summary` tells what each column holds,
    the target's last, and `notes` what is odd about them.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    mean: float | np.ndarray = 0.0
    std: float | np.ndarray = 1.0
    image_shape: tuple[int, int] | None = None
    schema: Schema | None = None
    summary: tuple[ColumnSummary, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """`classification`, or `regression` where there are no classes."""
        return "classification" if self.classes else "regression"

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{key} {array.shape} {array.dtype}"
            for key in ("x_train", "y_train", "x_test", "y_test")
            for array in (getattr(self, key),)
        )
        kind = f"{len(self.classes)} classes" if self.classes else self.task
        return f"Dataset({self.name}: {arrays}, {kind})"


class SubsetError(ValueError):
    """More rows are wanted than there are."""


def load(
    name: str | os.PathLike[str],
    *,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    target: str | None = None,
    task: str | None = None,
    impute: bool = False,
    drop: Sequence[str] = (),
    categorical: Sequence[str] = (),
    test: float = 0.2,
    dtype=np.float32,
) -> Dataset:
    """Load the data set called `name`, one of `DATASETS`, or the table in the file of that path.

    `subset` and `test_subset` are the training and test rows wanted: drawn without replacement
    from `seed` where the rows are given, made where they are made. `folder` holds the files of an
    image data set (see `mnist`).

    A table is a CSV, .npy, .npz or Parquet file. `target` names the column to predict (or, where
    columns have no names, says its place, or names a .npy file that holds it); the others are the
    features: numbers, and texts and columns named in `categorical`, which become a column of 0 or 1
    for each category. Columns named in `drop` are left out. `task`, `classification` or
    `regression`, is by default told from the target: texts and few whole numbers are classes.
    `impute` fills missing values with the median or the most frequent category. The share `test`
    of the rows, drawn by `seed`, is held out, each class in proportion; means, categories and what
    fills are those of the training rows alone. Rows are of `dtype`, or bytes where all are.
    A large .npy file is mapped, not loaded, and its rows are copied to a file on the disk.

    Raises ValueError for an unknown name, for a number of rows below one or above what there is,
    for a `folder` where the data set reads none and a `target` where it has its own, and for a
    table that cannot be learned from (`fastnn.data.tables.reading.TableError`); FileNotFoundError
    for a file that is not there; besides, what the data set's function raises.
    """
    if is_path(name):
        from fastnn.data.tables.preparing import load_table  # not needed for the others

        return load_table(
            name, target, task=task, impute=impute, drop=drop, categorical=categorical, test=test,
            seed=seed, subset=subset, test_subset=test_subset, dtype=dtype,
        )  # fmt: skip
    name = os.fspath(name)
    if name not in DATASETS:
        raise ValueError(_unknown(name))
    function = DATASETS[name]
    if target is not None or task is not None or impute or drop or categorical:
        raise ValueError(f"data set {name!r} has a target of its own; those of files are chosen")
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


def is_path(name: str | os.PathLike[str]) -> bool:
    """Whether `load` takes a name for that of a file, there or not, rather than a data set's."""
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(f"a data set is named by text or a path, not by {name!r}")
    path = Path(name)
    return os.fspath(name) not in DATASETS and (
        path.suffix.lower() in SUFFIXES or path.is_file() or len(path.parts) > 1
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
    return Dataset(
        "digits", x[train], y[train], x[test], y[test], idx.DIGIT_CLASSES, 0.0, 16.0, (8, 8),
        schema=Schema(image=_DIGIT_PICTURES),
    )  # fmt: skip


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
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{what} is {n!r}; expected an integer of at least 1")
    if n < 1:
        raise ValueError(f"{what} must be at least 1, got {n}")
    return operator.index(n)


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


def _images(
    name: str,
    subset: int | None,
    test_subset: int | None,
    seed: int,
    folder: str | os.PathLike[str] | None,
) -> Dataset:
    x_train, y_train, x_test, y_test = idx.read(name, folder)
    train = _rows("subset", subset, len(x_train), seed)
    test = _rows("test_subset", test_subset, len(x_test), seed)
    classes, conversion = _IMAGES[name]
    return Dataset(
        name, x_train[train], y_train[train], x_test[test], y_test[test], classes, 0.0, 255.0,
        idx.IMAGE_SHAPE, schema=Schema(image=conversion),
    )  # fmt: skip
