"""Data sets, built in or read from files: training and test rows, ready for a network."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.data import idx
from fastnn.data.dataset import Dataset, SubsetError, whole
from fastnn.data.images import Conversion
from fastnn.data.names import is_path
from fastnn.data.tables.schema import Schema

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


DISK_RADIUS = 1 / math.sqrt(2 * math.pi)  # area 1/2, so both classes are equally frequent

_MOST_ROWS = 2**48  # fewer bytes than an array can hold, whatever a row takes

_IMAGES = {
    "mnist": (idx.DIGIT_CLASSES, Conversion()),
    "fashion-mnist": (idx.FASHION_CLASSES, Conversion(box=28, centre="middle")),
}
_DIGIT_PICTURES = Conversion((8, 8), box=8, top=16.0, centre="middle")


def load(
    name: Any,
    *,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    target: str | None = None,
    task: str | None = None,
    impute: bool = True,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    dates: Sequence[str] = (),
    delimiter: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    missing: Sequence[str] | None = None,
    comment: str | None = None,
    test: float = 0.2,
    group: str | None = None,
    time: str | None = None,
    test_file: str | os.PathLike[str] | None = None,
    dtype: DTypeLike = np.float32,
) -> Dataset:
    """Return a data set, built in or read from a table.

    A table is a file, several files, a frame or a dict of columns. All columns except the target
    are understood: numbers, also with decimal commas, thousands, percent signs or currencies where
    the whole column agrees; categories, one-hot encoded, of which the 100 most frequent count and
    the rest are one; booleans; dates and times, which become year, month, day, weekday and hour (as
    sine and cosine), and days. A column of which nine cells in ten are numbers is one of numbers.
    Columns of one value, a running index, and texts of their own in each row are left out. The
    `notes` of the data set say so, and its `summary` says what became of each column. A class is
    the text in the file; rows without a target are left out.

    Test rows are drawn by `seed`, stratified by class. Means, categories and values that replace
    missing ones come from the training rows alone. If all columns are bytes (uint8), rows are
    bytes. A large .npy file is mapped to memory instead of loaded, and its rows are kept in a
    temporary file.

    Parameters
    ----------
    name : str, path-like, frame, or mapping
        One of `DATASETS`; the path of a table (CSV, Parquet, JSON, .npy, .npz, compressed or not,
        or a spreadsheet where openpyxl is installed); a pattern of paths ("data/*.csv"); a
        frame of pandas or polars, an Arrow table, a DuckDB relation, an array (rows, columns), or a
        dict of columns.
    subset, test_subset : int, optional
        Number of training and test rows, drawn without replacement by `seed`, or generated for
        "disk" and "two-class". None takes all rows, or the default number.
    seed : int, default 0
        Seed by which rows are drawn or generated.
    folder : path-like, optional
        Folder of the files of an image data set (see `mnist`).
    target : str, optional
        Column of a table to predict: its name, its index if columns have no names, or the path of
        a .npy file that holds it.
    task : {"classification", "regression"}, optional
        Task of a table; None finds it from the target: texts and few distinct whole numbers are
        classes.
    impute : bool, default True
        Whether missing values of a table are replaced by the median or the most frequent text;
        otherwise they are an error.
    drop, keep : sequence of str, default ()
        Columns of a table to leave out before anything of them is looked at, and columns not to
        leave out.
    categorical, numeric, dates : sequence of str, default ()
        Columns of a table that are categories, numbers (all else in them is missing) and dates.
    delimiter, decimal, thousands : str, optional
        Sign between cells, before decimals, and between thousands; None finds it from the file.
    encoding : str, optional
        Encoding of texts; None is UTF-8, or UTF-16 or UTF-32 where a mark tells.
    header : bool, optional
        Whether the first line of a file of texts has the names of columns; None finds it.
    missing : sequence of str, optional
        Texts that stand for a missing value, as an empty cell does; None takes "?", "#N/A", "<NA>",
        "N/A", "NA", "NaN", "None", "NULL", "n/a", "nan" and "null".
    comment : str, optional
        Sign at the beginning of lines to skip.
    test : float, default 0.2
        Share of the rows of a table to hold out for testing.
    group : str, optional
        Column of a table, such as a person, whose equal cells stay on one side of the split; it is
        no input.
    time : str, optional
        Column of a table, of numbers or dates, by which the last rows are held out.
    test_file : path-like, optional
        Table of the test rows; then no rows of the other one are held out.
    dtype : dtype, default float32
        Dtype of the rows of a table.

    Returns
    -------
    Dataset
        Training and test rows.

    Raises
    ------
    ValueError
        For an unknown name, a number of rows that is not available, a `folder` or `target` that
        the data set does not take, and a table that cannot be used (`TableError`).
    FileNotFoundError
        If a file does not exist.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.datasets.load("disk", subset=100, test_subset=50).x_train.shape
    (100, 2)
    >>> columns = {"size": range(100), "city": ["Ulm", "Bonn"] * 50, "rent": range(0, 300, 3)}
    >>> fastnn.datasets.load(columns, target="rent", keep=["size"]).schema.features
    ['size', 'city=Bonn', 'city=Ulm']
    """
    options = {
        "task": task,
        "drop": drop,
        "keep": keep,
        "categorical": categorical,
        "numeric": numeric,
        "dates": dates,
        "delimiter": delimiter,
        "decimal": decimal,
        "thousands": thousands,
        "encoding": encoding,
        "header": header,
        "missing": missing,
        "comment": comment,
        "group": group,
        "time": time,
        "test_file": test_file,
    }
    if not isinstance(name, (str, os.PathLike)) or is_path(name):
        from fastnn.data.tables.preparing import Preparation, load_table  # only needed here
        from fastnn.data.tables.reading import Reading
        from fastnn.data.tables.understanding import Wishes

        reading = Reading(delimiter, decimal, thousands, encoding, header, missing, comment)
        wishes = Wishes(categorical, numeric, dates, keep)
        how = Preparation(
            target, task, impute, drop, wishes, reading, test, seed, subset, test_subset, dtype,
            group, time, test_file,
        )  # fmt: skip
        return load_table(name, how)
    name = os.fspath(name)
    if name not in DATASETS:
        raise ValueError(_unknown(name))
    if not impute:
        options["impute"] = impute
    if given := [key for key, value in options.items() if value not in (None, ())]:
        raise ValueError(f"data set {name!r} is no table, and takes no {', '.join(given)}")
    if target is not None:
        raise ValueError(f"data set {name!r} has a target of its own; those of files are chosen")
    takes = inspect.signature(DATASETS[name]).parameters
    if folder is not None and "folder" not in takes:
        raise ValueError(f"data set {name!r} reads no files: folder={os.fspath(folder)!r}")
    made = "n_train" in takes
    numbers = {
        "n_train" if made else "subset": subset,
        "n_test" if made else "test_subset": test_subset,
        "folder": folder,
    }
    chosen = {key: value for key, value in numbers.items() if value is not None}
    return DATASETS[name](seed=seed, **chosen)


def digits(*, subset: int | None = None, test_subset: int | None = None, seed: int = 0) -> Dataset:
    """Return scikit-learn's 8x8 handwritten digits, 1797 float32 rows of 64 values from 0 to 16.

    A permutation drawn by `seed` puts 1437 rows (80 %) in the training set, 360 in the test set.

    Parameters
    ----------
    subset, test_subset : int, optional
        Number of training and test rows to keep; None keeps all.
    seed : int, default 0
        Seed of the permutation.

    Returns
    -------
    Dataset
        The digits, in ten classes.

    Raises
    ------
    ValueError
        For a `subset` or `test_subset` below 1 or above the number of rows.

    Examples
    --------
    >>> from fastnn import datasets
    >>> datasets.digits().x_train.shape
    (1437, 64)
    """
    x, y = _digits_table()
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = np.split(order, [len(x) * 8 // 10])
    train = train[_rows("subset", subset, len(train), seed)]
    test = test[_rows("test_subset", test_subset, len(test), seed)]
    arrays = x[train], y[train], x[test], y[test]
    schema = Schema(image=_DIGIT_PICTURES)
    return Dataset("digits", *arrays, idx.DIGIT_CLASSES, 0.0, 16.0, (8, 8), schema)


def mnist(
    *,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Return MNIST: 28x28 handwritten digits as uint8, 60,000 training and 10,000 test rows.

    The four IDX files, gzipped or not, are read from `folder`, or from the folder in the
    environment variable FASTNN_DATA; there from its subfolder `mnist/` if it exists. Without
    either the files are downloaded once into the user's cache.

    Parameters
    ----------
    subset, test_subset : int, optional
        Number of training and test rows to keep, drawn without replacement by `seed`; a larger
        subset contains the smaller ones. None keeps all.
    seed : int, default 0
        Seed by which rows are drawn.
    folder : path-like, optional
        Folder of the files.

    Returns
    -------
    Dataset
        The images, in ten classes.

    Raises
    ------
    FileNotFoundError
        If the folder lacks files.
    ValueError
        For a damaged file or an impossible subset.
    DownloadError
        An OSError, if no mirror answers.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
    recognition", 1998.

    Examples
    --------
    >>> from fastnn import datasets
    >>> datasets.mnist(subset=1000).x_train.shape  # doctest: +SKIP
    (1000, 784)
    """
    return _images("mnist", subset, test_subset, seed, folder)


def fashion_mnist(
    *,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Return Fashion-MNIST: 28x28 pictures of clothes, with the shapes and dtypes of `mnist`.

    The files are found or downloaded as those of `mnist`; the subfolder is `fashion-mnist/`.

    Parameters
    ----------
    subset, test_subset : int, optional
        Number of training and test rows to keep, drawn without replacement by `seed`; a larger
        subset contains the smaller ones. None keeps all.
    seed : int, default 0
        Seed by which rows are drawn.
    folder : path-like, optional
        Folder of the files.

    Returns
    -------
    Dataset
        The images, in ten classes.

    Raises
    ------
    FileNotFoundError, ValueError, DownloadError
        As in `mnist`.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", 2017.

    Examples
    --------
    >>> from fastnn import datasets
    >>> datasets.fashion_mnist(subset=1000).classes[:2]  # doctest: +SKIP
    ('T-shirt/top', 'Trouser')
    """
    return _images("fashion-mnist", subset, test_subset, seed, folder)


def disk(n_train: int = 1000, n_test: int = 1000, seed: int = 0) -> Dataset:
    """Return random points of the unit square, in two classes: inside and outside a disk.

    x is float32 (n, 2), uniform; y is int64, 1 inside the disk of radius 1/sqrt(2 pi) about
    (0.5, 0.5), whose area is 1/2. Training points do not depend on `n_test`, nor test points on
    `n_train`.

    Parameters
    ----------
    n_train, n_test : int, default 1000
        Number of training and test points.
    seed : int, default 0
        Seed by which points are drawn.

    Returns
    -------
    Dataset
        The points, in two classes.

    Raises
    ------
    ValueError
        For fewer than one row.

    Examples
    --------
    >>> from fastnn import datasets
    >>> data = datasets.disk(n_train=100, n_test=50)
    >>> data.x_train.shape, data.classes
    ((100, 2), ('outside', 'inside'))
    """
    train, test = np.random.default_rng(seed).spawn(2)
    x_train, y_train = _disk_points(train, _positive("n_train", n_train))
    x_test, y_test = _disk_points(test, _positive("n_test", n_test))
    return Dataset("disk", x_train, y_train, x_test, y_test, ("outside", "inside"))


def two_class(n_train: int = 500, n_test: int = 200, seed: int = 0) -> Dataset:
    """Return two overlapping classes of 10 features, from scikit-learn's `make_classification`.

    x is float32 (n, 10): six informative features, two linear combinations of them and two of
    noise. y is int64.

    Parameters
    ----------
    n_train, n_test : int, default 500 and 200
        Number of training and test rows.
    seed : int, default 0
        Seed by which rows are drawn.

    Returns
    -------
    Dataset
        The rows, in two classes.

    Raises
    ------
    ValueError
        For fewer than one row.

    Examples
    --------
    >>> from fastnn import datasets
    >>> data = datasets.two_class(n_train=100, n_test=50)
    >>> data.x_train.shape, data.classes
    ((100, 10), ('0', '1'))
    """
    n_train, n_test = _positive("n_train", n_train), _positive("n_test", n_test)
    from sklearn.datasets import make_classification  # this import takes 1.5 s

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
"""Functions that return the data sets, by name. `load` passes each the options it takes."""


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown data set {name!r}; known: {', '.join(DATASETS)}{hint}"


def _positive(what: str, n: int) -> int:
    number = whole(what, n, "an integer of at least 1")
    if not 1 <= number <= _MOST_ROWS:
        least = f"at least 1, got {n}" if number < 1 else f"at most {_MOST_ROWS}, got {n}"
        raise ValueError(f"{what} must be {least}")
    return number


def _rows(what: str, n: int | None, available: int, seed: int) -> np.ndarray | slice:
    """Return the indices of `n` random rows; for None a slice of all rows, which copies nothing."""
    if n is None:
        return slice(None)
    n = _positive(what, n)
    if n > available:
        raise SubsetError(f"{what} must be at most {available}, the rows there are, got {n}")
    # The first rows of a permutation, so that a larger subset contains the smaller ones.
    return np.random.default_rng(seed).permutation(available)[:n]


def _digits_table() -> tuple[np.ndarray, np.ndarray]:
    """Return all digits, float32 (1797, 64), and their labels, int64 (1797,)."""
    # Read scikit-learn's file directly, because importing sklearn.datasets takes over a second.
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
    arrays = x_train[train], y_train[train], x_test[test], y_test[test]
    schema = Schema(image=conversion)
    return Dataset(name, *arrays, classes, 0.0, 255.0, idx.IMAGE_SHAPE, schema)
