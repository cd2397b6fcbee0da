"""Data sets by name or from files: training and test rows, ready for a network."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import math
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fastnn.data import idx
from fastnn.data.dataset import Dataset, SubsetError
from fastnn.data.images import Conversion
from fastnn.data.tables.reading import SUFFIXES
from fastnn.data.tables.schema import Schema

DISK_RADIUS = 1 / math.sqrt(2 * math.pi)  # area 1/2: guessing one class is right half the time

_IMAGES = {
    "mnist": (idx.DIGIT_CLASSES, Conversion()),
    "fashion-mnist": (idx.FASHION_CLASSES, Conversion(box=28, centre="middle")),
}
_DIGIT_PICTURES = Conversion((8, 8), box=8, top=16.0, centre="middle")


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
    """Load a data set by its name, or a table from a file.

    A table is a CSV, .npy, .npz or Parquet file. Its columns are features, but for the target:
    numbers, and texts, which become a column of 0 or 1 for each category. The test rows are drawn
    by `seed`, each class in proportion; means, categories and what fills missing values are those
    of the training rows alone. Rows are bytes where all columns are. A large .npy file is mapped,
    not loaded, and its rows are copied to a file on the disk.

    Parameters
    ----------
    name : str or path-like
        One of `DATASETS`, or the path of a table.
    subset, test_subset : int, optional
        Training and test rows wanted: drawn without replacement by `seed` where the rows are
        given, made where they are made. None takes all.
    seed : int, default 0
        Decides which rows are drawn, or made.
    folder : path-like, optional
        Folder of the files of an image data set (see `mnist`).
    target : str, optional
        Of a table: the column to predict, or where columns have no names its place, or the path
        of a .npy file that holds it.
    task : {"classification", "regression"}, optional
        Of a table: None tells it from the target, of which texts and few whole numbers are
        classes.
    impute : bool, default False
        Of a table: whether missing values are filled with the median or the most frequent
        category.
    drop, categorical : sequence of str
        Of a table: columns to leave out, and columns of numbers that stand for categories.
    test : float, default 0.2
        Of a table: share of the rows that is held out.
    dtype : dtype, default float32
        Of a table: what its rows are.

    Returns
    -------
    Dataset
        Training and test rows.

    Raises
    ------
    ValueError
        For an unknown name, a number of rows below one or above what there is, a `folder` where
        the data set reads none, a `target` where it has its own, and a table that cannot be
        learned from (`fastnn.data.tables.table.TableError`).
    FileNotFoundError
        For a file that is not there; besides, what the data set's function raises.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.datasets.load("disk", subset=100, test_subset=50).x_train.shape
    (100, 2)
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
    if target is not None or task is not None or impute or drop or categorical:
        raise ValueError(f"data set {name!r} has a target of its own; those of files are chosen")
    takes = inspect.signature(DATASETS[name]).parameters
    if folder is not None and "folder" not in takes:
        raise ValueError(f"data set {name!r} reads no files: folder={os.fspath(folder)!r}")
    made = "n_train" in takes
    options = {
        "n_train" if made else "subset": subset,
        "n_test" if made else "test_subset": test_subset,
        "folder": folder,
    }
    given = {key: value for key, value in options.items() if value is not None}
    return DATASETS[name](seed=seed, **given)


def is_path(name: str | os.PathLike[str]) -> bool:
    """Return whether `load` takes a name for that of a file, there or not.

    Raises TypeError for what is neither text nor a path.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(f"a data set is named by text or a path, not by {name!r}")
    path = Path(name)
    return os.fspath(name) not in DATASETS and (
        path.suffix.lower() in SUFFIXES or path.is_file() or len(path.parts) > 1
    )


def digits(*, subset: int | None = None, test_subset: int | None = None, seed: int = 0) -> Dataset:
    """Load scikit-learn's 8x8 handwritten digits, 1797 float32 rows of 64 values from 0 to 16.

    A permutation drawn by `seed` puts 1437 rows (80 %) in the training set, 360 in the test set.

    Parameters
    ----------
    subset, test_subset : int, optional
        Training and test rows to keep; None keeps all.
    seed : int, default 0
        Decides which rows are which.

    Returns
    -------
    Dataset
        The digits, in ten classes.

    Raises
    ------
    ValueError
        For a `subset` or `test_subset` below one or above what there is.
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
    are downloaded once into the user's cache.

    Parameters
    ----------
    subset, test_subset : int, optional
        Training and test rows to keep, drawn without replacement by `seed`; a larger subset
        contains the smaller ones. None keeps all.
    seed : int, default 0
        Decides which rows are drawn.
    folder : path-like, optional
        Folder of the files.

    Returns
    -------
    Dataset
        The images, in ten classes.

    Raises
    ------
    FileNotFoundError
        Where the folder lacks files.
    ValueError
        For a damaged file or an impossible subset.
    DownloadError
        An OSError, when no mirror answers.
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
    downloaded.

    Parameters
    ----------
    subset, test_subset, seed, folder
        As in `mnist`.

    Returns
    -------
    Dataset
        The images, in ten classes.

    Raises
    ------
    FileNotFoundError, ValueError, DownloadError
        As in `mnist`.
    """
    return _images("fashion-mnist", subset, test_subset, seed, folder)


def disk(n_train: int = 1000, n_test: int = 1000, seed: int = 0) -> Dataset:
    """Draw points in the unit square, labelled by whether they fall in a disk of half its area.

    x is float32 (n, 2), uniform; y is int64, 1 inside the disk of radius 1/sqrt(2 pi) about
    (0.5, 0.5). The test points do not depend on `n_train`, nor the training points on `n_test`.

    Parameters
    ----------
    n_train, n_test : int, default 1000
        Training and test points.
    seed : int, default 0
        Decides which points are drawn.

    Returns
    -------
    Dataset
        The points, in two classes.

    Raises
    ------
    ValueError
        For fewer than one row.
    """
    train, test = np.random.default_rng(seed).spawn(2)
    x_train, y_train = _disk_points(train, _positive("n_train", n_train))
    x_test, y_test = _disk_points(test, _positive("n_test", n_test))
    return Dataset("disk", x_train, y_train, x_test, y_test, ("outside", "inside"))


def two_class(n_train: int = 500, n_test: int = 200, seed: int = 0) -> Dataset:
    """Draw two overlapping classes of 10 features with scikit-learn's `make_classification`.

    x is float32 (n, 10): six features tell the classes apart, two are mixtures of those and two
    are noise. y is int64.

    Parameters
    ----------
    n_train, n_test : int, default 500 and 200
        Training and test rows.
    seed : int, default 0
        Decides which rows are drawn.

    Returns
    -------
    Dataset
        The rows, in two classes.

    Raises
    ------
    ValueError
        For fewer than one row.
    """
    n_train, n_test = _positive("n_train", n_train), _positive("n_test", n_test)
    from sklearn.datasets import make_classification  # a second and a half, so only when asked

    x, y = make_classification(
        n_train + n_test, n_features=10, n_informative=6, n_redundant=2, random_state=seed
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
"""Functions that load the data sets, by name. `load` gives each the options that it takes."""


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
    """Return an index of `n` of the `available` rows; for None of all of them, without a copy."""
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
