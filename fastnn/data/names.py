"""Names of data sets and of files of tables."""

from __future__ import annotations

import glob
import os
from pathlib import Path

TABLE = "<table>"
"""Name in the place of a path where a table is in memory."""

NAMES = ("digits", "mnist", "fashion-mnist", "disk", "two-class")
"""Names of the data sets that are built in."""

SUFFIXES = (
    ".csv", ".tsv", ".txt", ".npy", ".npz", ".parquet", ".json", ".jsonl", ".ndjson", ".gz",
    ".bz2", ".xz", ".zip", ".zst", ".xlsx", ".xls",
)  # fmt: skip
"""File name endings of tables; the format is found from the contents."""


def is_path(name: str | os.PathLike[str]) -> bool:
    """Return whether `load` takes a name as the path of a file, which need not exist.

    Parameters
    ----------
    name : str or path-like
        Name of a data set, or path of a table.

    Returns
    -------
    bool
        True for paths, False for names of data sets and for unknown names.

    Raises
    ------
    TypeError
        If `name` is neither a string nor a path.

    Examples
    --------
    >>> from fastnn import datasets
    >>> datasets.is_path("wine.csv"), datasets.is_path("digits")
    (True, False)
    """
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(f"a data set is named by text or a path, not by {name!r}")
    path = Path(name)
    return os.fspath(name) == TABLE or (
        os.fspath(name) not in NAMES
        and (
            path.suffix.lower() in SUFFIXES
            or path.is_file()
            or len(path.parts) > 1
            or is_pattern(os.fspath(name))
        )
    )


def is_pattern(path: str) -> bool:
    """Return whether a path stands for several files: `data/*.csv`."""
    return glob.has_magic(path) and not os.path.exists(path)
